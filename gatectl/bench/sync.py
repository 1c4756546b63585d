"""`gatectl bench sync`: a list to a thousand gates, cold and by one revocation, beside the broker's bare fan-out.

Ours: central's database and ingest process, a real broker, and simulated gates that ask for the list, check every
signature and digest, and report. Bare: the same chunks from a plain publisher through the same broker to the same
clients, who ask for nothing. Jitter is off. What a gate's own disk takes is measured apart, on one replica.
"""

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select

from gatectl.bench.process import percentiles
from gatectl.central import tables
from gatectl.central.credentials import set_card_state
from gatectl.central.database import migrate, open_database, writing
from gatectl.central.keys import CentralKeys, load_or_make_keys
from gatectl.core.model import GrantState
from gatectl.edge.replica_store import ReplicaStand, ReplicaStore
from gatectl.errors import LinkError
from gatectl.sim.broker import Broker, start_broker
from gatectl.sim.clients import GateCrowd, SimGate
from gatectl.wire.messages import list_topic
from gatectl.wire.replica import CHUNK_BYTES, Head, SnapChunk, decode_snapshot, encode_chunk, encode_head
from gatectl.wire.rows import decode_row, row_key

SITE, BARE_SITE, LEVEL = "bench-site", "bench-bare", "residents"
_PASSWORD = "bench"  # noqa: S105 - of a broker that lives as long as this command
_PATIENCE_S = 300.0
_BETWEEN_S = (2.5, 3.5)
"""Each revocation is one on its own: in between, central looks through the whole list."""
_CARDS_IN_FOUR = 3
_HOUSEHOLD = 4
"""Credentials a household, one of them a car."""


def run(
    credentials: int, gates: int, repeats: int, seed: int, say: Callable[[str], None] = lambda _words: None
) -> dict[str, Any]:
    """The figures. Raises LinkError when the broker or a gate does not come up, or a gate refuses something."""
    names = [f"gate-{number:04d}" for number in range(gates)]
    with tempfile.TemporaryDirectory(prefix="gatectl-sync-") as name:
        folder = Path(name)
        say(f"making a site of {credentials} credentials and {gates} gates")
        engine = _central(folder, credentials, names)
        keys = load_or_make_keys(folder)
        broker = start_broker(folder / "broker", dict.fromkeys(["central", *names], _PASSWORD))
        try:
            with _child([sys.executable, "-m", "gatectl", "central", "ingest", "--config", _config(folder, broker)]):
                probe = _probe(names[0], keys, broker)
                snapshot = probe.library.data(probe.gates[0].sha256)
                say(f"the bare fan-out of {len(snapshot)} bytes to {gates} clients")
                bare_s = _bare(folder / "bare", names, keys, broker, snapshot, probe.gates[0].ver)
                say("the cold start of all gates")
                crowd = GateCrowd(SITE, names, (keys.site_key.public_key(),), broker.port, _PASSWORD, broker.protocol)
                cold_s = _cold(crowd)
                say(f"{repeats} revocations, each to all gates")
                revoked = _revocations(engine, crowd, repeats, random.Random(seed))  # noqa: S311 - a seeded load
                _require_clean(crowd)
                crowd.stop()
        finally:
            broker.stop()
            engine.dispose()
        say(f"one gate brings this list into SQLite in {_apply_s(folder / 'acl.db', snapshot):.2f} s")
        found = percentiles(revoked, 3)
        return {
            "cold_s": round(cold_s, 3),
            "bare_cold_s": round(bare_s, 3),
            "revoke_s": {"p50": found["p50"], "p99": found["p99"]},
            "snapshot_bytes": crowd.snapshot_bytes,
            "delta_bytes": crowd.delta_bytes,
        }


# --- the surroundings ---


