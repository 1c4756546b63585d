"""Runs the faults, one after the other, each with a seed of its own, and tells what came of them."""

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gatectl.bench.faults.broker import broker
from gatectl.bench.faults.clock import clock
from gatectl.bench.faults.devices import devices
from gatectl.bench.faults.disk import disk
from gatectl.bench.faults.forged import forged
from gatectl.bench.faults.kill9 import kill9
from gatectl.bench.faults.malformed import malformed
from gatectl.bench.faults.network import network
from gatectl.bench.faults.power import power
from gatectl.bench.faults.rig import Run, Say, failed
from gatectl.errors import GatectlError

Fault = Callable[[Run], dict[str, Any]]

FAULTS: Mapping[str, Fault] = {
    "kill9": kill9,
    "power": power,
    "network": network,
    "broker": broker,
    "clock": clock,
    "disk": disk,
    "devices": devices,
    "forged": forged,
    "malformed": malformed,
}


def run_faults(
    names: tuple[str, ...], seed: int, *, is_quick: bool, kept: Path | None = None, say: Say = lambda _words: None
) -> dict[str, Any]:
    """The figures by fault; `kept` is a folder for logs and databases, else they go when all is well."""
    found: dict[str, Any] = {}
    folder = kept or Path(tempfile.mkdtemp(prefix="gatectl-faults-"))
    for name in names:
        # A seed for each: one fault can be tried again alone, and does the same.
        own_seed = random.Random(f"{seed} {name}").randrange(2**31)  # noqa: S311 - a repeatable trouble
        say(f"{name}, seed {seed} ({own_seed})")
        started_s = time.monotonic()
        run = Run(folder / name, random.Random(own_seed), is_quick, say)  # noqa: S311
        try:
            figures = FAULTS[name](run)
        except (GatectlError, OSError, TimeoutError) as error:
            figures = failed(error)
        found[name] = {**figures, "seed": seed, "took_s": round(time.monotonic() - started_s, 1)}
        if found[name]["ok"] and kept is None:
            shutil.rmtree(folder / name, ignore_errors=True)
    is_ok = all(figures["ok"] for figures in found.values())
    if is_ok and kept is None:
        shutil.rmtree(folder, ignore_errors=True)
    return {**found, "ok": is_ok, **({} if is_ok else {"folder": str(folder)})}
