"""The journal and the outbox: one writer thread, one transaction an event, nothing forgotten before central has it."""

import queue
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic_ns
from typing import TypeVar

from sqlalchemy import Connection, Engine, Executable, Select, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gatectl.core.model import AccessEvent
from gatectl.edge import sqlite
from gatectl.edge.tables import edge_meta, journal, outbox, pictures
from gatectl.errors import StoreError
from gatectl.logs import get_logger
from gatectl.wire.events import (
    GENESIS,
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    EventRow,
    EventText,
    chain_hash,
    event_text,
)

MAX_WAITING = 10_000
"""Events kept in memory while the disk refuses."""
KEEP_ACKNOWLEDGED_S = 30 * 86_400
MAX_UNCONFIRMED = 1_000_000
KEEP_UNCONFIRMED_S = 400 * 86_400
"""Beyond these the oldest unconfirmed events are given up, and a gap record says which."""
GIVEN_UP_AT_ONCE = 1000
RETRY_S = 1.0
_GROUP = 256
_PURGE_EACH_S = 3600.0
_FREED_WHEN_FULL = 1000
_ROW_OVERHEAD_BYTES = 280
_SALT_BYTES = 16
CUT = "cut"
"""Where the journal begins: `seq:hash` of the last row that was dropped."""

_log = get_logger(__name__)
Job = Callable[[Connection], None]
T = TypeVar("T")


class Pending:
    """An event on its way to the disk."""

    __slots__ = ("_done", "_is_composed", "_is_late", "_lock", "event", "meta", "seq")

    def __init__(self, event: AccessEvent, meta: Mapping[str, str]) -> None:
        self.event = event
        self.meta = meta
        self.seq = 0
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._is_late = False
        self._is_composed = False

    def wait(self, timeout_s: float) -> bool:
        """Whether the event was committed within the time."""
        return self._done.wait(timeout_s)

    def is_done(self) -> bool:
        """Whether the event is committed."""
        return self._done.is_set()

    def mark_late(self) -> bool:
        """Note an opening before the commit. False: the bytes are already made, a second event must say it."""
        with self._lock:
            self._is_late = True
            return not self._is_composed

    def compose(self) -> EventText:
        """What is written; from here on it no longer changes, unless the write fails."""
        with self._lock:
            self._is_composed = True
            event = replace(self.event, is_late_record=True) if self._is_late else self.event
        return event_text(event, secrets.token_hex(_SALT_BYTES))

    def settle(self, seq: int | None) -> None:
        """The writer's word: committed as `seq`, or rolled back (None) and to be composed again."""
        with self._lock:
            if seq is None:
                self._is_composed = False
                return
            self.seq = seq
        self._done.set()


@dataclass(frozen=True, slots=True)
class OutboxStand:
    """How much central has not confirmed yet; `oldest_s` is a wall second."""

    depth: int
    first_seq: int
    last_seq: int
    oldest_s: int | None


@dataclass(frozen=True, slots=True)
class UnsentPicture:
    """A picture whose event central has."""

    sha256: str
    seq: int


