"""`devices`: a reader that babbles or falls silent, a bridge that is unplugged or hangs."""

import time
from typing import Any

from sqlalchemy import select

from gatectl.bench.faults.rig import CARDS, Rig, Run, until
from gatectl.central import tables
from gatectl.core.reasons import Reason


def devices(run: Run) -> dict[str, Any]:
    """Each trouble, then a resident: the lane must open again by itself, and the alarm must be in words."""
    turns = run.times(2, 20)
    troubles = {"reader babbles": _babble, "half a frame": _half, "bridge hangs": _hang}
    cases: dict[str, dict[str, Any]] = {}
    with Rig(run.folder / "devices") as rig:
        rig.start()
        for name, trouble in troubles.items():
            worst_s = 0.0
            for turn in range(turns):
                trouble(run, rig)
                worst_s = max(worst_s, _recovered(rig, turn))
            cases[name] = {"runs": turns, "recovered_in_s": round(worst_s, 2)}
        rig.settle()
        ledger = rig.ledger()
        alarms = _alarms(rig)
    is_ok = ledger.is_ok and alarms > 0
    return {"runs": turns * len(troubles), **ledger.figures(), "cases": cases, "bridge_alarms": alarms, "ok": is_ok}


def _babble(run: Run, rig: Rig) -> None:
    """Noise, a card in the middle of it, noise again."""
    reader = rig.lane.reader
    if reader is not None:
        reader.babble(run.rng.randbytes(run.rng.randrange(1, 4000)))
        time.sleep(0.2)


def _half(run: Run, rig: Rig) -> None:
    reader = rig.lane.reader
    if reader is not None:
        reader.tap_half(CARDS[0].removeprefix("em:"), run.rng.randrange(1, 14))
        time.sleep(0.1)


def _hang(_run: Run, rig: Rig) -> None:
    """The bridge says nothing and takes nothing for longer than its link waits."""
    rig.town.is_frozen = True
    time.sleep(4.0)
    rig.town.is_frozen = False


def _recovered(rig: Rig, turn: int) -> float:
    """Seconds until a card opens again."""
    started_s = time.monotonic()
    before = len(rig.lane.opened_ticks)

    def is_open() -> bool:
        if len(rig.lane.opened_ticks) > before:
            return True
        rig.tap(CARDS[(turn * 3 + int(time.monotonic())) % len(CARDS)])
        time.sleep(0.3)
        return len(rig.lane.opened_ticks) > before

    until(is_open, "an opening", 40)
    return time.monotonic() - started_s


def _alarms(rig: Rig) -> int:
    events = tables.events.c
    with rig.engine.connect() as conn:
        return len(conn.execute(select(events.id).where(events.reason == int(Reason.BRIDGE_FAIL))).all())
