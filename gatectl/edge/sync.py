"""Keeps the replica at central's newest list (PROTOCOLS 8): verified, applied whole or not at all, then swapped."""

import queue
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from time import monotonic, monotonic_ns
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gatectl.core.model import ClockTrust, WhitelistView
from gatectl.core.reasons import Reason
from gatectl.edge.clock import SystemClock
from gatectl.edge.events import EventMaker
from gatectl.edge.keys import KeyRing
from gatectl.edge.list_trust import ListAge, ListTrust
from gatectl.edge.replica_store import ReplicaStand, ReplicaStore
from gatectl.edge.snapshot_intake import SnapshotIntake
from gatectl.edge.store import EventStore
from gatectl.errors import PayloadError, StoreError
from gatectl.logs import get_logger
from gatectl.wire.buckets import REPAIR_TAG, Repair, bucket_of, bucket_sums, decode_repair, sums_text
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
    decode_snapshot,
)
from gatectl.wire.rows import decode_row, row_key
from gatectl.wire.view import packed_view

Need = Literal["", "delta", "buckets", "snap"]

_ASK_AGAIN_S = 3.0
_MAX_ASK_AGAIN_S = 60.0
_TURN_S = 0.5
_INBOX = 200
_ALARM_EACH_S = 600.0
_NACK_EACH_S = 10.0
_REPAIRS_TRIED = 2
"""So many requests for the differing buckets without a repair: a snapshot then."""
_CHARTER, _FLOOR = "list_charter", "list_floor"
"""Kept in the journal's database too, so that a lost acl.db does not make an old list acceptable."""

_log = get_logger(__name__)


