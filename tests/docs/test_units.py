"""The systemd units: systemd finds no fault in them, they are locked down, and they start commands that exist."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "config" / "systemd").glob("*.service"))
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def test_every_long_running_part_has_a_unit() -> None:
    assert [unit.name for unit in UNITS] == [
        "gatectl-central-ingest.service",
        "gatectl-central-web.service",
        "gatectl-edge.service",
    ]


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_fault_in_the_unit(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if unit.name in line and "is not executable" not in line]
    assert lines == []


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_is_locked_down(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_starts_a_command_that_exists(unit: Path) -> None:
    spec = importlib.util.spec_from_file_location("gen_docs", ROOT / "scripts" / "gen_docs.py")
    assert spec is not None
    assert spec.loader is not None
    gen_docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gen_docs)
    known = dict(gen_docs.commands(gen_docs.root_command()))
    lines = re.findall(r"^Exec\w+=\S+ -P -m (gatectl .+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines
    for line in lines:
        words = line.split()
        command = known[tuple(words[:3])]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words[3:] if word.startswith("-")} <= options


def test_the_gate_daemon_is_watched() -> None:
    text = (ROOT / "config" / "systemd" / "gatectl-edge.service").read_text(encoding="utf-8")
    assert "\nType=notify\n" in text
    assert "\nRestart=always\n" in text
    assert re.search(r"^WatchdogSec=\d+$", text, re.MULTILINE)
