"""Takes what gates send into the database: events with their chain and watermark, pictures, and what is kept aside.

Everything runs in the caller's transaction; nothing here knows MQTT.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from gatectl.central import event_times, tables
from gatectl.central.audit import write_audit
from gatectl.central.database import insert_all_new, insert_new
from gatectl.central.event_columns import clean, columns, no_columns
from gatectl.core.model import AccessEvent, EventKind
from gatectl.core.reasons import Reason
from gatectl.errors import PayloadError
from gatectl.wire.events import GENESIS, EventRow, chain_hash, decode_rows, event_fields, is_whole, parse_event
from gatectl.wire.messages import Ack, gate_topic

PASSED = "passed"
"""The outcome of a passage that somebody completed."""
MAX_PICTURE_BYTES = 512 * 1024
_MAX_MEDIA_HEADER_BYTES = 4096
_MAX_KEPT_BYTES = 64 * 1024
_MAX_SEQ = 2**62
_MAX_MISSING = 20
_WALK = 1000
_IN_CHUNK = 500
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event row as a known gate sent it."""

    gate: str
    row: EventRow


@dataclass(frozen=True, slots=True)
class Passed:
    """Somebody went through: a passage event that was stored just now."""

    gate: str
    epoch: str
    seq: int
    event: AccessEvent


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a batch: acks to seal and send once it is committed, and passages to count before that."""

    acks: tuple[Ack, ...] = ()
    passages: tuple[Passed, ...] = ()


@dataclass(slots=True)
class IntakeCounters:
    """What came in since this process started."""

    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0
    broken: int = 0
    unreadable: int = 0
    quarantined: int = 0
    pictures: int = 0


@dataclass(slots=True)
class Quarantine:
    """Keeps aside what cannot be taken, once for each distinct payload while this process lives."""

    counters: IntakeCounters = field(default_factory=IntakeCounters)
    _seen: dict[bytes, None] = field(default_factory=dict)
    _MAX_SEEN = 10_000

    def keep(self, conn: Connection, topic: str, why: str, payload: bytes, now_ms: int) -> bool:
        """Store it with the reason; False when the very same was kept before. Long payloads are cut."""
        self.counters.quarantined += 1
        mark = hashlib.sha256(topic.encode() + b"\0" + why.encode() + b"\0" + payload).digest()
        if mark in self._seen:
            return False
        self._seen[mark] = None
        if len(self._seen) > self._MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        if len(payload) > _MAX_KEPT_BYTES:
            why = f"{why} (the first {_MAX_KEPT_BYTES} of {len(payload)} bytes are kept)"
        conn.execute(
            insert(tables.quarantine).values(
                received_at=now_ms,
                topic=clean(topic, 200),
                why=clean(why, 2000),
                payload=payload[:_MAX_KEPT_BYTES],
            )
        )
        return True


def gate_sites(conn: Connection) -> dict[str, str]:
    """Every gate's site."""
    return {row.id: row.site_id for row in conn.execute(select(tables.gates.c.id, tables.gates.c.site_id))}


# --- events ---


def arrivals_of(gate: str, payload: bytes) -> tuple[Arrival, ...]:
    """The rows of one `ev` message. Raises PayloadError: the whole message must be kept aside."""
    rows = decode_rows(payload)
    for row in rows:
        if row.seq > _MAX_SEQ or "\0" in row.epoch or not row.epoch.isprintable():
            raise PayloadError(f"an event row with an impossible epoch or seq {row.seq}", payload)
    return tuple(Arrival(gate, row) for row in rows)


def ingest_batch(
    conn: Connection, arrivals: Sequence[Arrival], sites: Mapping[str, str], aside: Quarantine, now_ms: int
) -> Taken:
    """Store a batch and advance the watermarks.

    A row is stored once by (gate, epoch, seq). The same identity with another hash, a hash that does not fit its body
    and a break in the chain are alarms: nothing is overwritten, and the watermark does not pass a broken row.
    """
    groups: dict[tuple[str, str], list[EventRow]] = {}
    for arrival in arrivals:
        groups.setdefault((arrival.gate, arrival.row.epoch), []).append(arrival.row)
    fresh = [
        (gate, row)
        for (gate, epoch), rows in groups.items()
        for row in _not_stored(conn, gate, epoch, rows, aside, now_ms)
    ]
    passages = _store(conn, fresh, sites, aside, now_ms)
    server_time = datetime.fromtimestamp(now_ms / 1000, UTC)
    acks = tuple(_advance(conn, gate, epoch, aside, server_time) for gate, epoch in groups)
    return Taken(acks, passages)


