"""What commands print: data on stdout (table, JSON, lines), words on stderr, errors as exit codes."""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import typer

from gatectl.errors import (
    ConfigError,
    ContractError,
    GatectlError,
    LinkError,
    NotFoundError,
    RefusedError,
    StoreError,
)

Language = Literal["zh", "en"]
SITE_TIME = timezone(timedelta(hours=8))


class UnconfirmedError(GatectlError):
    """An order was sent, but nothing confirmed that it was carried out."""


class PartlyError(GatectlError):
    """Some of it was done; the message says what was not."""


_EXITS: tuple[tuple[type[GatectlError], int, str, str], ...] = (
    (
        ConfigError,
        2,
        "the command's --help shows what it takes; --config or GATECTL_CENTRAL names central's file",
        "用 --help 查看用法;用 --config 或 GATECTL_CENTRAL 指定中心配置文件",
    ),
    (
        NotFoundError,
        3,
        "`gatectl people find`, `gatectl gate list` and `gatectl events` show what there is",
        "用 gatectl people find、gatectl gate list、gatectl events 查看现有内容",
    ),
    (PartlyError, 6, "`gatectl gate list` shows which gates lag", "用 gatectl gate list 查看哪些闸口尚未生效"),
    (
        LinkError,
        7,
        "`gatectl gate list` shows which gates are online; `gatectl doctor` checks broker and clock",
        "用 gatectl gate list 查看在线闸口;用 gatectl doctor 检查消息服务器与时钟",
    ),
    (
        UnconfirmedError,
        9,
        "look at the gate; `gatectl events --kind all` shows what it recorded",
        "请查看现场;用 gatectl events --kind all 查看记录",
    ),
    (RefusedError, 10, "", ""),
    (StoreError, 1, "is the disk full, or the file another user's?", "磁盘是否已满?文件是否属于其他用户?"),
    (ContractError, 1, "this is our bug: please report it with the command line", "这是程序错误,请连同命令一起报告"),
)
_language: list[Language] = []


def set_language(language: Language | None) -> None:
    """Choose the words of this run; None takes them from the environment."""
    _language[:] = [language] if language else []


def language() -> Language:
    """`zh` or `en`: as chosen by --lang, else by the locale."""
    if _language:
        return _language[0]
    for name in ("GATECTL_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def pick(zh: str, en: str) -> str:
    """The words of this run's language."""
    return zh if language() == "zh" else en


def say(zh: str, en: str) -> None:
    """Words for the person, on stderr."""
    typer.echo(pick(zh, en), err=True)


def report(error: GatectlError) -> int:
    """Print the error and a hint on stderr; the exit code."""
    code, hint = 1, ""
    for kind, number, hint_en, hint_zh in _EXITS:
        if isinstance(error, kind):
            code, hint = number, pick(hint_zh, hint_en)
            break
    typer.secho(f"{pick('错误', 'error')}: {error.words(language())}", err=True, fg=typer.colors.RED)
    if hint:
        typer.echo(f"{pick('提示', 'hint')}: {hint}", err=True)
    return code


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def as_json(value: Any, *, is_line: bool = False) -> str:
    """One JSON document: indented, or one line; Chinese stays readable."""
    return json.dumps(_plain(value), ensure_ascii=False, indent=None if is_line else 2)


def print_json(value: Any, *, is_line: bool = False) -> None:
    """Print one JSON document on stdout."""
    typer.echo(as_json(value, is_line=is_line))


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table with frames and colours in a terminal; tab-separated lines with a heading when piped."""
    if not sys.stdout.isatty():
        for row in (heads, *rows):
            typer.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", row_styles=("", "dim"))
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def clock_words(at_ms: int | None) -> str:
    """Site time, YYYY-MM-DD HH:MM:SS; `-` for never."""
    if at_ms is None:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(SITE_TIME).strftime("%Y-%m-%d %H:%M:%S")
