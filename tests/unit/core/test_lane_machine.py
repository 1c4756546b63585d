"""Whatever happens, in whatever order: the arm never strikes, and nothing opens unexplained."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count

from builders import NOON, a_grant, a_lane, a_plate_attempt, a_plate_grant, a_read, a_view, an_attempt
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from gatectl.core.lane import LaneContext, LaneMachine
from gatectl.core.lane_io import (
    AttemptMade,
    CloseBarrier,
    CommandAnswered,
    InputChanged,
    LaneEvent,
    OpenBarrier,
    OpenOrdered,
    Record,
    RefuseOrdered,
    Ticked,
)
from gatectl.core.model import Attempt, ClockTrust, CredentialKey, EventKind, GateId, InputName
from gatectl.core.reasons import Reason

VIEW = a_view(a_grant(), a_plate_grant(), a_plate_grant("粤E54321"))
PRESENTED = (
    an_attempt(),
    an_attempt(key=CredentialKey("em:FFFFFFFFFF")),
    a_plate_attempt(),
    a_plate_attempt(a_read("粤E54321")),
    a_plate_attempt(a_read("粤B00000")),
    a_plate_attempt(a_read("", 0.0, frames=0)),
)
INPUTS = tuple(name for name in InputName if name is not InputName.DOOR_OPEN)


class AnyDay(RuleBasedStateMachine):
    """Arbitrary attempts, inputs, orders and time."""

    def __init__(self) -> None:
        super().__init__()
        numbers = count(1)
        self.next_id: Callable[[], str] = lambda: f"x{next(numbers)}"
        self.lane = LaneMachine(a_lane(), GateId("g"), "b", self.next_id)
        self.now_s = 0.0
        self.is_clear = False
        self.is_fire = False
        self.is_latched = False
        self.recorded: set[str] = set()
        self.passages: list[str] = []
        self.asked: list[str] = []
        self.answered: list[str] = []

    def hear(self, event: LaneEvent) -> None:
        before_here: set[str] = set()
        for effect in self.lane.on(event, VIEW, LaneContext(ClockTrust.SYNCED, 0, False)):
            if isinstance(effect, Record):
                assert effect.event.id not in self.recorded
                before_here.add(effect.event.id)
                self.recorded.add(effect.event.id)
                if effect.event.kind is EventKind.PASSAGE:
                    self.passages.append(effect.event.ref)
                if effect.event.outcome == "fire_released":
                    self.is_latched = False
            elif isinstance(effect, OpenBarrier):
                assert effect.cause in self.recorded
            elif isinstance(effect, CloseBarrier):
                assert self.is_clear, "CLOSE while the safety loop was not known to be clear"
                assert not self.is_fire, "CLOSE under fire"
                assert not self.is_latched, "CLOSE before a named person released the fire hold"
            elif isinstance(effect, CommandAnswered):
                self.answered.append(effect.command_id)
        assert len(self.passages) == len(set(self.passages)), "two passages on one grant"

    @rule(name=st.sampled_from(INPUTS), is_active=st.booleans())
    def sense(self, name: InputName, is_active: bool) -> None:
        if name is InputName.SAFETY:
            self.is_clear = not is_active
        if name is InputName.FIRE:
            self.is_fire = is_active
            self.is_latched = self.is_latched or is_active
        self.hear(InputChanged(name, is_active, NOON, int(self.now_s * 1e9)))

    @rule(attempt=st.sampled_from(PRESENTED))
    def present(self, attempt: Attempt) -> None:
        named = Attempt(
            self.next_id(), attempt.lane, attempt.direction, NOON, attempt.reader, attempt.key, attempt.plate
        )
        self.hear(AttemptMade(named, int(self.now_s * 1e9)))

    @rule()
    def order_open(self) -> None:
        self.asked.append(self.next_id())
        self.hear(OpenOrdered(self.asked[-1], "guard", Reason.REMOTE_OPEN, "", NOON, int(self.now_s * 1e9)))

    @rule()
    def refuse(self) -> None:
        self.asked.append(self.next_id())
        self.hear(RefuseOrdered(self.asked[-1], "guard", "", NOON, int(self.now_s * 1e9)))

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 25.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.hear(Ticked(NOON + timedelta(seconds=self.now_s), int(self.now_s * 1e9)))

    def teardown(self) -> None:
        for _ in range(3):
            self.wait(70.0)
        assert sorted(self.answered) == sorted(self.asked), "every order is answered exactly once"


AnyDay.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_day = AnyDay.TestCase