def _not_stored(
    conn: Connection, gate: str, epoch: str, rows: Iterable[EventRow], aside: Quarantine, now_ms: int
) -> Iterator[EventRow]:
    """The rows whose hash fits and that are not in the database, each seq once; everything else is told."""
    rows = list(rows)
    known: dict[int, str] = {}
    events = tables.events.c
    seqs = sorted({row.seq for row in rows})
    for start in range(0, len(seqs), _IN_CHUNK):
        part = seqs[start : start + _IN_CHUNK]
        query = select(events.seq, events.hash).where(
            events.gate_id == gate, events.epoch == epoch, events.seq.in_(part)
        )
        known.update({row.seq: row.hash for row in conn.execute(query)})
    for row in rows:
        stored = known.get(row.seq)
        if stored == row.hash:
            aside.counters.duplicates += 1
        elif not _fits(row):
            aside.counters.broken += 1
            _alarm(conn, gate, row, "event.broken", "its hash does not fit its body", aside, now_ms)
        elif stored is not None:
            aside.counters.conflicts += 1
            why = f"another event is stored under this seq, with hash {stored[:16]}…"
            _alarm(conn, gate, row, "event.conflict", why, aside, now_ms)
        else:
            known[row.seq] = row.hash
            yield row


def _fits(row: EventRow) -> bool:
    try:
        is_chained = "\0" not in row.body and chain_hash(row.prev, row.body) == row.hash
    except ValueError:  # `prev` is no hex, or the body no Unicode
        return False
    return is_chained and "\0" not in row.personal and is_whole(row.body, row.personal)


def _alarm(conn: Connection, gate: str, row: EventRow, action: str, why: str, aside: Quarantine, now_ms: int) -> None:
    """Keep the row aside and put the alarm in the audit trail, once for each distinct row."""
    why = f"{Reason.EVENT_CONFLICT.name}: {gate} {row.epoch} seq {row.seq}: {why}"
    if aside.keep(conn, gate_topic(gate, "ev"), why, row.model_dump_json().encode(), now_ms):
        write_audit(conn, _SYSTEM, action, clean(f"{gate}/{row.epoch}/{row.seq}", 80), clean(why, 2000))


def _store(
    conn: Connection, fresh: Sequence[tuple[str, EventRow]], sites: Mapping[str, str], aside: Quarantine, now_ms: int
) -> tuple[Passed, ...]:
    """Insert the rows; who went through, as they say."""
    if not fresh:
        return ()
    values: list[dict[str, Any]] = []
    passed: list[Passed] = []
    for gate, row in fresh:
        found = _read(conn, gate, row, aside, now_ms)
        values.append(
            {
                "gate_id": gate,
                "epoch": row.epoch,
                "seq": row.seq,
                "prev": row.prev,
                "hash": row.hash,
                "body": row.body,
                "personal": row.personal,
                "site_id": sites.get(gate, ""),
                "received_at": now_ms,
                "clock_error_ms": None,
                "person": "",
                **(no_columns(now_ms) if found is None else found[0]),
            }
        )
        event = None if found is None else found[1]
        if event is None:
            continue
        _heed(conn, gate, row, event)
        if event.kind is EventKind.PASSAGE and event.outcome == PASSED:
            passed.append(Passed(gate, row.epoch, row.seq, event))
    names = _names(conn, {value["cardholder_id"] for value in values if value["cardholder_id"]})
    for value in values:
        value["person"] = names.get(value["cardholder_id"], "")
    for gate in {gate for gate, _ in fresh}:
        event_times.corrected(conn, gate, [value for value in values if value["gate_id"] == gate])
    insert_all_new(conn, tables.events, values, "gate_id", "epoch", "seq")
    aside.counters.stored += len(values)
    return tuple(passed)


