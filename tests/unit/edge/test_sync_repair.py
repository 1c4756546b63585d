"""How a gate gets what it lacks: by buckets, by windows of chunks, over a restart, and not all gates at once."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_sync import LEVEL, Central, Gate, a_card, brought_up, held, until

from gatectl.edge.replica_store import ReplicaStore
from gatectl.edge.snapshot_intake import SnapshotIntake
from gatectl.errors import PayloadError
from gatectl.wire.buckets import bucket_of, bucket_sums, differing
from gatectl.wire.replica import SnapChunk, Snapshot, encode_chunk

ROWS = [LEVEL, *(a_card(number) for number in range(1, 9))]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.stop()


def drifted(gate: Gate) -> Central:
    """A gate at version 5 that is told that its rows are others than central's."""
    brought_up(gate, Central(ROWS[:-2], ver=5))
    central = Central(ROWS, ver=5)
    gate.hear(("head", central.head()))
    until(lambda: gate.asked()[-1] == "buckets")
    return central


def wrong_buckets(gate: Gate, central: Central) -> tuple[int, ...]:
    return differing(bucket_sums(central.rows), gate.sums())


def test_a_list_that_has_drifted_is_repaired_by_the_buckets_that_differ(gate: Gate) -> None:
    central = drifted(gate)
    wrong = wrong_buckets(gate, central)
    assert set(wrong) == {bucket_of(row) for row in ROWS[-2:]}
    gate.hear(("data", central.repair(gate.sums())))
    until(lambda: gate.sync.counters["list_repaired"] == 1)
    assert held(gate.views[-1].grants) == {f"em:{number:010X}" for number in range(1, 9)}
    assert (gate.sync.stand.n, gate.sync.stand.set_hash) == (len(ROWS), gate.said[-1][1]["set_hash"])
    assert gate.said[-1][1]["status"] == "ok"


def test_a_repair_takes_away_what_is_too_many(gate: Gate, tmp_path: Path) -> None:
    brought_up(gate, Central(ROWS, ver=5))
    central = Central(ROWS[:-3], ver=6)
    gate.hear(("head", Central(ROWS[:-3], ver=5).head()))
    until(lambda: gate.asked()[-1] == "buckets")
    gate.hear(("data", central.repair(gate.sums())))
    until(lambda: gate.sync.stand.ver == 6)
    assert held(gate.views[-1].grants) == {f"em:{number:010X}" for number in range(1, 6)}
    gate.stop()
    again = Gate(tmp_path)
    assert again.view.revision == ("e1", 6)
    assert len(again.view.grants) == 5
    again.stop()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"set_hash": "1" * 64}, "does not lead to its hash"),
        ({"site": "elsewhere"}, "a repair of site elsewhere"),
        ({"epoch": "e2"}, "epoch e2"),
        ({"ver": 4}, "goes back"),
    ],
)
def test_a_repair_that_is_not_right_changes_nothing(gate: Gate, changes: dict[str, Any], words: str) -> None:
    central = drifted(gate)
    before = len(gate.views)
    gate.hear(("data", central.repair(gate.sums(), **changes)))
    until(lambda: any(words in said for said in gate.nacks()))
    assert (len(gate.views), gate.sync.stand.ver) == (before, 5)


def test_a_forged_repair_and_one_with_rows_from_elsewhere_are_refused(gate: Gate) -> None:
    central = drifted(gate)
    good = central.repair(gate.sums())
    stray = next(row for row in ROWS if bucket_of(row) not in wrong_buckets(gate, central))
    gate.hear(("data", good[:90] + bytes([good[90] ^ 1]) + good[91:]))
    gate.hear(("data", central.repair(gate.sums(), rows=(stray,))))
    until(lambda: gate.sync.counters["list_refused"] == 2)
    assert gate.sync.counters["list_repaired"] == 0


def test_a_repair_that_central_calls_too_much_becomes_a_snapshot(gate: Gate) -> None:
    central = drifted(gate)
    gate.hear(("data", central.repair(gate.sums(), buckets=(), rows=(), is_too_much=True)))
    until(lambda: gate.asked()[-1] == "snap")
    gate.hear(*(("data", chunk) for chunk in central.chunks()))
    until(lambda: len(gate.views[-1].grants) == 8)


def test_a_snapshot_older_than_what_a_drifted_gate_has_is_waited_out(gate: Gate) -> None:
    """It would give back a right that was withdrawn meanwhile, for as long as the deltas take."""
    central = drifted(gate)
    old = Central([LEVEL, a_card(9)], ver=3)
    snap = Snapshot(ver=3, bytes=len(old.snapshot), sha256="0" * 64, chunks=2)
    gate.hear(
        ("head", central.head(snap=snap)), ("data", central.repair(gate.sums(), buckets=(), rows=(), is_too_much=True))
    )
    until(lambda: gate.asked()[-1] == "snap")
    gate.hear(*(("data", chunk) for chunk in old.chunks()))
    gate.hear(("head", central.head()))
    gate.hear(*(("data", chunk) for chunk in central.chunks()))
    until(lambda: gate.sync.stand.n == len(ROWS))
    assert [view.version for view in gate.views] == [5, 5]


# --- chunks ---


