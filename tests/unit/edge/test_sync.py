"""The whitelist's way to the gate: verified, applied whole or not at all (PROTOCOLS 8)."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gatectl.core.model import AccessLevel, CredentialKey, GateId, Grant, Grants, GrantState, LaneId, WhitelistView
from gatectl.edge.clock import SystemClock
from gatectl.edge.events import EventMaker
from gatectl.edge.ids import new_id
from gatectl.edge.keys import KeyRing
from gatectl.edge.replica_store import ReplicaStore
from gatectl.edge.store import EventStore
from gatectl.edge.sync import Sync
from gatectl.wire.buckets import Repair, bucket_of, bucket_sums, differing, encode_repair, read_sums
from gatectl.wire.replica import (
    DELTA_TAG,
    Delta,
    Head,
    SetHash,
    SnapChunk,
    Snapshot,
    encode_chunk,
    encode_delta,
    encode_head,
    encode_snapshot,
)
from gatectl.wire.rows import encode_row, grant_row, ruling_row

KEY = Ed25519PrivateKey.generate()
T0 = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
LEVEL = encode_row(ruling_row("level", AccessLevel("residents", frozenset({LaneId("car-in")}))))


def a_card(number: int, state: GrantState = GrantState.ACTIVE) -> bytes:
    return encode_row(grant_row(Grant(CredentialKey(f"em:{number:010X}"), state, ("residents",))))


def set_hash(rows: list[bytes]) -> str:
    total = SetHash()
    for row in rows:
        total.add(row)
    return total.hex()


class Central:
    """What central would send: a list of rows, its head, its snapshot."""

    def __init__(self, rows: list[bytes], ver: int, epoch: str = "e1", issued: datetime = T0) -> None:
        self.rows, self.ver, self.epoch, self.issued = rows, ver, epoch, issued
        self.snapshot = encode_snapshot(rows)

    def head(self, key: Ed25519PrivateKey = KEY, **changes: Any) -> bytes:
        fields = {
            "site": "danzao",
            "epoch": self.epoch,
            "ver": self.ver,
            "n": len(self.rows),
            "set_hash": set_hash(self.rows),
            "snap": Snapshot(
                ver=self.ver,
                bytes=len(self.snapshot),
                sha256=hashlib.sha256(self.snapshot).hexdigest(),
                chunks=2,
            ),
            "min_delta": 1,
            "issued": self.issued,
            "expires": self.issued + timedelta(days=7),
        }
        return encode_head(Head.model_validate({**fields, **changes}), key)

    def chunks(self) -> list[bytes]:
        half = len(self.snapshot) // 2
        parts = (self.snapshot[:half], self.snapshot[half:])
        return [encode_chunk(SnapChunk(self.ver, i, 2, part)) for i, part in enumerate(parts)]

    def delta(self, put: list[bytes], delete: list[str], after: list[bytes], **changes: Any) -> bytes:
        fields = {
            "site": "danzao",
            "epoch": self.epoch,
            "from_ver": self.ver,
            "to_ver": self.ver + 1,
            "put": tuple(put),
            "delete": tuple(delete),
            "set_hash_after": set_hash(after),
            "issued": self.issued,
        }
        return encode_delta(Delta.model_validate({**fields, **changes}), KEY)

    def repair(self, sums: bytes, **changes: Any) -> bytes:
        """All rows of the buckets that differ from a gate's."""
        buckets = differing(bucket_sums(self.rows), sums)
        fields = {
            "site": "danzao",
            "epoch": self.epoch,
            "ver": self.ver,
            "set_hash": set_hash(self.rows),
            "buckets": buckets,
            "rows": tuple(row for row in self.rows if bucket_of(row) in buckets),
            "issued": self.issued,
        }
        return encode_repair(Repair.model_validate({**fields, **changes}), KEY)


