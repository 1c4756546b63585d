"""Who did what in the office: the audit trail, with the ids and the clock that its writers share."""

import secrets
import time

from sqlalchemy import Connection, insert

from gatectl.central import tables


def now_ms() -> int:
    """Central's wall clock in UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000


def new_id(at_ms: int | None = None) -> str:
    """An opaque id of 32 hex digits that sorts by the time it was made."""
    return f"{now_ms() if at_ms is None else at_ms:012x}{secrets.token_hex(10)}"


def write_audit(conn: Connection, actor: str, action: str, subject: str = "", detail: str = "") -> None:
    """Add one audit row. `detail` must hold neither whole card numbers nor phones: mask them first."""
    conn.execute(
        insert(tables.audit).values(at=now_ms(), actor=actor[:60], action=action, subject=subject[:80], detail=detail)
    )


def mark_dirty(conn: Connection, site_id: str, urgent: bool = False) -> None:
    """Note that a site's list has changed."""
    conn.execute(insert(tables.list_dirty).values(site_id=site_id, is_urgent=urgent, made_at=now_ms()))
