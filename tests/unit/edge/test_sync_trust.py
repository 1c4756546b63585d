"""Which lists a gate believes, and for how long: the root's word, rollback, replay, freeze (PROTOCOLS 8)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from test_sync import KEY, LEVEL, T0, Central, Gate, a_card, brought_up, until

from gatectl.core.model import ClockTrust
from gatectl.edge.clock import SystemClock
from gatectl.edge.replica_store import ReplicaStore
from gatectl.wire.charter import Charter, encode_charter, public_text
from gatectl.wire.replica import DELTA_TAG, SnapChunk, Snapshot, encode_chunk

ROOT, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
NEXT = Ed25519PrivateKey.generate()
PINNED = (ROOT.public_key(),)
ROWS = [LEVEL, a_card(1), a_card(2)]


def a_charter(
    serial: int = 10,
    epoch: str = "e1",
    keys: tuple[Ed25519PrivateKey, ...] = (KEY,),
    root: Ed25519PrivateKey = ROOT,
    site: str = "danzao",
) -> str:
    texts = tuple(public_text(key.public_key()) for key in keys)
    return encode_charter(Charter(site=site, epoch=epoch, serial=serial, site_keys=texts, issued=T0), root)


class SetClock(SystemClock):
    """A clock that stands where a test puts it."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at

    def now(self) -> datetime:
        return self.at

    def trust(self) -> ClockTrust:
        return ClockTrust.SYNCED


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path, PINNED, SetClock(T0 + timedelta(hours=1)))
    yield made
    made.stop()


def chartered(gate: Gate, central: Central, **changes: Any) -> None:
    gate.hear(("head", central.head(charter=a_charter(epoch=central.epoch), **changes)))
    until(lambda: gate.asked() == ["snap"])
    gate.hear(*(("data", chunk) for chunk in central.chunks()))
    until(lambda: gate.sync.stand.ver == central.ver)


def refused(gate: Gate, leaf: str, payload: bytes, words: str) -> None:
    """It is refused with these words, and the gate decides on what it decided on."""
    before, stand, views = gate.sync.counters["list_refused"], gate.sync.stand, len(gate.views)
    gate.hear((leaf, payload))
    until(lambda: gate.sync.counters["list_refused"] == before + 1)
    assert words in gate.sync.alarm
    assert (gate.sync.stand, len(gate.views)) == (stand, views)


def test_a_gate_that_pins_the_root_takes_its_first_list_only_with_the_roots_word(gate: Gate) -> None:
    central = Central(ROWS, ver=5)
    refused(gate, "head", central.head(), "without the root's word")
    chartered(gate, central)
    assert gate.sync.alarm == ""


@pytest.mark.parametrize(
    ("charter", "words"),
    [
        (a_charter(root=OTHER), "not pinned"),
        (a_charter(site="elsewhere"), "a charter of site elsewhere"),
        (a_charter(serial=11, epoch="e7"), "its charter is for e7"),
        (a_charter(serial=11, keys=(OTHER,)), "not pinned"),
        (a_charter(serial=9), "a charter that goes back"),
        (a_charter(keys=(KEY, OTHER)), "two charters with the serial 10"),
        ("AAAA", "gs1"),
        ("%", "not base64"),
    ],
    ids=["another-root", "site", "epoch", "key", "serial", "twice", "noise", "no-base64"],
)
def test_a_head_whose_charter_is_not_right_is_refused(gate: Gate, charter: str, words: str) -> None:
    chartered(gate, Central(ROWS, ver=5))
    refused(gate, "head", Central(ROWS, ver=6).head(charter=charter), words)


def test_the_epoch_rises_only_with_the_roots_word(gate: Gate) -> None:
    chartered(gate, Central(ROWS, ver=5))
    fresh = Central([LEVEL, a_card(3)], ver=1, epoch="e2", issued=T0 + timedelta(days=1))
    refused(gate, "head", fresh.head(), "new epoch e2")
    refused(gate, "delta", fresh.delta([a_card(3)], [], []), "foreign epoch e2")
    gate.said.clear()
    gate.hear(("head", fresh.head(charter=a_charter(serial=11, epoch="e2"))))
    until(lambda: gate.asked() == ["snap"])
    gate.hear(*(("data", chunk) for chunk in fresh.chunks()))
    until(lambda: gate.sync.stand.epoch == "e2")
    refused(gate, "head", Central(ROWS, ver=9).head(charter=a_charter()), "a charter that goes back")


