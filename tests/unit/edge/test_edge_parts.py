"""The small parts of the edge: relay counters, clock, pipe, latencies, shelf, migrations."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatectl.core.model import ClockTrust
from gatectl.edge.clock import SystemClock
from gatectl.edge.ids import new_id
from gatectl.edge.latency import Latencies
from gatectl.edge.pipe import Unpacker, pack
from gatectl.edge.relays import RelayWatch
from gatectl.edge.shelf import PictureShelf
from gatectl.edge.sqlite import migrate
from gatectl.errors import FrameError

SECOND_NS = 1_000_000_000


def test_an_opening_of_ours_is_explained() -> None:
    watch = RelayWatch()
    assert watch.counted("car-in", 5, 0) == 0
    watch.pulsed("car-in", 0)
    assert watch.expected("car-in") == 6
    assert watch.counted("car-in", 6, SECOND_NS) == 0


def test_an_opening_that_nobody_ordered_is_counted() -> None:
    watch = RelayWatch()
    watch.counted("car-in", 5, 0)
    watch.pulsed("car-in", 0)
    assert watch.counted("car-in", 8, SECOND_NS) == 2


def test_an_opening_while_the_daemon_was_away_is_counted() -> None:
    watch = RelayWatch()
    watch.restore("car-in", 5)
    assert watch.counted("car-in", 6, 0) == 1


def test_a_pulse_that_never_happened_excuses_nothing_later() -> None:
    watch = RelayWatch()
    watch.counted("car-in", 5, 0)
    watch.pulsed("car-in", 0)
    assert watch.counted("car-in", 5, 10 * SECOND_NS) == 0
    assert watch.counted("car-in", 6, 11 * SECOND_NS) == 1


def test_a_new_bridge_begins_its_own_count() -> None:
    watch = RelayWatch()
    watch.restore("car-in", 500)
    assert watch.counted("car-in", 0, 0) == 0
    assert watch.counted("car-in", 1, 1) == 1


class MovedClock(SystemClock):
    """A clock whose wall a test moves."""

    def __init__(self, at: datetime, last_wall_s: int = 0) -> None:
        super().__init__(last_wall_s)
        self.at = at

    def now(self) -> datetime:
        return self.at


def test_a_clock_in_1970_is_untrusted() -> None:
    assert MovedClock(datetime(1970, 1, 2, tzinfo=UTC)).trust() is ClockTrust.UNTRUSTED


def test_a_clock_before_a_time_that_has_passed_is_untrusted() -> None:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    assert MovedClock(at, int((at + timedelta(days=1)).timestamp())).trust() is ClockTrust.UNTRUSTED


def test_a_clock_that_agrees_with_central_is_synced_and_one_that_does_not_is_in_holdover() -> None:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    clock = MovedClock(at)
    assert clock.note_server(at + timedelta(seconds=3), 0.02).offset_ms == pytest.approx(-3010, abs=1)
    assert clock.trust() is ClockTrust.SYNCED
    clock.note_server(at + timedelta(seconds=30), 0.02)
    assert clock.trust() is ClockTrust.HOLDOVER


def test_a_floor_from_a_clock_that_once_stood_ahead_gives_way_to_an_agreed_time() -> None:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    clock = MovedClock(at, int((at + timedelta(days=900)).timestamp()))
    clock.note_server(at, 0.02)
    assert clock.trust() is ClockTrust.SYNCED


@given(st.lists(st.tuples(st.dictionaries(st.text(), st.integers()), st.binary(max_size=200)), max_size=8), st.data())
@settings(max_examples=80, deadline=None)
def test_frames_come_out_of_the_pipe_however_they_are_cut(
    frames: list[tuple[dict[str, int], bytes]], data: st.DataObject
) -> None:
    stream = b"".join(pack(header, blob) for header, blob in frames)
    unpacker, got, at = Unpacker(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 40))
        got += unpacker.feed(stream[at : at + step])
        at += step
    assert got == frames


@pytest.mark.parametrize(
    "noise", [b"\xff" * 8, b"\x00\x00\x00\x02\x00\x00\x00\x00[]", b"\x00\x00\x00\x01\x00\x00\x00\x00{"]
)
def test_a_stream_that_is_not_ours_is_refused(noise: bytes) -> None:
    with pytest.raises(FrameError):
        Unpacker().feed(noise)


def test_latencies_are_told_in_microseconds() -> None:
    latencies = Latencies("tap_to_relay")
    assert latencies.counters() == {}
    for ms in range(1, 101):
        latencies.add(ms * 1_000_000)
    latencies.add(-5)
    counters = latencies.counters()
    assert counters["tap_to_relay_n"] == 100
    assert counters["tap_to_relay_us_p50"] == 50_000
    assert counters["tap_to_relay_us_p99"] == 99_000
    assert counters["tap_to_relay_us_max"] == 100_000


def test_a_picture_is_kept_by_its_digest_and_travels_with_a_header(tmp_path: Path) -> None:
    shelf = PictureShelf(tmp_path, "north")
    sha256 = shelf.keep(b"a picture")
    assert sha256 == hashlib.sha256(b"a picture").hexdigest()
    payload = shelf.payload(sha256, "e1", 7)
    assert payload is not None
    head, _, body = payload.partition(b"\0")
    assert body == b"a picture"
    assert json.loads(head) == {
        "v": 1,
        "gate": "north",
        "epoch": "e1",
        "seq": 7,
        "i": 0,
        "n": 1,
        "sha256": sha256,
        "bytes": 9,
    }


def test_the_quota_of_pictures_is_kept_by_giving_up_the_oldest(tmp_path: Path) -> None:
    shelf = PictureShelf(tmp_path, "north", quota_bytes=1000)
    kept = [shelf.keep(bytes([i]) * 300) for i in range(6)]
    there = [sha256 for sha256 in kept if shelf.payload(sha256, "e", 1) is not None]
    assert kept[-1] in there
    assert 1 <= len(there) <= 3


def test_a_disk_that_takes_no_pictures_costs_the_picture_only(tmp_path: Path) -> None:
    blocked = tmp_path / "pictures"
    blocked.write_text("a file where the folder should be")
    shelf = PictureShelf(blocked, "north")
    assert shelf.keep(b"a picture") == ""
    assert shelf.lost == 1


@pytest.mark.parametrize("series", ["edge", "acl"])
def test_a_database_is_migrated_once_and_opened_twice(tmp_path: Path, series: str) -> None:
    path = tmp_path / f"{series}.db"
    assert migrate(path, series) == migrate(path, series) >= 1


def test_ids_sort_by_the_time_they_were_made() -> None:
    early, late = new_id(), new_id()
    assert len(early) == 32
    assert early[:12] <= late[:12]
    assert early != late