class EventStore:
    """edge.db. `submit` never blocks and never raises; everything that writes runs on the writer thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.Queue[Pending | Job | None] = queue.Queue()
        self._backlog: deque[Pending] = deque()
        self._waiting = 0
        self._waiting_lock = threading.Lock()
        self._engine: Engine | None = None
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._head = (0, GENESIS)
        self._meta: dict[str, str] = {}
        self._purged_ns = 0
        self._beat_ns = monotonic_ns()
        self.epoch = ""
        self.alarm = ""
        """What cannot be recorded at this moment, in words; empty while all is well."""
        self.refused = 0
        """Events that found the memory queue full."""
        self.on_commit: Callable[[], None] = lambda: None
        """Called on the writer thread after each commit that added events."""
        self.make_gap: Callable[[int, int, str], AccessEvent] | None = None
        """Makes the record of events that are given up: first and last seq, the last one's hash."""
        self.is_time_known: Callable[[], bool] = lambda: False
        """Whether the clock may say that an unconfirmed event is too old."""
        self.on_recovered: Callable[[str], None] = lambda _words: None
        """Called on the writer thread when the disk takes writes again."""

    def start(self) -> None:
        """Start the writer; the database is opened there, again and again until it can be."""
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the database is open."""
        return self._ready.wait(timeout_s)

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write what is queued and close. Safe to call twice."""
        self._stopping.set()
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def beat_ns(self) -> int:
        """Monotonic ns of the writer's last turn."""
        return self._beat_ns

    def submit(self, event: AccessEvent, meta: Mapping[str, str] | None = None) -> Pending:
        """Queue an event, with values of `meta` to be kept in the same transaction."""
        pending = Pending(event, meta or {})
        with self._waiting_lock:
            if self._waiting >= MAX_WAITING:
                self.refused += 1
                return pending
            self._waiting += 1
        self._jobs.put(pending)
        return pending

    def waiting(self) -> int:
        """Events not on the disk yet."""
        return self._waiting

    def write(self, job: Job) -> None:
        """Queue a statement of another kind; it is dropped when the disk refuses, so it must be repeatable."""
        self._jobs.put(job)

    def set_meta(self, key: str, value: str) -> None:
        """Keep a small value."""
        self.write(lambda connection: _put_meta(connection, {key: value}))

    def set_metas(self, values: Mapping[str, str]) -> None:
        """Keep small values, all or none of them; "" forgets one."""
        kept = dict(values)
        self.write(lambda connection: _put_meta(connection, kept))

    def metas(self, prefixes: tuple[str, ...]) -> dict[str, str]:
        """The values under names that begin so, as they stood when the database was opened."""
        return {key: value for key, value in self._meta.items() if key.startswith(prefixes)}

    def meta(self, key: str) -> str | None:
        """A value as it stood when the database was opened."""
        return self._meta.get(key)

    # --- reads, each on a connection of its own ---

    def stand(self) -> OutboxStand:
        """The outbox now. Raises StoreError."""
        oldest = (
            select(journal.c.wall_s)
            .where(journal.c.seq == select(func.min(outbox.c.seq)).scalar_subquery())
            .scalar_subquery()
        )
        query = select(func.count(), func.min(outbox.c.seq), func.max(outbox.c.seq), oldest).select_from(outbox)
        row = self._read(lambda connection: connection.execute(query).one())
        return OutboxStand(row[0], row[1] or 0, row[2] or 0, row[3])

    def first_unconfirmed(self) -> int:
        """Seq of the oldest event that central has not confirmed; of the next one to come when there is none.

        One statement: an event that is committed meanwhile is either seen, or comes after. Raises StoreError.
        """
        waiting = select(func.min(outbox.c.seq)).scalar_subquery()
        newest = select(func.max(journal.c.seq)).scalar_subquery()
        query = select(func.coalesce(waiting, newest + 1, 1))
        return int(self._read(lambda connection: connection.execute(query).scalar_one()))

    def batch(self, after_seq: int, limit: int = MAX_BATCH_EVENTS, *, is_newest: bool = False) -> tuple[EventRow, ...]:
        """Unconfirmed events above `after_seq`, oldest or newest of them, in order; <= 64 KB. Raises StoreError."""
        order = outbox.c.seq.desc() if is_newest else outbox.c.seq
        query = (
            select(journal.c.seq, journal.c.prev, journal.c.hash, journal.c.body, journal.c.personal)
            .join(outbox, outbox.c.seq == journal.c.seq)
            .where(outbox.c.seq > after_seq)
            .order_by(order)
            .limit(min(limit, MAX_BATCH_EVENTS))
        )
        found = self._read(lambda connection: connection.execute(query).all())
        rows: list[EventRow] = []
        size = 2
        for seq, prev, own, body, personal in found:
            # Quotes are escaped once more.
            size += (len(body.encode()) + len(personal.encode())) * 2 + _ROW_OVERHEAD_BYTES
            if rows and size > MAX_BATCH_BYTES:
                break
            rows.append(EventRow(epoch=self.epoch, seq=seq, prev=prev, hash=own, body=body, personal=personal))
        return tuple(sorted(rows, key=lambda row: row.seq))

    def hash_at(self, seq: int) -> str | None:
        """The chain's hash at a sequence number, or None when that row is purged or not yet made. Raises StoreError."""
        if seq == 0:
            return GENESIS
        query = select(journal.c.hash).where(journal.c.seq == seq)
        return self._read(lambda connection: connection.execute(query).scalar_one_or_none())

    def last_seq(self) -> int:
        """The newest committed sequence number."""
        return self._head[0]

    def head(self) -> tuple[int, str]:
        """The newest committed sequence number and the chain's hash there."""
        return self._head

    def unsent_pictures(self, hwm: int, limit: int = 4) -> tuple[UnsentPicture, ...]:
        """Pictures of confirmed events, oldest first. Raises StoreError."""
        query = (
            select(pictures.c.sha256, pictures.c.seq)
            .where(pictures.c.is_sent == 0, pictures.c.seq <= hwm)
            .order_by(pictures.c.seq)
            .limit(limit)
        )
        found = self._read(lambda connection: connection.execute(query).all())
        return tuple(UnsentPicture(sha256, seq) for sha256, seq in found)

    # --- repeatable writes ---

    def delete_upto(self, hwm: int) -> None:
        """Forget outbox rows that central has committed."""
        self.write(lambda connection: _execute(connection, delete(outbox).where(outbox.c.seq <= hwm)))

    def picture_sent(self, sha256: str) -> None:
        """Central's broker has the picture, or it is gone from the disk."""
        statement = update(pictures).where(pictures.c.sha256 == sha256).values(is_sent=1)
        self.write(lambda connection: _execute(connection, statement))

    # --- the writer thread ---

    def _read(self, query: Callable[[Connection], T]) -> T:
        if self._engine is None:
            raise StoreError(f"{self._path}: not open")
        try:
            with self._engine.connect() as connection:
                return query(connection)
        except SQLAlchemyError as error:
            raise StoreError(f"{self._path}: {sqlite.words_of(error)}") from error

    def _run(self) -> None:
        while not self._ready.is_set():
            self._beat_ns = monotonic_ns()
            try:
                self._open()
            except StoreError as error:
                self._complain(str(error))
                if self._stopping.wait(RETRY_S):
                    return
        while True:
            self._beat_ns = monotonic_ns()
            jobs, is_last = self._take()
            if jobs or self._backlog:
                self._commit(jobs)
            self._purge_sometimes()
            if is_last:
                break
        if self._engine is not None:
            self._engine.dispose()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if sqlite.is_broken(self._path):
            aside = sqlite.set_aside(self._path, datetime.now(UTC).strftime("%Y%m%dT%H%M%S"))
            _log.error("store.broken", path=str(self._path), aside=str(aside))
        sqlite.migrate(self._path, "edge")
        engine = sqlite.open_engine(self._path)
        try:
            with engine.begin() as connection:
                meta: dict[str, str] = {row.key: row.value for row in connection.execute(select(edge_meta))}
                if "epoch" not in meta:
                    meta["epoch"] = secrets.token_hex(8)
                    _put_meta(connection, {"epoch": meta["epoch"]})
                last = connection.execute(select(journal).order_by(journal.c.seq.desc()).limit(1)).first()
        except SQLAlchemyError as error:
            engine.dispose()
            raise StoreError(f"{self._path}: {sqlite.words_of(error)}") from error
        if last is not None:
            self._head = (last.seq, last.hash)
        elif cut := meta.get(CUT):
            seq, _, own = cut.partition(":")
            self._head = (int(seq), own)
        self._meta, self.epoch, self._engine = meta, meta["epoch"], engine
        self._purged_ns = monotonic_ns()
        self._ready.set()

    def _take(self) -> tuple[list[Pending | Job], bool]:
        """What waits in the queue, at most a group; and whether the store is to stop after it."""
        jobs: list[Pending | Job] = []
        timeout_s = RETRY_S
        while len(jobs) < _GROUP:
            try:
                job = self._jobs.get(timeout=timeout_s) if timeout_s else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            timeout_s = 0.0
        return jobs, False

    def _commit(self, jobs: list[Pending | Job]) -> None:
        pendings = [*self._backlog, *(job for job in jobs if isinstance(job, Pending))]
        group, rest = pendings[: _GROUP * 2], pendings[_GROUP * 2 :]
        others = [job for job in jobs if not isinstance(job, Pending)]
        if self._engine is None:
            raise StoreError("the writer ran before its database was open")
        try:
            with self._engine.begin() as connection:
                head = self._append(connection, group)
                for job in others:
                    job(connection)
        except SQLAlchemyError as error:
            for pending in group:
                pending.settle(None)
            if isinstance(error, IntegrityError):
                pendings = self._without_known(pendings)
            self._backlog = deque(pendings)
            self._complain(sqlite.words_of(error))
            self._free_space()
            self._stopping.wait(RETRY_S)
            return
        self._backlog = deque(rest)
        first = self._head[0] + 1
        self._head = head
        with self._waiting_lock:
            self._waiting -= len(group)
        for number, pending in enumerate(group, start=first):
            pending.settle(number)
        if group:
            self.on_commit()
        if self.alarm and not rest:
            words, self.alarm = f"records are kept again after: {self.alarm}", ""
            if self.refused:
                words += f"; {self.refused} events did not fit in memory"
            self.on_recovered(words)

    def _without_known(self, pendings: list[Pending]) -> list[Pending]:
        """An event submitted twice (our bug) must not stop the ones behind it: the second one goes."""
        query = select(journal.c.id).where(journal.c.id.in_({pending.event.id for pending in pendings[: _GROUP * 2]}))
        known = set(self._read(lambda connection: connection.execute(query).scalars().all()))
        kept: list[Pending] = []
        for pending in pendings:
            if pending.event.id in known:
                _log.error("store.doubled", event_id=pending.event.id)
                continue
            known.add(pending.event.id)
            kept.append(pending)
        with self._waiting_lock:
            self._waiting -= len(pendings) - len(kept)
        return kept

    def _append(self, connection: Connection, group: list[Pending]) -> tuple[int, str]:
        seq, previous = self._head
        rows: list[dict[str, object]] = []
        shots: list[dict[str, object]] = []
        meta: dict[str, str] = {}
        for pending in group:
            seq += 1
            text = pending.compose()
            own = chain_hash(previous, text.body)
            event = pending.event
            rows.append(
                {
                    "seq": seq,
                    "id": event.id,
                    "wall_s": int(event.at.timestamp()),
                    "prev": previous,
                    "hash": own,
                    "body": text.body,
                    "personal": text.personal,
                }
            )
            if event.plate is not None and event.plate.picture_sha256:
                shots.append({"sha256": event.plate.picture_sha256, "seq": seq, "is_sent": 0})
            meta.update(pending.meta)
            previous = own
        if rows:
            connection.execute(insert(journal), rows)
            connection.execute(insert(outbox), [{"seq": row["seq"]} for row in rows])
        if shots:
            connection.execute(upsert(pictures).on_conflict_do_nothing(), shots)
        _put_meta(connection, meta)
        return seq, previous

    def _complain(self, words: str) -> None:
        if not self.alarm:
            _log.error("store.refused", path=str(self._path), words=words)
        self.alarm = words

    def _purge_sometimes(self) -> None:
        if monotonic_ns() - self._purged_ns < _PURGE_EACH_S * 1e9:
            return
        self._purged_ns = monotonic_ns()
        self.purge(int(datetime.now(UTC).timestamp()))

    def purge(self, now_s: int) -> None:
        """Drop what has been kept long enough. Only for the writer thread, and for tests."""
        self._give_up(now_s - KEEP_UNCONFIRMED_S)
        self._drop_acknowledged(now_s - KEEP_ACKNOWLEDGED_S, None)

    def _free_space(self) -> None:
        """A full disk gives up the oldest acknowledged events, never the others."""
        self._drop_acknowledged(None, _FREED_WHEN_FULL)

    def _drop_acknowledged(self, before_s: int | None, most: int | None) -> None:
        """Drop acknowledged events from the journal's beginning: older ones, or `most`. The newest event stays."""
        if self._engine is None:
            return
        try:
            with self._engine.begin() as connection:
                first = connection.scalar(select(func.min(journal.c.seq)))
                if first is None:
                    return
                ends = [self._head[0], connection.scalar(select(func.min(outbox.c.seq)))]
                if before_s is not None:
                    ends.append(connection.scalar(_first_since(before_s)))
                if most is not None:
                    ends.append(first + most)
                last = min(end for end in ends if end is not None) - 1
                if last < first:
                    return
                _drop(connection, last)
        except SQLAlchemyError as error:
            _log.warning("store.purge_refused", words=sqlite.words_of(error))
            return
        _log.info("store.purged", events=last - first + 1)

    def _give_up(self, before_s: int) -> None:
        """Drop the oldest unconfirmed events when there are too many or they are too old, and record the gap."""
        if self._engine is None or self.make_gap is None:
            return
        try:
            with self._engine.connect() as connection:
                depth, first = connection.execute(select(func.count(), func.min(outbox.c.seq))).one()
                if first is None:
                    return
                newer = connection.scalar(_first_since(before_s)) if self.is_time_known() else first
                old = (newer or self._head[0]) - first
                given_up = max(old, depth - MAX_UNCONFIRMED)
                if given_up <= 0:
                    return
                last = min(first + max(given_up, GIVEN_UP_AT_ONCE) - 1, self._head[0])
                own = connection.execute(select(journal.c.hash).where(journal.c.seq == last)).scalar_one()
        except SQLAlchemyError as error:
            _log.warning("store.purge_refused", words=sqlite.words_of(error))
            return
        record = self.make_gap(first, last, own)
        _log.error("store.gave_up", first=first, last=last)
        self.submit(record)
        self.write(lambda connection: _drop_recorded(connection, record.id, last))


