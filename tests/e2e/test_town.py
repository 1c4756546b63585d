"""Two real gates of the demo's town, with their broker and central: what the office does, the next tap obeys."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from gatectl.central import gates as central_gates
from gatectl.central import residents, tables
from gatectl.central.audit import mark_dirty
from gatectl.central.database import writing
from gatectl.cli.demo_town import DemoTown
from gatectl.core.model import CredentialKey, EventKind, GrantState, InputName, Verdict
from gatectl.core.reasons import Reason
from gatectl.sim.cast import Part
from gatectl.sim.plan import load_town
from gatectl.sim.site import LaneStage

TOWN_FILE = Path(__file__).parents[2] / "config" / "danzao.toml"
GATE, WALK, CAR = "lanyuan-east", "lanyuan-east-walk", "lanyuan-east-car"
WAIT_S = 15.0
BETWEEN_TAPS_S = 2.2
"""Longer than the readers' repeat filter."""


def await_true(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    pytest.fail(f"did not happen within {timeout_s:.0f} s: {what}")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoTown]:
    folder = tmp_path_factory.mktemp("town")
    plan = load_town(TOWN_FILE).cut(2)
    with DemoTown(plan, folder, 18080, lambda _words: None, offline_gate=GATE) as running:
        running.start_central()
        running.build_street()
        running.start_gates(lambda _gate, _at: None)
        await_true(lambda: lists_are_out(running), "every gate has its list", 30)
        yield running


def lists_are_out(town: DemoTown) -> bool:
    assert town.engine is not None
    with town.engine.connect() as conn:
        return all(central_gates.list_effect(conn, site.id).is_everywhere for site in town.plan.sites)


def lane(town: DemoTown, name: str) -> LaneStage:
    assert town.town is not None
    return town.town.lanes[name]


def a_resident_card(town: DemoTown, number: int) -> CredentialKey:
    assert town.cast is not None
    return town.cast.sites["lanyuan"].residents[number].key


def last_reason(town: DemoTown, key: CredentialKey) -> Reason | None:
    assert town.engine is not None
    events = tables.events
    with town.engine.connect() as conn:
        found = conn.execute(
            select(events.c.reason)
            .where(events.c.credential == key, events.c.kind == EventKind.ACCESS.value)
            .order_by(events.c.seq.desc())
        ).scalar()
    return None if found is None else Reason(found)


def opens_for(stage: LaneStage, key: CredentialKey, patience_s: float = 3.0) -> bool:
    before = len(stage.opened_ticks)
    stage.tap(key)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and len(stage.opened_ticks) == before:
        time.sleep(0.01)
    return len(stage.opened_ticks) > before


def walk_through(stage: LaneStage) -> None:
    stage.sense(InputName.DOOR_OPEN, True)
    time.sleep(0.3)
    stage.sense(InputName.DOOR_OPEN, False)


def test_a_lost_card_is_refused_at_the_next_tap_and_opens_again_when_found(town: DemoTown) -> None:
    stage, key = lane(town, WALK), a_resident_card(town, 0)
    assert opens_for(stage, key)
    walk_through(stage)
    await_true(lambda: last_reason(town, key) is Reason.CARD_OK, "the office sees the tap")
    assert town.engine is not None
    for state, reason in ((GrantState.LOST, Reason.CARD_LOST), (GrantState.ACTIVE, Reason.CARD_OK)):
        with writing(town.engine) as conn:
            residents.set_card_state(conn, "office", key, state)
        await_true(lambda: lists_are_out(town), "the new list is everywhere", 5)
        time.sleep(BETWEEN_TAPS_S)
        assert opens_for(stage, key, 1.5) == (state is GrantState.ACTIVE)
        await_true(lambda wanted=reason: last_reason(town, key) is wanted, f"the office sees {reason.name}")  # type: ignore[misc]


def test_a_new_residents_card_opens_and_a_removed_ones_does_not(town: DemoTown) -> None:
    assert town.engine is not None
    stage, key = lane(town, WALK), CredentialKey("em:7E00000001")
    with writing(town.engine) as conn:
        household = residents.add_household(conn, "office", "lanyuan", "77", "1", "101")
        person = residents.add_person(conn, "office", household, "新住户", "", "owner")
        residents.issue_card(conn, "office", person, "7E00000001")
    await_true(lambda: lists_are_out(town), "the new list is everywhere")
    assert opens_for(stage, key)
    walk_through(stage)
    with writing(town.engine) as conn:
        residents.remove_person(conn, "office", person)
    await_true(lambda: lists_are_out(town), "the new list is everywhere")
    time.sleep(BETWEEN_TAPS_S)
    assert not opens_for(stage, key, 1.5)
    await_true(lambda: last_reason(town, key) is Reason.CARD_REVOKED, "the office sees the refusal")