class Gate:
    """A Sync with its surroundings, and what it said."""

    def __init__(
        self, folder: Path, roots: tuple[Ed25519PublicKey, ...] = (), clock: SystemClock | None = None
    ) -> None:
        self.clock = clock or SystemClock()
        self.store = EventStore(folder / "edge.db")
        self.store.start()
        assert self.store.wait_ready(5)
        maker = EventMaker(GateId("north"), "boot", self.clock, new_id)
        self.ring = KeyRing((KEY.public_key(),))
        replica = ReplicaStore(folder / "acl.db")
        self.sync = Sync("danzao", replica, self.ring, maker, self.store, self.clock, roots)
        self.followed: list[bool] = []
        self.sync.follow = self.followed.append
        self.views: list[WhitelistView] = []
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.sync.publish = lambda leaf, payload, _: self.said.append((leaf, json.loads(payload)))
        self.sync.swap = self.views.append
        self.view = self.sync.load()
        self.sync.start()

    def hear(self, *messages: tuple[str, bytes]) -> None:
        for leaf, payload in messages:
            self.sync.on_message(leaf, payload)

    def sums(self) -> bytes:
        """The bucket sums of the last request."""
        return read_sums(next(said["sums"] for leaf, said in reversed(self.said) if leaf == "wl/req"))

    def requests(self) -> list[dict[str, Any]]:
        return [said for leaf, said in self.said if leaf == "wl/req"]

    def asked(self) -> list[str]:
        return [said["want"] for leaf, said in self.said if leaf == "wl/req"]

    def nacks(self) -> list[str]:
        return [said["err"] for leaf, said in self.said if leaf == "wl/state" and said["status"] == "nack"]

    def stop(self) -> None:
        self.sync.stop()
        self.store.stop()


