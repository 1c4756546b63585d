"""Keeps the replica at central's newest list (PROTOCOLS 8): verified, applied whole or not at all, then swapped."""

import hashlib
import queue
import random
import threading
from collections.abc import Callable, Mapping
from time import monotonic, monotonic_ns

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gatectl.core.model import WhitelistView
from gatectl.core.reasons import Reason
from gatectl.edge.clock import SystemClock
from gatectl.edge.events import EventMaker
from gatectl.edge.replica_store import ReplicaStand, ReplicaStore
from gatectl.edge.store import EventStore
from gatectl.errors import PayloadError, StoreError
from gatectl.logs import get_logger
from gatectl.wire.packed import PackedList, packed_list, table_of
from gatectl.wire.replica import (
    CHUNK_TAG,
    DELTA_TAG,
    Delta,
    Head,
    ListRequest,
    ListState,
    SetHash,
    SnapChunk,
    decode_chunk,
    decode_delta,
    decode_head,
    decode_snapshot,
)
from gatectl.wire.rows import decode_row, row_key
from gatectl.wire.view import packed_view

_ASK_AGAIN_S = 3.0
_MAX_ASK_AGAIN_S = 60.0
_TURN_S = 0.5
_INBOX = 200
_MAX_CHUNKS = 4096
_ALARM_EACH_S = 600.0

_log = get_logger(__name__)


