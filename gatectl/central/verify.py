"""`audit verify` at central: every gate's chain, its columns, its signed heads and its watermark."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from gatectl.central import tables
from gatectl.central.event_columns import PERSONAL, columns
from gatectl.core.model import ClockTrust
from gatectl.errors import PayloadError
from gatectl.wire.chain import ChainCheck, Finding, Told
from gatectl.wire.events import EventRow, event_fields, is_head_genuine, is_purged
from gatectl.wire.messages import SignedHead

_FETCHED = 1000
_MOST_FINDINGS = 100
"""Findings told of one chain; the rest is a number."""


@dataclass(frozen=True, slots=True)
class ChainReport:
    """One gate's chain of one epoch."""

    gate: str
    epoch: str
    rows: int
    head: int
    signed_upto: int
    """Seq of the newest signed head that fits: what stands before it cannot have been rewritten without the gate."""
    purged: int
    given_up: int
    findings: tuple[Finding, ...]
    untold: int
    """Findings beyond the first hundred."""


def verify(conn: Connection, gate: str = "", told: Callable[[int], None] = lambda _rows: None) -> list[ChainReport]:
    """Check every chain, or one gate's. `told` hears of every thousand rows. Reads only."""
    events = tables.events.c
    query = select(events.gate_id, events.epoch).distinct().order_by(events.gate_id, events.epoch)
    chains = conn.execute(query.where(events.gate_id == gate) if gate else query).all()
    known = {(row.gate_id, row.epoch) for row in chains}
    marks = select(tables.watermarks).where(tables.watermarks.c.hwm > 0)
    lost = [row for row in conn.execute(marks) if (row.gate_id, row.epoch) not in known and gate in ("", row.gate_id)]
    reports = [_chain(conn, row.gate_id, row.epoch, told) for row in chains]
    for row in lost:
        words = f"all of its events are missing: {row.hwm} were here once"
        finding = Finding(row.epoch, 1, "missing", words)
        reports.append(ChainReport(row.gate_id, row.epoch, 0, 0, 0, 0, 0, (finding,), 0))
    return reports


def _chain(conn: Connection, gate: str, epoch: str, told: Callable[[int], None]) -> ChainReport:
    check = ChainCheck(epoch, _told(conn, gate, epoch))
    heads = {row.seq: row for row in _heads(conn, gate, epoch)}
    found: list[Finding] = []
    signed_upto = count = 0
    for row in _rows(conn, gate, epoch):
        before = len(found)
        found += check.take(_event_row(row))
        found += _columns(row)
        head = heads.pop(row.seq, None)
        if head is not None and head.hash == row.hash:
            signed_upto = row.seq
        elif head is not None:
            words = "the gate signed another hash here: the chain was rewritten up to this event or beyond"
            found.append(Finding(epoch, row.seq, "head", words))
        if len(found) > before >= _MOST_FINDINGS:
            count += len(found) - before
            del found[before:]
        if check.rows % _FETCHED == 0:
            told(_FETCHED)
    found += _ends(conn, gate, epoch, check, [head.seq for head in heads.values()])
    return ChainReport(gate, epoch, check.rows, check.seq, signed_upto, check.purged, check.given_up, (*found,), count)


def _ends(conn: Connection, gate: str, epoch: str, check: ChainCheck, unmet: list[int]) -> Iterator[Finding]:
    """What is missing behind the last row."""
    marks = tables.watermarks.c
    mark = conn.execute(select(marks.hwm, marks.chain_hash).where(marks.gate_id == gate, marks.epoch == epoch)).first()
    newest = max([*unmet, mark.hwm if mark is not None else 0], default=0)
    if newest > check.seq:
        yield Finding(epoch, check.seq + 1, "missing", f"events {check.seq + 1} to {newest} are missing at the end")
    elif mark is not None and mark.hwm == check.seq and mark.chain_hash != check.hash:
        yield Finding(epoch, check.seq, "watermark", "the watermark was set on another hash: the end was replaced")


def _rows(conn: Connection, gate: str, epoch: str) -> Iterator[Row[Any]]:
    """In pages, so that a million rows do not stand in memory."""
    events = tables.events
    after = 0
    while True:
        query = (
            select(events)
            .where(events.c.gate_id == gate, events.c.epoch == epoch, events.c.seq > after)
            .order_by(events.c.seq)
            .limit(_FETCHED)
        )
        page = conn.execute(query).all()
        yield from page
        if len(page) < _FETCHED:
            return
        after = page[-1].seq


def _event_row(row: Row[Any]) -> EventRow:
    return EventRow.model_construct(
        epoch=row.epoch, seq=row.seq, prev=row.prev, hash=row.hash, body=row.body, personal=row.personal
    )


def _columns(row: Row[Any]) -> Iterator[Finding]:
    """What staff see are the columns: they must say what the body says."""
    try:
        expected: Mapping[str, Any] = columns(event_fields(row.body, row.personal))
    except PayloadError:
        return  # kept as it came, and shown as unreadable
    skipped = {"at"} if row.clock != ClockTrust.SYNCED.value else set()
    if not row.boot_id:  # taken in before these columns were
        skipped |= {"at", "boot_id", "clock", "mono_ns"}
    if is_purged(row.body, row.personal):
        skipped |= set(PERSONAL)
    wrong = sorted(name for name, value in expected.items() if name not in skipped and getattr(row, name) != value)
    if wrong:
        words = f"the log shows something else than the gate wrote: {', '.join(wrong)}"
        yield Finding(row.epoch, row.seq, "column", words)


def _told(conn: Connection, gate: str, epoch: str) -> Iterator[Told]:
    gaps = tables.gaps.c
    query = select(gaps.first_seq, gaps.last_seq, gaps.last_hash).where(gaps.gate_id == gate, gaps.epoch == epoch)
    return (Told(row.first_seq, row.last_seq, row.last_hash) for row in conn.execute(query).all())


def _heads(conn: Connection, gate: str, epoch: str) -> Iterator[Row[Any]]:
    """The heads that this gate's key signed; a forged row in the table proves nothing."""
    heads = tables.signed_heads
    key = conn.scalar(select(tables.gates.c.journal_key).where(tables.gates.c.id == gate)) or ""
    for row in conn.execute(select(heads).where(heads.c.gate_id == gate, heads.c.epoch == epoch)).all():
        head = SignedHead(epoch=row.epoch, seq=row.seq, hash=row.hash, key=row.key, signature=row.signature)
        if head.key == key and is_head_genuine(gate, head):
            yield row
