"""The demo's town: its file, its people, and the edge configs written from it."""

import random
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from gatectl.core.model import Direction, LaneKind, PlateColour, Verdict
from gatectl.core.plates import PROVINCES, is_legal
from gatectl.errors import ConfigError
from gatectl.settings import EdgeSettings
from gatectl.sim.cast import Part, invent_town
from gatectl.sim.people import Registry
from gatectl.sim.plan import GatePorts, edge_toml, load_town
from gatectl.sim.site import wiegand26_bits
from gatectl.sim.traffic import car_verdict, card_verdict

TOWN_FILE = Path(__file__).parents[3] / "config" / "danzao.toml"


def test_danzao_has_nine_sites_and_twenty_gates_and_one_vehicle_lane_a_site() -> None:
    plan = load_town(TOWN_FILE)
    lanes = [lane for gate in plan.gates for lane in gate.lanes]
    cars = Counter(lane.site for lane in lanes if lane.kind is LaneKind.VEHICLE)
    assert len(plan.sites) == 9
    assert len(plan.gates) == 20
    assert set(cars.values()) == {1}
    assert len(cars) == 9
    assert plan.households_per_site * len(plan.sites) == 4500


def test_a_cut_town_keeps_the_vehicle_gates_first() -> None:
    plan = load_town(TOWN_FILE).cut(3)
    assert [len(gate.lanes) for gate in plan.gates] == [2, 2, 2]


def test_the_same_seed_invents_the_same_town() -> None:
    plan = load_town(TOWN_FILE).cut(2)
    assert invent_town(plan).sites == invent_town(plan).sites


def test_every_invented_plate_is_legal_unique_and_fits_its_colour() -> None:
    registry = Registry(random.Random(3))
    plates = [registry.plate() for _ in range(3000)]
    assert len({text for text, _ in plates}) == 3000
    assert all(is_legal(text) for text, _ in plates)
    assert all((len(text) == 8) == (colour is PlateColour.GREEN) for text, colour in plates)
    assert {text[0] for text, _ in plates} == set(PROVINCES)
    assert Counter(text[0] for text, _ in plates).most_common(1)[0][0] == "粤"


def test_exits_open_for_everybody_and_entries_for_the_rightful_alone() -> None:
    plan = load_town(TOWN_FILE)
    lanes = [lane for gate in plan.gates for lane in gate.lanes]
    way_in = next(lane for lane in lanes if lane.direction is Direction.IN)
    way_out = next(lane for lane in lanes if lane.direction is Direction.OUT)
    assert card_verdict(way_out, Part.LOST) is Verdict.GRANTED
    assert card_verdict(way_in, Part.RIGHTFUL) is Verdict.GRANTED
    assert all(card_verdict(way_in, part) is Verdict.DENIED for part in Part if part is not Part.RIGHTFUL)
    assert car_verdict(way_in, Part.RIGHTFUL, "unreadable") is Verdict.HELD


def test_the_written_edge_config_is_one_that_the_daemon_accepts(tmp_path: Path) -> None:
    for gate in load_town(TOWN_FILE).gates:
        ports = GatePorts("/dev/pts/1", {lane.id: "/dev/pts/2" for lane in gate.lanes}, {})
        text = edge_toml(
            gate,
            ports,
            data_dir=tmp_path,
            site_key="A" * 44,
            broker={"host": "127.0.0.1", "port": 1883, "protocol": "5"},
            password_file=tmp_path / "pw",
        )
        settings = EdgeSettings.model_validate(tomllib.loads(text))
        assert [lane.id for lane in settings.lanes] == [lane.id for lane in gate.lanes]


def test_a_town_file_with_mistakes_names_them(tmp_path: Path) -> None:
    path = tmp_path / "town.toml"
    path.write_text('[town]\nname_zh="a"\nname_en="b"\nseed=1\nhouseholds_per_site=0\nvilage=1\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_town(path)
    assert all(word in str(caught.value) for word in ("households_per_site", "vilage", "sites"))


def test_wiegand_26_bits_match_the_published_vector() -> None:
    assert wiegand26_bits((99 << 16) | 58241) == "10110001111100011100000011"
