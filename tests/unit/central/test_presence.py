"""Who is inside: each passage counts once, in its own time, and the other gates hear what they need."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, insert, select, update

from gatectl.central import presence, tables
from gatectl.central.intake import Arrival, Quarantine, ingest_batch
from gatectl.core.model import (
    AccessEvent,
    ClockTrust,
    CredentialKey,
    Crossing,
    Direction,
    EventKind,
    GateId,
    LaneId,
    Occupancy,
)
from gatectl.core.occupancy import crossed
from gatectl.core.reasons import Reason
from gatectl.errors import PayloadError
from gatectl.wire.events import GENESIS, event_row, event_text
from gatectl.wire.messages import (
    INSIDE_TAG,
    InsideList,
    PassageNews,
    Passages,
    decode_inside,
    decode_passages,
    encode_inside,
    encode_passages,
)
from gatectl.wire.signed import seal

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = (KEY.public_key(),)
SITES = {"south": "danzao", "north": "danzao", "lake": "xianhu"}
CAR = "plate:粤E12345"
IN: dict[str, Any] = {"lane": LaneId("south-in"), "direction": Direction.IN}
OUT: dict[str, Any] = {"lane": LaneId("north-out"), "direction": Direction.OUT, "gate": GateId("north")}
ENTRY = Crossing(CAR, "", "yard", is_vehicle=True)
EXIT = Crossing(CAR, "yard", "", is_vehicle=True)


@pytest.fixture
def yard(conn: Connection) -> Connection:
    """Cars come in at the south and leave at the north, into and out of one area."""
    conn.execute(insert(tables.lane_policies).values(lane_id="south-in", area_to="yard", short_stay_s=900))
    conn.execute(insert(tables.lane_policies).values(lane_id="south-walk", area_to="yard"))
    conn.execute(insert(tables.lane_policies).values(lane_id="north-out", area_from="yard"))
    conn.execute(insert(tables.households).values(id="h1", site_id="danzao", building="3", room="501", created_at=0))
    return conn


class Gates:
    """Sends passages as gates do, each in its own chain."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._ends: dict[str, tuple[int, str]] = {}
        self.rows: list[Arrival] = []

    def event(self, at_s: float = 0, **changes: Any) -> AccessEvent:
        fields: dict[str, Any] = {
            "kind": EventKind.PASSAGE,
            "gate": GateId("south"),
            "at": NOW + timedelta(seconds=at_s),
            "boot_id": "b",
            "mono_ns": 0,
            "clock": ClockTrust.SYNCED,
            "reason": Reason.PASSED,
            "outcome": "passed",
            "household": "h1",
            **IN,
        }
        fields |= changes
        return AccessEvent(**{"id": f"e{len(self.rows)}", **fields})

    def write(self, event: AccessEvent) -> Arrival:
        gate = str(event.gate)
        seq, previous = self._ends.get(gate, (0, GENESIS))
        row = event_row("ep", seq + 1, previous, event_text(event, "5a" * 16))
        self._ends[gate] = (seq + 1, row.hash)
        self.rows.append(Arrival(gate, row))
        return self.rows[-1]

    def send(self, *arrivals: Arrival, now_s: float = 3600) -> tuple[PassageNews, ...]:
        now_ms = NOW_MS + int(now_s * 1000)
        taken = ingest_batch(self._conn, arrivals, SITES, Quarantine(), now_ms)
        news = presence.count_passages(self._conn, taken.passages, SITES, now_ms)
        return tuple(item for message in news for item in message.items)

    def passed(self, at_s: float = 0, **changes: Any) -> tuple[PassageNews, ...]:
        return self.send(self.write(self.event(at_s, **changes)))


@pytest.fixture
def gates(yard: Connection) -> Gates:
    return Gates(yard)


