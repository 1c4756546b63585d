"""Whatever happens, in whatever order: the arm never strikes, nothing opens unexplained, every account is closed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count

from builders import (
    NOON,
    NOON_S,
    a_grant,
    a_lane,
    a_plate_attempt,
    a_plate_grant,
    a_policy,
    a_read,
    a_view,
    a_walk_lane,
    an_attempt,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gatectl.core.lane import LaneContext, LaneMachine, Phase
from gatectl.core.lane_io import (
    AttemptMade,
    CloseBarrier,
    CommandAnswered,
    EmergencyOrdered,
    InputChanged,
    Keep,
    LaneEvent,
    OpenBarrier,
    OpenOrdered,
    Record,
    RefuseOrdered,
    Ticked,
)
from gatectl.core.lane_table import Right
from gatectl.core.model import (
    AccessEvent,
    Attempt,
    ClockTrust,
    CredentialKey,
    Direction,
    EventKind,
    GateId,
    InputName,
    Lane,
    LaneKind,
    LaneMode,
    Schedule,
    Verdict,
    Window,
)
from gatectl.core.reasons import Reason

CARDS = (a_grant(), a_grant(key=CredentialKey("em:0000000002"), subject="p2", household="h2"))
CARS = tuple(a_plate_grant(text) for text in ("粤E12345", "粤E54321", "粤B88888", "粤A7K3M9"))
NIGHT = Schedule("day", tuple(Window(day, 12 * 60 + 1, 12 * 60 + 3) for day in range(7)))
"""Opens one minute after the tests begin, for two minutes."""
VIEWS = {
    "plain": a_view(*CARDS, *CARS),
    "held open": a_view(*CARDS, *CARS, policies=a_policy(mode=LaneMode.HELD_OPEN)),
    "held open a while": a_view(
        *CARDS, *CARS, policies=a_policy(mode=LaneMode.HELD_OPEN, mode_until_s=NOON_S + 90, is_fire_lane=False)
    ),
    "open hours": a_view(*CARDS, *CARS, schedules=(NIGHT,), policies=a_policy(open_schedule="day")),
    "first card": a_view(
        *CARDS, *CARS, schedules=(NIGHT,), policies=a_policy(open_schedule="day", is_first_card_in=True)
    ),
    "two persons": a_view(*CARDS, *CARS, policies=a_policy(is_two_person=True)),
    "closed": a_view(*CARDS, *CARS, policies=a_policy(mode=LaneMode.LOCKDOWN)),
}
PRESENTED = (
    an_attempt(),
    an_attempt(key=CredentialKey("em:0000000002")),
    an_attempt(key=CredentialKey("em:FFFFFFFFFF")),
    an_attempt(key=CredentialKey("code:wrong")),
    *(a_plate_attempt(a_read(grant.key.removeprefix("plate:"))) for grant in CARS),
    a_plate_attempt(a_read("粤B00000")),
    a_plate_attempt(a_read("粤E1", 0.2)),
    a_plate_attempt(a_read("", 0.0, frames=0)),
)
FROM_SHELL = (InputName.ARM_UP, InputName.ARM_DOWN, InputName.DOOR_OPEN)
"""What the arm says; the arm below moves as it is told, and sometimes by itself."""


class AnyDay(RuleBasedStateMachine):
    """Arbitrary attempts, inputs, orders, modes and time at one lane."""

    shape: Lane = a_lane()

    def __init__(self) -> None:
        super().__init__()
        numbers = count(1)
        self.next_id: Callable[[], str] = lambda: f"x{next(numbers)}"
        self.kept: dict[str, str] = {}
        self.view = VIEWS["plain"]
        self.clock = ClockTrust.SYNCED
        self.now_s = 0.0
        self.inputs: dict[InputName, bool] = {}
        self.wanted_up: bool | None = None
        self.is_fire_latched = self.is_emergency = False
        self.events: dict[str, AccessEvent] = {}
        self.passages: Counter[str] = Counter()
        self.ended_holds: Counter[str] = Counter()
        self.crossed: list[str] = []
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.forgotten: set[str] = set()
        """What a restart cut off: its passages and answers never come."""
        self.lane = self._new_lane()

    def _new_lane(self) -> LaneMachine:
        return LaneMachine(self.shape, GateId("g"), "b", self.next_id, self.kept)

    # --- what is checked of every effect ---

    def hear(self, event: LaneEvent) -> None:
        for effect in self.lane.on(event, self.view, LaneContext(self.clock, NOON_S, False)):
            if isinstance(effect, Record):
                self.recorded(effect.event)
            elif isinstance(effect, OpenBarrier):
                assert effect.cause in self.events, "an opening without a record before it"
                self.wanted_up = True
            elif isinstance(effect, CloseBarrier):
                self.check_close()
            elif isinstance(effect, CommandAnswered):
                self.answered.append(effect.command_id)
            elif isinstance(effect, Keep):
                self.kept[effect.name] = effect.value

    def recorded(self, event: AccessEvent) -> None:
        assert event.id not in self.events, "an event twice"
        self.events[event.id] = event
        if event.crossing is not None:
            assert event.outcome == "passed"
            self.crossed.append(event.id)
        if event.kind is EventKind.PASSAGE and event.ref:
            self.passages[event.ref] += 1
            assert self.passages[event.ref] == 1, "two passages on one grant"
            assert event.ref in self.events
        if event.kind is EventKind.HOLD_END:
            self.ended_holds[event.ref] += 1
        if event.reason is Reason.EMERGENCY_RELEASED:
            self.is_fire_latched = self.is_emergency = False
        if event.reason is Reason.EMERGENCY_INPUT and event.kind is EventKind.ALARM:
            self.is_fire_latched = True
        if event.reason is Reason.EMERGENCY_MANUAL and event.kind in (EventKind.ALARM, EventKind.COMMAND):
            self.is_emergency = True

    def check_close(self) -> None:
        assert self.shape.kind is LaneKind.VEHICLE, "CLOSE at a door"
        assert self.inputs.get(InputName.SAFETY) is False, "CLOSE on a safety loop that is not known to be clear"
        assert not self.inputs.get(InputName.SAFETY_FAULT), "CLOSE on a faulted safety loop"
        assert not self.inputs.get(InputName.FIRE), "CLOSE under fire"
        assert not self.is_fire_latched, "CLOSE before fire was released"
        assert not self.is_emergency, "CLOSE before the emergency was released"
        assert not self.lane.why_open, "CLOSE while the office holds the lane open"
        self.wanted_up = False

    @invariant()
    def the_machine_agrees_with_its_table(self) -> None:
        motion, drive = self.lane.motion, self.lane._drive
        assert motion.queue == len(drive.queue)
        assert motion.right is not Right.FRESH or drive.opening is not None
        assert motion.right is not Right.NOBODYS or drive.opening is None
        assert motion.is_held is self.lane.is_held
        if motion.must_stand:
            assert self.lane.phase is Phase.STANDING
        if self.shape.kind is LaneKind.VEHICLE:
            assert drive.opening is None or drive.opening.has_passed is (motion.right is Right.USED)

    # --- what may happen ---

    def tick_ns(self) -> int:
        return int(self.now_s * 1e9)

    @rule(name=st.sampled_from(tuple(InputName)), is_active=st.booleans())
    def sense(self, name: InputName, is_active: bool) -> None:
        self.inputs[name] = is_active
        self.hear(InputChanged(name, is_active, NOON + timedelta(seconds=self.now_s), self.tick_ns()))

    @rule()
    def arm_follows(self) -> None:
        """The arm goes where it was told last; on foot, somebody pulls the door and lets it fall."""
        if self.shape.kind is LaneKind.PEDESTRIAN:
            self.sense(InputName.DOOR_OPEN, not self.inputs.get(InputName.DOOR_OPEN, False))
        elif self.wanted_up is not None:
            self.sense(InputName.ARM_DOWN if self.wanted_up else InputName.ARM_UP, False)
            self.wait(1.0)
            self.sense(InputName.ARM_UP if self.wanted_up else InputName.ARM_DOWN, True)

    @rule(is_next_there=st.booleans())
    def car_passes(self, is_next_there: bool) -> None:
        self.sense(InputName.SAFETY, True)
        self.sense(InputName.PRESENCE, False)
        self.sense(InputName.PRESENCE, is_next_there)
        self.wait(1.0)
        self.sense(InputName.SAFETY, False)

    @rule(attempt=st.sampled_from(PRESENTED))
    def present(self, attempt: Attempt) -> None:
        at = NOON + timedelta(seconds=self.now_s)
        shown = replace(attempt, id=self.next_id(), lane=self.shape.id, direction=self.shape.direction, at=at)
        self.hear(AttemptMade(shown, self.tick_ns()))

    @rule(attempt=st.sampled_from(PRESENTED[4:8]))
    def car_comes(self, attempt: Attempt) -> None:
        self.sense(InputName.PRESENCE, True)
        self.present(attempt)

    def _ask(self) -> str:
        self.asked.append(self.next_id())
        return self.asked[-1]

    @rule()
    def order_open(self) -> None:
        self.hear(OpenOrdered(self._ask(), "guard", Reason.REMOTE_OPEN, "", NOON, self.tick_ns()))

    @rule()
    def refuse(self) -> None:
        self.hear(RefuseOrdered(self._ask(), "guard", "", NOON, self.tick_ns()))

    @rule(is_release=st.booleans())
    def emergency(self, is_release: bool) -> None:
        self.hear(EmergencyOrdered(self._ask(), "guard", is_release, "", NOON, self.tick_ns()))

    @rule(name=st.sampled_from(sorted(VIEWS)))
    def office_decides(self, name: str) -> None:
        self.view = VIEWS[name]

    @rule(clock=st.sampled_from(ClockTrust))
    def clock_changes(self, clock: ClockTrust) -> None:
        self.clock = clock

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 7.0, 12.0, 25.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.hear(Ticked(NOON + timedelta(seconds=self.now_s), self.tick_ns()))

    @rule()
    def restart(self) -> None:
        """The daemon starts again; it hears every input anew. What was under way is forgotten, a latch is not."""
        self.forgotten |= self.open_accounts() | (set(self.asked) - set(self.answered))
        self.lane = self._new_lane()
        for name, is_active in sorted(self.inputs.items()):
            self.hear(InputChanged(name, is_active, NOON + timedelta(seconds=self.now_s), self.tick_ns()))
        self.wait(0.1)
        assert self.lane.motion.is_fire or not self.is_fire_latched
        assert self.lane.motion.must_stand or not self.is_emergency

    # --- how it ends ---

    def open_accounts(self) -> set[str]:
        """Events that grant and have no passage event yet, and holds that have not ended."""
        return {event.id for event in self.events.values() if self.is_grant(event) and not self.passages[event.id]} | {
            event.id for event in self.events.values() if self.is_hold(event) and not self.ended_holds[event.id]
        }

    @staticmethod
    def is_grant(event: AccessEvent) -> bool:
        is_hold_open = event.reason in (Reason.EMERGENCY_INPUT, Reason.EMERGENCY_MANUAL)
        return event.verdict is Verdict.GRANTED and (event.kind is EventKind.ACCESS or not is_hold_open)

    def is_hold(self, event: AccessEvent) -> bool:
        is_first = event.verdict is Verdict.HELD and event.kind is EventKind.ACCESS
        return is_first and not (event.ref and self.is_hold(self.events[event.ref]))

    def teardown(self) -> None:
        """The world calms down: everything that began comes to its end, and the lane to rest."""
        self.view, self.clock = VIEWS["plain"], ClockTrust.SYNCED
        for name in (InputName.FIRE, InputName.EMERGENCY_KEY, InputName.SAFETY_FAULT, InputName.CALL):
            self.sense(name, False)
        self.emergency(True)
        for name in (InputName.PRESENCE, InputName.SAFETY, InputName.DOOR_OPEN):
            self.sense(name, False)
        for _ in range(12):
            if self.shape.kind is LaneKind.VEHICLE:
                self.arm_follows()
            self.wait(70.0)
        assert self.lane.phase is Phase.IDLE
        assert self.lane.pending == ()
        assert not self.open_accounts() - self.forgotten
        assert set(self.ended_holds.values()) <= {1}
        assert len(self.crossed) == len(set(self.crossed))
        assert len(self.answered) == len(set(self.answered)), "an order answered twice"
        assert set(self.asked) - self.forgotten <= set(self.answered), "an order without an answer"


class AnyDayOnFoot(AnyDay):
    """The same at a door."""

    shape = a_walk_lane()


class AnyDayAtTheExit(AnyDay):
    """The same at an exit: nobody is ever refused."""

    shape = a_lane(direction=Direction.OUT)

    def recorded(self, event: AccessEvent) -> None:
        super().recorded(event)
        if event.kind is EventKind.ACCESS:
            assert event.verdict is Verdict.GRANTED


for machine in (AnyDay, AnyDayOnFoot, AnyDayAtTheExit):
    machine.TestCase.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
test_any_day = AnyDay.TestCase
test_any_day_on_foot = AnyDayOnFoot.TestCase
test_any_day_at_the_exit = AnyDayAtTheExit.TestCase
