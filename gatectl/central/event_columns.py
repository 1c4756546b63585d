"""What an event's body says, in the columns that the log is filtered by; `audit verify` holds them against the body."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gatectl.errors import PayloadError

UNKNOWN_KIND = "unknown"
PERSONAL = (
    *("credential", "cardholder_id", "household_id", "person"),
    *("plate", "plate_colour", "actor", "picture_sha256"),
)
"""Columns that may say who somebody was."""
_PLAIN = ("event_id", "lane_id", "direction", "verdict", "ref", "outcome", "boot_id", "clock")
_MOST_NS = 2**62


def columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `wire.events.event_fields`; `at` is the time that its gate stamped. Raises PayloadError."""
    try:
        stamped_ms = int(datetime.fromisoformat(fields["at"]).timestamp() * 1000)
        return {
            "event_id": clean(fields["id"], 40),
            "kind": clean(fields["kind"], 12),
            "lane_id": clean(fields["lane"], 63),
            "at": stamped_ms,
            "stamped_at": stamped_ms,
            "clock": clean(fields["clock"], 10),
            "boot_id": clean(fields["boot_id"], 40),
            "mono_ns": min(max(int(fields["mono_ns"]), 0), _MOST_NS),
            "direction": clean(fields["direction"], 4),
            "verdict": clean(fields["verdict"], 8),
            "reason": int(fields["reason"]),
            "ref": clean(fields["ref"], 40),
            "outcome": clean(fields["outcome"], 20),
            **_personal_columns(fields),
        }
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise PayloadError(f"not an event that this version knows: {error!r}") from error


def _personal_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    plate, credential = fields.get("plate"), fields.get("credential") or ""
    text = plate["text"] if plate is not None else ""
    if not text and credential.startswith("plate:"):
        text = credential.removeprefix("plate:")
    return {
        "credential": clean(credential, 80),
        "cardholder_id": clean(fields.get("subject"), 40),
        "household_id": clean(fields.get("household"), 40),
        "plate": clean(text, 20),
        "plate_colour": clean(plate["colour"], 14) if plate is not None else "",
        "actor": clean(fields.get("actor"), 60),
        "picture_sha256": clean(plate.get("picture_sha256"), 64) if plate is not None else "",
    }


def no_columns(now_ms: int) -> dict[str, Any]:
    """The same columns for a body that nobody can read: it counts, and stands at the time it came."""
    return {
        **dict.fromkeys((*_PLAIN, *PERSONAL), ""),
        "kind": UNKNOWN_KIND,
        "at": now_ms,
        "stamped_at": now_ms,
        "mono_ns": 0,
        "reason": 0,
    }


NOBODY: Mapping[str, str] = dict.fromkeys((*PERSONAL, "personal"), "")
"""What a row says of a person after its purge."""


def clean(text: str | None, limit: int) -> str:
    """Text that every database takes: no NUL, no half surrogate pair, at most `limit` characters; "" for None."""
    if not text:
        return ""
    if len(text) <= limit and text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:limit]
