"""One gate, a broker and central as real processes, with a resident who taps cards: what the faults are tried on."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, and_, func, insert, or_, select

from gatectl.central import tables
from gatectl.central.charters import root_public
from gatectl.central.database import migrate, open_database, writing
from gatectl.central.keys import load_or_make_keys
from gatectl.central.replicate import mark_dirty
from gatectl.central.verify import verify
from gatectl.core.model import CredentialKey, Direction, EventKind, GrantState, LaneKind, Verdict
from gatectl.core.reasons import Reason
from gatectl.edge.verify import verify_journal
from gatectl.errors import GatectlError, LinkError
from gatectl.sim.broker import CENTRAL_USER, Broker, start_broker
from gatectl.sim.plan import GatePlan, LanePlan, edge_toml
from gatectl.sim.site import GateStage, LaneStage, Town, build_gate

SITE, GATE, LANE = "fault-site", "fault-gate", "fault-gate-walk"
CARDS = tuple(CredentialKey(f"em:0A{number:08X}") for number in range(1, 41))
LOST_CARD = CredentialKey("em:0AFFFFFFFF")
PATIENCE_S = 60.0
_AGAIN = '"what":"granted_again"'
EDGE = ("-m", "gatectl.edge.daemon")

Say = Callable[[str], None]


@dataclass(slots=True)
class Run:
    """What a fault is given: where, how random, how long."""

    folder: Path
    rng: random.Random
    is_quick: bool
    say: Say = lambda _words: None

    def times(self, quick: int, full: int) -> int:
        """How often, by the kind of run."""
        return quick if self.is_quick else full


def until(is_true: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> float:
    """Seconds until it was so. Raises LinkError when it never was."""
    started_s = time.monotonic()
    while not is_true():
        if time.monotonic() - started_s > patience_s:
            raise LinkError(f"{what} did not come in {patience_s:.0f} s")
        time.sleep(0.01)
    return time.monotonic() - started_s


@dataclass(slots=True)
class Ledger:
    """What the two ends have, compared."""

    events: int
    lost: int
    doubled: int
    altered: int
    epochs: int
    """More than one: the gate began a new journal."""
    openings: int
    unrecorded_openings: int
    findings: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        """Nothing lost, nothing doubled, nothing altered; every opening is explained."""
        return not (self.lost or self.doubled or self.altered or self.unrecorded_openings or self.findings)

    def figures(self) -> dict[str, Any]:
        """As the bench prints it."""
        return {
            "events": self.events,
            "lost": self.lost,
            "doubled": self.doubled,
            "altered": self.altered,
            "epochs": self.epochs,
            "openings": self.openings,
            "unrecorded_openings": self.unrecorded_openings,
            "findings": list(self.findings[:5]),
            "ok": self.is_ok,
        }


@dataclass(slots=True)
class Rig:
    """Use it as a context manager; everything it started ends with it."""

    folder: Path
    edge_command: tuple[str, ...] = EDGE
    """How the daemon is started: a fault may put another world around it."""
    edge_environment: Mapping[str, str] = field(default_factory=dict)
    edge_prefix: tuple[str, ...] = ()
    """What the daemon is started by: a network namespace."""
    broker_host: str = "127.0.0.1"
    broker_port: int = 0
    """0 = the broker's own; else the gate reaches it here (a proxy)."""
    data: Path = Path()
    """The gate's data_dir; empty = below `folder`."""
    broker: Broker = field(init=False)
    engine: Engine = field(init=False)
    town: Town = field(init=False)
    ingest: subprocess.Popen[bytes] | None = None
    edge: subprocess.Popen[bytes] | None = None
    taps: int = 0
    _traffic: threading.Thread | None = None
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.data if self.data != Path() else self.folder / "data"
        passwords = {CENTRAL_USER: "central-secret", GATE: "gate-secret"}
        for user, password in passwords.items():
            (self.folder / f"{user}.password").write_text(password, encoding="utf-8")
        self.broker = start_broker(self.folder / "broker", passwords)
        self._make_central()
        self.town = Town((build_gate(_plan(), self.folder),))
        self.town.start()
        self.write_config()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop_traffic()
        for process in (self.edge, self.ingest):
            if process is not None:
                process.kill()
                process.wait()
        self.town.stop()
        self.broker.stop()
        self.engine.dispose()

    # --- the parts ---

    @property
    def stage(self) -> GateStage:
        """The gate's hardware."""
        return self.town.gates[0]

    @property
    def lane(self) -> LaneStage:
        """Its one lane."""
        return self.stage.lanes[LANE]

    @property
    def journal(self) -> Path:
        """The gate's own journal."""
        return self.data / "edge.db"

    @property
    def edge_log(self) -> Path:
        """What the daemon said."""
        return self.folder / "edge.log"

    def _make_central(self) -> None:
        database = f"sqlite:///{self.folder / 'central.db'}"
        migrate(database)
        self.engine = open_database(database)
        with writing(self.engine) as conn:
            seed(conn)
        (self.folder / "central.toml").write_text(
            f'database = "{database}"\ndata_dir = "{self.folder}"\n[broker]\nport = {self.broker.port}\n'
            f'protocol = "{self.broker.protocol}"\nusername = "{CENTRAL_USER}"\n'
            f'password_file = "{self.folder / f"{CENTRAL_USER}.password"}"\n',
            encoding="utf-8",
        )

    def write_config(self) -> None:
        """The gate's file, with the ports of this moment."""
        text = edge_toml(
            self.stage.plan,
            self.stage.ports,
            data_dir=self.data,
            site_key=load_or_make_keys(self.folder).public_base64,
            root_key=root_public(self.folder),
            broker={
                "host": self.broker_host,
                "port": self.broker_port or self.broker.port,
                "protocol": self.broker.protocol,
            },
            password_file=self.folder / f"{GATE}.password",
        )
        (self.folder / "edge.toml").write_text(text, encoding="utf-8")

    def start_ingest(self) -> None:
        """Central's process."""
        command = [sys.executable, "-m", "gatectl", "central", "ingest", "--config", str(self.folder / "central.toml")]
        with (self.folder / "ingest.log").open("ab") as log:
            self.ingest = subprocess.Popen(command, stdout=log, stderr=log)

    def start_edge(self, *, must_serve: bool = True) -> float:
        """The daemon; seconds until it serves. Raises LinkError."""
        with self.edge_log.open("ab") as log:
            self.edge = subprocess.Popen(
                [*self.edge_prefix, sys.executable, *self.edge_command, "--config", str(self.folder / "edge.toml")],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.edge_environment},
            )
        return until(self.is_serving, "the daemon") if must_serve else 0.0

    def is_serving(self) -> bool:
        """The daemon says so, and the bridge obeys it. Raises LinkError when it died."""
        edge = self.edge
        if edge is None:
            return False
        if edge.poll() is not None:
            raise LinkError(f"the daemon ended: {self.edge_log.read_text(encoding='utf-8', errors='replace')[-800:]}")
        ready = self.data / "ready"
        try:
            is_ready = f'"pid": {edge.pid},' in ready.read_text(encoding="utf-8")
        except OSError:
            return False
        return is_ready and self.stage.mcu.is_lease_held

    def start(self) -> Self:
        """Everything, with a list at the gate."""
        self.start_ingest()
        self.start_edge()
        until(self.has_list, "the list")
        return self

    def has_list(self) -> bool:
        """The gate decides on a list."""
        with self.engine.connect() as conn:
            return conn.scalar(select(tables.gates.c.list_ver).where(tables.gates.c.id == GATE)) not in (None, 0)

    def kill(self, part: str) -> None:
        """SIGKILL for `edge`, `ingest` or `broker`."""
        process = {"edge": self.edge, "ingest": self.ingest, "broker": self.broker.process}[part]
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def start_again(self, part: str) -> None:
        """What was killed serves again."""
        if part == "edge":
            self.start_edge()
        elif part == "ingest":
            self.start_ingest()
        else:
            self.broker.restart()

    # --- the resident ---

    def tap(self, key: CredentialKey) -> None:
        """Hold a card to the reader."""
        self.lane.tap(key)
        self.taps += 1

    def start_traffic(self, rng: random.Random, least_s: float = 0.03, most_s: float = 0.25) -> None:
        """Taps all the time, one in ten of a lost card."""
        self._is_over.clear()

        def taps() -> None:
            while not self._is_over.wait(rng.uniform(least_s, most_s)):
                self.tap(LOST_CARD if rng.random() < 0.1 else rng.choice(CARDS))

        self._traffic = threading.Thread(target=taps, name="traffic", daemon=True)
        self._traffic.start()

    def stop_traffic(self) -> None:
        """Nobody comes any more."""
        self._is_over.set()
        if self._traffic is not None:
            self._traffic.join(5)

    # --- the books ---

    def journal_rows(self) -> list[tuple[int, str]]:
        """(seq, hash) of the gate's own journal."""
        try:
            with closing(sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True, timeout=5)) as database:
                return database.execute("SELECT seq, hash FROM journal ORDER BY seq").fetchall()
        except sqlite3.Error:
            return []

    def outbox(self) -> int:
        """Events that central has not confirmed; -1 while nobody can say."""
        try:
            with closing(sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True, timeout=5)) as database:
                return int(database.execute("SELECT count(*) FROM outbox").fetchone()[0])
        except sqlite3.Error:
            return -1

    def central_rows(self) -> list[tuple[str, int, str]]:
        """(epoch, seq, hash) of every event of the gate that central has."""
        events = tables.events.c
        with self.engine.connect() as conn:
            query = select(events.epoch, events.seq, events.hash).where(events.gate_id == GATE)
            return [(row.epoch, row.seq, row.hash) for row in conn.execute(query)]

    def explained(self) -> int:
        """Openings that events at central explain.

        Grants and orders, the same card shown again while its opening is under way (told in the passage's trace), and
        openings that the gate itself could not explain.
        """
        events = tables.events.c
        asked = (EventKind.ACCESS.value, EventKind.COMMAND.value)
        is_granted = and_(events.kind.in_(asked), events.verdict == Verdict.GRANTED.value)
        is_unknown = events.reason == int(Reason.UNEXPLAINED_OPENING)
        with self.engine.connect() as conn:
            count = int(conn.scalar(select(func.count()).where(or_(is_granted, is_unknown))) or 0)
            passages = conn.scalars(select(events.body).where(events.kind == EventKind.PASSAGE.value))
            return count + sum(int(body.count(_AGAIN)) for body in passages)

    def settle(self, patience_s: float = 120.0) -> float:
        """Seconds until central had everything; when it never has, the ledger tells what is lost."""
        started_s = time.monotonic()
        while time.monotonic() - started_s < patience_s:
            if self.outbox() == 0 and len(self.central_rows()) >= len(self.journal_rows()) > 0:
                break
            time.sleep(0.05)
        return time.monotonic() - started_s

    def ledger(self) -> Ledger:
        """Compare both ends. Raises StoreError."""
        own = dict(self.journal_rows())
        there = self.central_rows()
        check, findings = verify_journal(self.journal)
        mine = {seq: hash_ for epoch, seq, hash_ in there if epoch == check.epoch}
        with self.engine.connect() as conn:
            words = [f"{x.seq} {x.what}: {x.words}" for report in verify(conn, GATE) for x in report.findings]
        openings = len(self.lane.opened_ticks)
        return Ledger(
            events=len(there),
            lost=len(own.keys() - mine.keys()),
            doubled=len(there) - len({(epoch, seq) for epoch, seq, _ in there}),
            altered=sum(1 for seq, own_hash in own.items() if mine.get(seq, own_hash) != own_hash),
            epochs=len({epoch for epoch, _, _ in there}),
            openings=openings,
            unrecorded_openings=max(0, openings - self.explained()),
            findings=(*words, *(f"gate {x.seq} {x.what}" for x in findings)),
        )