class Sync:
    """One thread; owns acl.db once it runs. `keys` is a ring where charters may replace the pinned site key."""

    def __init__(
        self,
        site: str,
        replica: ReplicaStore,
        keys: Iterable[Ed25519PublicKey],
        maker: EventMaker,
        store: EventStore,
        clock: SystemClock,
        roots: tuple[Ed25519PublicKey, ...] = (),
    ) -> None:
        self._site = site
        self._replica = replica
        self._ring = keys if isinstance(keys, KeyRing) else KeyRing(keys)
        self._maker = maker
        self._store = store
        self._clock = clock
        self._trust = ListTrust(site, self._ring, roots)
        self._age = ListAge()
        self._intake = SnapshotIntake(replica)
        self._inbox: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_INBOX)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._beat_ns = monotonic_ns()
        self._hash = SetHash()
        self._list = packed_list(table_of(()))
        self._head: Head | None = None
        self._floor: tuple[str, int] = ("", 0)
        self._has_drifted = self._needs_snapshot = self._is_following = False
        self._repairs_tried = 0
        self._held_until_s: float | None = None
        self._asked_s = 0.0
        self._ask_again_s = _ASK_AGAIN_S
        self._error = ""
        self._nacked_s = self._alarmed_s = -_ALARM_EACH_S
        self.stand = ReplicaStand()
        self.publish: Callable[[str, bytes, bool], None] = lambda _leaf, _payload, _is_retained: None
        self.follow: Callable[[bool], None] = lambda _is_wanted: None
        """Listen to the chunks that central sends to many gates at once."""
        self.swap: Callable[[WhitelistView], None] = lambda _view: None
        self.counters = {
            "list_applied": 0,
            "list_refused": 0,
            "list_asked": 0,
            "list_overflow": 0,
            "list_old": 0,
            "list_repaired": 0,
        }

    @property
    def alarm(self) -> str:
        """What is wrong with the list, in words for the heartbeat; "" for nothing. Any thread."""
        return "; ".join(words for words in (self._age.words(), self._error) if words)

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
            self._remember(self._replica.metas(), stand)
        except (StoreError, PayloadError) as error:
            self._complain(f"the list on the disk cannot be read: {error}")
            self._hash = SetHash()
            self._list = packed_list(table_of(()))
            self._remember({}, ReplicaStand())
            return self._view(ReplicaStand())
        if stand.epoch and self._hash.hex() != stand.set_hash:
            self._complain("the list on the disk does not match its hash: what differs is asked for")
            self._has_drifted = True
        self.stand = stand
        return view

    def _remember(self, metas: Mapping[str, str], stand: ReplicaStand) -> None:
        """The root's last word, the list's age, and the highest version that was ever applied here."""
        self._age.restore(metas)
        for text in (metas.get(_CHARTER, ""), self._store.meta(_CHARTER) or ""):
            try:
                self._trust.restore(text)
            except PayloadError as error:
                _log.error("charter.unreadable", words=str(error))
        epoch, _, ver = (self._store.meta(_FLOOR) or "").partition(" ")
        known = (epoch, int(ver)) if ver.isdigit() else ("", 0)
        self._floor = known if not stand.epoch else (stand.epoch, stand.ver)
        if known[0] == stand.epoch:
            self._floor = (stand.epoch, max(known[1], stand.ver))

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
            except PayloadError as error:
                self.counters["list_refused"] += 1
                self._nack(str(error).splitlines()[0])
            except StoreError as error:
                self._nack(str(error))
            self._look_at_age()
            self._ask_for_more()

    def _take(self, leaf: str, payload: bytes) -> None:
        if leaf == "connected":
            self._ask_again_s, self._asked_s, self._held_until_s = _ASK_AGAIN_S, 0.0, None
            self._is_following = False
            self._tell("nack" if self._error else "ok", self._error)
        elif leaf == "head":
            self._take_head(payload)
        elif leaf == "delta":
            self._take_delta(decode_delta(payload, self._ring))
        elif leaf == "snap":
            self._take_chunk(decode_chunk(payload), is_shared=True)
        elif leaf == "data" and payload.startswith(DELTA_TAG):
            self._take_delta(decode_delta(payload[len(DELTA_TAG) :], self._ring))
        elif leaf == "data" and payload.startswith(CHUNK_TAG):
            self._take_chunk(decode_chunk(payload), is_shared=False)
        elif leaf == "data" and payload.startswith(REPAIR_TAG):
            self._take_repair(decode_repair(payload, self._ring))
        elif leaf == "data":
            raise PayloadError("list data of an unknown kind", payload[:64])

    def _take_head(self, payload: bytes) -> None:
        opened = self._trust.open(payload, self.stand.epoch or self._trust.epoch or self._floor[0])
        head = opened.head
        if head.epoch == self._floor[0] and head.ver < self._floor[1]:
            raise PayloadError(f"a head that goes back: version {head.ver}, here is {self._floor[1]}")
        text = self._trust.accept(opened)
        kept = self._age.take(head) | ({_CHARTER: text} if text else {})
        self._head = head
        if text:
            self._store.set_meta(_CHARTER, text)
        if kept and not self._replica.is_read_only:
            self._replica.keep(kept)
        if (head.epoch, head.ver) != (self.stand.epoch, self.stand.ver):
            return
        if head.set_hash != self._hash.hex():
            self._drifted(f"version {head.ver} here has other rows than central's")
        elif not self._need():
            self._error = ""
            self._tell("ok")

    def _drifted(self, words: str) -> None:
        if not self._has_drifted:
            _log.warning("list.drifted", words=words)
        self._has_drifted = True

    def _take_delta(self, delta: Delta) -> None:
        if delta.site != self._site:
            raise PayloadError(f"a delta of site {delta.site}")
        if delta.epoch != self.stand.epoch:
            if self._head is not None and self._head.epoch == delta.epoch:
                return  # the new epoch's snapshot is not here yet
            raise PayloadError(f"a delta of the foreign epoch {delta.epoch[:8]}")
        if delta.to_ver <= delta.from_ver:
            raise PayloadError(f"a delta that leads from {delta.from_ver} to {delta.to_ver}")
        if delta.to_ver <= self.stand.ver:
            self.counters["list_old"] += 1
            words = f"delta {delta.from_ver}-{delta.to_ver} is a replay or an echo: not applied at {self.stand.ver}"
            _log.info("delta.old", words=words)
            return
        if delta.from_ver != self.stand.ver:
            return  # a gap: the head says what is missing
        put = {row_key(decode_row(data)): data for data in delta.put}
        gone = [key for key in delta.delete if key not in put]
        rows = self._list.changed(delta.put, [_kind_and_id(key) for key in gone])
        old = self._replica.some({*put, *delta.delete})
        after = _hash_after(self._hash, old.values(), put.values())
        if after.hex() != delta.set_hash_after:
            self._drifted(f"delta {delta.from_ver}-{delta.to_ver} does not lead to its hash")
            raise PayloadError(f"delta {delta.from_ver}-{delta.to_ver} does not lead to its hash")
        count = self.stand.n + len(put.keys() - old.keys()) - sum(1 for key in gone if key in old)
        stand = self._stand_of(delta.epoch, delta.to_ver, delta.set_hash_after, count, delta.issued.timestamp())
        view = packed_view(stand.epoch, stand.ver, stand.issued_s, self._site, rows)
        self._replica.apply(put, gone, stand)
        self._arrived(stand, after, rows, view)

    def _take_chunk(self, chunk: SnapChunk, *, is_shared: bool) -> None:
        head = self._head
        if head is None or self._need() != "snap":
            return  # not asked for, or no longer
        if head.epoch == self.stand.epoch and head.snap.ver < self.stand.ver:
            return  # it would bring back what was withdrawn since; central makes a newer one when asked
        self._intake.begin(head.snap)
        if not self._intake.take(chunk.ver, chunk.i, chunk.n, chunk.data):
            self.counters["list_old"] += 1  # the list moved on meanwhile; the request to come says from where
            return
        self._asked_s = monotonic()
        if self._intake.is_complete:
            self._take_snapshot(head, self._intake.whole())
        elif chunk.i == chunk.n - 1 if is_shared else self._intake.is_window_full():
            self._asked_s = 0.0

    def _take_snapshot(self, head: Head, data: bytes) -> None:
        """Chunks are not signed; the signed head vouches for the set they add up to."""
        ver = head.snap.ver
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
        self._arrived(stand, after, rows, view)

    def _take_repair(self, repair: Repair) -> None:
        """The rows of the buckets that differ, in place of what is here in those buckets."""
        if (repair.site, repair.epoch) != (self._site, self.stand.epoch):
            raise PayloadError(f"a repair of site {repair.site}, epoch {repair.epoch[:8]}")
        if not self._has_drifted:
            return  # not asked for, or no longer
        if repair.ver < self._floor[1]:
            raise PayloadError(f"a repair that goes back: version {repair.ver}, here is {self._floor[1]}")
        if repair.is_too_much:
            self._needs_snapshot, self._asked_s = True, 0.0
            return
        put = {row_key(decode_row(data)): data for data in repair.rows}
        buckets = set(repair.buckets)
        old = {row_key(decode_row(data)): data for data in self._list.rows() if bucket_of(data) in buckets}
        gone = [key for key in old if key not in put]
        after = _hash_after(self._hash, old.values(), put.values())
        if after.hex() != repair.set_hash:
            self._needs_snapshot, self._asked_s = True, 0.0
            raise PayloadError(f"the repair to version {repair.ver} does not lead to its hash")
        rows = self._list.changed(put.values(), [_kind_and_id(key) for key in gone])
        count = len(set(put)) + sum(1 for _ in self._list.rows()) - len(old)
        stand = self._stand_of(repair.epoch, repair.ver, repair.set_hash, count, repair.issued.timestamp())
        view = packed_view(stand.epoch, stand.ver, stand.issued_s, self._site, rows)
        self._replica.apply(put, gone, stand)
        self.counters["list_repaired"] += 1
        _log.info("list.repaired", buckets=len(buckets), rows=len(put))
        self._arrived(stand, after, rows, view)

    def _stand_of(self, epoch: str, ver: int, set_hash: str, n: int, issued_s: float) -> ReplicaStand:
        return ReplicaStand(epoch, ver, set_hash, n, int(issued_s), int(self._clock.now().timestamp()))

    def _arrived(self, stand: ReplicaStand, after: SetHash, rows: PackedList, view: WhitelistView) -> None:
        """The file holds a new list: decide on it from the next attempt on."""
        self._hash, self._list, self._error = after, rows, ""
        self.swap(view)
        self.stand = stand  # only now: what is reported is what is decided on
        highest = self._floor[1] if self._floor[0] == stand.epoch else 0
        self._floor = (stand.epoch, max(highest, stand.ver))
        self._store.set_meta(_FLOOR, f"{self._floor[0]} {self._floor[1]}")
        self._has_drifted = self._needs_snapshot = False
        self._repairs_tried, self._held_until_s = 0, None
        self._intake.forget()
        self.counters["list_applied"] += 1
        self._ask_again_s = _ASK_AGAIN_S
        self._asked_s = monotonic() if self._need() == "delta" else 0.0  # the rest of them may be under way
        _log.info("list.applied", epoch=stand.epoch, ver=stand.ver, rows=stand.n)
        self._tell("ok")

    def _view(self, stand: ReplicaStand) -> WhitelistView:
        return packed_view(stand.epoch, stand.ver, stand.issued_s, self._site, self._list)

    def _look_at_age(self) -> None:
        """Past the head's end the gate keeps deciding, and says so; a fresh head ends it."""
        if self._clock.trust() is ClockTrust.UNTRUSTED:
            return
        turned = self._age.look(self._clock.now().timestamp())
        if turned:
            _log.error("list.stale", words=self._age.words())
            self._store.submit(self._maker.alarm(Reason.LIST_STALE, self._age.words()))
        elif turned is False:
            _log.info("list.fresh")
            self._store.submit(self._maker.system(Reason.RECOVERED, "central vouches for the list again"))

    # --- what is missing ---

    def _need(self) -> Need:
        """Behind the head, or not what it says: what leads there."""
        head = self._head
        if head is None:
            return ""
        if head.epoch != self.stand.epoch or self._needs_snapshot:
            return "snap"
        if self._has_drifted:
            return "buckets"
        if head.ver <= self.stand.ver:
            return ""
        return "snap" if self.stand.ver < head.min_delta else "delta"

    def _ask_for_more(self) -> None:
        head, need, now_s = self._head, self._need(), monotonic()
        self._follow(need == "snap")
        if head is None or not need:
            return
        if need == "snap":
            self._intake.begin(head.snap)
            if self._held_until_s is None:
                self._held_until_s = now_s + random.uniform(0, head.jitter_s)  # noqa: S311 - jitter, not a secret
            if now_s < self._held_until_s:
                return
        if self._asked_s and now_s - self._asked_s < self._wait_s():
            return
        if self._asked_s:
            self._ask_again_s = min(_MAX_ASK_AGAIN_S, self._ask_again_s * 2)
        self._asked_s = now_s
        if need == "buckets":
            self._repairs_tried += 1
            self._needs_snapshot = self._repairs_tried > _REPAIRS_TRIED
        self.counters["list_asked"] += 1
        self.publish("wl/req", self._request(need).model_dump_json().encode(), False)

    def _request(self, need: Need) -> ListRequest:
        is_snapshot = need == "snap"
        return ListRequest(
            site=self._site,
            epoch=self.stand.epoch,
            have=self.stand.ver,
            want=need or "delta",
            chunk_from=self._intake.first_missing() if is_snapshot else 0,
            sha256=self._intake.sha256 if is_snapshot else "",
            sums=sums_text(bucket_sums(self._list.rows())) if need == "buckets" else "",
        )

    def _follow(self, is_wanted: bool) -> None:
        if is_wanted is not self._is_following:
            self._is_following = is_wanted
            self.follow(is_wanted)

    def _wait_s(self) -> float:
        return self._ask_again_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret

    def _nack(self, words: str) -> None:
        """The old list stays. Central hears of it, but a flood of forgeries is not passed on to it."""
        now_s = monotonic()
        is_new = words != self._error
        self._complain(words)
        self._error = words
        if is_new or now_s - self._nacked_s >= _NACK_EACH_S:
            self._nacked_s = now_s
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


def _hash_after(before: SetHash, gone: Iterable[bytes], put: Iterable[bytes]) -> SetHash:
    after = SetHash(before.hex())
    for data in gone:
        after.remove(data)
    for data in put:
        after.add(data)
    return after
