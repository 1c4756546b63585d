"""The whole main job: twenty gates, real bytes, real pictures, real broker; central must have every event once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
def test_the_town_plays_its_script_and_central_has_every_event_exactly_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gatectl", "demo", "--once", "--json", "--data-dir", str(tmp_path / "town")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["gates"] == 20
    assert report["attempts"] >= 200
    assert report["events_central"] == report["attempts"]
    assert (report["lost"], report["duplicated"], report["wrong_decisions"]) == (0, 0, 0)
    assert report["plate_reads"]["of"] >= 80
    assert report["plate_reads"]["exact"] >= 0.9 * report["plate_reads"]["of"]
    assert report["wrongly_held"] <= 0.05 * report["plate_reads"]["of"]
