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

from sqlalchemy import Connection, Delete, Engine, Executable, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gatectl.core.model import AccessEvent
from gatectl.edge import sqlite
from gatectl.edge.tables import edge_meta, journal, outbox, pictures
from gatectl.errors import StoreError
from gatectl.logs import get_logger
from gatectl.wire.messages import GENESIS, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, EventRow, chain_hash, event_body

MAX_WAITING = 10_000
"""Events kept in memory while the disk refuses."""
KEEP_ACKNOWLEDGED_S = 30 * 86_400
RETRY_S = 1.0
_GROUP = 256
_PURGE_EACH_S = 3600.0
_FREED_WHEN_FULL = 1000
_ROW_OVERHEAD_BYTES = 260

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

    def compose(self) -> str:
        """The body to be written; from here on it no longer changes, unless the write fails."""
        with self._lock:
            self._is_composed = True
            event = replace(self.event, is_late_record=True) if self._is_late else self.event
        return event_body(event)

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
        self._seq = 0
        self._hash = GENESIS
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

    def batch(self, after_seq: int, limit: int = MAX_BATCH_EVENTS, *, is_newest: bool = False) -> tuple[EventRow, ...]:
        """Unconfirmed events above `after_seq`, oldest or newest of them, in order; <= 64 KB. Raises StoreError."""
        order = outbox.c.seq.desc() if is_newest else outbox.c.seq
        query = (
            select(journal.c.seq, journal.c.prev, journal.c.hash, journal.c.body)
            .join(outbox, outbox.c.seq == journal.c.seq)
            .where(outbox.c.seq > after_seq)
            .order_by(order)
            .limit(min(limit, MAX_BATCH_EVENTS))
        )
        found = self._read(lambda connection: connection.execute(query).all())
        rows: list[EventRow] = []
        size = 2
        for seq, prev, own, body in found:
            size += len(body.encode()) * 2 + _ROW_OVERHEAD_BYTES  # a body's quotes are escaped once more
            if rows and size > MAX_BATCH_BYTES:
                break
            rows.append(EventRow(epoch=self.epoch, seq=seq, prev=prev, hash=own, body=body))
        return tuple(sorted(rows, key=lambda row: row.seq))

    def hash_at(self, seq: int) -> str | None:
        """The chain's hash at a sequence number, or None when that row is purged or not yet made. Raises StoreError."""
        if seq == 0:
            return GENESIS
        query = select(journal.c.hash).where(journal.c.seq == seq)
        return self._read(lambda connection: connection.execute(query).scalar_one_or_none())

    def last_seq(self) -> int:
        """The newest committed sequence number."""
        return self._seq

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
            self._seq, self._hash = last.seq, last.hash
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
                seq, own = self._append(connection, group)
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
        first = self._seq + 1
        self._seq, self._hash = seq, own
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
        seq, previous = self._seq, self._hash
        rows: list[dict[str, object]] = []
        shots: list[dict[str, object]] = []
        meta: dict[str, str] = {}
        for pending in group:
            seq += 1
            body = pending.compose()
            own = chain_hash(previous, body)
            event = pending.event
            wall_s = int(event.at.timestamp())
            rows.append({"seq": seq, "id": event.id, "wall_s": wall_s, "prev": previous, "hash": own, "body": body})
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
        cutoff_s = int(datetime.now(UTC).timestamp()) - KEEP_ACKNOWLEDGED_S
        self._purge(_acknowledged_before(cutoff_s))

    def _free_space(self) -> None:
        """A full disk gives up the oldest acknowledged events, never the others."""
        oldest = (
            select(journal.c.seq)
            .where(journal.c.seq.not_in(select(outbox.c.seq)), journal.c.seq < self._seq)
            .order_by(journal.c.seq)
            .limit(_FREED_WHEN_FULL)
        )
        self._purge(delete(journal).where(journal.c.seq.in_(oldest)))

    def _purge(self, statement: Delete) -> None:
        if self._engine is None:
            return
        try:
            with self._engine.begin() as connection:
                gone = connection.execute(statement.where(journal.c.seq < self._seq)).rowcount
        except SQLAlchemyError as error:
            _log.warning("store.purge_refused", words=sqlite.words_of(error))
            return
        if gone:
            _log.info("store.purged", events=gone)


def _acknowledged_before(cutoff_s: int) -> Delete:
    return delete(journal).where(journal.c.wall_s < cutoff_s, journal.c.seq.not_in(select(outbox.c.seq)))


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