def _central(folder: Path, credentials: int, gates: list[str]) -> Engine:
    """A migrated database with a site: three cards and a car a household."""
    url = f"sqlite:///{folder / 'central.db'}"
    migrate(url)
    engine = open_database(url)
    rows = [_credential(number) for number in range(credentials)]
    homes = sorted({str(row["household_id"]) for row in rows})
    with writing(engine) as conn:
        conn.execute(insert(tables.sites), {"id": SITE, "name_zh": "测试苑", "name_en": "Bench Court"})
        conn.execute(
            insert(tables.gates), [{"id": gate, "site_id": SITE, "name_zh": gate, "name_en": gate} for gate in gates]
        )
        conn.execute(insert(tables.access_levels), {"id": LEVEL, "site_id": SITE, "name_zh": "住户", "name_en": LEVEL})
        conn.execute(
            insert(tables.households),
            [{"id": home, "site_id": SITE, "building": "1", "room": home, "created_at": 0} for home in homes],
        )
        conn.execute(insert(tables.credentials), rows)
        conn.execute(
            insert(tables.credential_levels), [{"credential_id": row["id"], "level_id": LEVEL} for row in rows]
        )
    return engine


def _credential(number: int) -> dict[str, Any]:
    is_car = number % _HOUSEHOLD == _CARDS_IN_FOUR
    return {
        "id": _card_id(number),
        "site_id": SITE,
        "household_id": f"h{number // _HOUSEHOLD:07d}",
        "kind": "plate" if is_car else "card",
        "key": f"plate:粤E{number:06d}" if is_car else f"em:{(number * 2654435761) % (1 << 40):010X}",
        "state": GrantState.ACTIVE.value,
        "created_at": 0,
        "changed_at": 0,
    }


def _card_id(number: int) -> str:
    return f"c{number:08d}"


def _config(folder: Path, broker: Broker) -> str:
    password = folder / "password"
    password.write_text(_PASSWORD, encoding="utf-8")
    path = folder / "central.toml"
    path.write_text(
        f'database = "sqlite:///{folder / "central.db"}"\ndata_dir = "{folder}"\n[broker]\nport = {broker.port}\n'
        f'protocol = "{broker.protocol}"\nusername = "central"\npassword_file = "{password}"\n'
        "[lists]\nmax_jitter_s = 0\n",
        encoding="utf-8",
    )
    return str(path)


@contextmanager
def _child(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "GATECTL_BROKER_PASSWORD": _PASSWORD}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class _Count:
    """Counts the gates of a crowd that hold a version; the time of the last one is kept."""

    def __init__(self, crowd: GateCrowd) -> None:
        self._crowd = crowd
        self._wanted = 0
        self._there = 0
        self._last_s = 0.0
        self._done = threading.Event()
        crowd.on_list = self._arrived

    def begin(self, ver: int) -> float:
        """Wait for this version, or a later one, from now on; the time."""
        self._done.clear()
        self._there, self._wanted = 0, ver
        return time.monotonic()

    def _arrived(self, gate: SimGate) -> None:
        if gate.ver == self._wanted or (self._wanted == 1 and gate.ver):
            self._there += 1
            if self._there == len(self._crowd.gates):
                self._last_s = time.monotonic()
                self._done.set()

    def last_s(self) -> float:
        """When the last gate had it. Raises LinkError when one does not get there."""
        if not self._done.wait(_PATIENCE_S):
            why = next((gate.refused[0] for gate in self._crowd.gates if gate.refused), "nothing was refused")
            raise LinkError(f"{self._there} of {len(self._crowd.gates)} gates after {_PATIENCE_S:.0f} s; {why}")
        return self._last_s


def _require_clean(crowd: GateCrowd) -> None:
    refused = [words for gate in crowd.gates for words in gate.refused]
    if refused:
        raise LinkError(f"the gates refused {len(refused)} messages, the first: {refused[0]}")


# --- what is measured ---


def _probe(name: str, keys: CentralKeys, broker: Broker) -> GateCrowd:
    """One gate, to know that the list is made and sent before anything is measured."""
    crowd = GateCrowd(SITE, [name], (keys.site_key.public_key(),), broker.port, _PASSWORD, broker.protocol)
    count = _Count(crowd)
    crowd.connect()
    count.begin(1)
    crowd.begin()
    count.last_s()
    crowd.stop()
    return crowd


