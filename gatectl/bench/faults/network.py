"""`network`: a day without it, two seconds of delay, half-open connections, a flapping link, lost packets."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gatectl.bench.faults.rig import CARDS, EDGE, GATE, LANE, Rig, Run, until
from gatectl.bench.process import percentiles
from gatectl.bench.uplink import sample_events
from gatectl.core.model import GateId, LaneId
from gatectl.edge.store import EventStore
from gatectl.sim.proxy import CutProxy

DRAINED_WITHIN_S = 600.0
_LOSS_PERCENT = 20
_TAP_EACH_S = 2.2
"""The same card within two seconds is the same tap."""


def network(run: Run) -> dict[str, Any]:
    """Every trouble in turn; central must have everything in order in the end."""
    cases = {
        "partition": _partition(run),
        "delay": _through_proxy(run, "delay"),
        "half-open": _through_proxy(run, "half-open"),
        "flapping": _through_proxy(run, "flapping"),
        "loss": _loss(run),
    }
    return {
        "runs": len(cases),
        "events": sum(case.get("events", 0) for case in cases.values()),
        "lost": sum(case.get("lost", 0) for case in cases.values()),
        "doubled": sum(case.get("doubled", 0) for case in cases.values()),
        "unrecorded_openings": sum(case.get("unrecorded_openings", 0) for case in cases.values()),
        "cases": cases,
        "ok": all(case["ok"] for case in cases.values()),
    }


@contextmanager
def _rig(folder: Path) -> Iterator[tuple[Rig, CutProxy]]:
    """A gate that reaches its broker through a proxy."""
    with Rig(folder) as rig:
        proxy = CutProxy(rig.broker.host, rig.broker.port)
        proxy.start()
        rig.broker_port = proxy.port
        rig.write_config()
        try:
            yield rig, proxy
        finally:
            proxy.stop()


def _partition(run: Run) -> dict[str, Any]:
    """A day's events wait at the gate; then the network comes back. Memory, time and the resident's wait."""
    backlog = run.times(5_000, 100_000)
    with _rig(run.folder / "partition") as (rig, proxy):
        rig.start_ingest()
        rig.start_edge()
        until(rig.has_list, "the list")
        quiet = _waits(rig, run.times(5, 20))
        rig.kill("edge")
        _fill(rig.journal, backlog)
        proxy.cut()
        rig.start_edge()
        before_mb = _rss_mb(rig)
        proxy.mend()
        started_s = time.monotonic()
        busy = _waits(rig, run.times(5, 40))
        most_mb = before_mb
        while rig.outbox() != 0 and time.monotonic() - started_s < DRAINED_WITHIN_S:
            most_mb = max(most_mb, _rss_mb(rig))
            time.sleep(0.2)
        drained_s = time.monotonic() - started_s
        rig.settle()
        ledger = rig.ledger()
    slack_ms = 30 if run.is_quick else 0  # a few taps have no p99
    p99_quiet, p99_busy = percentiles(quiet)["p99"], percentiles(busy)["p99"]
    return {
        **ledger.figures(),
        "backlog": backlog,
        "drained_s": round(drained_s, 1),
        "rss_mb": [round(before_mb, 1), round(most_mb, 1)],
        "tap_to_open_ms": {"quiet": percentiles(quiet), "draining": percentiles(busy)},
        "ok": ledger.is_ok and drained_s < DRAINED_WITHIN_S and p99_busy <= 2 * p99_quiet + slack_ms,
    }


def _fill(journal: Path, count: int) -> None:
    """A day of the gate's own events, committed and unconfirmed."""
    store = EventStore(journal)
    store.start()
    store.wait_ready(10)
    last = None
    for number, event in enumerate(sample_events(count)):
        last = store.submit(replace(event, gate=GateId(GATE), lane=LaneId(LANE), crossing=None))
        if number % 5000 == 4999:
            last.wait(60)
    if last is not None:
        last.wait(60)
    store.stop(30)


def _waits(rig: Rig, count: int) -> list[float]:
    """Milliseconds from a tap to the relay."""
    found = []
    for number in range(count):
        before = len(rig.lane.opened_ticks)
        tick_ns = rig.lane.tap(CARDS[number % len(CARDS)])
        rig.taps += 1
        until(lambda n=before: len(rig.lane.opened_ticks) > n, "an opening", 20)  # type: ignore[misc]
        found.append((rig.lane.opened_ticks[before] - tick_ns) / 1e6)
        time.sleep(0.3)
    return found


def _rss_mb(rig: Rig) -> float:
    if rig.edge is None:
        return 0.0
    for line in Path(f"/proc/{rig.edge.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _through_proxy(run: Run, what: str) -> dict[str, Any]:
    with _rig(run.folder / what) as (rig, proxy):
        rig.start_ingest()
        rig.start_edge()
        until(rig.has_list, "the list")
        rig.start_traffic(run.rng, 0.2, 0.6)
        if what == "delay":
            proxy.delay_s = 2.0
            time.sleep(run.times(10, 60))
            proxy.delay_s = 0.0
        elif what == "half-open":
            proxy.is_deaf = True
            time.sleep(run.times(20, 60))
            proxy.is_deaf = False
        else:
            for _ in range(run.times(6, 60)):
                proxy.cut()
                time.sleep(0.5)
                proxy.mend()
                time.sleep(0.5)
        rig.stop_traffic()
        settled_s = rig.settle()
        ledger = rig.ledger()
    return {**ledger.figures(), "settled_s": round(settled_s, 1)}


def _loss(run: Run) -> dict[str, Any]:
    """The daemon lives in a network of its own, whose wire drops every fifth packet."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("nft") is None:
        return {"ok": True, "not_tried": "needs root, ip and nft"}
    with _lossy_wire() as (near, namespace), Rig(run.folder / "loss") as rig:
        proxy = CutProxy(rig.broker.host, rig.broker.port, near)
        proxy.start()
        rig.broker_host, rig.broker_port = near, proxy.port
        rig.edge_prefix = ("ip", "netns", "exec", namespace)
        rig.edge_command = EDGE
        rig.write_config()
        try:
            rig.start()
            rig.start_traffic(run.rng, 0.1, 0.4)
            time.sleep(run.times(15, 120))
            rig.stop_traffic()
            settled_s = rig.settle(180)
            ledger = rig.ledger()
        finally:
            proxy.stop()
    return {**ledger.figures(), "settled_s": round(settled_s, 1), "loss_percent": _LOSS_PERCENT}


@contextmanager
def _lossy_wire() -> Iterator[tuple[str, str]]:
    """(the near address, the namespace): a veth pair; both ends drop a share of what arrives."""
    name = f"gatectl{os.getpid()}"
    near, far = "10.213.77.1", "10.213.77.2"
    rules = (
        "add table inet loss; add chain inet loss in { type filter hook input priority 0 ; }; "
        f"add rule inet loss in iifname v1 numgen random mod 100 < {_LOSS_PERCENT} drop"
    )
    try:
        _do("ip", "netns", "add", name)
        _do("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", name)
        _do("ip", "addr", "add", f"{near}/24", "dev", "v0")
        _do("ip", "link", "set", "v0", "up")
        _do("ip", "netns", "exec", name, "ip", "addr", "add", f"{far}/24", "dev", "v1")
        _do("ip", "netns", "exec", name, "ip", "link", "set", "v1", "up")
        _do("ip", "netns", "exec", name, "ip", "link", "set", "lo", "up")
        _do("ip", "netns", "exec", name, "nft", rules)
        yield near, name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", "v0"], check=False, capture_output=True)


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