class Sync:
    """One thread; owns acl.db once it runs."""

    def __init__(
        self,
        site: str,
        replica: ReplicaStore,
        keys: tuple[Ed25519PublicKey, ...],
        maker: EventMaker,
        store: EventStore,
        clock: SystemClock,
    ) -> None:
        self._site = site
        self._replica = replica
        self._keys = keys
        self._maker = maker
        self._store = store
        self._clock = clock
        self._inbox: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_INBOX)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._beat_ns = monotonic_ns()
        self._hash = SetHash()
        self._list = packed_list(table_of(()))
        self._head: Head | None = None
        self._chunks: dict[int, SnapChunk] = {}
        self._chunks_ver = 0
        self._wants_snapshot = False
        self._asked_s = 0.0
        self._ask_again_s = _ASK_AGAIN_S
        self._error = ""
        self._alarmed_s = -_ALARM_EACH_S
        self.stand = ReplicaStand()
        self.publish: Callable[[str, bytes, bool], None] = lambda _leaf, _payload, _is_retained: None
        self.swap: Callable[[WhitelistView], None] = lambda _view: None
        self.counters = {"list_applied": 0, "list_refused": 0, "list_asked": 0, "list_overflow": 0}

    def load(self) -> WhitelistView:
        """The view in acl.db, for serving at once; an unreadable file gives an empty one and a snapshot later."""
        try:
            self._replica.open()
            stand = self._replica.stand()
            table = table_of(self._replica.rows())
            for data in table:
                self._hash.add(data)
            self._list = packed_list(table)
            view = self._view(stand)
        except (StoreError, PayloadError) as error:
            self._complain(f"the list on the disk cannot be read: {error}")
            self._hash = SetHash()
            self._list = packed_list(table_of(()))
            return self._view(ReplicaStand())
        if stand.epoch and self._hash.hex() != stand.set_hash:
            self._complain("the list on the disk does not match its hash: a snapshot is asked for")
            self._wants_snapshot = True
        self.stand = stand
        return view

    def start(self) -> None:
        """Start the thread; `load` comes first."""
        self._thread.start()

    def stop(self) -> None:
        """Stop within a second and close acl.db. Safe to call twice."""
        self._stopping.set()
        self._offer(None)
        if self._thread.is_alive():
            self._thread.join(1.0)
        self._replica.close()

    def beat_ns(self) -> int:
        """Monotonic ns of the last turn."""
        return self._beat_ns

    def on_message(self, leaf: str, payload: bytes) -> None:
        """Take `head`, `delta` or `data`; never blocks."""
        self._offer((leaf, payload))

    def on_connected(self) -> None:
        """Say what we have; a gap is asked for again as soon as the head comes."""
        self._offer(("connected", b""))

    def _offer(self, item: tuple[str, bytes] | None) -> None:
        try:
            self._inbox.put_nowait(item)
        except queue.Full:
            self.counters["list_overflow"] += 1  # a lost delta is a gap, and a gap is asked for

    # --- the sync thread ---

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._beat_ns = monotonic_ns()
            try:
                item = self._inbox.get(timeout=_TURN_S)
            except queue.Empty:
                item = ("", b"")
            if item is None:
                return
            leaf, payload = item
            try:
                self._take(leaf, payload)
                self._ask_for_gap()
            except PayloadError as error:
                self.counters["list_refused"] += 1
                self._nack(str(error).splitlines()[0])
            except StoreError as error:
                self._nack(str(error))

    def _take(self, leaf: str, payload: bytes) -> None:
        if leaf == "connected":
            self._ask_again_s, self._asked_s = _ASK_AGAIN_S, 0.0
            self._tell("ok")
        elif leaf == "head":
            self._take_head(decode_head(payload, self._keys))
        elif leaf == "delta":
            self._take_delta(decode_delta(payload, self._keys))
        elif leaf == "data" and payload.startswith(DELTA_TAG):
            self._take_delta(decode_delta(payload[len(DELTA_TAG) :], self._keys))
        elif leaf == "data" and payload.startswith(CHUNK_TAG):
            self._take_chunk(decode_chunk(payload))
        elif leaf == "data":
            raise PayloadError("list data of an unknown kind", payload[:64])

    def _take_head(self, head: Head) -> None:
        if head.site != self._site:
            raise PayloadError(f"a head of site {head.site}")
        if self._is_rollback(head.epoch, head.ver, int(head.issued.timestamp())):
            raise PayloadError(f"a head that goes back: version {head.ver}, here is {self.stand.ver}")
        self._head = head
        if head.epoch == self.stand.epoch and head.ver == self.stand.ver:
            if head.set_hash != self._hash.hex():
                self._wants_snapshot = True
            elif not self._wants_snapshot:
                self._tell("ok")

    def _is_rollback(self, epoch: str, ver: int, issued_s: int) -> bool:
        if not self.stand.epoch:
            return False
        if epoch == self.stand.epoch:
            return ver < self.stand.ver
        return issued_s < self.stand.issued_s

    def _take_delta(self, delta: Delta) -> None:
        if delta.site != self._site:
            raise PayloadError(f"a delta of site {delta.site}")
        if delta.epoch != self.stand.epoch or delta.from_ver != self.stand.ver or delta.to_ver <= delta.from_ver:
            return  # a gap or an echo; the head says whether something is missing
        put = {row_key(decode_row(data)): data for data in delta.put}
        gone = [key for key in delta.delete if key not in put]
        rows = self._list.changed(delta.put, [_kind_and_id(key) for key in gone])
        old = self._replica.some({*put, *delta.delete})
        after = SetHash(self._hash.hex())
        for data in old.values():
            after.remove(data)
        for data in put.values():
            after.add(data)
        if after.hex() != delta.set_hash_after:
            self._wants_snapshot = True
            raise PayloadError(f"delta {delta.from_ver}-{delta.to_ver} does not lead to its hash")
        count = self.stand.n + len(put.keys() - old.keys()) - sum(1 for key in gone if key in old)
        stand = self._stand_of(delta.epoch, delta.to_ver, delta.set_hash_after, count, delta.issued.timestamp())
        view = packed_view(stand.epoch, stand.ver, stand.issued_s, self._site, rows)
        self._replica.apply(put, gone, stand)
        self._arrived(stand, after, rows, view)

    def _take_chunk(self, chunk: SnapChunk) -> None:
        head = self._head
        if head is None or chunk.n > _MAX_CHUNKS or not 0 <= chunk.i < chunk.n:
            return
        if chunk.ver != self._chunks_ver:
            self._chunks, self._chunks_ver = {}, chunk.ver
        self._chunks[chunk.i] = chunk
        self._asked_s = monotonic()
        if len(self._chunks) < chunk.n:
            return
        data = b"".join(self._chunks[i].data for i in range(chunk.n))
        self._chunks = {}
        self._take_snapshot(head, chunk.ver, data)

    def _take_snapshot(self, head: Head, ver: int, data: bytes) -> None:
        """Chunks are not signed; the signed head vouches for the set they add up to."""
        if ver != head.snap.ver:
            self._asked_s = 0.0  # the list moved on meanwhile
            return
        if hashlib.sha256(data).hexdigest() != head.snap.sha256:
            raise PayloadError(f"snapshot {ver} is not the one that the head names")
        table = decode_snapshot(data)
        after = SetHash()
        for row in table:
            after.add(row)
        if ver == head.ver and after.hex() != head.set_hash:
            raise PayloadError(f"snapshot {ver} does not match the head's hash")
        stand = self._stand_of(head.epoch, ver, after.hex(), len(table), head.issued.timestamp())
        rows = packed_list(table)
        view = packed_view(stand.epoch, stand.ver, stand.issued_s, self._site, rows)
        self._replica.replace({row_key(decode_row(row)): row for row in table}, stand)
        self._wants_snapshot = False
        self._arrived(stand, after, rows, view)

    def _stand_of(self, epoch: str, ver: int, set_hash: str, n: int, issued_s: float) -> ReplicaStand:
        return ReplicaStand(epoch, ver, set_hash, n, int(issued_s), int(self._clock.now().timestamp()))

    def _arrived(self, stand: ReplicaStand, after: SetHash, rows: PackedList, view: WhitelistView) -> None:
        """The file holds a new list: decide on it from the next attempt on."""
        self._hash, self._list, self._error = after, rows, ""
        self.swap(view)
        self.stand = stand  # only now: what is reported is what is decided on
        self.counters["list_applied"] += 1
        self._ask_again_s, self._asked_s = _ASK_AGAIN_S, 0.0
        _log.info("list.applied", epoch=stand.epoch, ver=stand.ver, rows=stand.n)
        self._tell("ok")

    def _view(self, stand: ReplicaStand) -> WhitelistView:
        return packed_view(stand.epoch, stand.ver, stand.issued_s, self._site, self._list)

    def _ask_for_gap(self) -> None:
        """Behind the head: ask for the delta, or for a snapshot where no delta leads there."""
        head, now_s = self._head, monotonic()
        if head is None:
            return
        is_behind = head.epoch != self.stand.epoch or head.ver > self.stand.ver
        if not (is_behind or self._wants_snapshot) or now_s - self._asked_s < self._wait_s():
            return
        is_snapshot = self._wants_snapshot or head.epoch != self.stand.epoch or self.stand.ver < head.min_delta
        if self._asked_s:
            self._ask_again_s = min(_MAX_ASK_AGAIN_S, self._ask_again_s * 2)
        self._asked_s = now_s
        self.counters["list_asked"] += 1
        missing = next((i for i in range(len(self._chunks) + 1) if i not in self._chunks), 0)
        request = ListRequest(
            site=self._site,
            epoch=self.stand.epoch,
            have=self.stand.ver,
            want="snap" if is_snapshot else "delta",
            chunk_from=missing if is_snapshot and self._chunks_ver == head.ver else 0,
        )
        self.publish("wl/req", request.model_dump_json().encode(), False)

    def _wait_s(self) -> float:
        if not self._asked_s:
            return 0.0
        return self._ask_again_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret

    def _nack(self, words: str) -> None:
        if words != self._error:
            self._complain(words)
        self._error = words
        self._tell("nack", words)

    def _complain(self, words: str) -> None:
        _log.error("list.refused", words=words)
        now_s = monotonic()
        if now_s - self._alarmed_s >= _ALARM_EACH_S:
            self._alarmed_s = now_s
            self._store.submit(self._maker.alarm(Reason.LIST_STALE, words))

    def _tell(self, status: str, words: str = "") -> None:
        fields: Mapping[str, object] = {
            "site": self._site,
            "epoch": self.stand.epoch,
            "ver": self.stand.ver,
            "n": self.stand.n,
            "set_hash": self._hash.hex(),
            "status": status,
            "err": words[:300],
            "applied_at": self._clock.now(),
        }
        self.publish("wl/state", ListState.model_validate(fields).model_dump_json().encode(), True)


def _kind_and_id(key: str) -> tuple[str, str]:
    kind, _, row_id = key.partition("/")
    return kind, row_id