def _first_since(wall_s: int) -> Select[tuple[int]]:
    """Seq of the first event that is no older."""
    return select(func.min(journal.c.seq)).where(journal.c.wall_s >= wall_s)


def _drop_recorded(connection: Connection, record_id: str, last: int) -> None:
    """Drop what a gap record gives up; not before that record is in the journal."""
    if connection.scalar(select(journal.c.seq).where(journal.c.id == record_id)) is not None:
        _drop(connection, last)


def _drop(connection: Connection, last: int) -> None:
    """Drop the journal's beginning up to `last`, and note where it begins now."""
    own = connection.execute(select(journal.c.hash).where(journal.c.seq == last)).scalar()
    if own is None:
        return
    connection.execute(delete(outbox).where(outbox.c.seq <= last))
    connection.execute(delete(journal).where(journal.c.seq <= last))
    _put_meta(connection, {CUT: f"{last}:{own}"})


def _put_meta(connection: Connection, values: Mapping[str, str]) -> None:
    gone = [key for key, value in values.items() if not value]
    if gone:
        connection.execute(delete(edge_meta).where(edge_meta.c.key.in_(gone)))
    rows = [{"key": key, "value": value} for key, value in values.items() if value]
    if rows:
        statement = upsert(edge_meta)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["key"], set_={"value": statement.excluded.value}),
            rows,
        )


def _execute(connection: Connection, statement: Executable) -> None:
    connection.execute(statement)
