"""What gates say of themselves: heartbeats, the will that says offline, and which list they decide on."""

from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from gatectl.central import tables
from gatectl.central.signed_heads import take_head
from gatectl.logs import get_logger
from gatectl.wire.messages import Heartbeat
from gatectl.wire.replica import ListState

_log = get_logger(__name__)
SILENCE_MS = 15_000
"""Three missed heartbeats: the gate counts as offline though no will was heard."""


def take_beat(conn: Connection, gate: str, beat: Heartbeat, now_ms: int) -> None:
    """Store a heartbeat; an `online: false` one is the will that the broker sent for a lost gate."""
    gates = tables.gates
    if beat.online:
        values: Mapping[str, object] = {
            "is_online": True,
            "seen_at": now_ms,
            "offline_since": None,
            "beat": beat.model_dump_json(),
        }
        conn.execute(update(gates).where(gates.c.id == gate).values(values))
        if beat.head is not None and (wrong := take_head(conn, gate, beat.head, now_ms)):
            _log.error("head.refused", gate=gate, words=wrong)
    else:
        _set_offline(conn, gate, now_ms)


def take_list_state(conn: Connection, gate: str, state: ListState) -> None:
    """Store which list a gate decides on; equal versions with unequal hashes are drift, said in words."""
    heads = tables.list_heads
    head = conn.execute(select(heads).where(heads.c.site_id == state.site)).first()
    is_same = head is not None and (head.epoch, head.ver) == (state.epoch, state.ver)
    has_drifted = is_same and head is not None and head.set_hash != state.set_hash
    words = "drifted: same version, other rows" if has_drifted else state.err
    gates = tables.gates
    conn.execute(
        update(gates)
        .where(gates.c.id == gate)
        .values(
            list_epoch=state.epoch,
            list_ver=state.ver,
            list_hash=state.set_hash,
            list_status=state.status,
            list_error=words,
            list_applied_at=int(state.applied_at.timestamp() * 1000),
        )
    )


def silence(conn: Connection, now_ms: int) -> tuple[str, ...]:
    """Gates that count as online but were not heard for `SILENCE_MS`: they are offline from now on."""
    gates = tables.gates
    quiet = select(gates.c.id).where(gates.c.is_online, gates.c.seen_at < now_ms - SILENCE_MS)
    found = tuple(conn.execute(quiet).scalars())
    for gate in found:
        _set_offline(conn, gate, now_ms)
    return found


def _set_offline(conn: Connection, gate: str, now_ms: int) -> None:
    gates = tables.gates
    conn.execute(
        update(gates).where(gates.c.id == gate, gates.c.is_online).values(is_online=False, offline_since=now_ms)
    )