def until(is_true: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.stop()


def brought_up(gate: Gate, central: Central) -> None:
    gate.hear(("head", central.head()))
    until(lambda: gate.asked() == ["snap"])
    gate.hear(*(("data", chunk) for chunk in reversed(central.chunks())))
    until(lambda: gate.sync.stand.ver == central.ver)


def held(grants: Grants) -> set[str]:
    """Which of the cards 1 to 9 have a grant."""
    keys = {f"em:{number:010X}" for number in range(1, 10)}
    found = {key for key in keys if grants.get(CredentialKey(key)) is not None}
    assert len(found) == len(grants)
    return found


def test_a_new_gate_asks_for_a_snapshot_and_decides_on_it(gate: Gate) -> None:
    assert len(gate.view.grants) == 0
    brought_up(gate, Central([LEVEL, a_card(1), a_card(2)], ver=5))
    assert held(gate.views[-1].grants) == {"em:0000000001", "em:0000000002"}
    assert gate.views[-1].revision == ("e1", 5)


def test_a_delta_is_applied_and_the_list_survives_a_restart(gate: Gate, tmp_path: Path) -> None:
    central = Central([LEVEL, a_card(1), a_card(2)], ver=5)
    brought_up(gate, central)
    lost = a_card(1, GrantState.LOST)
    gate.hear(("delta", central.delta([lost], ["grant/em:0000000002"], [LEVEL, lost])))
    until(lambda: gate.sync.stand.ver == 6)
    card = gate.views[-1].grants.get(CredentialKey("em:0000000001"))
    assert card is not None
    assert card.state is GrantState.LOST
    assert gate.views[-1].grants.get(CredentialKey("em:0000000002")) is None
    assert gate.sync.stand.n == 2
    gate.stop()
    again = Gate(tmp_path)
    assert again.view.revision == ("e1", 6)
    assert held(again.view.grants) == {"em:0000000001"}
    again.stop()


def test_a_delta_that_does_not_lead_to_its_hash_changes_nothing(gate: Gate) -> None:
    central = Central([LEVEL, a_card(1)], ver=5)
    brought_up(gate, central)
    gate.hear(("delta", central.delta([a_card(9)], [], [LEVEL, a_card(1)])))
    until(lambda: bool(gate.nacks()))
    assert gate.sync.stand.ver == 5
    assert gate.views[-1].grants.get(CredentialKey("em:0000000009")) is None
    until(lambda: gate.asked() == ["snap", "buckets"])


def test_a_delta_signed_by_another_key_is_refused(gate: Gate) -> None:
    central = Central([LEVEL, a_card(1)], ver=5)
    brought_up(gate, central)
    good = central.delta([a_card(9)], [], [LEVEL, a_card(1), a_card(9)])
    gate.hear(("delta", good[:80] + bytes([good[80] ^ 1]) + good[81:]))
    until(lambda: bool(gate.nacks()))
    assert gate.sync.stand.ver == 5


def test_a_head_that_goes_back_is_refused(gate: Gate) -> None:
    brought_up(gate, Central([LEVEL, a_card(1)], ver=5))
    gate.hear(("head", Central([LEVEL], ver=4).head()))
    until(lambda: any("goes back" in words for words in gate.nacks()))
    gate.hear(("head", Central([LEVEL], ver=9, epoch="e0", issued=T0 - timedelta(days=1)).head()))
    until(lambda: gate.sync.counters["list_refused"] == 2)
    assert gate.sync.stand.ver == 5


def test_a_head_of_another_site_or_key_is_refused(gate: Gate) -> None:
    central = Central([LEVEL, a_card(1)], ver=5)
    gate.hear(("head", central.head(site="elsewhere")), ("head", central.head(Ed25519PrivateKey.generate())))
    until(lambda: gate.sync.counters["list_refused"] == 2)
    assert gate.asked() == []


def test_a_gap_is_asked_for_as_a_delta(gate: Gate) -> None:
    brought_up(gate, Central([LEVEL, a_card(1)], ver=5))
    gate.hear(("head", Central([LEVEL, a_card(1), a_card(2)], ver=7).head()))
    until(lambda: gate.asked()[-1] == "delta")


def test_a_gap_older_than_the_deltas_that_central_keeps_is_asked_for_as_a_snapshot(gate: Gate) -> None:
    brought_up(gate, Central([LEVEL, a_card(1)], ver=5))
    gate.hear(("head", Central([LEVEL, a_card(1), a_card(2)], ver=90).head(min_delta=80)))
    until(lambda: gate.asked() == ["snap", "snap"])


def test_a_snapshot_that_is_not_the_heads_is_refused(gate: Gate) -> None:
    central, forger = Central([LEVEL, a_card(1)], ver=5), Central([LEVEL, a_card(6)], ver=5)
    gate.hear(("head", central.head()))
    until(lambda: gate.asked() == ["snap"])
    gate.hear(*(("data", chunk) for chunk in forger.chunks()))
    until(lambda: bool(gate.nacks()))
    assert gate.views == []


def test_requested_deltas_come_by_wl_data(gate: Gate) -> None:
    central = Central([LEVEL, a_card(1)], ver=5)
    brought_up(gate, central)
    after = [LEVEL, a_card(1), a_card(2)]
    gate.hear(("data", DELTA_TAG + central.delta([a_card(2)], [], after)))
    until(lambda: gate.sync.stand.ver == 6)


@pytest.mark.parametrize("payload", [b"", b"X123", b"C", b"Dgs1", b"C\xff\xff"])
def test_noise_in_place_of_list_data_is_refused_and_the_list_stays(gate: Gate, payload: bytes) -> None:
    brought_up(gate, Central([LEVEL, a_card(1)], ver=5))
    gate.hear(("data", payload))
    until(lambda: gate.sync.counters["list_refused"] == 1)
    assert gate.sync.stand.ver == 5


def test_a_list_on_the_disk_that_lost_a_row_is_repaired(gate: Gate, tmp_path: Path) -> None:
    central = Central([LEVEL, a_card(1), a_card(2)], ver=5)
    brought_up(gate, central)
    gate.stop()
    store = ReplicaStore(tmp_path / "acl.db")
    store.open()
    store.apply({}, ["grant/em:0000000002"], store.stand())
    store.close()
    again = Gate(tmp_path)
    assert held(again.view.grants) == {"em:0000000001"}, "better a part of the list than a shut gate"
    again.hear(("head", central.head()))
    until(lambda: again.asked() == ["buckets"])
    again.hear(("data", central.repair(again.sums())))
    until(lambda: bool(again.views) and len(again.views[-1].grants) == 2)
    again.stop()
