"""The controller: record before open, the deadline, leases, relay counters, devices that fail."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gatectl.core.lane_io import CommandAnswered, EmergencyOrdered, OpenOrdered, Signal
from gatectl.core.model import (
    AccessLevel,
    ClockTrust,
    CredentialKey,
    Direction,
    GateId,
    Grant,
    GrantState,
    InputName,
    Lane,
    LaneId,
    LaneKind,
    LaneMode,
    LanePolicy,
    PlateRead,
)
from gatectl.core.reasons import Reason
from gatectl.core.whitelist import whitelist_view
from gatectl.drivers.ports import CardPresented, DeviceState, InputSeen, RelayCounted
from gatectl.edge import controller as controller_module
from gatectl.edge.controller import INBOX_SIZE, Controller, Hands
from gatectl.edge.events import EventMaker
from gatectl.edge.ids import new_id
from gatectl.edge.inbox import LaneOrder, PlateArrived
from gatectl.edge.store import EventStore
from gatectl.errors import LinkError
from gatectl.wire.events import parse_event

FOOT, CAR = LaneId("foot"), LaneId("car-in")
CARD = CredentialKey("em:0A1B2C3D4E")
PLATE = CredentialKey("plate:粤E12345")
VIEW = whitelist_view(
    "e1",
    3,
    0,
    [
        Grant(CARD, GrantState.ACTIVE, ("residents",)),
        Grant(CredentialKey("plate:粤E12345"), GrantState.ACTIVE, ("residents",)),
    ],
    [AccessLevel("residents", frozenset({FOOT, CAR}))],
)


class FakeClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000

    def now(self) -> datetime:
        return datetime(2026, 5, 4, 8, 0, tzinfo=UTC)

    def tick_ns(self) -> int:
        self.ns += 1_000_000
        return self.ns

    def trust(self) -> ClockTrust:
        return ClockTrust.SYNCED


class FakeBarrier:
    """Notes what it was told, and what was committed at that moment."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.opened: list[tuple[LaneId, int]] = []
        self.released: list[LaneId] = []
        self.is_away = False

    def pulse_open(self, lane: LaneId, pulse_ms: int) -> None:
        if self.is_away:
            raise LinkError("the bridge does not answer")
        self.opened.append((lane, self.store.last_seq()))

    def pulse_close(self, lane: LaneId, pulse_ms: int) -> None:
        if self.is_away:
            raise LinkError("the bridge does not answer")

    def keep_alive(self) -> None: ...

    def release_fire(self, lane: LaneId) -> None:
        if self.is_away:
            raise LinkError("the bridge does not answer")
        self.released.append(lane)


class FakeIndicator:
    """Keeps the signals."""

    def __init__(self) -> None:
        self.shown: list[tuple[LaneId, Signal, Reason]] = []

    def show(self, lane: LaneId, signal: Signal, reason: Reason) -> None:
        self.shown.append((lane, signal, reason))


class Rig:
    """A controller with fakes around it, driven without its thread."""

    def __init__(self, folder: Path) -> None:
        self.store = EventStore(folder / "edge.db")
        self.clock = FakeClock()
        self.barrier = FakeBarrier(self.store)
        self.indicator = FakeIndicator()
        self.plates_asked: list[LaneId] = []
        self.answers: list[CommandAnswered] = []
        hands = Hands(
            {FOOT: self.barrier, CAR: self.barrier}, self.indicator, self.plates_asked.append, self.answers.append
        )
        maker = EventMaker(GateId("north"), "boot", self.clock, new_id)
        lanes = (
            Lane(FOOT, LaneKind.PEDESTRIAN, Direction.IN, require_presence=False),
            Lane(CAR, LaneKind.VEHICLE, Direction.IN),
        )
        kinds = {"pillar": Reason.READER_FAIL, "cam": Reason.CAMERA_FAIL}
        self.controller = Controller(
            lanes, {"pillar": FOOT, "island": CAR}, kinds, hands, self.store, maker, self.clock, VIEW
        )

    def ready(self) -> "Rig":
        self.store.start()
        assert self.store.wait_ready(5)
        return self

    def tap(self, reader: str = "pillar", key: CredentialKey = CARD) -> None:
        self.controller.step(CardPresented(reader, key, self.clock.tick_ns()))

    def sense(self, lane: LaneId, name: InputName, is_active: bool) -> None:
        self.controller.step(InputSeen(lane, name, is_active, self.clock.tick_ns()))

    def reasons(self) -> list[Reason]:
        """Every recorded reason, once all that was submitted is on the disk."""
        assert self.store.submit(self.controller._maker.system(Reason.STARTED, "mark")).wait(5)
        return [parse_event(row.body, row.personal).reason for row in self.store.batch(0)][:-1]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.store.stop()


def test_a_card_opens_only_after_its_record_is_on_the_disk(rig: Rig) -> None:
    rig.ready().tap()
    assert rig.barrier.opened == [(FOOT, 1)]
    assert rig.reasons() == [Reason.CARD_OK]
    assert (FOOT, Signal.GRANTED, Reason.CARD_OK) in rig.indicator.shown
    assert rig.controller.tap_to_relay.counters()["tap_to_relay_n"] == 1


def test_a_disk_that_stalls_does_not_strand_a_person_and_the_event_says_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_module, "RECORD_DEADLINE_S", 0.02)
    rig.tap()  # the store's writer does not run yet
    assert rig.barrier.opened == [(FOOT, 0)]
    assert rig.controller.counters["late_records"] == 1
    rig.ready()
    assert rig.reasons() == [Reason.CARD_OK]
    (row, *_) = rig.store.batch(0)
    assert parse_event(row.body, row.personal).is_late_record


