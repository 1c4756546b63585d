"""Structured logs: structlog over the standard library, with credentials, plates, names and phones redacted."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_PERSONAL = frozenset({"credential", "key", "card", "plate", "text", "name", "phone", "room", "password", "token"})


def redact(value: str) -> str:
    """Keep two characters at each end of a personal value; short values vanish whole."""
    return f"{value[:2]}…{value[-2:]}" if len(value) > 6 else "…"


def _redact_fields(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in _PERSONAL & fields.keys():
        if fields[name]:
            fields[name] = redact(str(fields[name]))
    return fields


def configure_logs(*, is_verbose: bool = False, as_json: bool = False) -> None:
    """Send logs to stderr: words for people, or one JSON object a line for machines."""
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact_fields,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if is_verbose else logging.INFO)
    for noisy in ("sqlalchemy", "alembic", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get_logger(name: str) -> Any:
    """A logger whose events are dotted nouns and whose values are fields."""
    return structlog.stdlib.get_logger(name)
