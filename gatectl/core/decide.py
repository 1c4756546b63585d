"""Who may pass: `decide` is pure, total and fast; every answer carries its reason and the rules that were asked.

The order is part of the contract, because the first rule that refuses gives the words at the lane:
emergency, identity, withdrawn credential, standing open, doubt about the identity, closed lane, validity, lane and
schedule, uses, anti-passback, quota and capacity, interlock, guard, second person.
"""

from dataclasses import dataclass, replace

from gatectl.core import rights
from gatectl.core.case import FAIL, PASS, Case
from gatectl.core.identify import Found, identify
from gatectl.core.model import Attempt, Decision, Grant, LaneState, Verdict, WhitelistView
from gatectl.core.reasons import REASONS, Reason

VERDICTS = {reason: Verdict(info.verdict) for reason, info in REASONS.items() if info.verdict is not None}
"""What each reason means at an entry."""
_PLAIN = frozenset(
    {
        Reason.CARD_OK,
        Reason.PIN_OK,
        Reason.QR_OK,
        Reason.VISITOR_OK,
        Reason.RIDER_OK,
        Reason.PLATE_OK,
        Reason.PLATE_VISITOR,
        Reason.NO_PLATE_OK,
        Reason.HOUSEHOLD_CARD,
    }
)
"""Grants that CLOCK_UNTRUSTED takes the place of when a rule could not ask the clock."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    reason: Reason
    grant: Grant | None = None
    subject: str = ""


def decide(attempt: Attempt, view: WhitelistView, state: LaneState) -> Decision:
    """The answer to one attempt on one revision of the whitelist. Never raises, blocks, logs or reads a clock."""
    case = Case(attempt, view, state)
    outcome = _entry(case)
    if case.is_exit:
        outcome = _exit(case, outcome)
    elif case.was_clock_needed and outcome.reason in _PLAIN:
        outcome = replace(outcome, reason=Reason.CLOCK_UNTRUSTED)
    grant = outcome.grant
    verdict = VERDICTS[outcome.reason]
    stay_s = case.max_stay_s or (grant.max_stay_s if grant is not None else 0)
    return Decision(
        verdict=verdict,
        reason=outcome.reason,
        trace=tuple(case.steps),
        grant=grant,
        revision=view.revision,
        subject=outcome.subject,
        uses_key=grant.key if grant is not None and grant.uses is not None else "",
        max_stay_s=stay_s if verdict is Verdict.GRANTED and not case.is_exit else 0,
        link_policy=case.link_policy,
        alarm=case.alarm,
    )


def _exit(case: Case, outcome: _Outcome) -> _Outcome:
    """Exits open for everything, always (DOMAIN 1.6); what failed stays in the trace."""
    if VERDICTS[outcome.reason] is Verdict.GRANTED:
        return outcome
    case.note("exit_open", outcome.reason.name, PASS)
    if REASONS[outcome.reason].severity == "major":
        case.alarm = outcome.reason
    return replace(outcome, reason=Reason.EXIT_FREE)


def _entry(case: Case) -> _Outcome:
    """The rules in their order. An exit is asked only whose credential it is."""
    if case.state.is_emergency:
        case.note("emergency", "held_open", PASS)
        return _Outcome(Reason.EMERGENCY_INPUT)
    found = identify(case)
    grant = found.grant
    subject = rights.subject_of(case, grant)
    refused = rights.withdrawn(case, found)
    if refused is not None:
        return _Outcome(refused, grant, subject)
    if found.is_emergency:
        return _Outcome(found.granted, subject=subject)
    if not case.is_exit and (reason := rights.standing_open(case)) is not None:
        return _Outcome(reason, grant, subject)
    if found.objection is not None or grant is None:
        return _stranger(case, found, subject)
    return _Outcome(_judge(case, found, grant, subject), grant, subject)


def _stranger(case: Case, found: Found, subject: str) -> _Outcome:
    """Nobody known, or nothing that can be judged any further."""
    reason = found.objection or Reason.CARD_UNKNOWN
    if reason is Reason.PLATE_UNKNOWN and not case.is_exit:
        closed = rights.closed(case, None)
        if closed is None and rights.short_stay(case):
            return _Outcome(Reason.PLATE_SHORT_STAY, subject=subject)
    return _Outcome(reason, found.grant, subject)


def _judge(case: Case, found: Found, grant: Grant, subject: str) -> Reason:
    """A known, active grant against the rules of the lane, the time and the site."""
    granted = found.granted
    if not case.is_exit and (refused := rights.closed(case, grant)) is not None:
        return refused
    refused = rights.valid_in_time(case, found, grant)
    if refused is not None:
        return refused
    refused = rights.at_this_lane(case, found, grant)
    if refused is found.words.wrong_gate and rights.household_card(case, grant):
        refused, granted = None, Reason.HOUSEHOLD_CARD
    if refused is not None or case.is_exit:
        return refused or granted
    return _enter(case, found, grant, subject, granted)


def _enter(case: Case, found: Found, grant: Grant, subject: str, granted: Reason) -> Reason:
    """What is asked of entries only: who is inside already, and who else must agree."""
    used = rights.used_up(case, found, grant)
    if used is not None:
        return used
    passback = rights.passed_back(case, subject)
    if passback is not None and passback is not Reason.PASSBACK_SOFT:
        return passback
    parked = rights.parked(case, grant, subject) if case.is_vehicle_lane else None
    if parked is not None and parked is not Reason.UNLOADING:
        return parked
    if case.state.is_interlocked:
        case.note("interlock", "other_lane_open", FAIL)
        return Reason.INTERLOCK
    if grant.asks_guard:
        case.note("guard", "asked_each_time", FAIL)
        return Reason.WAIT_GUARD
    return rights.second_person(case, grant) or parked or passback or granted