def test_a_bridge_that_is_away_is_told_once_a_minute(rig: Rig) -> None:
    rig.ready()
    rig.barrier.is_away = True
    rig.tap()
    assert rig.reasons()[:2] == [Reason.CARD_OK, Reason.BRIDGE_FAIL]
    assert rig.controller.counters["openings_failed"] == 1
    assert rig.controller.tap_to_relay.counters() == {}


def test_a_card_from_a_reader_that_no_lane_has_opens_nothing(rig: Rig) -> None:
    rig.ready().tap(reader="stranger")
    assert rig.barrier.opened == []
    assert rig.controller.counters["cards_unplaced"] == 1


def test_a_car_that_arrives_is_read_and_its_plate_opens(rig: Rig) -> None:
    rig.ready().sense(CAR, InputName.PRESENCE, True)
    assert rig.plates_asked == [CAR]
    plate = PlateRead("粤E12345", 0.999, None, 2, picture_sha256="ab" * 32)
    rig.controller.step(PlateArrived(CAR, "cam", plate, rig.clock.tick_ns()))
    assert [lane for lane, _seq in rig.barrier.opened] == [CAR]
    assert rig.controller.plate_to_relay.counters()["plate_to_relay_n"] == 1
    assert rig.reasons() == [Reason.PLATE_OK]


def test_an_order_is_recorded_opens_and_is_confirmed_by_the_door(rig: Rig) -> None:
    rig.ready()
    order = OpenOrdered("c1", "li.wei", Reason.GUARD_OPEN, "parcel", rig.clock.now(), rig.clock.tick_ns())
    rig.controller.step(LaneOrder(FOOT, order))
    assert [lane for lane, _seq in rig.barrier.opened] == [FOOT]
    rig.sense(FOOT, InputName.DOOR_OPEN, True)
    assert [(answer.command_id, answer.state) for answer in rig.answers] == [("c1", "confirmed")]


def test_the_word_that_ends_an_emergency_ends_the_bridges_hold_too(rig: Rig) -> None:
    rig.ready().sense(CAR, InputName.FIRE, True)
    release = EmergencyOrdered("c1", "li.wei", True, "false alarm", rig.clock.now(), rig.clock.tick_ns())
    rig.controller.step(LaneOrder(CAR, release))
    assert rig.barrier.released == []  # the input is still active
    rig.sense(CAR, InputName.FIRE, False)
    rig.controller.step(LaneOrder(CAR, replace(release, command_id="c2")))
    assert rig.barrier.released == [CAR]
    assert [(answer.command_id, answer.state) for answer in rig.answers] == [("c1", "refused"), ("c2", "confirmed")]


def test_a_bridge_that_could_not_be_told_of_the_release_is_an_alarm(rig: Rig) -> None:
    rig.ready().sense(CAR, InputName.FIRE, True)
    rig.sense(CAR, InputName.FIRE, False)
    rig.barrier.is_away = True
    release = EmergencyOrdered("c1", "li.wei", True, "", rig.clock.now(), rig.clock.tick_ns())
    rig.controller.step(LaneOrder(CAR, release))
    assert rig.reasons()[-2:] == [Reason.EMERGENCY_RELEASED, Reason.BRIDGE_FAIL]


def test_a_device_that_fails_and_recovers_is_told_once_each(rig: Rig) -> None:
    rig.ready()
    for is_ok in (True, False, False, True, True):
        rig.controller.step(DeviceState("pillar", is_ok, "words", rig.clock.tick_ns()))
    assert rig.reasons() == [Reason.READER_FAIL, Reason.RECOVERED]
    assert rig.controller.bad_devices() == ()


def test_an_unexplained_opening_is_an_alarm_and_ours_is_none(rig: Rig) -> None:
    rig.ready()
    rig.controller.step(RelayCounted(FOOT, 5, rig.clock.tick_ns()))
    rig.tap()
    rig.controller.step(RelayCounted(FOOT, 6, rig.clock.tick_ns()))
    assert Reason.UNEXPLAINED_OPENING not in rig.reasons()
    rig.controller.step(RelayCounted(FOOT, 7, rig.clock.tick_ns()))
    assert Reason.UNEXPLAINED_OPENING in rig.reasons()


def test_a_full_inbox_is_counted_and_never_blocks(rig: Rig) -> None:
    for _ in range(INBOX_SIZE + 3):
        rig.controller.put(CardPresented("pillar", CARD, 1))
    assert rig.controller.counters["inbox_overflow"] == 3


def test_a_swapped_view_decides_the_next_card(rig: Rig) -> None:
    rig.ready()
    rig.controller.view = whitelist_view("e1", 4, 0, [], [])
    rig.tap()
    assert rig.barrier.opened == []
    assert rig.reasons() == [Reason.CARD_UNKNOWN]


def modes(rig: Rig) -> dict[LaneId, str]:
    rig.sense(FOOT, InputName.DOOR_OPEN, False)
    return {LaneId(beat.lane): beat.mode for beat in rig.controller.lane_beats()}


def test_a_beat_says_which_mode_is_in_force(rig: Rig) -> None:
    assert modes(rig) == {FOOT: "normal", CAR: "normal"}
    until_s = int(rig.clock.now().timestamp()) + 60
    policies = {
        FOOT: LanePolicy(FOOT, mode=LaneMode.LOCKDOWN),
        CAR: LanePolicy(CAR, mode=LaneMode.EXIT_ONLY, mode_until_s=until_s),
    }
    rig.controller.view = replace(VIEW, policies=policies)
    assert modes(rig) == {FOOT: "lockdown", CAR: "exit_only"}
    rig.sense(CAR, InputName.FIRE, True)
    assert modes(rig)[CAR] == "emergency"
