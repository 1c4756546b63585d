"""`gatectl bench decide`: a gate's view built from `wl/1` bytes, and decisions on it under a mixed load.

The list is made by a process of its own, so that the memory measured is a gate's: bytes in, view, decisions.
"""

import argparse
import gc
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Any

from gatectl.bench.process import peak_rss_mb, percentiles, rss_mb
from gatectl.core.decide import decide
from gatectl.core.model import (
    AccessLevel,
    Area,
    Attempt,
    ClockTrust,
    CredentialKey,
    Direction,
    Grant,
    GrantState,
    Household,
    Inside,
    Lane,
    LaneId,
    LaneKind,
    LanePolicy,
    LaneState,
    Occupancy,
    Passback,
    PlateColour,
    Schedule,
    WhitelistView,
    Window,
)
from gatectl.core.plates import LETTERS, PROVINCES
from gatectl.wire.packed import packed_list
from gatectl.wire.replica import decode_snapshot, encode_snapshot
from gatectl.wire.rows import encode_row, grant_row, ruling_row
from gatectl.wire.view import packed_view

if TYPE_CHECKING:
    from gatectl.bench.plates_match import Noise

DECISIONS = 20_000
PLATES, UNKNOWN = 0.3, 0.1
"""70 % cards and 30 % plates; every tenth attempt is of nobody known."""
_CAR, _WALK = LaneId("car-in"), LaneId("walk-in")
_NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
_PER_HOUSEHOLD = 4
_INSIDE = 2000


def run(credentials: int, seed: int, progress: Callable[[str], None] = lambda _words: None) -> dict[str, Any]:
    """The figures for a list of so many credentials."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list"
        progress(f"making a list of {credentials} credentials")
        subprocess.run([sys.executable, "-m", __name__, str(credentials), str(seed), str(path)], check=True)
        data = path.read_bytes()
    progress("building the view")
    started = perf_counter()
    view = packed_view("e", 1, int(_NOW.timestamp()), "site", packed_list(decode_snapshot(data)))
    build_s = perf_counter() - started
    snapshot_bytes = len(data)
    del data
    gc.collect()
    view_mb = rss_mb()
    progress(f"{DECISIONS} decisions")
    us = _decide(view, credentials, seed)
    return {
        "credentials": credentials,
        "build_s": round(build_s, 2),
        "rss_mb": view_mb,
        "peak_rss_mb": peak_rss_mb(),
        "snapshot_bytes": snapshot_bytes,
        "us": percentiles(us),
        "decisions_per_s": round(len(us) / sum(us) * 1e6),
        "decisions": len(us),
        "seed": seed,
    }


def _decide(view: WhitelistView, credentials: int, seed: int) -> list[float]:
    """Microseconds of each decision, traces included."""
    rng = random.Random(seed + 1)  # noqa: S311 - a repeatable load
    cars = {str(_plate(i)): Inside("site", 0, f"h{i // _PER_HOUSEHOLD:07d}", True) for i in range(0, 10 * _INSIDE, 10)}
    homes: dict[str, frozenset[str]] = {inside.household: frozenset({key}) for key, inside in cars.items()}
    states = {
        lane.id: LaneState(lane, True, ClockTrust.SYNCED, occupancy=Occupancy(cars, homes, {"site": len(cars)}))
        for lane in (Lane(_CAR, LaneKind.VEHICLE, Direction.IN), Lane(_WALK, LaneKind.PEDESTRIAN, Direction.IN))
    }
    from gatectl.bench.plates_match import recorded_noise  # its numpy is no part of a gate's memory

    noise = recorded_noise()
    attempts = [_attempt(rng, noise, credentials, number) for number in range(DECISIONS)]
    gc.collect()
    gc.freeze()  # as the daemon does when it begins to serve
    for attempt in attempts[:200]:
        decide(attempt, view, states[attempt.lane])
    took = []
    for attempt in attempts:
        state = states[attempt.lane]
        started_ns = perf_counter_ns()
        decide(attempt, view, state)
        took.append((perf_counter_ns() - started_ns) / 1000)
    return took


def _attempt(rng: random.Random, noise: "Noise", credentials: int, number: int) -> Attempt:
    """Plates are read as the recorded reads were: with their distributions, and now and then wrong."""
    is_plate = rng.random() < PLATES
    index = rng.randrange(credentials)
    index -= index % 10 - (rng.randrange(3) if is_plate else rng.randrange(3, 10))  # tens: 3 plates, 7 cards
    index = min(max(index, 0), credentials - 1)
    if rng.random() < UNKNOWN:
        index += credentials
    at = _NOW + timedelta(minutes=rng.randrange(7 * 24 * 60))
    if not is_plate:
        return Attempt(f"a{number}", _WALK, Direction.IN, at, "reader", key=_card(index))
    text = _plate(index).removeprefix("plate:")
    from gatectl.bench.plates_match import as_read

    read = as_read(noise.read(text, rng), PlateColour.BLUE)
    return Attempt(f"a{number}", _CAR, Direction.IN, at, "camera", plate=read)


# --- the list ---


def _card(index: int) -> CredentialKey:
    return CredentialKey(f"em:{index * 2654435761 % 2**40:010X}")


def _plate(index: int) -> CredentialKey:
    """A plate of its own for every index below 31 x 24 x 24 x 10^4."""
    mixed = index * 7919 % (31 * 24 * 24 * 10_000)
    rest, digits = divmod(mixed, 10_000)
    rest, letter = divmod(rest, 24)
    province, office = divmod(rest, 24)
    return CredentialKey(f"plate:{PROVINCES[province]}{LETTERS[office]}{LETTERS[letter]}{digits:04d}")


def rows(credentials: int, seed: int) -> Iterator[bytes]:
    """Every row of the list: three plates and seven cards in ten, four credentials a household, with quotas."""
    rng = random.Random(seed)  # noqa: S311 - a repeatable list
    everywhere = frozenset({_CAR, _WALK})
    yield encode_row(ruling_row("level", AccessLevel("residents", everywhere)))
    yield encode_row(ruling_row("level", AccessLevel("daytime", everywhere, "day")))
    week = tuple(Window(day, 7 * 60, 21 * 60) for day in range(7))
    yield encode_row(ruling_row("schedule", Schedule("day", week, follows_calendar=True)))
    yield encode_row(ruling_row("area", Area("site", Passback.HARD, capacity=credentials)))
    for lane in (_CAR, _WALK):
        yield encode_row(ruling_row("lane", LanePolicy(lane, area_to="site")))
    for index in range(credentials):
        household = f"h{index // _PER_HOUSEHOLD:07d}"
        is_plate = index % 10 < 3
        grant = Grant(
            key=_plate(index) if is_plate else _card(index),
            state=GrantState.LOST if rng.random() < 0.01 else GrantState.ACTIVE,
            levels=("daytime",) if rng.random() < 0.2 else ("residents",),
            subject="" if is_plate else f"p{index:08d}",
            household=household,
            valid_until_s=int(_NOW.timestamp()) + rng.randrange(10**8) if rng.random() < 0.3 else None,
            colour=PlateColour.BLUE if is_plate else None,
        )
        yield encode_row(grant_row(grant))
        if index % _PER_HOUSEHOLD == 0:
            yield encode_row(ruling_row("household", Household(household, quota=1)))


def main() -> None:
    """Write the list's snapshot to a file: the bytes that a gate gets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("credentials", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    options.path.write_bytes(encode_snapshot(rows(options.credentials, options.seed)))


if __name__ == "__main__":
    main()
