"""What one lane remembers of attempts for a short while: wrong codes, repeated strangers, the first of two, the first
card of the day; and whether the office wants the lane to stand open now."""

from dataclasses import dataclass, field
from datetime import datetime

from gatectl.core.model import Attempt, ClockTrust, Decision, LaneId, LaneMode, LanePolicy, Verdict, WhitelistView
from gatectl.core.reasons import Reason
from gatectl.core.schedule import epoch_s, is_open

CODE_PREFIX = "code:"
HAMMER_COUNT = 5
"""Wrong codes that lock the keypad, or unknown cards that raise an alarm (DOMAIN 2.2: "on 5/min")…"""
HAMMER_WINDOW_S = 60
"""…within so long."""
KEYPAD_LOCK_S = 60
SECOND_PERSON_S = 15
"""So long the second person of two is awaited."""
HELD_OPEN = "held_open"
SCHEDULE_PREFIX = "schedule:"
_S = 1_000_000_000


@dataclass(slots=True)
class AttemptWatch:
    """One lane's short memory. Times are monotonic ns."""

    is_first_card_seen: bool = False
    _wrong_codes_ns: list[int] = field(default_factory=list)
    _unknown_cards_ns: list[int] = field(default_factory=list)
    _locked_until_ns: int = 0
    _hammer_quiet_until_ns: int = 0
    _first: str = ""
    _first_until_ns: int = 0

    def is_keypad_locked(self, tick_ns: int) -> bool:
        """Too many wrong codes a moment ago."""
        return tick_ns < self._locked_until_ns

    def first_of_two(self, tick_ns: int) -> str | None:
        """Whose right was shown, while the second person is awaited."""
        return self._first if self._first and tick_ns < self._first_until_ns else None

    def forget_first(self) -> None:
        """The first of two has gone, was refused, or is let in."""
        self._first = ""

    def heard(self, attempt: Attempt, decision: Decision, tick_ns: int) -> str:
        """Remember an attempt. Returns the words of an alarm, or ""."""
        self._pairs(decision, tick_ns)
        if decision.verdict is Verdict.GRANTED and decision.grant is not None:
            self.is_first_card_seen = True
        if attempt.key is None:
            return ""
        if attempt.key.startswith(CODE_PREFIX):
            return self._code(decision, tick_ns)
        if decision.reason is not Reason.CARD_UNKNOWN:
            return ""
        self._unknown_cards_ns = _recent(self._unknown_cards_ns, tick_ns)
        if len(self._unknown_cards_ns) < HAMMER_COUNT or tick_ns < self._hammer_quiet_until_ns:
            return ""
        self._hammer_quiet_until_ns = tick_ns + HAMMER_WINDOW_S * _S
        return f"{len(self._unknown_cards_ns)} unknown cards within {HAMMER_WINDOW_S} s"

    def _pairs(self, decision: Decision, tick_ns: int) -> None:
        grant = decision.grant
        if decision.reason is Reason.TWO_PERSON and grant is not None:
            self._first, self._first_until_ns = grant.subject or grant.key, tick_ns + SECOND_PERSON_S * _S

    def _code(self, decision: Decision, tick_ns: int) -> str:
        if decision.verdict is Verdict.GRANTED:
            self._wrong_codes_ns = []
        if decision.verdict is not Verdict.DENIED or decision.reason is Reason.KEYPAD_LOCKED:
            return ""
        self._wrong_codes_ns = _recent(self._wrong_codes_ns, tick_ns)
        if len(self._wrong_codes_ns) < HAMMER_COUNT:
            return ""
        self._locked_until_ns = tick_ns + KEYPAD_LOCK_S * _S
        return f"{HAMMER_COUNT} wrong codes within {HAMMER_WINDOW_S} s: keypad locked for {KEYPAD_LOCK_S} s"


def _recent(ticks: list[int], tick_ns: int) -> list[int]:
    return [*(t for t in ticks if tick_ns - t < HAMMER_WINDOW_S * _S), tick_ns]


@dataclass(slots=True)
class OpenHours:
    """Whether the office's mode or schedule holds one lane open. An untrusted clock neither begins nor ends that."""

    why: str = ""
    """`held_open`, `schedule:<id>`, or "" when nothing does."""

    def look(self, view: WhitelistView, lane: LaneId, at: datetime, clock: ClockTrust, watch: AttemptWatch) -> str:
        """Look at the policy now; returns the new `why`."""
        policy = view.policies.get(lane)
        self.why = "" if policy is None else self._stands_open(policy, view, at, clock, watch)
        return self.why

    def _stands_open(
        self, policy: LanePolicy, view: WhitelistView, at: datetime, clock: ClockTrust, watch: AttemptWatch
    ) -> str:
        hours = self._hours(policy, view, at, clock, watch)
        is_trusted = clock is not ClockTrust.UNTRUSTED
        until_s = policy.mode_until_s
        if policy.mode is LaneMode.HELD_OPEN and not is_trusted and until_s is not None:
            return HELD_OPEN if self.why == HELD_OPEN else hours
        if policy.mode is LaneMode.NORMAL or (until_s is not None and not (is_trusted and epoch_s(at) < until_s)):
            return hours
        # A lane that the office has closed is not opened by its hours.
        return HELD_OPEN if policy.mode is LaneMode.HELD_OPEN else ""

    def _hours(
        self, policy: LanePolicy, view: WhitelistView, at: datetime, clock: ClockTrust, watch: AttemptWatch
    ) -> str:
        schedule = view.schedules.get(policy.open_schedule or "")
        if schedule is None:
            return ""
        why = f"{SCHEDULE_PREFIX}{schedule.id}"
        if clock is ClockTrust.UNTRUSTED:
            return why if self.why == why else ""
        if not is_open(schedule, at, view.calendar):
            watch.is_first_card_seen = False
            return ""
        return why if watch.is_first_card_seen or not policy.is_first_card_in else ""
