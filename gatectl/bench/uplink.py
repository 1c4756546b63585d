"""`gatectl bench uplink`: a gate's backlog drained to central's commit, beside a bare path through the same broker.

Ours: a real outbox (SQLite, WAL, FULL), the daemon's own uplink in a process of its own, a real broker, the ingest
process, its database. Bare: the same messages from a plain paho publisher to a plain paho consumer that inserts the
rows in batches of at most 500 a commit and checks nothing. Both in the same run, one after the other.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, insert, select

from gatectl.central import tables
from gatectl.central.database import migrate, open_database, writing
from gatectl.central.keys import load_or_make_keys
from gatectl.core.model import (
    AccessEvent,
    CharVote,
    ClockTrust,
    CredentialKey,
    Crossing,
    Direction,
    EventKind,
    GateId,
    LaneId,
    LaneMoment,
    PlateColour,
    PlateRead,
    RuleStep,
    Verdict,
)
from gatectl.core.reasons import Reason
from gatectl.edge.store import EventStore
from gatectl.sim.broker import Broker, start_broker
from gatectl.sim.postgres import running_postgres

GATE, SITE = "bench-gate", "bench-site"
_PASSWORDS = {"central": "bench", GATE: "bench"}
_PATIENCE_S = 600.0
_START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def run(
    events: int, databases: tuple[str, ...], progress: Callable[[str], None] = lambda _words: None
) -> dict[str, Any]:
    """The figures of each database. Raises LinkError when a server cannot be started."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="gatectl-uplink-") as name:
        folder = Path(name)
        progress(f"writing {events} events to an outbox")
        outbox = folder / "edge.db"
        _fill(outbox, events)
        for database in databases:
            place = folder / database
            place.mkdir()
            with _database(database, place) as url:
                progress(f"{database}: through gatectl")
                ours_s = _ours(place / "ours", url, outbox, events)
            with _database(database, place / "bare") as url:
                progress(f"{database}: the bare path")
                bare_s = _bare(place / "bare", url, outbox, events)
            found[database] = {
                "events_per_s": round(events / ours_s),
                "bare_per_s": round(events / bare_s),
                "ratio": round(bare_s / ours_s, 3),
            }
    return {**found, "events": events}


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    folder.mkdir(exist_ok=True)
    if kind == "postgresql":
        with running_postgres() as url:
            yield url
    else:
        yield f"sqlite:///{folder / 'central.db'}"


# --- the load ---


def _fill(path: Path, count: int) -> None:
    """A gate's day: three in ten by plate, with their traces; every grant with its passage."""
    store = EventStore(path)
    store.start()
    if not store.wait_ready(10):
        raise OSError(f"{path} cannot be opened")
    last = [store.submit(event) for event in sample_events(500)]
    for number in range(500, count, 500):
        last[-1].wait(60)
        last = [store.submit(event) for event in sample_events(min(500, count - number), number)]
    last[-1].wait(60)
    store.stop(30)


def sample_events(count: int, first: int = 0) -> Iterator[AccessEvent]:
    """Attempts by card and plate, each with its passage."""
    for number in range(first, first + count):
        made = _access(number)
        yield made if number % 2 == 0 else _passage(number)


def _access(number: int) -> AccessEvent:
    text = f"粤E{number % 100_000:05d}"
    is_car = number % 10 < 3
    votes = tuple(CharVote(((character, 0.97), ("8", 0.02))) for character in text)
    plate = PlateRead(text, 0.94, PlateColour.BLUE, 4, votes)
    steps = (
        "vehicle_present",
        "plate_found",
        "plate_confidence",
        "registered",
        "state",
        "lane",
        "schedule",
        "passback",
    )
    return AccessEvent(
        id=f"{number:032x}",
        kind=EventKind.ACCESS,
        gate=GateId(GATE),
        lane=LaneId("bench-in"),
        at=_START + timedelta(seconds=number),
        boot_id="0b6f9f0c-bench",
        mono_ns=number * 1_000_000_000,
        clock=ClockTrust.SYNCED,
        reason=Reason.PLATE_OK if is_car else Reason.CARD_OK,
        verdict=Verdict.GRANTED,
        direction=Direction.IN,
        credential=CredentialKey(f"plate:{text}" if is_car else f"em:{number:010X}"),
        subject=f"p{number % 5000:08d}",
        household=f"h{number % 2000:08d}",
        plate=plate if is_car else None,
        trace=tuple(RuleStep(step, "true", "pass") for step in steps[0 if is_car else 3 :]),
        revision=("5f2a", 17),
        reader="post",
    )