class Large(Central):
    """A list whose snapshot takes eleven chunks."""

    def head(self, *args: Any, **changes: Any) -> bytes:
        first = SnapChunk(self.ver, 0, 1, self.snapshot)
        snap = Snapshot(ver=self.ver, bytes=len(first.data), sha256=self.sha256(), chunks=11)
        return super().head(*args, **{"snap": snap, **changes})

    def sha256(self) -> str:
        return hashlib.sha256(self.snapshot).hexdigest()

    def chunks(self) -> list[bytes]:
        size = -(-len(self.snapshot) // 11)
        return [encode_chunk(SnapChunk(self.ver, i, 11, self.snapshot[i * size : (i + 1) * size])) for i in range(11)]


def chunk_froms(gate: Gate) -> list[int]:
    return [said["chunk_from"] for said in gate.requests() if said["want"] == "snap"]


def test_chunks_are_asked_for_four_at_a_time(gate: Gate) -> None:
    central = Large(ROWS, ver=5)
    chunks = central.chunks()
    gate.hear(("head", central.head()))
    until(lambda: chunk_froms(gate) == [0])
    gate.hear(*(("data", chunk) for chunk in chunks[:4]))
    until(lambda: chunk_froms(gate) == [0, 4])
    gate.hear(*(("data", chunk) for chunk in (chunks[5], chunks[4], chunks[7], chunks[6])))
    until(lambda: chunk_froms(gate) == [0, 4, 8])
    gate.hear(*(("data", chunk) for chunk in chunks[8:]))
    until(lambda: gate.sync.stand.ver == 5)
    assert gate.requests()[0]["sha256"] == central.sha256()


def test_a_snapshot_goes_on_where_it_was_after_a_reconnect(gate: Gate) -> None:
    central = Large(ROWS, ver=5)
    gate.hear(("head", central.head()))
    until(lambda: chunk_froms(gate) == [0])
    gate.hear(*(("data", chunk) for chunk in central.chunks()[:3]))
    gate.sync.on_connected()
    until(lambda: chunk_froms(gate) == [0, 3])


def test_a_snapshot_goes_on_where_it_was_after_a_restart(gate: Gate, tmp_path: Path) -> None:
    central = Large(ROWS, ver=5)
    gate.hear(("head", central.head()))
    until(lambda: chunk_froms(gate) == [0])
    gate.hear(*(("data", chunk) for chunk in central.chunks()[:6]))
    until(lambda: chunk_froms(gate) == [0, 4])
    until(lambda: len(gate.sync._replica.chunks(central.sha256())) == 6)
    gate.stop()
    again = Gate(tmp_path)
    again.hear(("head", central.head()))
    until(lambda: chunk_froms(again) == [6])
    again.hear(*(("data", chunk) for chunk in central.chunks()[6:]))
    until(lambda: again.sync.stand.ver == 5)
    assert again.sync._replica.chunks(central.sha256()) == {}
    again.stop()


def test_what_is_sent_to_all_is_heard_while_a_snapshot_is_wanted_and_no_longer(gate: Gate) -> None:
    central = Large(ROWS, ver=5)
    gate.hear(("head", central.head()))
    until(lambda: chunk_froms(gate) == [0])
    assert gate.followed == [True]
    gate.hear(*(("snap", chunk) for chunk in central.chunks()[2:]))
    until(lambda: chunk_froms(gate) == [0, 0])  # the last one has come, and the first two are missing
    gate.hear(*(("data", chunk) for chunk in central.chunks()[:2]))
    until(lambda: gate.sync.stand.ver == 5)
    until(lambda: gate.followed == [True, False])


def test_gates_spread_their_requests_over_the_heads_jitter(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[float] = []

    def uniform(low: float, high: float) -> float:
        spans.append(high)
        return 1000.0

    monkeypatch.setattr("gatectl.edge.sync.random.uniform", uniform)
    gate.hear(("head", Central(ROWS, ver=5).head(jitter_s=100.0)))
    until(lambda: spans == [100.0])
    gate.hear(("head", Central(ROWS, ver=6).head(jitter_s=100.0)))
    until(lambda: gate.followed == [True])
    assert gate.asked() == [], "held back, but listening"
    gate.sync.on_connected()
    until(lambda: spans == [100.0, 100.0])  # all of them come back together when a broker does


def test_a_delta_is_not_held_back_by_the_jitter(gate: Gate) -> None:
    brought_up(gate, Central(ROWS, ver=5))
    gate.hear(("head", Central(ROWS, ver=6).head(jitter_s=300.0)))
    until(lambda: gate.asked()[-1] == "delta")


def test_a_gap_is_asked_for_once_while_its_deltas_arrive(gate: Gate) -> None:
    brought_up(gate, Central(ROWS[:1], ver=5))
    gate.hear(("head", Central(ROWS[:4], ver=8).head()))
    until(lambda: gate.asked()[-1] == "delta")
    for number in range(1, 4):
        central = Central(ROWS[:number], ver=4 + number)
        gate.hear(("delta", central.delta([a_card(number)], [], ROWS[: number + 1])))
    until(lambda: gate.sync.stand.ver == 8)
    assert gate.asked() == ["snap", "delta"]


def test_an_intake_gives_nothing_before_it_is_whole(tmp_path: Path) -> None:
    store = ReplicaStore(tmp_path / "acl.db")
    store.open()
    intake = SnapshotIntake(store)
    with pytest.raises(PayloadError):
        intake.whole()
    intake.begin(Snapshot(ver=1, bytes=2, sha256="0" * 64, chunks=2))
    assert intake.take(1, 0, 2, b"a")
    assert not intake.take(2, 1, 2, b"b")
    assert (intake.first_missing(), intake.is_complete) == (1, False)
    assert intake.take(1, 1, 2, b"b")
    with pytest.raises(PayloadError, match="not the one"):
        intake.whole()
    assert (store.chunks("0" * 64), intake.sha256) == ({}, "")
    store.close()
