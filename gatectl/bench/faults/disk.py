"""`disk`: full, refusing every write, and databases with bytes changed at random."""

import resource
import time
from pathlib import Path
from typing import Any

from sqlalchemy import select

from gatectl.bench.faults.rig import CARDS, GATE, Rig, Run, until
from gatectl.central import tables

SERVES_WITHIN_S = 10.0


def disk(run: Run) -> dict[str, Any]:
    """A gate goes on deciding from memory, says what it cannot record, and recovers without a person."""
    full = _full(run)
    corrupt = _corrupt(run)
    return {
        "runs": full["runs"] + corrupt["runs"],
        "events": full["events"],
        "lost": full["lost"],
        "doubled": full["doubled"],
        "unrecorded_openings": full["unrecorded_openings"],
        "cases": {"full": full, "corrupt": corrupt},
        "ok": full["ok"] and corrupt["ok"],
    }


def _full(run: Run) -> dict[str, Any]:
    """No file may grow: what a full disk and an I/O error look like to a process."""
    turns = run.times(2, 20)
    refused = alarms = 0
    with Rig(run.folder / "full") as rig:
        rig.start()
        for turn in range(turns):
            rig.settle()
            _limit(rig, 0)
            before = len(rig.lane.opened_ticks)
            for number in range(3):
                rig.tap(CARDS[(3 * turn + number) % len(CARDS)])
                time.sleep(0.4)
            refused += 3 - min(3, len(rig.lane.opened_ticks) - before)
            alarms += bool(_waited(lambda: "cannot record" in _beat(rig), 15))
            _limit(rig, resource.RLIM_INFINITY)
            until(lambda: "cannot record" not in _beat(rig), "the recovery", 30)
        rig.settle()
        ledger = rig.ledger()
    is_ok = ledger.is_ok and refused == 0 and alarms == turns
    return {"runs": turns, **ledger.figures(), "refused": refused, "alarms": alarms, "ok": is_ok}


def _waited(is_true: Any, patience_s: float) -> bool:
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        if is_true():
            return True
        time.sleep(0.1)
    return False


def _limit(rig: Rig, size: int) -> None:
    if rig.edge is not None:
        _soft, hard = resource.prlimit(rig.edge.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(rig.edge.pid, resource.RLIMIT_FSIZE, (size if size == 0 else hard, hard))


def _beat(rig: Rig) -> str:
    with rig.engine.connect() as conn:
        return str(conn.scalar(select(tables.gates.c.beat).where(tables.gates.c.id == GATE)) or "")


def _corrupt(run: Run) -> dict[str, Any]:
    """Bytes of both databases change while the power is off. The gate must serve; its list comes again."""
    turns = run.times(6, 100)
    slow = shut = 0
    worst_s = 0.0
    with Rig(run.folder / "corrupt") as rig:
        rig.start()
        for turn in range(turns):
            rig.tap(CARDS[turn % len(CARDS)])
            rig.settle(20)
            rig.kill("edge")
            for name in ("edge.db", "acl.db") if turn % 3 == 0 else (("edge.db",) if turn % 3 == 1 else ("acl.db",)):
                _damage(run, rig.data / name)
            serves_s = rig.start_edge()
            worst_s = max(worst_s, serves_s)
            slow += serves_s > SERVES_WITHIN_S
            shut += not _lets_in(rig, turn)
            run.say(f"disk, corrupt {turn + 1}/{turns}")
    return {"runs": turns, "slow": slow, "shut_out": shut, "worst_start_s": round(worst_s, 2), "ok": not (slow or shut)}


def _damage(run: Run, path: Path) -> None:
    for file in (path, path.with_name(path.name + "-wal")):
        if not file.exists() or not file.stat().st_size:
            continue
        data = bytearray(file.read_bytes())
        for _ in range(run.rng.choice((1, 8, 64))):
            data[run.rng.randrange(len(data))] ^= 1 << run.rng.randrange(8)
        file.write_bytes(data)


def _lets_in(rig: Rig, turn: int) -> bool:
    """A resident gets in, at the latest when the list has come again."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        before = len(rig.lane.opened_ticks)
        rig.tap(CARDS[(turn + 7) % len(CARDS)])
        if _waited(lambda count=before: len(rig.lane.opened_ticks) > count, 2.5):
            return True
    return False