def _passage(number: int) -> AccessEvent:
    access = _access(number - 1)
    moments = tuple(
        LaneMoment(what, ms)
        for what, ms in (("open_ordered", 0), ("arm_up", 1100), ("safety_occupied", 2600), ("safety_clear", 4600))
    )
    return replace(
        access,
        id=f"{number:032x}",
        kind=EventKind.PASSAGE,
        reason=Reason.PASSED,
        verdict=None,
        plate=None,
        trace=(),
        lane_trace=moments,
        outcome="passed",
        ref=access.id,
        crossing=Crossing(access.subject, "", "site", is_vehicle=True),
    )


# --- through gatectl ---


def _ours(folder: Path, url: str, outbox: Path, events: int) -> float:
    """Seconds from the gate's connection to central's last commit."""
    folder.mkdir()
    engine = _central(url)
    broker = start_broker(folder / "broker", _PASSWORDS)
    keys = load_or_make_keys(folder)
    password = folder / "password"
    password.write_text("bench", encoding="utf-8")
    central = folder / "central.toml"
    central.write_text(
        f'database = "{url}"\ndata_dir = "{folder}"\n[broker]\nport = {broker.port}\n'
        f'protocol = "{broker.protocol}"\nusername = "central"\npassword_file = "{password}"\n',
        encoding="utf-8",
    )
    own = folder / "edge.db"
    own.write_bytes(outbox.read_bytes())
    ingest = [sys.executable, "-m", "gatectl", "central", "ingest", "--config", str(central)]
    gate = [sys.executable, "-m", "gatectl.bench.uplink_gate", str(own), str(broker.port), broker.protocol]
    with _process([*gate, keys.public_base64], broker) as edge:
        _say_when_ready(edge)
        with _process(ingest, broker):
            return _until_committed(engine, events)


def _bare(folder: Path, url: str, outbox: Path, events: int) -> float:
    """Seconds for the same messages without any of our promises."""
    engine = _central(url)
    broker = start_broker(folder / "broker", _PASSWORDS)
    consumer = [sys.executable, "-m", "gatectl.bench.bare_path", "consume", url, str(broker.port)]
    publisher = [sys.executable, "-m", "gatectl.bench.bare_path", "publish", str(outbox), str(broker.port)]
    with _process(consumer, None) as taking:
        _say_when_ready(taking)
        with _process(publisher, broker):
            return _until_committed(engine, events)


def _central(url: str) -> Engine:
    migrate(url)
    engine = open_database(url)
    with writing(engine) as conn:
        conn.execute(insert(tables.sites), {"id": SITE, "name_zh": "苑", "name_en": "Court"})
        conn.execute(insert(tables.gates), {"id": GATE, "site_id": SITE, "name_zh": "东", "name_en": "East"})
    return engine


@contextmanager
def _process(command: list[str], broker: Broker | None) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "GATECTL_BROKER_PASSWORD": "bench"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if broker is not None:
            broker.stop()


def _say_when_ready(process: subprocess.Popen[str]) -> None:
    if process.stdout is None or process.stdout.readline().strip() != "ready":
        raise OSError("a process of the bench did not start")


def _until_committed(engine: Engine, events: int) -> float:
    """Seconds from the first committed event to the last: starting a process is not what is measured."""
    query = select(func.count()).select_from(tables.events)
    deadline_s = time.monotonic() + _PATIENCE_S
    first_s, first = 0.0, 0
    while time.monotonic() < deadline_s:
        with engine.connect() as conn:
            count = int(conn.execute(query).scalar_one())
        now_s = time.monotonic()
        if count and not first_s:
            first_s, first = now_s, count
        if count >= events:
            engine.dispose()
            return (now_s - first_s) * events / max(1, count - first)
        time.sleep(0.02)
    raise TimeoutError(f"{count} of {events} events after {_PATIENCE_S:.0f} s")
