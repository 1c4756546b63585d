"""Sends sites' lists: changes and heads as they are made, and what gates ask for (PROTOCOLS 8). Owned by ingest."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import Connection, Engine

from gatectl.central import presence, replicate
from gatectl.central.charters import Charters
from gatectl.central.database import writing
from gatectl.central.keys import CentralKeys
from gatectl.central.snapshot_desk import SnapshotDesk
from gatectl.central.snapshot_shelf import SnapshotShelf
from gatectl.core.model import Calendar
from gatectl.errors import ConfigError, RefusedError
from gatectl.logs import get_logger
from gatectl.settings import CentralSettings
from gatectl.wire.messages import list_topic
from gatectl.wire.replica import DELTA_TAG, WINDOW_CHUNKS, ListRequest

_HEAD_AFTER_S = 0.5
"""An urgent change is not kept waiting by its own head; a row of them has one head."""
_OUTRUN = 5
"""Plans that urgent changes have overtaken one after the other; then the list is made while everything waits."""

_log = get_logger(__name__)


class Receipt(Protocol):
    """A message handed to the broker's client."""

    def is_published(self) -> bool:
        """The broker has it."""


Publish = Callable[[str, bytes, bool], Receipt]
"""Topic, payload, whether it is retained; QoS 1."""


@contextmanager
def one_moment(engine: Engine) -> Iterator[Connection]:
    """A connection whose reads all see the tables of one moment; it keeps no writer waiting."""
    with engine.connect() as conn:
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("BEGIN")
        else:
            conn.execution_options(isolation_level="REPEATABLE READ")
        yield conn


