"""A safety check taken out of the source makes a test fail: three of them here, all of them by `make mutants`."""

import subprocess
import sys

import pytest
from firmware_board import FIRMWARE, require

TOOL = FIRMWARE / "tools" / "mutants.py"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", str(TOOL), *words], capture_output=True, text=True, check=False, timeout=170
    )


def test_every_rule_that_could_hurt_somebody_is_marked_in_the_source() -> None:
    names = {line.split(" ", 1)[1] for line in run("--list").stdout.splitlines()}
    assert names >= {
        "close on safety",
        "close under fire",
        "stop under fire",
        "occupied loop ends close",
        "loop not looked at yet",
        "shorted line",
        "lease",
        "old session",
        "pulse ends",
        "pulse too long",
        "fire opens",
        "latched fire",
        "fail-safe",
        "exit button without a host",
    }


@pytest.mark.parametrize("name", ["close on safety", "latched fire", "pulse ends"])
def test_firmware_without_the_check_fails_a_test(name: str) -> None:
    require("host")
    done = run("--only", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 killed" in done.stdout
