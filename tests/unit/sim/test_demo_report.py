"""The demo's judge: it must see what went wrong, not only what went right."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from gatectl.cli.demo_report import Report, make_report
from gatectl.core.model import (
    AccessEvent,
    ClockTrust,
    CredentialKey,
    Direction,
    EventKind,
    GateId,
    LaneId,
    LaneKind,
    PlateColour,
    PlateRead,
    Verdict,
)
from gatectl.core.reasons import Reason
from gatectl.sim.cast import Part
from gatectl.sim.plan import LanePlan
from gatectl.sim.site import LaneStage
from gatectl.sim.traffic import Presentation

LANE = LanePlan("g-walk", "g", "s", LaneKind.PEDESTRIAN, Direction.IN, 0, "rfid_serial", "入", "in")
SECOND_NS = 1_000_000_000


class Relay:
    """Stands where a lane's stage stands: only what its relay was seen to do."""

    def __init__(self, opened_ticks: list[int]) -> None:
        self.opened_ticks = opened_ticks


def a_card(at_s: int, must: Verdict = Verdict.GRANTED, opened: bool = True) -> Presentation:
    shown = at_s * SECOND_NS
    return Presentation(
        LANE,
        must,
        Part.RIGHTFUL if must is Verdict.GRANTED else Part.LOST,
        card=CredentialKey("em:0000000001"),
        shown_ns=shown,
        opened_ns=shown + 8_000_000 if opened else 0,
    )


def an_event(at_s: int, verdict: Verdict = Verdict.GRANTED, **changes: Any) -> AccessEvent:
    event = AccessEvent(
        id=f"e{at_s}",
        kind=EventKind.ACCESS,
        gate=GateId("g"),
        lane=LaneId("g-walk"),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        boot_id="b",
        mono_ns=at_s * SECOND_NS + 3_000_000,
        clock=ClockTrust.SYNCED,
        reason=Reason.CARD_OK,
        verdict=verdict,
        credential=CredentialKey("em:0000000001"),
    )
    return replace(event, **changes)


def judged(shown: list[Presentation], events: list[AccessEvent], extra_openings: int = 0) -> Report:
    ticks = [seen.opened_ns for seen in shown if seen.opened_ns] + [1] * extra_openings
    stage = cast("LaneStage", Relay(ticks))
    return make_report(1, {"g-walk": shown}, {"g-walk": stage}, {"g-walk": events})


def test_a_granted_card_and_a_denied_one_are_right() -> None:
    report = judged([a_card(1), a_card(5, Verdict.DENIED, False)], [an_event(1), an_event(5, Verdict.DENIED)])
    assert (report.attempts, report.events_central, report.lost, report.wrong_decisions) == (2, 2, 0, 0)
    assert report.tap_ms == [8.0]


def test_an_event_that_never_arrived_is_lost() -> None:
    report = judged([a_card(1), a_card(5)], [an_event(5)])
    assert report.lost == 1


def test_a_second_event_for_one_tap_is_a_double() -> None:
    report = judged([a_card(1)], [an_event(1), an_event(1, id="again")])
    assert report.duplicated == 1


@pytest.mark.parametrize(
    ("seen", "event"),
    [
        (a_card(1, Verdict.DENIED, True), an_event(1)),
        (a_card(1, Verdict.GRANTED, False), an_event(1, Verdict.DENIED)),
        (a_card(1, Verdict.GRANTED, False), an_event(1)),
    ],
)
def test_a_stranger_let_in_a_resident_refused_and_a_relay_that_stayed_shut_are_wrong(
    seen: Presentation, event: AccessEvent
) -> None:
    assert judged([seen], [event]).wrong_decisions >= 1


def test_a_relay_that_closed_for_nobody_is_wrong() -> None:
    assert judged([a_card(1)], [an_event(1)], extra_openings=1).wrong_decisions == 1


def test_a_resident_held_for_an_unread_plate_is_wrongly_held_not_wrongly_decided() -> None:
    seen = replace(a_card(1, Verdict.GRANTED, False), card=None, plate="粤E12345", colour=PlateColour.BLUE)
    read = PlateRead("粤E1234", 0.4, PlateColour.BLUE, 2)
    report = judged([seen], [an_event(1, Verdict.HELD, plate=read, credential=None, reason=Reason.PLATE_LOW_CONF)])
    assert (report.wrongly_held, report.wrong_decisions, report.plates, report.plates_exact) == (1, 0, 1, 0)


def test_a_whole_town_with_too_few_attempts_is_not_ok_and_a_small_one_is() -> None:
    small = judged([a_card(1)], [an_event(1)])
    assert small.is_ok
    assert not replace(small, gates=20).is_ok