class ListSender:
    """One thread: ingest's. `publish` may be called while there is no connection: the client keeps it."""

    def __init__(self, settings: CentralSettings, engine: Engine, keys: CentralKeys, publish: Publish) -> None:
        self._engine = engine
        self._key = keys.site_key
        self._publish = publish
        self._shelf = SnapshotShelf(settings.data_dir / "snapshots")
        self._buckets = replicate.BucketShelf()
        self._charters = Charters(settings.data_dir, keys.public_base64)
        self._press = replicate.HeadPress(self._key, self._shelf, self._charters.get, settings.lists.max_jitter_s)
        self._desk = SnapshotDesk(settings.lists.concurrent_snapshots)
        self._compilers: dict[str, replicate.ListCompiler] = {}
        self._under_way: deque[Receipt] = deque()
        self._refused: dict[str, str] = {}
        self._asks: list[tuple[str, ListRequest]] = []
        self._renewals: set[str] = set()
        self._planner = ThreadPoolExecutor(1, "list-planner")
        self._plans: dict[str, Future[replicate.Plan]] = {}
        self._outrun: dict[str, int] = {}
        self._head_due_s: dict[str, float] = {}
        self.calendar = Calendar()

    @property
    def is_busy(self) -> bool:
        """Chunks wait to be sent: `turn` wants to be called again in a moment."""
        return self._desk.is_busy

    # --- the list itself ---

    def begin(self, conn: Connection, site: str, at: datetime) -> None:
        """At central's start: what was sealed by a key that signs no more is forgotten; the list as the tables say."""
        if replicate.drop_foreign_deltas(conn, site, self._charters.signers()):
            _log.warning("list.key_changed", site=site)
        self.bring_up_to_date(conn, site, at)

    def head_changed(self, site: str) -> None:
        """Publish the head after the transaction under way."""
        self._renewals.add(site)

    def bring_up_to_date(self, conn: Connection, site: str, at: datetime) -> tuple[replicate.SealedDelta, ...]:
        """The signed changes of a site's list, in the caller's transaction."""
        compiler = self._compilers.setdefault(site, replicate.ListCompiler())
        deltas = replicate.refresh(conn, site, self._key, at, self.calendar, compiler)
        presence.forget_gone(conn, site, int(at.timestamp()))
        return deltas

    def send_due(self, now: datetime) -> None:
        """Bring dirty sites' lists up to date: withdrawn rights at once, the rest together; the head after them."""
        with self._engine.connect() as conn:
            due = replicate.due_sites(conn, int(now.timestamp() * 1000))
        for one in due:
            if one.is_urgent:
                with writing(self._engine) as conn:
                    deltas = replicate.refresh_urgent(conn, one.site, self._key, now)
                    replicate.mark_sent(conn, one.site, deltas, now)
                self._send(one.site, deltas, is_urgent=True)
            elif one.site not in self._plans:
                self._plans[one.site] = self._planner.submit(self._plan, one.site, self.calendar)
        for site, due_s in list(self._head_due_s.items()):
            if time.monotonic() >= due_s:
                self.publish_heads((site,))
        for site, planned in list(self._plans.items()):
            if planned.done():
                del self._plans[site]
                self._carry_out(planned.result(), now)

    def _plan(self, site: str, calendar: Calendar) -> replicate.Plan:
        """On the planner's thread: a hundred thousand credentials take a second, in which rights are withdrawn."""
        compiler = self._compilers.setdefault(site, replicate.ListCompiler())
        with one_moment(self._engine) as conn:
            return replicate.plan(conn, site, compiler, calendar)

    def _carry_out(self, planned: replicate.Plan, now: datetime) -> None:
        site = planned.site
        with writing(self._engine) as conn:
            deltas = replicate.carry_out(conn, planned, self._key, now)
            if deltas is None:
                tries = self._outrun[site] = self._outrun.get(site, 0) + 1
                if tries <= _OUTRUN:
                    return  # it is still marked: planned anew at the next look
                deltas = self.bring_up_to_date(conn, site, now)
            else:
                presence.forget_gone(conn, site, int(now.timestamp()))
            replicate.mark_sent(conn, site, deltas, now)
        self._outrun.pop(site, None)
        self._send(site, deltas, is_urgent=False)

    def _send(self, site: str, deltas: tuple[replicate.SealedDelta, ...], *, is_urgent: bool) -> None:
        for delta in deltas:
            self._publish(list_topic(site, "delta"), delta.payload, False)
        if is_urgent and deltas:
            self._head_due_s.setdefault(site, time.monotonic() + _HEAD_AFTER_S)
        elif deltas or self._shelf.peek(site) is None:
            self.publish_heads((site,))
        _log.info("list.sent", site=site, deltas=len(deltas), urgent=is_urgent)

    def close(self) -> None:
        """End the planner's thread."""
        self._planner.shutdown(cancel_futures=True)

    def publish_heads(self, sites: Sequence[str]) -> None:
        """The retained head of each site, from what is committed."""
        for site in sites:
            self._head_due_s.pop(site, None)
        with self._engine.connect() as conn:
            heads = {site: self._head(conn, site) for site in sites}
        for site, payload in heads.items():
            if payload is not None:
                self._publish(list_topic(site, "head"), payload, True)

    def _head(self, conn: Connection, site: str) -> bytes | None:
        try:
            payload = replicate.head_payload(conn, site, self._press)
        except (RefusedError, ConfigError) as error:
            if self._refused.get(site) != str(error):
                self._refused[site] = str(error)
                _log.error("head.not_sent", site=site, words=str(error))
            return None
        self._refused.pop(site, None)
        return payload

    # --- what gates ask for ---

    def requested(self, conn: Connection, gate: str, request: ListRequest) -> list[bytes]:
        """The answer for `wl/data`; [] for a snapshot, which `turn` sends. Raises PayloadError."""
        if request.want == "buckets":
            repair = replicate.repair_for(conn, request, self._key, self._buckets, datetime.now(UTC))
            return [repair] if repair is not None else []
        if request.want == "delta":
            deltas = replicate.deltas_since(conn, request)
            if deltas is not None:
                return [DELTA_TAG + payload for payload in deltas]
        kept = self._shelf.peek(request.site)
        if kept is None or (request.epoch == kept.epoch and request.have > kept.ver):
            self._shelf.renew(request.site)  # the one there is older than what the gate has: a newer one, a new head
            self._renewals.add(request.site)
        self._asks.append((gate, request))
        return []

    def turn(self, now_s: float) -> None:
        """Send what may be sent now; after each batch, and often while `is_busy`."""
        if self._renewals:
            renewed, self._renewals = tuple(self._renewals), set()
            self.publish_heads(renewed)
        for gate, request in self._asks:
            kept = self._shelf.peek(request.site)
            if kept is not None:
                self._desk.ask(gate, request, kept, now_s)
        self._asks.clear()
        if not self._desk.is_busy:
            return
        while self._under_way and self._under_way[0].is_published():
            self._under_way.popleft()
        parcels = self._desk.turn(self._shelf.peek, now_s, WINDOW_CHUNKS - len(self._under_way))
        for topic, payload in parcels:
            receipt = self._publish(topic, payload, False)
            if topic.endswith("/snap"):
                self._under_way.append(receipt)
