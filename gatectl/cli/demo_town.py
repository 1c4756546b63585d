"""The demo's processes: a broker, central's two, an edge daemon a gate, and the simulated street around them."""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from sqlalchemy import Engine

from gatectl.central.charters import root_public
from gatectl.central.database import migrate, open_database
from gatectl.central.keys import load_or_make_keys
from gatectl.cli.demo_seed import is_seeded, seed_town
from gatectl.errors import ConfigError, LinkError
from gatectl.sim.broker import CENTRAL_USER, Broker, free_port, start_broker
from gatectl.sim.cast import TownCast, invent_town
from gatectl.sim.plan import GatePlan, TownPlan, edge_toml
from gatectl.sim.proxy import CutProxy
from gatectl.sim.site import GateStage, Town, build_gate

_STARTING_AT_ONCE = 3
"""Edge daemons that may be starting at a time: more only delays the first on two cores."""
_GATE_START_TIMEOUT_S = 90.0
_CENTRAL_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 8.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Child:
    """One process of the demo, with its log."""

    name: str
    process: subprocess.Popen[bytes]
    log_file: Path

    def is_alive(self) -> bool:
        """Still running."""
        return self.process.poll() is None

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")[-600:]


@dataclass(slots=True)
class DemoTown:
    """Everything that runs, and how to end it. Use it as a context manager."""

    plan: TownPlan
    folder: Path
    wanted_port: int
    say: Say
    offline_gate: str = ""
    """This gate reaches the broker through a proxy that can be cut."""
    web_port: int = 0
    broker: Broker | None = None
    proxy: CutProxy | None = None
    town: Town | None = None
    engine: Engine | None = None
    cast: TownCast | None = None
    gate_ready_s: dict[str, float] = field(default_factory=dict)
    """Gate id -> seconds from the demo's start until it served."""
    console_ready_s: float = 0.0
    _children: dict[str, Child] = field(default_factory=dict)
    _lock: IO[str] | None = None
    _started: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another demo runs in {self.folder}; stop it, or give --data-dir another folder"
            ) from error
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def central_toml(self) -> Path:
        """Central's configuration file."""
        return self.folder / "central.toml"

    @property
    def url(self) -> str:
        """The console's address."""
        return f"http://127.0.0.1:{self.web_port}"

    def start_central(self) -> None:
        """Broker, database, ingest and console."""
        passwords = self._passwords()
        sites = {gate.id: gate.site for gate in self.plan.gates}
        self.broker = start_broker(self.folder / "broker", passwords, sites=sites)
        self.say(f"broker: {self.broker.kind} on 127.0.0.1:{self.broker.port}")
        self.web_port = free_port(self.wanted_port)
        if self.web_port != self.wanted_port:
            self.say(f"port {self.wanted_port} is taken; the console uses {self.web_port}")
        self._write_central_toml()
        database = f"sqlite:///{self.folder / 'central.db'}"
        migrate(database)
        self.engine = open_database(database)
        self.cast = invent_town(self.plan)
        with self.engine.begin() as conn:
            if not is_seeded(conn):
                seed_town(conn, self.plan, self.cast)
                self.say(f"town: {len(self.plan.sites)} sites, {len(self.plan.gates)} gates, invented and enrolled")
        config = str(self.central_toml)
        self._spawn("central-ingest", ["central", "ingest", "--config", config])
        self._spawn("central-web", ["central", "web", "--config", config])
        self._await_console()

    def build_street(self) -> None:
        """Every gate's simulated hardware, moving."""
        gates = tuple(build_gate(gate, self._gate_folder(gate)) for gate in self.plan.gates)
        self.town = Town(gates)
        self.town.start()

    def start_gates(self, on_ready: Callable[[str, float], None]) -> None:
        """Start an edge daemon a gate, a few at a time; returns when all serve. Raises LinkError if one dies."""
        if self.town is None:
            raise LinkError("build the street first")
        waiting = list(self.town.gates)
        starting: dict[str, float] = {}
        while waiting or starting:
            while waiting and len(starting) < _STARTING_AT_ONCE:
                stage = waiting.pop(0)
                self.start_gate(stage)
                starting[stage.plan.id] = time.monotonic()
            for gate_id, since in tuple(starting.items()):
                if (self.folder / "gates" / gate_id / "data" / "ready").exists():
                    del starting[gate_id]
                    self.gate_ready_s[gate_id] = time.monotonic() - self._started
                    on_ready(gate_id, self.gate_ready_s[gate_id])
                    continue
                child = self._children[gate_id]
                if not child.is_alive() or time.monotonic() - since > _GATE_START_TIMEOUT_S:
                    raise LinkError(f"gate {gate_id} did not start: {child.last_words()}")
            time.sleep(0.05)  # children report by a file; there is nothing to wait on

    def start_gate(self, stage: GateStage) -> None:
        """Write one gate's config and start its daemon."""
        if self.broker is None:
            raise LinkError("start central first")
        gate = stage.plan
        folder = self._gate_folder(gate)
        data_dir = folder / "data"
        (data_dir / "ready").unlink(missing_ok=True)
        port = self.broker.port
        if gate.id == self.offline_gate:
            self.proxy = CutProxy(self.broker.host, self.broker.port)
            self.proxy.start()
            port = self.proxy.port
        text = edge_toml(
            gate,
            stage.ports,
            data_dir=data_dir,
            site_key=load_or_make_keys(self.folder).public_base64,
            root_key=root_public(self.folder),
            broker={"host": self.broker.host, "port": port, "protocol": self.broker.protocol},
            password_file=self._password_file(gate.id),
        )
        config = folder / "edge.toml"
        config.write_text(text, encoding="utf-8")
        self._spawn(gate.id, ["edge", "run", "--config", str(config)])

    def dead_children(self) -> list[Child]:
        """Processes that ended though nobody asked them to."""
        return [child for child in self._children.values() if not child.is_alive()]

    def process_ids(self) -> list[int]:
        """Every process of the demo, this one included."""
        return [os.getpid(), *(child.process.pid for child in self._children.values())]

    def stop(self) -> None:
        """End gates, then central, then the broker; kill what does not listen."""
        gates = [child for name, child in self._children.items() if not name.startswith("central-")]
        central = [child for name, child in self._children.items() if name.startswith("central-")]
        for group in (gates, central):
            for child in group:
                if child.is_alive():
                    child.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + _STOP_TIMEOUT_S
            for child in group:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.1, deadline - time.monotonic()))
                if child.is_alive():
                    child.process.kill()
                    child.process.wait()
        if self.town is not None:
            self.town.stop()
        if self.proxy is not None:
            self.proxy.stop()
        if self.broker is not None:
            self.broker.stop()
        if self.engine is not None:
            self.engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def _gate_folder(self, gate: GatePlan) -> Path:
        folder = self.folder / "gates" / gate.id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _password_file(self, user: str) -> Path:
        return self.folder / "passwords" / user

    def _passwords(self) -> dict[str, str]:
        """A random password an account, made on the first run, each in a file that only we may read."""
        passwords = {}
        for user in (CENTRAL_USER, *(gate.id for gate in self.plan.gates)):
            path = self._password_file(user)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(secrets.token_urlsafe(24), encoding="utf-8")
            passwords[user] = path.read_text(encoding="utf-8")
        return passwords

    def _write_central_toml(self) -> None:
        if self.broker is None:
            raise LinkError("start the broker first")
        text = f"""\
database = "sqlite:///{self.folder / "central.db"}"
data_dir = "{self.folder}"
host = "127.0.0.1"
port = {self.web_port}
is_demo = true

[broker]
host = "{self.broker.host}"
port = {self.broker.port}
protocol = "{self.broker.protocol}"
username = "{CENTRAL_USER}"
password_file = "{self._password_file(CENTRAL_USER)}"
"""
        self.central_toml.write_text(text, encoding="utf-8")

    def _spawn(self, name: str, arguments: list[str]) -> None:
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        log_file = logs / f"{name}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [*_tied_to_us(), sys.executable, "-m", "gatectl", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self._children[name] = Child(name, process, log_file)

    def _await_console(self) -> None:
        deadline = time.monotonic() + _CENTRAL_START_TIMEOUT_S
        while time.monotonic() < deadline:
            for child in self.dead_children():
                raise LinkError(f"{child.name} did not start: {child.last_words()}")
            try:
                urllib.request.urlopen(f"{self.url}/signin", timeout=2).close()  # noqa: S310 - our own http:// address
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)  # a port opens when it opens
                continue
            self.console_ready_s = time.monotonic() - self._started
            return
        raise LinkError(f"the console did not answer at {self.url}: {self._children['central-web'].last_words()}")


def _tied_to_us() -> list[str]:
    """Have the kernel end a child when we die without a word; setpriv comes with every Debian."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []
