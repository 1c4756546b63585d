"""One attempt under judgement: what is known, and the trace of the rules that were asked."""

from dataclasses import dataclass, field

from gatectl.core.model import (
    Area,
    Attempt,
    ClockTrust,
    Direction,
    LaneKind,
    LanePolicy,
    LaneState,
    LinkPolicy,
    RuleStep,
    WhitelistView,
)
from gatectl.core.reasons import Reason
from gatectl.core.schedule import epoch_s

PASS, FAIL, SKIP = "pass", "fail", "skip"


@dataclass(slots=True)
class Case:
    """Lives for one `decide`; the rules add to it."""

    attempt: Attempt
    view: WhitelistView
    state: LaneState
    steps: list[RuleStep] = field(default_factory=list)
    was_clock_needed: bool = False
    """A rule would have asked the clock, and it is not trusted."""
    link_policy: LinkPolicy | None = None
    max_stay_s: int = 0
    alarm: Reason | None = None

    @property
    def is_clock_trusted(self) -> bool:
        """Untrusted, it refuses only what its floor proves to be over."""
        return self.state.clock is not ClockTrust.UNTRUSTED

    @property
    def now_s(self) -> int:
        """UTC seconds; the clock's floor while the clock is not trusted."""
        return epoch_s(self.attempt.at) if self.is_clock_trusted else self.state.clock_floor_s

    @property
    def is_exit(self) -> bool:
        """The attempt is to leave."""
        return self.attempt.direction is Direction.OUT

    @property
    def is_vehicle_lane(self) -> bool:
        """An arm, not a door."""
        return self.state.lane.kind is LaneKind.VEHICLE

    @property
    def policy(self) -> LanePolicy | None:
        """What the office wants of this lane; None = the default."""
        return self.view.policies.get(self.attempt.lane)

    @property
    def area(self) -> Area | None:
        """The area that an entry here leads to, where anything is asked of it."""
        policy = self.policy
        return self.view.areas.get(policy.area_to) if policy is not None else None

    def note(self, rule: str, value: str, outcome: str) -> None:
        """Write a line of the trace."""
        self.steps.append(RuleStep(rule, value, outcome))

    def check(self, rule: str, value: str, *, is_ok: bool) -> bool:
        """Write a line of the trace and hand its verdict on."""
        self.steps.append(RuleStep(rule, value, PASS if is_ok else FAIL))
        return is_ok

    def skip_for_clock(self, rule: str) -> None:
        """This rule cannot be asked: the clock is not trusted, and no schedule refuses anybody then."""
        self.was_clock_needed = True
        self.note(rule, "clock_untrusted", SKIP)
