"""The schema and what is generated from it."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gatectl.core.lane_io import Signal
from gatectl.core.model import InputName
from gatectl.wire import bridge_ids

ROOT = Path(__file__).parents[3]


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gen_protocol", ROOT / "scripts" / "gen_protocol.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def schema() -> dict[str, Any]:
    return tomllib.loads((ROOT / "firmware_bridge" / "protocol.toml").read_text(encoding="utf-8"))


def test_generated_ids_are_those_of_the_schema(generator: ModuleType) -> None:
    assert generator.main(["--check"]) == 0


def test_stale_ids_fail_the_check_and_are_written_anew(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "bridge_ids.py"
    stale.write_text("SCHEMA_HASH = 1\n", encoding="utf-8")
    monkeypatch.setattr(generator, "PYTHON", stale)
    monkeypatch.setattr(generator, "ROOT", tmp_path)
    assert generator.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    assert stale.read_text(encoding="utf-8") == (ROOT / "gatectl" / "wire" / "bridge_ids.py").read_text(
        encoding="utf-8"
    )


def test_prose_does_not_change_the_hash_and_everything_else_does(generator: ModuleType, schema: dict[str, Any]) -> None:
    before = generator.schema_hash(schema)
    assert before == bridge_ids.SCHEMA_HASH
    schema["messages"]["pulse"]["doc"] = "other words"
    assert generator.schema_hash(schema) == before
    schema["messages"]["pulse"]["fields"].reverse()
    assert generator.schema_hash(schema) != before


def test_contradictions_of_the_schema_are_all_named(generator: ModuleType, schema: dict[str, Any]) -> None:
    assert generator.mistakes(schema) == []
    schema["messages"]["pulse"]["id"] = schema["messages"]["hello"]["id"]
    schema["messages"]["fault"]["fields"].append(["colour", "rainbow"])
    schema["enums"]["Relay"]["close"] = schema["enums"]["Relay"]["open"]
    found = "\n".join(generator.mistakes(schema))
    assert "0x01 stands twice" in found
    assert "'rainbow'" in found
    assert "enums.Relay" in found


def test_the_link_names_every_input_and_every_signal_of_the_core() -> None:
    assert {member.name for member in bridge_ids.Input} == {member.name for member in InputName}
    assert {member.name for member in bridge_ids.Lamp} == {member.name for member in Signal}
