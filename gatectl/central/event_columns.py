"""What an event's body says, in the columns that the log is filtered by; `audit verify` holds them against the body."""

from collections.abc import Mapping
from typing import Any

from gatectl.core.model import AccessEvent

UNKNOWN_KIND = "unknown"
PERSONAL = (
    *("credential", "cardholder_id", "household_id", "person"),
    *("plate", "plate_colour", "actor", "picture_sha256"),
)
"""Columns that may say who somebody was."""
_PLAIN = ("event_id", "lane_id", "direction", "verdict", "ref", "outcome", "boot_id", "clock")


def columns(event: AccessEvent) -> dict[str, Any]:
    """The columns of an event; `at` is the time that its gate stamped."""
    stamped_ms = int(event.at.timestamp() * 1000)
    return {
        "event_id": clean(event.id, 40),
        "kind": event.kind.value,
        "lane_id": clean(event.lane or "", 63),
        "at": stamped_ms,
        "stamped_at": stamped_ms,
        "clock": event.clock.value,
        "boot_id": clean(event.boot_id, 40),
        "mono_ns": min(max(event.mono_ns, 0), 2**62),
        "direction": event.direction.value if event.direction is not None else "",
        "verdict": event.verdict.value if event.verdict is not None else "",
        "reason": int(event.reason),
        "ref": clean(event.ref, 40),
        "outcome": clean(event.outcome, 20),
        **_personal_columns(event),
    }


def _personal_columns(event: AccessEvent) -> dict[str, Any]:
    plate, credential = event.plate, event.credential or ""
    text = plate.text if plate is not None else ""
    if not text and credential.startswith("plate:"):
        text = credential.removeprefix("plate:")
    return {
        "credential": clean(credential, 80),
        "cardholder_id": clean(event.subject, 40),
        "household_id": clean(event.household, 40),
        "plate": clean(text, 20),
        "plate_colour": plate.colour.value if plate is not None and plate.colour is not None else "",
        "actor": clean(event.actor, 60),
        "picture_sha256": clean(plate.picture_sha256, 64) if plate is not None else "",
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


def clean(text: str, limit: int) -> str:
    """Text that every database takes: no NUL, no half surrogate pair, at most `limit` characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:limit]
