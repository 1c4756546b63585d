"""`broker`: killed while central is down, a queue that overflows, a right that is denied without a word."""

import time
from typing import Any

from gatectl.bench.faults.rig import GATE, Ledger, Rig, Run


def broker(run: Run) -> dict[str, Any]:
    """Three ways in which a broker says that it has an event, and loses it."""
    with Rig(run.folder / "broker") as rig:
        rig.start()
        rig.start_traffic(run.rng, 0.05, 0.2)
        for turn in range(run.times(2, 20)):
            _killed_while_central_is_down(rig)
            _overflow(rig)
            _denied(rig)
            run.say(f"broker {turn + 1}")
        rig.stop_traffic()
        rig.settle()
        ledger: Ledger = rig.ledger()
        return {"runs": 3 * run.times(2, 20), **ledger.figures()}


def _killed_while_central_is_down(rig: Rig) -> None:
    rig.kill("ingest")
    time.sleep(1.5)
    rig.kill("broker")
    rig.start_again("broker")
    rig.start_again("ingest")
    rig.settle(30)


def _overflow(rig: Rig) -> None:
    """Central's session may queue five messages; the broker confirms the others and drops them."""
    _reconfigure(rig, "max_queued_messages 0", "max_queued_messages 5")
    rig.kill("ingest")
    time.sleep(2.5)
    rig.start_again("ingest")
    time.sleep(1.0)
    _reconfigure(rig, "max_queued_messages 5", "max_queued_messages 0")


def _denied(rig: Rig) -> None:
    """The gate may not publish its events; MQTT 3.1.1 reports success all the same."""
    acl = rig.folder / "broker" / "acl"
    if not acl.exists():
        return
    whole = acl.read_text(encoding="utf-8")
    acl.write_text("\n".join(line for line in whole.splitlines() if f"g/{GATE}/ev" not in line), encoding="utf-8")
    rig.kill("broker")
    rig.start_again("broker")
    time.sleep(2.0)
    acl.write_text(whole, encoding="utf-8")
    rig.kill("broker")
    rig.start_again("broker")


def _reconfigure(rig: Rig, old: str, new: str) -> None:
    conf = rig.folder / "broker" / "mosquitto.conf"
    if not conf.exists():
        return
    conf.write_text(conf.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    rig.kill("broker")
    rig.start_again("broker")
