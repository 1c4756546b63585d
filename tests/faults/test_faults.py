"""The short cut of `gatectl bench faults`: each trouble once or twice, with real processes."""

import random
from pathlib import Path

import pytest

from gatectl.bench.faults.kill9 import kill9
from gatectl.bench.faults.power import power
from gatectl.bench.faults.rig import Run
from gatectl.bench.faults.run import FAULTS, run_faults


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_doubled_altered_or_wrongly_opened(name: str, tmp_path: Path) -> None:
    found = run_faults((name,), 1, is_quick=True, kept=tmp_path)
    assert found["ok"], found[name]


@pytest.mark.timeout(300)
def test_a_gate_that_forgets_an_event_as_soon_as_the_broker_has_it_is_found_out(tmp_path: Path) -> None:
    """Without the watermark rule the very same kills lose events: the trouble is real, and the books see it."""
    found = kill9(Run(tmp_path, random.Random(1), is_quick=True), has_watermark=False)
    assert found["lost"] > 0
    assert not found["ok"]


@pytest.mark.timeout(300)
def test_a_gate_that_does_not_sync_its_databases_is_found_out(tmp_path: Path) -> None:
    found = power(Run(tmp_path, random.Random(1), is_quick=True), is_synced=False)
    if "not_tried" in found:
        pytest.skip(found["not_tried"])
    assert not found["ok"]
