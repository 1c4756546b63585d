"""`kill9`: SIGKILL to the daemon, to ingest or to the broker at random points, events flowing all the time."""

from collections import Counter
from time import sleep
from typing import Any

from gatectl.bench.faults.rig import EDGE, Rig, Run, until

RECORDED_WITHIN_S = 5.0
"""Every step of the relay counter has its event at central within this time of a restart."""
_PARTS = ("edge", "edge", "ingest", "broker", "both")
_WITHOUT_WATERMARK = ("-m", "gatectl.bench.faults.edge_without_watermark")


def kill9(run: Run, *, has_watermark: bool = True) -> dict[str, Any]:
    """Kill, restart, count; `has_watermark` False tries a gate that forgets an event as soon as a broker has it."""
    kills = run.times(24, 1000)
    hops: Counter[str] = Counter()
    late = 0
    with Rig(run.folder / "kill9", edge_command=EDGE if has_watermark else _WITHOUT_WATERMARK) as rig:
        rig.start()
        rig.start_traffic(run.rng)
        for number in range(kills):
            part = run.rng.choice(_PARTS)
            _wait(run, rig)
            hops[_kill(rig, part)] += 1
            if part == "edge":
                late += not _is_explained_soon(rig)
            run.say(f"kill9 {number + 1}/{kills}: {part}")
        rig.stop_traffic()
        rig.settle(120.0 if has_watermark else 10.0)
        ledger = rig.ledger()
        return {
            "runs": kills,
            **ledger.figures(),
            "taps": rig.taps,
            "hops": dict(hops),
            "explained_late": late,
            "ok": ledger.is_ok and not late,
        }


def _wait(run: Run, rig: Rig) -> None:
    """A random while; two in three times from the moment of a tap, where the hops lie close together."""
    before = rig.taps
    if run.rng.random() < 0.67:
        until(lambda: rig.taps > before, "a tap")
        sleep(run.rng.uniform(0, 0.04))
    else:
        sleep(run.rng.uniform(0, 0.5))


def _kill(rig: Rig, part: str) -> str:
    """Kill and restart; where it struck, as the books tell afterwards."""
    if part == "both":  # central is down, and then the broker that held its queue
        rig.kill("ingest")
        sleep(0.2)
        rig.kill("broker")
        rig.start_again("broker")
        rig.start_again("ingest")
        return "broker, while central was down"
    openings = len(rig.lane.opened_ticks)
    rig.kill(part)
    if part != "edge":
        where = f"{part}, {'events under way' if rig.outbox() > 0 else 'quiet'}"
        rig.start_again(part)
        return where
    recorded, waiting = len(rig.journal_rows()), rig.outbox()
    rig.start_again("edge")
    if waiting > 0:
        return "edge, recorded and not confirmed"
    return (
        "edge, while it opened" if len(rig.lane.opened_ticks) > openings else f"edge, {'idle' if recorded else 'new'}"
    )


def _is_explained_soon(rig: Rig) -> bool:
    """Openings up to now are explained at central within the time that the bar allows."""
    openings = len(rig.lane.opened_ticks)
    if rig.ingest is None or rig.ingest.poll() is not None:
        return True
    try:
        until(lambda: rig.explained() >= openings, "the explanation", RECORDED_WITHIN_S)
    except Exception:  # noqa: BLE001 - late is what is counted here
        return False
    return True
