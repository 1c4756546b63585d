"""Removes each safety check from the firmware's source in turn, and shows that a test fails for every one.

A check is a line that ends in `/* safety: NAME */`: it is deleted. `/* safety: NAME => CODE */` is replaced by CODE,
where a line cannot simply go. The tests run against the core on virtual pins; those of the frames stay out.
"""

# ruff: noqa: INP001 - run by make and by a test, imported by nobody

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware_bridge"
_MARK = re.compile(r"/\* safety: ([^*]+?)(?: => (.*?))? \*/")
_TESTS = ("test_relay_rules.py", "test_link_and_store.py", "test_inputs_and_lamps.py")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One check that is missing."""

    source: str
    line: int
    name: str
    instead: str


def mutants() -> list[Mutant]:
    """Every marked line of the core."""
    return [
        Mutant(source.name, number, found[1], found[2] or "")
        for source in sorted((FIRMWARE / "src").glob("*.c"))
        for number, text in enumerate(source.read_text(encoding="utf-8").splitlines())
        if (found := _MARK.search(text)) is not None
    ]


def build(mutant: Mutant | None, folder: Path) -> Path:
    """The host's bench without that check; with all of them for None."""
    tree = folder / "firmware_bridge"
    shutil.copytree(FIRMWARE, tree, ignore=shutil.ignore_patterns("build", "release", "corpus"))
    if mutant is not None:
        source = tree / "src" / mutant.source
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        lines[mutant.line] = f"{mutant.instead}\n"
        source.write_text("".join(lines), encoding="utf-8")
    subprocess.run(["make", "-s", "-C", str(tree), "host", "RELAXED=1"], check=True, capture_output=True, timeout=120)
    return tree / "build" / "host" / "bench"


def is_killed(bench: Path) -> bool:
    """Whether a test fails."""
    tests = [str(ROOT / "tests" / "firmware" / name) for name in _TESTS]
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "host and not avr",
        *tests,
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"GATECTL_FIRMWARE_BENCH": str(bench)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="checks whose name contains this")
    parser.add_argument("--list", action="store_true", help="name the checks, build nothing")
    options = parser.parse_args()
    chosen = [mutant for mutant in mutants() if options.only in mutant.name]
    survivors = 0
    if not (options.list or options.only):
        with tempfile.TemporaryDirectory() as folder:
            if is_killed(build(None, Path(folder))):
                print("the tests fail with every check in place: nothing is shown by them")
                return 1
    for mutant in chosen:
        where = f"{mutant.source}:{mutant.line + 1} {mutant.name}"
        if options.list:
            print(where)
            continue
        with tempfile.TemporaryDirectory() as folder:
            was_killed = is_killed(build(mutant, Path(folder)))
        survivors += not was_killed
        print(f"{'killed  ' if was_killed else 'SURVIVED'} {where}", flush=True)
    if not options.list:
        print(f"{len(chosen) - survivors} of {len(chosen)} killed")
    return int(survivors > 0 or not chosen)


if __name__ == "__main__":
    raise SystemExit(main())
