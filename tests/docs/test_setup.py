"""scripts/setup.sh on machines that lack something: it ends in a clear sentence and a way to mend it, on stderr."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = [
    "sh",
    "env",
    "dirname",
    "readlink",
    "mkdir",
    "id",
    "stat",
    "date",
    "cut",
    "sha256sum",
    "grep",
    "find",
    "sed",
    "sort",
    "wc",
    "awk",
    "cat",
    "tail",
    "df",
    "flock",
    "rm",
    "sleep",
    "mktemp",
    "tee",
    "chmod",
    "uname",
]


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A bare machine: PATH holds small tools only (no Python, no apt), and a clone with the scripts and the locks."""
    shelf = tmp_path / "bin"
    shelf.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (shelf / tool).symlink_to(found)
    _script(shelf / "getconf", "echo 64")
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "scripts", clone / "scripts")
    shutil.copytree(ROOT / "requirements", clone / "requirements")
    return tmp_path


def _set_up(machine: Path, profile: str = "run") -> subprocess.CompletedProcess[str]:
    # setup.sh adds /usr/sbin to PATH, where neither Python nor apt-get lives.
    return subprocess.run(
        [str(machine / "clone" / "scripts" / "setup.sh"), profile],
        env={"PATH": str(machine / "bin"), "HOME": str(machine), "GATECTL_NO_APT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _python_that_says(machine: Path, version: str) -> None:
    _script(
        machine / "bin" / "python3",
        f'case "$2" in *version.split*) echo {version} ;; *ensurepip*) exit 0 ;; *) exit 1 ;; esac',
    )


def test_a_machine_without_python_is_told_what_to_install(machine: Path) -> None:
    done = _set_up(machine)
    assert done.returncode == 1
    assert "it needs Python 3.11 or 3.12, and there is none here" in done.stderr
    assert "To mend: sudo apt-get install python3 python3-venv" in done.stderr
    assert done.stdout == ""


def test_a_python_that_is_too_new_is_named(machine: Path) -> None:
    _python_that_says(machine, "3.13.5")
    done = _set_up(machine)
    assert done.returncode == 1
    assert "python3 here is 3.13.5" in done.stderr
    assert "GATECTL_PYTHON=" in done.stderr


def test_a_debian_python_without_venv_is_told_the_package(machine: Path) -> None:
    _script(machine / "bin" / "python3", f'case "$*" in *ensurepip*) exit 1 ;; esac; exec "{sys.executable}" "$@"')
    done = _set_up(machine)
    assert done.returncode == 1
    assert "python3 has no venv module" in done.stderr
    assert "python3-venv" in done.stderr


def test_a_32_bit_system_is_refused_with_words(machine: Path) -> None:
    _script(machine / "bin" / "getconf", "echo 32")
    done = _set_up(machine)
    assert done.returncode == 1
    assert "this is a 32-bit system" in done.stderr
    assert "64-bit edition" in done.stderr


def test_a_full_disk_is_named_before_anything_is_fetched(machine: Path) -> None:
    (machine / "bin" / "df").unlink()
    _script(machine / "bin" / "df", 'echo "Filesystem 1M-blocks Used Available Use% Mounted"; echo "x 100 88 12 88% /"')
    done = _set_up(machine)
    assert done.returncode == 1
    assert "it needs 1500 MB of free disk space" in done.stderr
    assert "has 12 MB" in done.stderr


def test_an_unknown_profile_is_a_usage_error(machine: Path) -> None:
    done = _set_up(machine, "everything")
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_a_finished_set_up_is_silent_the_next_time(machine: Path) -> None:
    clone = machine / "clone"
    (clone / ".venv" / "bin").mkdir(parents=True)
    _script(clone / ".venv" / "bin" / "python", "exit 0")
    lock = subprocess.run(
        ["sha256sum", str(clone / "requirements" / "run.txt")], capture_output=True, text=True, check=True
    ).stdout[:64]
    (clone / ".venv" / "gatectl-run.stamp").write_text(f"{lock} {clone.resolve()}\n", encoding="utf-8")
    done = _set_up(machine)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_changed_lock_is_not_taken_for_a_finished_set_up(machine: Path) -> None:
    clone = machine / "clone"
    (clone / ".venv" / "bin").mkdir(parents=True)
    _script(clone / ".venv" / "bin" / "python", "exit 1")  # so that set-up goes no further than to look for a Python
    (clone / ".venv" / "gatectl-run.stamp").write_text(f"{'0' * 64} {clone.resolve()}\n", encoding="utf-8")
    done = _set_up(machine)
    assert done.returncode == 1
    assert "does not work (any more); making a new one" in done.stderr