def _plan() -> GatePlan:
    lane = LanePlan(LANE, GATE, SITE, LaneKind.PEDESTRIAN, Direction.IN, 0, "rfid_serial", "人", "walk")
    return GatePlan(GATE, SITE, "故障门", "Fault gate", (lane,))


def seed(conn: Any) -> None:
    """A site with one gate, one lane and forty cards."""
    conn.execute(insert(tables.sites), {"id": SITE, "name_zh": "苑", "name_en": "Court"})
    conn.execute(insert(tables.gates), {"id": GATE, "site_id": SITE, "name_zh": "门", "name_en": "Gate"})
    lane = {"id": LANE, "gate_id": GATE, "kind": "pedestrian", "direction": "in", "name_zh": "人", "name_en": "walk"}
    conn.execute(insert(tables.lanes), lane)
    level = {"id": "all", "site_id": SITE, "name_zh": "住户", "name_en": "residents", "schedule_id": None}
    conn.execute(insert(tables.access_levels), level)
    conn.execute(insert(tables.access_level_lanes), {"level_id": "all", "lane_id": LANE})
    home = {"id": "h1", "site_id": SITE, "building": "1", "unit": "", "room": "101", "created_at": 0}
    conn.execute(insert(tables.households), home)
    cards = [*((key, GrantState.ACTIVE) for key in CARDS), (LOST_CARD, GrantState.LOST)]
    for number, (key, state) in enumerate(cards):
        card = {"id": f"c{number}", "site_id": SITE, "household_id": "h1", "kind": "card", "key": key}
        conn.execute(insert(tables.credentials), {**card, "state": state.value, "created_at": 0, "changed_at": 0})
        conn.execute(insert(tables.credential_levels), {"credential_id": f"c{number}", "level_id": "all"})
    mark_dirty(conn, SITE)


def failed(error: GatectlError | OSError | TimeoutError) -> dict[str, Any]:
    """The figures of a fault that could not be tried to its end."""
    return {"ok": False, "error": str(error)[:600]}