def _heed(conn: Connection, gate: str, row: EventRow, event: AccessEvent) -> None:
    """What an event says about other events: their times, and that some will never come."""
    anchor = event_times.anchor_of(event)
    if anchor is not None:
        event_times.note_anchor(conn, gate, event.boot_id, anchor)
    if event.gap is not None:
        first, last, own = event.gap
        values = {"gate_id": gate, "epoch": row.epoch, "first_seq": first, "last_seq": last, "last_hash": own}
        statement = insert_new(conn, tables.gaps, "gate_id", "epoch", "first_seq")
        conn.execute(statement, [{**values, "told_by": clean(event.id, 40)}])


_TELLING = {EventKind.PASSAGE.value, EventKind.ANCHOR.value}
"""Kinds of events that say more than their columns."""


def _read(
    conn: Connection, gate: str, row: EventRow, aside: Quarantine, now_ms: int
) -> tuple[dict[str, Any], AccessEvent | None] | None:
    """The columns, and the event where it says more than they do; None, and a copy kept aside, when it is no event."""
    try:
        fields = event_fields(row.body, row.personal)
        found = columns(fields)
        if fields["gate"] != gate:
            why = f"seq {row.seq}: the body names another gate, {fields['gate']}"
        else:
            is_telling = found["kind"] in _TELLING or fields.get("gap") is not None
            return found, parse_event(row.body, row.personal) if is_telling else None
    except PayloadError as error:
        why = f"seq {row.seq}: {error}"
    aside.counters.unreadable += 1
    aside.keep(conn, gate_topic(gate, "ev"), why, row.model_dump_json().encode(), now_ms)
    return None


def _names(conn: Connection, subjects: Iterable[str]) -> dict[str, str]:
    """Cardholder id to name, as it stands now."""
    wanted, found, people = sorted(subjects), dict[str, str](), tables.cardholders.c
    for start in range(0, len(wanted), _IN_CHUNK):
        query = select(people.id, people.name).where(people.id.in_(wanted[start : start + _IN_CHUNK]))
        found.update({row.id: row.name for row in conn.execute(query)})
    return found


# --- the watermark ---


def _advance(conn: Connection, gate: str, epoch: str, aside: Quarantine, server_time: datetime) -> Ack:
    """Walk on from the watermark as far as the chain holds without a gap, and say what is missing beyond."""
    marks = tables.watermarks
    mine = (marks.c.gate_id == gate, marks.c.epoch == epoch)
    mark = conn.execute(select(marks.c.hwm, marks.c.chain_hash).where(*mine)).first()
    hwm, head = (mark.hwm, mark.chain_hash) if mark is not None else (0, GENESIS)
    start, is_walking = hwm, True
    while is_walking:
        steps = _beyond(conn, gate, epoch, hwm)
        is_walking = len(steps) == _WALK
        for seq, prev, row_hash in steps:
            if seq != hwm + 1 and (gap := _told_gap(conn, gate, epoch, hwm + 1, seq - 1)) is not None:
                hwm, head = gap
            if seq != hwm + 1 or prev != head:
                is_walking = False
                break
            hwm, head = seq, row_hash
    if mark is None:
        conn.execute(insert(marks).values(gate_id=gate, epoch=epoch, hwm=hwm, chain_hash=head))
    elif hwm != start:
        conn.execute(marks.update().where(*mine).values(hwm=hwm, chain_hash=head))
    missing = _missing(conn, gate, epoch, hwm, head, aside, server_time)
    return Ack(gate=gate, epoch=epoch, hwm=hwm, chain_hash=head, missing=missing, t_srv=server_time)


def _told_gap(conn: Connection, gate: str, epoch: str, first: int, last: int) -> tuple[int, str] | None:
    """The end of a gap from `first` to `last` at most that the gate itself has told: (seq, hash)."""
    gaps = tables.gaps.c
    query = select(gaps.last_seq, gaps.last_hash).where(
        gaps.gate_id == gate, gaps.epoch == epoch, gaps.first_seq == first, gaps.last_seq <= last
    )
    row = conn.execute(query).first()
    return (row.last_seq, row.last_hash) if row is not None else None