def test_without_a_pinned_root_the_epoch_stays_what_it_is(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    brought_up(gate, Central(ROWS, ver=5))
    fresh = Central(ROWS, ver=9, epoch="e2", issued=T0 + timedelta(days=1))
    refused(gate, "head", fresh.head(charter=a_charter(epoch="e2")), "no root_key is pinned")
    gate.stop()


def test_a_rotated_key_is_believed_at_once_after_a_restart_and_the_old_one_no_more(gate: Gate, tmp_path: Path) -> None:
    chartered(gate, Central(ROWS, ver=5))
    rotated = a_charter(serial=11, keys=(NEXT,))
    central = Central([*ROWS, a_card(3)], ver=6)
    gate.hear(("head", central.head(NEXT, charter=rotated)))
    until(lambda: gate.asked()[-1] == "delta")
    assert [public_text(key) for key in gate.ring] == [public_text(NEXT.public_key())]
    refused(gate, "delta", Central(ROWS, ver=5).delta([a_card(3)], [], central.rows), "not pinned")
    refused(gate, "head", central.head(KEY), "not pinned")
    gate.stop()
    again = Gate(tmp_path, PINNED, SetClock(T0))
    assert [public_text(key) for key in again.ring] == [public_text(NEXT.public_key())]
    refused(again, "head", central.head(KEY, charter=a_charter()), "a charter that goes back")
    again.stop()


def test_a_lost_replica_does_not_make_an_old_list_acceptable(gate: Gate, tmp_path: Path) -> None:
    chartered(gate, Central(ROWS, ver=5))
    gate.stop()
    for path in tmp_path.glob("acl.db*"):
        path.unlink()
    again = Gate(tmp_path, PINNED, SetClock(T0))
    assert len(again.view.grants) == 0
    refused(again, "head", Central(ROWS, ver=4).head(charter=a_charter()), "goes back: version 4, here is 5")
    refused(again, "head", Central(ROWS, ver=4).head(charter=a_charter(serial=9)), "a charter that goes back")
    again.hear(("head", Central(ROWS, ver=6).head(charter=a_charter())))
    until(lambda: again.asked() == ["snap"])
    again.stop()


def test_a_replayed_head_that_is_older_than_one_heard_is_refused(gate: Gate) -> None:
    central = Central(ROWS, ver=5)
    chartered(gate, central)
    later = Central(ROWS, ver=5, issued=T0 + timedelta(days=1))
    gate.hear(("head", later.head(charter=a_charter())))
    refused(gate, "head", central.head(charter=a_charter()), "a replay")


def test_a_replayed_delta_changes_nothing(gate: Gate) -> None:
    central = Central(ROWS, ver=5)
    chartered(gate, central)
    first = central.delta([a_card(3)], [], [*ROWS, a_card(3)])
    gate.hear(("delta", first), ("delta", first), ("data", DELTA_TAG + first))
    until(lambda: gate.sync.counters["list_old"] == 2)
    assert (gate.sync.stand.ver, gate.sync.counters["list_applied"]) == (6, 2)


@pytest.mark.parametrize("leaf", ["data", "snap"])
def test_chunks_that_nobody_asked_for_or_that_are_forged_are_not_a_list(gate: Gate, leaf: str) -> None:
    central = Central(ROWS, ver=5)
    forger = Central([LEVEL, a_card(9)], ver=5)
    gate.hear(*((leaf, chunk) for chunk in forger.chunks()))
    gate.hear(("head", central.head(charter=a_charter())))
    until(lambda: gate.asked() == ["snap"])
    assert gate.views == []
    gate.hear((leaf, central.chunks()[0]), (leaf, encode_chunk(SnapChunk(9, 1, 2, b"x"))))
    gate.hear((leaf, forger.chunks()[1]))
    until(lambda: gate.sync.counters["list_refused"] == 1)
    assert (gate.views, gate.sync.stand.ver) == ([], 0)
    assert "not the one that the head names" in gate.sync.alarm


def test_a_chunk_larger_than_any_is_refused(gate: Gate) -> None:
    snap = Snapshot(ver=5, bytes=200_000, sha256="0" * 64, chunks=4)
    gate.hear(("head", Central(ROWS, ver=5).head(charter=a_charter(), snap=snap)))
    until(lambda: gate.asked() == ["snap"])
    refused(gate, "data", encode_chunk(SnapChunk(5, 0, 4, b"x" * 70_000)), "no snapshot of ours")


def test_a_list_that_central_no_longer_vouches_for_is_kept_and_told_until_a_fresh_head_comes(gate: Gate) -> None:
    clock = gate.clock
    assert isinstance(clock, SetClock)
    central = Central(ROWS, ver=5)
    chartered(gate, central)
    gate.said.clear()
    clock.at = T0 + timedelta(days=7, seconds=1)
    until(lambda: "the list is stale" in gate.sync.alarm)
    assert len(gate.views[-1].grants) == 2, "it goes on deciding"
    gate.hear(("head", Central(ROWS, ver=5, issued=T0 + timedelta(days=6)).head(charter=a_charter())))
    until(lambda: gate.sync.alarm == "")


def test_a_restart_does_not_forget_how_old_the_list_is(gate: Gate, tmp_path: Path) -> None:
    chartered(gate, Central(ROWS, ver=5))
    gate.stop()
    again = Gate(tmp_path, PINNED, SetClock(T0 + timedelta(days=30)))
    until(lambda: "until 2026-05-11" in again.sync.alarm)
    again.stop()


def test_a_clock_that_is_not_set_calls_no_list_stale(tmp_path: Path) -> None:
    class Unset(SetClock):
        def trust(self) -> ClockTrust:
            return ClockTrust.UNTRUSTED

    gate = Gate(tmp_path, PINNED, Unset(datetime(2040, 1, 1, tzinfo=UTC)))
    chartered(gate, Central(ROWS, ver=5))
    gate.hear(("delta", Central(ROWS, ver=5).delta([a_card(3)], [], [*ROWS, a_card(3)])))
    until(lambda: gate.sync.stand.ver == 6)
    assert gate.sync.alarm == ""
    gate.stop()


def test_the_charter_is_kept_beside_the_rows(gate: Gate, tmp_path: Path) -> None:
    chartered(gate, Central(ROWS, ver=5))
    store = ReplicaStore(tmp_path / "acl.db")
    store.open_read_only()
    metas = store.metas()
    store.close()
    assert metas["list_charter"] == a_charter()
    assert json.loads(json.dumps(metas))["ver"] == "5"
