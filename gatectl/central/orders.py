"""Remote orders on their way: queued by the office, sealed, sent, answered by the gate, or dead after ten seconds."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError
from sqlalchemy import Connection, select, update

from gatectl.central import tables
from gatectl.wire.messages import COMMAND_LIFE_S, Answer, Command, Heartbeat
from gatectl.wire.signed import seal

COMMAND_PURPOSE = "cmd"
_CONFIRMED = ("confirmed",)


@dataclass(frozen=True, slots=True)
class SealedOrder:
    """One order, ready to be published to its gate."""

    gate: str
    payload: bytes


def send_queued(conn: Connection, key: Ed25519PrivateKey, at: datetime) -> Iterator[SealedOrder]:
    """Seal what the office queued. A gate that is offline refuses at once: an order must never wait for it."""
    commands, gates = tables.commands, tables.gates
    queued = conn.execute(
        select(commands, gates.c.is_online, gates.c.beat)
        .join(gates, gates.c.id == commands.c.gate_id)
        .where(commands.c.state == "queued")
        .order_by(commands.c.created_at)
    ).all()
    for row in queued:
        beat = _beat(row.beat)
        now_ms = int(at.timestamp() * 1000)
        if now_ms - row.created_at > COMMAND_LIFE_S * 1000:
            _set(conn, row.id, "expired", "it waited longer than ten seconds", now_ms)
        elif not row.is_online or beat is None or not beat.challenge:
            _set(conn, row.id, "refused", "the gate is offline: nothing was sent", now_ms)
        else:
            order = Command(
                id=row.id,
                gate=row.gate_id,
                lane=row.lane_id,
                action=row.action,
                reason=row.reason,
                note=row.note,
                issuer=row.issuer,
                nonce=secrets.token_hex(16),
                challenge=beat.challenge,
                counter=int(at.timestamp() * 1_000_000),
                issued=at,
                expires=at + timedelta(seconds=COMMAND_LIFE_S),
            )
            _set(conn, row.id, "sent", "", now_ms, is_sent=True)
            yield SealedOrder(row.gate_id, seal(order.model_dump_json().encode(), COMMAND_PURPOSE, key))


def take_answer(conn: Connection, gate: str, answer: Answer, now_ms: int) -> bool:
    """Store a gate's answer; False for one that no order of ours to that gate explains. The arm's word is final."""
    commands = tables.commands
    row = conn.execute(select(commands.c.state).where(commands.c.id == answer.id, commands.c.gate_id == gate)).first()
    if row is None:
        return False
    if row.state in ("refused", *_CONFIRMED) or (answer.state == "received" and row.state != "sent"):
        return True
    conn.execute(
        update(commands)
        .where(commands.c.id == answer.id)
        .values(state=answer.state, words=answer.words, event_id=answer.event_id, changed_at=now_ms)
    )
    return True


def expire(conn: Connection, now_ms: int) -> None:
    """Orders that were sent and never answered are dead; a late word from the arm still counts."""
    commands = tables.commands
    conn.execute(
        update(commands)
        .where(commands.c.state == "sent", commands.c.sent_at < now_ms - COMMAND_LIFE_S * 1000)
        .values(state="expired", words="the gate did not answer within ten seconds", changed_at=now_ms)
    )


def _beat(text: str) -> Heartbeat | None:
    try:
        return Heartbeat.model_validate_json(text)
    except ValidationError:
        return None  # a gate that was never heard


def _set(conn: Connection, command_id: str, state: str, words: str, now_ms: int, *, is_sent: bool = False) -> None:
    values: dict[str, object] = {"state": state, "words": words, "changed_at": now_ms}
    if is_sent:
        values["sent_at"] = now_ms
    conn.execute(update(tables.commands).where(tables.commands.c.id == command_id).values(values))


def utc_now() -> datetime:
    """Central's wall clock."""
    return datetime.now(UTC)