def _bare(folder: Path, names: list[str], keys: CentralKeys, broker: Broker, snapshot: bytes, ver: int) -> float:
    """Seconds from the publisher's first chunk to the last client's verified snapshot."""
    folder.mkdir()
    parts = [snapshot[start : start + CHUNK_BYTES] for start in range(0, len(snapshot), CHUNK_BYTES)]
    for i, part in enumerate(parts):
        (folder / f"{i:05d}.chunk").write_bytes(encode_chunk(SnapChunk(ver, i, len(parts), part)))
    now = datetime.now(UTC)
    head = Head.model_validate(
        {
            "site": BARE_SITE,
            "epoch": "bare",
            "ver": ver,
            "n": 0,
            "set_hash": "0" * 64,
            "snap": {
                "ver": ver,
                "bytes": len(snapshot),
                "sha256": hashlib.sha256(snapshot).hexdigest(),
                "chunks": len(parts),
            },
            "min_delta": ver,
            "issued": now,
            "expires": now + timedelta(days=1),
        }
    )
    (folder / "head").write_bytes(encode_head(head, keys.site_key))
    topics = f"head {list_topic(BARE_SITE, 'head')}\nchunks {list_topic(BARE_SITE, 'snap')}\n"
    (folder / "topics").write_text(topics, encoding="utf-8")
    crowd = GateCrowd(BARE_SITE, names, (keys.site_key.public_key(),), broker.port, _PASSWORD, broker.protocol)
    crowd.asks = crowd.reports = False
    count = _Count(crowd)
    command = [sys.executable, "-m", "gatectl.bench.bare_path", "fan_out", str(folder), str(broker.port)]
    with _child(command) as publisher:
        if publisher.stdout is None or publisher.stdin is None or publisher.stdout.readline().strip() != "ready":
            raise LinkError("the bare publisher did not start")
        crowd.connect()
        crowd.subscribe(list_topic(BARE_SITE, "snap"), list_topic(BARE_SITE, "head"))
        crowd.wait(lambda: all(gate.head is not None for gate in crowd.gates), "heads are heard")
        began_s = count.begin(1)
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
        last_s = count.last_s()
    crowd.stop()
    _require_clean(crowd)
    return last_s - began_s


def _cold(crowd: GateCrowd) -> float:
    """Seconds from the first subscription of gates that hold nothing to the last one's verified list."""
    count = _Count(crowd)
    crowd.connect()
    began_s = count.begin(1)
    crowd.begin()
    return count.last_s() - began_s


def _revocations(engine: Engine, crowd: GateCrowd, repeats: int, rng: random.Random) -> list[float]:
    """Seconds from the office's commit being asked for to the last gate that obeys, for each."""
    count = _Count(crowd)
    crowd.library.rows(crowd.gates[0].sha256)  # decoded once for all: on real gates it was, when the list came
    took = []
    with engine.connect() as conn:
        known = conn.execute(
            select(tables.credentials.c.id).where(
                tables.credentials.c.kind == "card", tables.credentials.c.site_id == SITE
            )
        )
        cards = list(known.scalars())
    for card in rng.sample(cards, repeats):
        crowd.wait(lambda: len({gate.ver for gate in crowd.gates}) == 1, "gates hold one version")
        began_s = count.begin(crowd.gates[0].ver + 1)
        with writing(engine) as conn:
            set_card_state(conn, "bench", card, GrantState.LOST, site=SITE)
        took.append(count.last_s() - began_s)
        time.sleep(rng.uniform(*_BETWEEN_S))
    return took


def _apply_s(path: Path, snapshot: bytes) -> float:
    """Seconds to bring a list into an empty replica on this machine's disk."""
    store = ReplicaStore(path)
    store.open()
    try:
        began_s = time.monotonic()
        rows = {row_key(decode_row(row)): row for row in decode_snapshot(snapshot)}
        store.replace(rows, ReplicaStand("bench", 1, "", len(rows), 1, 1))
        return time.monotonic() - began_s
    finally:
        store.close()