def inside(conn: Connection) -> dict[str, tuple[str, int]]:
    """By subject: the area, and the second after NOW of the entry."""
    return {
        entry.subject: (entry.area, entry.since_s - NOW_MS // 1000)
        for entry in presence.inside_list(conn, "danzao", NOW).inside
    }


def strangers(conn: Connection) -> int:
    return presence.inside_list(conn, "danzao", NOW).strangers.get("yard", 0)


def uses(conn: Connection) -> dict[str, int]:
    return presence.inside_list(conn, "danzao", NOW).uses


def test_an_entry_puts_a_car_inside_and_its_exit_takes_it_out(gates: Gates, yard: Connection) -> None:
    (news,) = gates.passed(10, credential=CredentialKey(CAR), crossing=ENTRY)
    assert inside(yard) == {CAR: ("yard", 10)}
    assert (news.subject, news.area_from, news.area_to, news.dir, news.is_vehicle) == (CAR, "", "yard", "in", True)
    assert (news.gate, news.epoch, news.seq, news.household, news.ref) == ("south", "ep", 1, "h1", "e0")
    (news,) = gates.passed(20, credential=CredentialKey(CAR), crossing=EXIT, **OUT)
    assert (news.gate, news.area_from, news.area_to, news.dir) == ("north", "yard", "", "out")
    assert (inside(yard), strangers(yard)) == ({}, 0)


def test_a_gate_that_sends_its_backlog_again_counts_nobody_twice(gates: Gates, yard: Connection) -> None:
    entry = gates.write(gates.event(credential=CredentialKey(CAR), crossing=Crossing("", "", "yard", is_vehicle=True)))
    assert len(gates.send(entry)) == 1
    assert gates.send(entry, entry) == ()
    assert strangers(yard) == 1


def test_only_completed_passages_count(gates: Gates, yard: Connection) -> None:
    assert gates.passed(outcome="not_entered", crossing=ENTRY) == ()
    assert gates.passed(kind=EventKind.ACCESS, crossing=ENTRY) == ()
    assert inside(yard) == {}


def test_a_second_entry_without_an_exit_moves_and_doubles_nothing(gates: Gates, yard: Connection) -> None:
    gates.passed(10, crossing=ENTRY)
    gates.passed(50, crossing=ENTRY)
    assert (inside(yard), strangers(yard)) == ({CAR: ("yard", 50)}, 0)


def test_a_walk_from_yard_to_garage_moves(gates: Gates, yard: Connection) -> None:
    gates.passed(10, crossing=ENTRY)
    gates.passed(20, crossing=Crossing(CAR, "yard", "garage", is_vehicle=True))
    assert inside(yard) == {CAR: ("garage", 20)}


def test_an_entry_told_late_does_not_bring_back_who_has_left_since(gates: Gates, yard: Connection) -> None:
    late = gates.write(gates.event(10, credential=CredentialKey(CAR), crossing=replace_uses(ENTRY, CAR)))
    gates.passed(20, crossing=EXIT, **OUT)
    (news,) = gates.send(late)
    assert inside(yard) == {}
    assert (news.subject, news.area_to, news.is_vehicle, news.uses_key) == ("", "", False, CAR)
    assert uses(yard) == {CAR: 1}


def test_an_exit_told_late_does_not_take_out_who_has_come_back_since(gates: Gates, yard: Connection) -> None:
    late = gates.write(gates.event(10, crossing=EXIT, **OUT))
    gates.passed(20, crossing=ENTRY)
    gates.send(late)
    assert inside(yard) == {CAR: ("yard", 20)}


def test_one_batch_is_counted_in_the_order_of_its_times(gates: Gates, yard: Connection) -> None:
    leaving = gates.write(gates.event(20, crossing=EXIT, **OUT))
    coming = gates.write(gates.event(10, crossing=ENTRY))
    gates.send(leaving, coming)
    assert inside(yard) == {}


def test_a_clock_that_is_not_trusted_or_runs_ahead_gives_central_s_time(gates: Gates, yard: Connection) -> None:
    gates.passed(-(10**9), crossing=ENTRY, clock=ClockTrust.UNTRUSTED)
    assert inside(yard) == {CAR: ("yard", 3600)}
    gates.passed(10**9, crossing=ENTRY)
    assert inside(yard) == {CAR: ("yard", 3600)}
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    (news,) = gates.passed(crossing=EXIT, at=first, **OUT)
    assert news.at == datetime(1970, 1, 1, tzinfo=UTC)


def test_unknown_cars_are_counted_and_a_known_one_that_came_in_unread_ends_that(gates: Gates, yard: Connection) -> None:
    for _ in range(2):
        gates.passed(crossing=Crossing("", "", "yard", is_vehicle=True))
    assert (strangers(yard), inside(yard)) == (2, {})
    gates.passed(crossing=EXIT, **OUT)
    assert strangers(yard) == 1
    for _ in range(3):
        gates.passed(crossing=Crossing("", "yard", "", is_vehicle=True), **OUT)
    assert strangers(yard) == 0


def replace_uses(crossing: Crossing, key: str) -> Crossing:
    return Crossing(crossing.subject, crossing.area_from, crossing.area_to, crossing.is_vehicle, 0, key)


def add_credential(conn: Connection, key: str, **changes: Any) -> None:
    values = {"id": key, "site_id": "danzao", "household_id": "h1", "kind": "card", "key": key, "state": "active"}
    conn.execute(insert(tables.credentials).values(values | {"created_at": 0, "changed_at": 0} | changes))


def test_an_event_that_does_not_say_is_counted_by_its_lane_and_its_credential(gates: Gates, yard: Connection) -> None:
    add_credential(yard, CAR, kind="plate", uses=1, max_stay_s=600)
    (news,) = gates.passed(5, credential=CredentialKey(CAR), subject="p1")
    assert (news.subject, news.area_to, news.max_stay_s, news.uses_key) == (CAR, "yard", 600, CAR)
    (news,) = gates.passed(6, credential=CredentialKey("em:01"), subject="p1", lane=LaneId("south-walk"))
    assert (news.subject, news.is_vehicle, news.uses_key) == ("p1", False, "")
    (news,) = gates.passed(7, lane=LaneId("south-in"))
    assert (news.subject, news.max_stay_s, news.is_vehicle) == ("", 900, True)
    (news,) = gates.passed(8, credential=CredentialKey("pass:abc"), lane=LaneId("south-walk"))
    assert (news.subject, news.uses_key) == ("pass:abc", "pass:abc")
    (news,) = gates.passed(9, credential=CredentialKey(CAR), **OUT)
    assert (news.dir, news.uses_key, news.max_stay_s) == ("out", "", 0)
    assert set(inside(yard)) == {"p1", "pass:abc"}


def test_a_lane_that_nobody_knows_counts_nothing(gates: Gates, yard: Connection) -> None:
    (news,) = gates.passed(lane=LaneId("gone"), credential=CredentialKey("em:01"), subject="p1")
    assert (news.area_from, news.area_to) == ("", "")
    assert inside(yard) == {}


def add_visit(conn: Connection, **changes: Any) -> None:
    add_credential(conn, "code:1", kind="code")
    add_credential(conn, "plate:粤E99999", kind="plate")
    values = {
        "id": "v1",
        "site_id": "danzao",
        "household_id": "h1",
        "visitor_name": "王",
        "valid_from_s": 0,
        "valid_until_s": 2**31,
        "uses": 1,
        "code_credential_id": "code:1",
        "plate_credential_id": "plate:粤E99999",
        "pass_nonce": "n1",
        "created_at": 0,
    }
    conn.execute(insert(tables.visits).values(values | changes))


def visit_state(conn: Connection) -> str:
    return str(conn.execute(select(tables.visits.c.state)).scalar_one())


def test_an_entry_on_one_credential_of_a_visit_uses_up_the_others_at_every_gate(gates: Gates, yard: Connection) -> None:
    add_visit(yard)
    crossing = Crossing("code:1", "", "yard", uses_key="code:1")
    own, *others = gates.passed(credential=CredentialKey("code:1"), crossing=crossing)
    assert (own.gate, own.uses_key) == ("south", "code:1")
    assert {(item.gate, item.uses_key, item.subject) for item in others} == {
        ("", "plate:粤E99999", ""),
        ("", "pass:n1", ""),
    }
    assert uses(yard) == {"code:1": 1, "plate:粤E99999": 1, "pass:n1": 1}
    assert visit_state(yard) == "arrived"
    gates.passed(credential=CredentialKey("plate:粤E99999"), crossing=Crossing(area_from="yard"), **OUT)
    assert visit_state(yard) == "left"


def test_a_visit_without_a_limit_uses_up_nothing_and_a_cancelled_one_stays_cancelled(
    gates: Gates, yard: Connection
) -> None:
    add_visit(yard, uses=None, state="cancelled")
    news = gates.passed(credential=CredentialKey("pass:n1"), crossing=Crossing("pass:n1", "", "yard"))
    assert (len(news), uses(yard), visit_state(yard)) == (1, {}, "cancelled")


def test_who_has_no_more_part_in_the_site_is_no_longer_inside_and_the_car_stays_a_stranger(
    gates: Gates, yard: Connection
) -> None:
    person = {"id": "p1", "household_id": "h1", "site_id": "danzao", "name": "王", "created_at": 0}
    yard.execute(insert(tables.cardholders).values(person))
    add_credential(yard, CAR, kind="plate")
    gates.passed(crossing=ENTRY)
    gates.passed(crossing=Crossing("p1", "", "yard"))
    gates.passed(crossing=Crossing("p2", "", "yard"), household="h2")
    assert presence.forget_gone(yard, "danzao") == 0
    yard.execute(update(tables.cardholders).values(removed_at=1))
    yard.execute(update(tables.credentials).values(state="revoked"))
    assert presence.forget_gone(yard, "danzao") == 2
    assert (set(inside(yard)), strangers(yard)) == ({"p2"}, 1)


def test_a_closed_household_is_no_longer_inside(gates: Gates, yard: Connection) -> None:
    gates.passed(crossing=Crossing("p1", "", "yard"))
    yard.execute(update(tables.households).values(closed_at=1))
    assert presence.forget_gone(yard, "danzao") == 1


def test_uses_and_departures_are_forgotten_when_they_can_matter_no_more(gates: Gates, yard: Connection) -> None:
    gates.passed(crossing=Crossing("code:1", "yard", "", uses_key="code:1"))
    presence.prune(yard, NOW_MS + presence.KEEP_DEPARTURES_MS - 1)
    assert len(yard.execute(select(tables.departures)).all()) == 1
    presence.prune(yard, NOW_MS + presence.KEEP_DEPARTURES_MS)
    assert len(yard.execute(select(tables.departures)).all()) == 0
    assert uses(yard) == {"code:1": 1}
    later = NOW + timedelta(milliseconds=presence.KEEP_USES_MS + 3_600_000)
    assert presence.inside_list(yard, "danzao", later).uses == {}
    presence.prune(yard, int(later.timestamp() * 1000))
    assert yard.execute(select(tables.pass_uses)).all() == []


def test_sites_are_counted_apart(gates: Gates, yard: Connection) -> None:
    at_lake = gates.write(gates.event(gate=GateId("lake"), lane=LaneId("lake-in"), crossing=ENTRY))
    here = gates.write(gates.event(crossing=ENTRY))
    taken = ingest_batch(yard, [at_lake, here], SITES, Quarantine(), NOW_MS)
    messages = presence.count_passages(yard, taken.passages, SITES, NOW_MS)
    assert {(message.site, message.items[0].gate) for message in messages} == {("xianhu", "lake"), ("danzao", "south")}
    assert len(presence.inside_list(yard, "xianhu", NOW).inside) == 1


def test_a_long_backlog_is_told_in_parts_of_two_hundred(gates: Gates, yard: Connection) -> None:
    rows = [gates.write(gates.event(n, crossing=Crossing(f"p{n}", "", "yard"))) for n in range(450)]
    taken = ingest_batch(yard, rows, SITES, Quarantine(), NOW_MS)
    messages = presence.count_passages(yard, taken.passages, SITES, NOW_MS)
    assert [len(message.items) for message in messages] == [200, 200, 50]
    assert len(inside(yard)) == 450


@contextmanager
def fresh_site() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as conn:
        tables.metadata.create_all(conn)
        conn.execute(insert(tables.sites).values(id="danzao", name_zh="丹", name_en="Danzao"))
        for gate in ("south", "north"):
            conn.execute(insert(tables.gates).values(id=gate, site_id="danzao", name_zh=gate, name_en=gate))
        yield conn
    engine.dispose()


SUBJECTS = st.sampled_from(["plate:粤E11111", "plate:粤E22222", ""])
STEPS = st.lists(st.tuples(SUBJECTS, st.booleans(), st.integers(1, 5)), max_size=12)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_a_gate_that_counts_the_news_agrees_with_central(steps: list[tuple[str, bool, int]]) -> None:
    with fresh_site() as conn:
        gates, seen, at_s = Gates(conn), Occupancy(), 0
        for subject, is_entry, gap_s in steps:
            at_s += gap_s
            crossing = Crossing(subject, "" if is_entry else "yard", "yard" if is_entry else "", is_vehicle=True)
            where = IN if is_entry else OUT
            for item in gates.passed(at_s, crossing=crossing, **where):
                seen = crossed(
                    seen,
                    subject=item.subject,
                    area_from=item.area_from,
                    area_to=item.area_to,
                    at_s=int(item.at.timestamp()),
                    household=item.household,
                    is_vehicle=item.is_vehicle,
                    max_stay_s=item.max_stay_s,
                    uses_key=item.uses_key,
                )
        central = presence.inside_list(conn, "danzao", NOW)
        assert {entry.subject: entry.since_s for entry in central.inside} == {
            subject: found.since_s for subject, found in seen.inside.items()
        }


# --- on the wire ---


def test_news_and_the_list_come_back_as_they_were_sealed() -> None:
    item = PassageNews(gate="south", epoch="e", seq=1, subject=CAR, area_to="yard", dir="in", at=NOW)
    news = Passages(site="danzao", items=(item,))
    assert decode_passages(encode_passages(news, KEY), KEYS) == news
    whole = InsideList(site="danzao", at=NOW, uses={"code:1": 2}, strangers={"yard": 1})
    payload = encode_inside(whole, KEY)
    assert payload.startswith(INSIDE_TAG)
    assert decode_inside(payload, KEYS) == whole


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"D" + encode_inside(InsideList(site="danzao", at=NOW), KEY)[1:],
        encode_inside(InsideList(site="danzao", at=NOW), Ed25519PrivateKey.generate()),
        encode_inside(InsideList(site="danzao", at=NOW), KEY)[:-1],
        INSIDE_TAG + seal(b"no zlib", "inside", KEY),
        INSIDE_TAG + encode_passages(Passages(site="danzao", items=()), KEY),
    ],
)
def test_a_list_that_is_not_genuine_or_not_whole_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_inside(payload, KEYS)


def test_a_list_that_is_cut_short_under_a_good_seal_is_refused() -> None:
    body = zlib.compress(InsideList(site="danzao", at=NOW).model_dump_json().encode())[:-6]
    with pytest.raises(PayloadError, match="cut short"):
        decode_inside(INSIDE_TAG + seal(body, "inside", KEY), KEYS)


def test_news_signed_for_something_else_is_refused() -> None:
    body = Passages(site="danzao", items=()).model_dump_json().encode()
    with pytest.raises(PayloadError):
        decode_passages(seal(body, "ack", KEY), KEYS)