def _beyond(conn: Connection, gate: str, epoch: str, hwm: int) -> list[tuple[int, str, str]]:
    events = tables.events.c
    query = (
        select(events.seq, events.prev, events.hash)
        .where(events.gate_id == gate, events.epoch == epoch, events.seq > hwm)
        .order_by(events.seq)
        .limit(_WALK)
    )
    return [(row.seq, row.prev, row.hash) for row in conn.execute(query)]


def _missing(
    conn: Connection, gate: str, epoch: str, hwm: int, head: str, aside: Quarantine, server_time: datetime
) -> tuple[tuple[int, int], ...]:
    """The first ranges that lack between the watermark and the newest stored row; a row that breaks the chain lacks."""
    events = tables.events.c
    mine = (events.gate_id == gate, events.epoch == epoch)
    first = conn.execute(
        select(events.seq, events.prev, events.hash, events.body, events.personal)
        .where(*mine, events.seq > hwm)
        .order_by(events.seq)
    ).first()
    if first is None:
        return ()
    if first.seq == hwm + 1:
        now_ms = int(server_time.timestamp() * 1000)
        row = EventRow(
            epoch=epoch, seq=first.seq, prev=first.prev, hash=first.hash, body=first.body, personal=first.personal
        )
        _alarm(conn, gate, row, "event.chain", f"it does not follow {head[:16]}…, the hash before it", aside, now_ms)
        return ((first.seq, first.seq),)
    before = func.lag(events.seq, 1, hwm).over(order_by=events.seq).label("before")
    steps = select(events.seq.label("seq"), before).where(*mine, events.seq > hwm).subquery()
    gaps = select(steps.c.before, steps.c.seq).where(steps.c.seq > steps.c.before + 1).order_by(steps.c.seq)
    return tuple((gap.before + 1, gap.seq - 1) for gap in conn.execute(gaps.limit(_MAX_MISSING)))


# --- pictures ---


def keep_picture(conn: Connection, gate: str, payload: bytes, aside: Quarantine, now_ms: int) -> bool:
    """Store one `media` message: a line of JSON, NUL, the JPEG. False, and a copy aside, for anything else."""
    try:
        sha256, jpeg = _picture(gate, payload)
    except PayloadError as error:
        aside.keep(conn, gate_topic(gate, "media"), str(error), payload, now_ms)
        return False
    values = {"sha256": sha256, "gate_id": gate, "bytes": jpeg, "received_at": now_ms}
    conn.execute(insert_new(conn, tables.pictures, "sha256"), [values])
    aside.counters.pictures += 1
    return True


def _picture(gate: str, payload: bytes) -> tuple[str, bytes]:
    head, nul, jpeg = payload.partition(b"\0")
    if not nul or len(head) > _MAX_MEDIA_HEADER_BYTES:
        raise PayloadError("not a picture: a short line of JSON and a NUL must stand before it")
    try:
        fields = json.loads(head)
    except ValueError as error:
        raise PayloadError(f"not a picture: its header is not JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("v") != 1:
        raise PayloadError("not a picture message of version 1")
    if fields.get("gate") != gate:
        raise PayloadError("a picture that names another gate")
    if (fields.get("i"), fields.get("n")) != (0, 1):
        raise PayloadError("a picture in parts: this version takes whole ones")
    if len(jpeg) > MAX_PICTURE_BYTES or fields.get("bytes") != len(jpeg):
        raise PayloadError(f"a picture of {len(jpeg)} bytes: its header says {fields.get('bytes')!r:.40}")
    if not (jpeg.startswith(_JPEG_START) and jpeg.rstrip(b"\0").endswith(_JPEG_END)):
        raise PayloadError("not a JPEG")
    sha256 = hashlib.sha256(jpeg).hexdigest()
    if fields.get("sha256") != sha256:
        raise PayloadError("a picture that is not the one its header names")
    return sha256, jpeg
