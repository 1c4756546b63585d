"""The journal and the outbox."""

import dataclasses
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gatectl.core.model import AccessEvent, ClockTrust, EventKind, GateId, PlateRead
from gatectl.core.reasons import Reason
from gatectl.edge import store as store_module
from gatectl.edge.ids import new_id
from gatectl.edge.store import EventStore
from gatectl.edge.verify import verify_journal
from gatectl.wire.events import GENESIS, chain_hash, parse_event


def an_event(**changes: object) -> AccessEvent:
    event = AccessEvent(
        id=new_id(),
        kind=EventKind.SYSTEM,
        gate=GateId("north"),
        lane=None,
        at=datetime(2026, 5, 4, 8, 0, tzinfo=UTC),
        boot_id="boot",
        mono_ns=1,
        clock=ClockTrust.SYNCED,
        reason=Reason.STARTED,
    )
    return dataclasses.replace(event, **changes)  # type: ignore[arg-type]  # a builder's changes


def until(is_true: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    opened = EventStore(tmp_path / "edge.db")
    opened.start()
    assert opened.wait_ready(5)
    yield opened
    opened.stop()


def test_an_event_gets_the_next_number_and_chains_to_the_one_before(store: EventStore) -> None:
    pendings = [store.submit(an_event()) for _ in range(3)]
    assert all(pending.wait(5) for pending in pendings)
    rows = store.batch(0)
    assert [row.seq for row in rows] == [1, 2, 3]
    previous = GENESIS
    for row in rows:
        assert row.prev == previous
        assert row.hash == chain_hash(previous, row.body)
        previous = row.hash


def test_numbers_and_chain_go_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "edge.db"
    epochs = []
    for _ in range(2):
        store = EventStore(path)
        store.start()
        assert store.wait_ready(5)
        assert store.submit(an_event()).wait(5)
        epochs.append(store.epoch)
        rows = store.batch(0)
        store.stop()
    assert epochs[0] == epochs[1]
    assert [row.seq for row in rows] == [1, 2]
    assert rows[1].prev == rows[0].hash


def test_the_outbox_empties_only_up_to_the_watermark(store: EventStore) -> None:
    for _ in range(5):
        store.submit(an_event())
    until(lambda: store.last_seq() == 5)
    store.delete_upto(3)
    until(lambda: store.stand().depth == 2)
    assert [row.seq for row in store.batch(0)] == [4, 5]
    assert store.hash_at(2) is not None, "the journal keeps what the outbox gave up"


def test_a_late_mark_stands_in_the_event_when_it_comes_before_the_write(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "edge.db")
    pending = store.submit(an_event())
    assert pending.mark_late(), "nothing is composed before the writer runs"
    store.start()
    assert pending.wait(5)
    (row, *_) = store.batch(0)
    assert parse_event(row.body, row.personal).is_late_record
    assert not pending.mark_late(), "a committed event never changes"
    store.stop()


def test_values_travel_in_the_transaction_of_their_event(tmp_path: Path) -> None:
    path = tmp_path / "edge.db"
    store = EventStore(path)
    store.start()
    assert store.submit(an_event(), {"relay:car-in": "7"}).wait(5)
    store.stop()
    again = EventStore(path)
    again.start()
    assert again.wait_ready(5)
    assert again.meta("relay:car-in") == "7"
    again.stop()


def test_a_batch_is_at_most_fifty_events_and_64_kilobytes(store: EventStore) -> None:
    for _ in range(60):
        store.submit(an_event())
    for _ in range(10):
        store.submit(an_event(note="重" * 8000))
    until(lambda: store.last_seq() == 70)
    assert len(store.batch(0)) == 50
    big = store.batch(60)
    assert 1 <= len(big) < 10
    assert sum(len(row.body.encode()) for row in big) <= 64 * 1024


def test_the_newest_batch_comes_in_order(store: EventStore) -> None:
    for _ in range(120):
        store.submit(an_event())
    until(lambda: store.last_seq() == 120)
    assert [row.seq for row in store.batch(0, 10, is_newest=True)] == list(range(111, 121))


def test_a_disk_that_refuses_loses_nothing_and_says_so(
    store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "RETRY_S", 0.05)
    recovered: list[str] = []
    store.on_recovered = recovered.append
    assert store.submit(an_event()).wait(5)
    blocker = sqlite3.connect(tmp_path / "edge.db", isolation_level=None)
    blocker.execute("CREATE TRIGGER full BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    pendings = [store.submit(an_event()) for _ in range(3)]
    until(lambda: "disk is full" in store.alarm)
    assert not any(pending.is_done() for pending in pendings)
    blocker.execute("DROP TRIGGER full")
    blocker.close()
    assert all(pending.wait(5) for pending in pendings)
    assert [row.seq for row in store.batch(0)] == [1, 2, 3, 4]
    until(lambda: bool(recovered))
    assert store.alarm == ""


def test_an_event_submitted_twice_does_not_stop_the_ones_behind_it(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "RETRY_S", 0.05)
    twice = an_event()
    for event in (twice, an_event(), twice, an_event()):
        store.submit(event)
    until(lambda: store.last_seq() == 3)
    assert store.waiting() == 0


def test_a_full_memory_queue_refuses_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_WAITING", 2)
    store = EventStore(tmp_path / "edge.db")
    for _ in range(3):
        store.submit(an_event())
    assert store.refused == 1
    assert store.waiting() == 2


def test_a_torn_database_is_set_aside_and_a_new_epoch_begins(tmp_path: Path) -> None:
    path = tmp_path / "edge.db"
    path.write_bytes(b"SQLite format 3\x00" + os.urandom(8000))
    store = EventStore(path)
    store.start()
    assert store.wait_ready(5)
    assert store.submit(an_event()).wait(5)
    assert [row.seq for row in store.batch(0)] == [1]
    assert list(tmp_path.glob("edge.db.broken-*"))
    store.stop()


def test_a_newer_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "edge.db"
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version=99")
    newer.close()
    store = EventStore(path)
    store.start()
    until(lambda: "newer gatectl" in store.alarm)
    assert not store.wait_ready(0)
    store.stop()


def test_the_first_unconfirmed_event_is_known_whatever_is_confirmed(store: EventStore) -> None:
    assert store.first_unconfirmed() == 1
    for _ in range(3):
        assert store.submit(an_event()).wait(5)
    assert store.first_unconfirmed() == 1
    store.delete_upto(2)
    until(lambda: store.first_unconfirmed() == 3)
    store.delete_upto(3)
    until(lambda: store.first_unconfirmed() == 4)


def test_an_event_that_is_committed_while_the_connection_comes_up_is_not_taken_for_confirmed(
    store: EventStore,
) -> None:
    """The outbox was asked first and the newest number after it: what came in between was held back."""
    for number in range(1, 40):
        pending = store.submit(an_event())
        first = store.first_unconfirmed()
        assert pending.wait(5)
        assert first <= number
        store.delete_upto(number)


def test_a_picture_is_unsent_until_central_has_its_event_and_it(store: EventStore) -> None:
    plate = PlateRead(text="粤E12345", confidence=0.9, colour=None, frames=2, picture_sha256="ab" * 32)
    assert store.submit(an_event(plate=plate)).wait(5)
    assert store.unsent_pictures(hwm=0) == ()
    (picture,) = store.unsent_pictures(hwm=1)
    assert (picture.sha256, picture.seq) == ("ab" * 32, 1)
    store.picture_sent(picture.sha256)
    until(lambda: store.unsent_pictures(hwm=1) == ())


def test_old_acknowledged_events_are_purged_and_the_chain_goes_on(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_PURGE_EACH_S", 0.0)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    for _ in range(3):
        store.submit(an_event(at=long_ago))
    until(lambda: store.last_seq() == 3)
    store.delete_upto(2)
    until(lambda: store.hash_at(1) is None)
    assert store.hash_at(3) is not None, "unconfirmed events stay whatever their age"
    assert store.submit(an_event()).wait(5)
    assert store.last_seq() == 4


def test_the_purge_never_leaves_a_hole_and_notes_where_the_journal_begins(store: EventStore, tmp_path: Path) -> None:
    """A clock that stood in 1970 for a while must not have its rows cut out of the middle."""
    old, new = datetime(1970, 1, 2, tzinfo=UTC), datetime(2026, 5, 4, tzinfo=UTC)
    for at in (new, old, new, new):
        store.submit(an_event(at=at))
    until(lambda: store.last_seq() == 4)
    store.delete_upto(4)
    until(lambda: store.stand().depth == 0)
    store.write(lambda _connection: store.purge(int(new.timestamp()) + 86_400))
    until(lambda: store.submit(an_event(at=new)).wait(5))
    check, findings = verify_journal(tmp_path / "edge.db")
    assert (check.rows, findings) == (5, [])
    store.write(lambda _connection: store.purge(int(new.timestamp()) + 40 * 86_400))
    until(lambda: store.hash_at(4) is None)
    check, findings = verify_journal(tmp_path / "edge.db")
    assert (check.rows, check.given_up, findings) == (1, 4, [])


def test_a_journal_that_was_purged_to_its_last_event_goes_on_after_a_restart(tmp_path: Path) -> None:
    for turn in range(2):
        store = EventStore(tmp_path / "edge.db")
        store.start()
        assert store.wait_ready(5)
        assert store.submit(an_event()).wait(5)
        assert store.last_seq() == turn + 1
        store.stop()
    assert verify_journal(tmp_path / "edge.db")[1] == []


def test_too_many_unconfirmed_events_are_given_up_oldest_first_and_the_gap_is_recorded(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(store_module, "MAX_UNCONFIRMED", 10)
    monkeypatch.setattr(store_module, "GIVEN_UP_AT_ONCE", 4)
    store.make_gap = lambda first, last, own: an_event(kind=EventKind.ALARM, gap=(first, last, own))
    for _ in range(12):
        assert store.submit(an_event()).wait(5)
    fourth = store.hash_at(4)
    store.write(lambda _connection: store.purge(0))
    until(lambda: store.stand().first_seq == 5)
    *_, record = store.batch(0)
    assert parse_event(record.body, record.personal).gap == (1, 4, fourth)
    assert record.seq == 13
    check, findings = verify_journal(tmp_path / "edge.db")
    assert (check.rows, findings) == (9, [])


def test_age_gives_up_nothing_while_the_time_is_not_known(store: EventStore) -> None:
    store.make_gap = lambda first, last, own: an_event(kind=EventKind.ALARM, gap=(first, last, own))
    assert store.submit(an_event(at=datetime(2020, 1, 1, tzinfo=UTC))).wait(5)
    assert store.submit(an_event()).wait(5)
    now_s = int(datetime(2026, 5, 4, tzinfo=UTC).timestamp())
    store.write(lambda _connection: store.purge(now_s))
    assert store.submit(an_event()).wait(5)
    assert store.stand().first_seq == 1
    store.is_time_known = lambda: True
    store.write(lambda _connection: store.purge(now_s))
    until(lambda: store.stand().first_seq > 1)


@pytest.mark.parametrize("column", ["body", "personal", "prev", "hash"])
def test_one_changed_letter_in_a_journal_is_found_and_named(store: EventStore, tmp_path: Path, column: str) -> None:
    for _ in range(5):
        assert store.submit(an_event(kind=EventKind.ALARM, note="三号门")).wait(5)
    with closing(sqlite3.connect(tmp_path / "edge.db")) as database:
        (text,) = database.execute(f"SELECT {column} FROM journal WHERE seq = 3").fetchone()  # noqa: S608 - ours
        changed = text[:-3] + chr(ord(text[-3]) ^ 1) + text[-2:]
        database.execute(f"UPDATE journal SET {column} = ? WHERE seq = 3", (changed,))  # noqa: S608 - ours
        database.commit()
    _check, findings = verify_journal(tmp_path / "edge.db")
    assert 3 in {finding.seq for finding in findings}


def test_a_missing_event_of_a_journal_is_named(store: EventStore, tmp_path: Path) -> None:
    for _ in range(5):
        assert store.submit(an_event()).wait(5)
    with closing(sqlite3.connect(tmp_path / "edge.db")) as database:
        database.execute("DELETE FROM journal WHERE seq IN (2, 3)")
        database.commit()
    _check, findings = verify_journal(tmp_path / "edge.db")
    assert [(finding.seq, finding.what) for finding in findings] == [(2, "missing")]


def test_a_body_is_the_canonical_json_of_its_event(store: EventStore) -> None:
    event = an_event(kind=EventKind.ALARM, note="夜班")
    assert store.submit(event).wait(5)
    (row,) = store.batch(0)
    assert parse_event(row.body, row.personal) == event
    assert json.loads(row.personal)["note"] == "夜班"
    assert "夜班" not in row.body, "a note may name somebody: it stands apart, and can be purged"
