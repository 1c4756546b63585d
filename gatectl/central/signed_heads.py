"""Gates' signed chain heads: kept, and held against what central has (PROTOCOLS 7)."""

from sqlalchemy import Connection, select, update

from gatectl.central import tables
from gatectl.central.audit import write_audit
from gatectl.central.database import insert_new
from gatectl.core.reasons import Reason
from gatectl.wire.events import is_head_genuine
from gatectl.wire.messages import SignedHead

_SYSTEM = "system"


def take_head(conn: Connection, gate: str, head: SignedHead, now_ms: int) -> str:
    """Keep a head; what is wrong with it in words, "" if nothing is.

    The first genuine head pins the gate's key. Another key later is an alarm, told once for each key: a new SD card
    has one, and so has a forger. The office accepts it with `gatectl audit accept-key`.
    """
    if not is_head_genuine(gate, head):
        return "a signed head whose signature does not fit"
    gates = tables.gates
    pinned = conn.scalar(select(gates.c.journal_key).where(gates.c.id == gate)) or ""
    if not pinned:
        conn.execute(update(gates).where(gates.c.id == gate).values(journal_key=head.key))
        write_audit(conn, _SYSTEM, "gate.journal_key", gate, head.key)
    elif pinned != head.key:
        _tell_once(conn, gate, head.key)
        return "a signed head of another key than this gate's"
    heads = tables.signed_heads
    values = {
        "gate_id": gate,
        "epoch": head.epoch,
        "seq": head.seq,
        "hash": head.hash,
        "key": head.key,
        "signature": head.signature,
        "received_at": now_ms,
    }
    conn.execute(insert_new(conn, heads, "gate_id", "epoch", "seq"), [values])
    return ""


def accept_key(conn: Connection, gate: str, key: str, actor: str) -> None:
    """A person vouches that this is the gate's key from now on."""
    conn.execute(update(tables.gates).where(tables.gates.c.id == gate).values(journal_key=key))
    write_audit(conn, actor, "gate.journal_key", gate, key)


def _tell_once(conn: Connection, gate: str, key: str) -> None:
    audit = tables.audit.c
    action = "gate.other_journal_key"
    told = select(audit.id).where(audit.action == action, audit.subject == gate, audit.detail.contains(key)).limit(1)
    if conn.scalar(told) is None:
        detail = f"{Reason.EVENT_CONFLICT.name}: heads signed by another key, {key}: a new SD card, or a forger"
        write_audit(conn, _SYSTEM, action, gate, detail)