def test_a_remote_open_is_confirmed_by_the_arm_and_names_its_reason(town: DemoTown) -> None:
    stage = lane(town, CAR)
    before = len(stage.opened_ticks)
    command = [sys.executable, "-m", "gatectl", "--lang", "en", "gate", "open", GATE, "--lane", CAR]
    command += ["--reason", "maintenance", "--wait", "--json", "--config", str(town.central_toml)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["state"] == "confirmed"
    assert len(stage.opened_ticks) == before + 1


def test_a_card_at_the_vehicle_lane_without_a_car_opens_nothing(town: DemoTown) -> None:
    stage, key = lane(town, CAR), a_resident_card(town, 1)
    await_true(lambda: stage.is_arm_down, "the arm is down again", 40)
    assert not opens_for(stage, key, 1.5)
    await_true(lambda: last_reason(town, key) is Reason.NO_VEHICLE, "the office sees why")


def test_a_gate_without_network_opens_from_its_own_list_and_catches_up(town: DemoTown) -> None:
    assert town.proxy is not None
    assert town.engine is not None
    stage, key = lane(town, WALK), a_resident_card(town, 2)
    town.proxy.cut()
    try:
        await_true(lambda: not online(town), "central sees the gate go offline", 30)
        assert opens_for(stage, key)
        walk_through(stage)
        assert last_reason(town, key) is None
        with writing(town.engine) as conn:
            refused = central_gates.order_open(conn, "office", GATE, WALK, "maintenance", "")
        await_true(lambda: order_state(town, refused) == "refused", "an order to an offline gate is refused")
    finally:
        town.proxy.mend()
    await_true(lambda: last_reason(town, key) is Reason.CARD_OK, "the event arrives afterwards", 40)


def test_no_event_is_there_twice_and_every_chain_is_whole(town: DemoTown) -> None:
    assert town.engine is not None
    events, marks = tables.events, tables.watermarks
    with town.engine.connect() as conn:
        rows = conn.execute(select(func.count()).select_from(events)).scalar_one()
        ids = conn.execute(select(func.count(func.distinct(events.c.event_id)))).scalar_one()
        hwms = conn.execute(select(func.sum(marks.c.hwm))).scalar_one()
        aside = conn.execute(select(func.count()).select_from(tables.quarantine)).scalar_one()
        granted = conn.execute(
            select(func.count()).where(events.c.verdict == Verdict.GRANTED.value, events.c.kind == "access")
        ).scalar_one()
    assert rows == ids == hwms
    assert aside == 0
    assert granted >= 4


def test_a_car_is_held_until_its_expired_permit_is_renewed_at_the_desk(town: DemoTown) -> None:
    assert town.engine is not None
    assert town.cast is not None
    stage = lane(town, CAR)
    role = next(car for car in town.cast.sites["lanyuan"].refused_cars if car.part is Part.EXPIRED)
    import random

    rng = random.Random(5)
    await_true(lambda: stage.is_arm_down, "the arm is down", 40)
    before = len(stage.opened_ticks)
    stage.sense(InputName.PRESENCE, True)
    deadline = time.monotonic() + WAIT_S
    while last_reason(town, role.key) is not Reason.PLATE_EXPIRED and time.monotonic() < deadline:
        stage.photograph(role.plate, role.colour, rng, "day")
        time.sleep(0.3)
    assert last_reason(town, role.key) is Reason.PLATE_EXPIRED
    assert len(stage.opened_ticks) == before
    with writing(town.engine) as conn:
        credentials = tables.credentials
        conn.execute(update(credentials).where(credentials.c.key == role.key).values(valid_until_s=None))
        mark_dirty(conn, "lanyuan", urgent=True)
        command = central_gates.order_open(conn, "office", GATE, CAR, "other", "permit renewed at the desk")
    await_true(lambda: order_state(town, command) == "confirmed", "the arm confirms")
    stage.sense(InputName.SAFETY, True)
    stage.sense(InputName.PRESENCE, False)
    time.sleep(0.3)
    stage.sense(InputName.SAFETY, False)
    await_true(lambda: stage.is_arm_down, "the arm falls behind the car", 20)


def online(town: DemoTown) -> bool:
    assert town.engine is not None
    with town.engine.connect() as conn:
        return central_gates.gate_tile(conn, GATE).is_online


def order_state(town: DemoTown, command_id: str) -> str:
    assert town.engine is not None
    with town.engine.connect() as conn:
        return central_gates.command(conn, command_id).state
