"""Who is inside: counted at this gate, heard from the others, kept over a restart."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from builders import NOON, NOON_S

from gatectl.core.model import AccessEvent, ClockTrust, Crossing, EventKind, GateId, Inside, Occupancy
from gatectl.core.reasons import Reason
from gatectl.edge.presence import KEEP_USES_S, Presence
from gatectl.wire.messages import InsideEntry, InsideList, PassageNews, Passages

CAR = "plate:粤E12345"


def a_passage(at: datetime = NOON, household: str = "h1", **changes: Any) -> AccessEvent:
    fields: dict[str, Any] = {"subject": CAR, "area_to": "site", "is_vehicle": True} | changes
    return AccessEvent(
        "e1",
        EventKind.PASSAGE,
        GateId("north"),
        None,
        at,
        "boot",
        1,
        ClockTrust.SYNCED,
        Reason.PASSED,
        household=household,
        crossing=Crossing(**fields),
    )


def some_news(gate: str, **changes: Any) -> Passages:
    fields: dict[str, Any] = {
        "gate": gate,
        "subject": CAR,
        "area_to": "site",
        "is_vehicle": True,
        "dir": "in",
        "at": NOON,
    } | changes
    return Passages(site="home", items=(PassageNews(**fields),))


def kept_by(*changes: dict[str, str]) -> dict[str, str]:
    stored: dict[str, str] = {}
    for change in changes:
        stored |= change
    return {name: value for name, value in stored.items() if value}


def restored(kept: dict[str, str], now_s: int = NOON_S) -> Occupancy:
    presence = Presence()
    presence.restore(kept, now_s)
    return presence.occupancy


def test_what_was_kept_comes_back_after_a_restart() -> None:
    presence = Presence()
    kept = kept_by(
        presence.took_place(a_passage(uses_key="pass:n", max_stay_s=60)),
        presence.took_place(a_passage(subject="plate:b", household="h1")),
        presence.took_place(a_passage(subject="", household="")),
        presence.took_place(a_passage(subject="plate:b", area_from="site", area_to="")),
    )
    assert restored(kept) == presence.occupancy
    assert presence.occupancy.cars == {"h1": {CAR}}
    assert presence.occupancy.vehicles == {"site": 2}
    assert presence.occupancy.uses == {"pass:n": 1}


def test_a_use_is_forgotten_when_no_pass_can_be_that_old() -> None:
    presence = Presence()
    kept = presence.took_place(a_passage(uses_key="pass:n"))
    assert restored(kept, NOON_S + KEEP_USES_S - 1).uses == {"pass:n": 1}
    assert restored(kept, NOON_S + KEEP_USES_S).uses == {}


def test_a_value_that_cannot_be_read_costs_itself_only() -> None:
    kept = kept_by(Presence().took_place(a_passage())) | {"inside:x": "{", "uses:y": "[]", "vehicles:z": "many"}
    assert set(restored(kept).inside) == {CAR}


def test_an_event_without_a_crossing_counts_nothing() -> None:
    presence = Presence()
    assert presence.took_place(replace(a_passage(), crossing=None)) == {}
    assert presence.occupancy == Occupancy()


def test_other_gates_passages_are_counted_and_our_own_echo_is_not() -> None:
    presence = Presence()
    presence.took_place(a_passage(uses_key="pass:n"))
    assert presence.heard(some_news("north", uses_key="pass:n"), "north") == {}
    assert presence.occupancy.uses == {"pass:n": 1}
    kept = presence.heard(some_news("south", area_from="site", area_to="", dir="out"), "north")
    assert kept[f"inside:{CAR}"] == ""
    assert presence.occupancy.inside == {}


def test_centrals_count_replaces_ours_but_no_use_is_forgotten_and_no_young_passage() -> None:
    presence = Presence()
    presence.took_place(a_passage(at=NOON - timedelta(hours=1), subject="plate:gone", uses_key="pass:a"))
    presence.took_place(a_passage(at=NOON - timedelta(seconds=5), subject="plate:young"))
    count = InsideList(
        site="home",
        at=NOON,
        inside=(InsideEntry(subject=CAR, area="site", since_s=NOON_S - 9, household="h1", is_vehicle=True),),
        uses={"pass:b": 2},
        strangers={"site": 3},
    )
    kept = presence.replace(count)
    assert set(presence.occupancy.inside) == {CAR, "plate:young"}
    assert presence.occupancy.inside[CAR] == Inside("site", NOON_S - 9, "h1", is_vehicle=True)
    assert presence.occupancy.uses == {"pass:a": 1, "pass:b": 2}
    assert presence.occupancy.vehicles == {"site": 5}
    assert kept["inside:plate:gone"] == ""


def test_who_is_overdue_is_told_once_a_visit() -> None:
    presence = Presence()
    presence.took_place(a_passage(max_stay_s=60))
    assert presence.newly_overdue(NOON_S + 60) == ()
    assert [subject for subject, _ in presence.newly_overdue(NOON_S + 61)] == [CAR]
    assert presence.newly_overdue(NOON_S + 99) == ()
    presence.took_place(a_passage(area_from="site", area_to=""))
    assert presence.newly_overdue(NOON_S + 100) == ()
    presence.took_place(a_passage(at=datetime(2026, 11, 24, tzinfo=UTC), max_stay_s=60))
    assert len(presence.newly_overdue(NOON_S + 10**6)) == 1
