"""Central's ingest as a process, killed at will: an event that a gate was acked for is in the database, once."""

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy import Engine, func, insert, select

from gatectl.central import inside, tables
from gatectl.central.database import migrate, open_database, writing
from gatectl.central.keys import load_or_make_keys
from gatectl.core.model import AccessEvent, ClockTrust, Crossing, Direction, EventKind, GateId, LaneId
from gatectl.core.reasons import Reason
from gatectl.sim.broker import Broker, start_broker
from gatectl.wire.events import GENESIS, EventRow, encode_rows, event_row, event_text
from gatectl.wire.messages import Ack, Passages, decode, decode_inside, decode_passages, gate_topic, site_topic
from gatectl.wire.replica import ListRequest
from gatectl.wire.signed import unseal

GATE = "east"
EVENTS = 3000
SALT = "5a" * 16
BATCH = 50
WAIT_S = 60.0


def a_chain(count: int) -> list[EventRow]:
    rows, previous = [], GENESIS
    for seq in range(1, count + 1):
        event = AccessEvent(
            id=f"{seq:032x}",
            kind=EventKind.ACCESS,
            gate=GateId(GATE),
            lane=LaneId("east-walk"),
            at=datetime.now(UTC),
            boot_id="b",
            mono_ns=seq,
            clock=ClockTrust.SYNCED,
            reason=Reason.CARD_OK,
        )
        rows.append(event_row("ep", seq, previous, event_text(event, SALT)))
        previous = rows[-1].hash
    return rows


class FakeGate:
    """Publishes what the watermark has not passed, again and again, as a gate's outbox does."""

    def __init__(self, broker: Broker, key: Ed25519PublicKey) -> None:
        self._key = key
        self.acks: queue.Queue[Ack] = queue.Queue()
        self.hwm = 0
        is_v5 = broker.protocol == "5"
        protocol = MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=GATE, protocol=protocol)
        self.client.username_pw_set(GATE, "gate-secret")
        self.data: queue.Queue[bytes] = queue.Queue()
        self.passages: queue.Queue[Passages] = queue.Queue()
        topics = [(gate_topic(GATE, "ack"), 1), (gate_topic(GATE, "wl/data"), 1), (site_topic("site", "passages"), 1)]
        self.client.on_connect = lambda client, *_: client.subscribe(topics)
        self.client.on_message = lambda _c, _u, message: self._heard(message.topic, bytes(message.payload))
        self.client.reconnect_delay_set(1, 1)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def _heard(self, topic: str, payload: bytes) -> None:
        if topic == site_topic("site", "passages"):
            self.passages.put(decode_passages(payload, (self._key,)))
            return
        if topic == gate_topic(GATE, "wl/data"):
            self.data.put(payload)
            return
        ack = decode(Ack, unseal(payload, "ack", (self._key,)))
        self.hwm = max(self.hwm, ack.hwm)
        self.acks.put(ack)

    def send(self, payload: bytes, leaf: str = "ev") -> None:
        self.client.publish(gate_topic(GATE, leaf), payload, 1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Central:
    """A migrated database and the ingest process beside it."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        database = f"sqlite:///{folder / 'central.db'}"
        migrate(database)
        self.engine: Engine = open_database(database)
        with writing(self.engine) as conn:
            conn.execute(insert(tables.sites), {"id": "site", "name_zh": "苑", "name_en": "Court"})
            conn.execute(insert(tables.gates), {"id": GATE, "site_id": "site", "name_zh": "东", "name_en": "East"})
        password = folder / "password"
        password.write_text("central-secret", encoding="utf-8")
        self._config = folder / "central.toml"
        self._config.write_text(
            f'database = "{database}"\ndata_dir = "{folder}"\n[broker]\nport = {broker.port}\n'
            f'protocol = "{broker.protocol}"\nusername = "central"\npassword_file = "{password}"\n',
            encoding="utf-8",
        )
        self.key = load_or_make_keys(folder).site_key.public_key()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "gatectl", "central", "ingest", "--config", str(self._config)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def count(self) -> int:
        with self.engine.connect() as conn:
            return int(conn.execute(select(func.count()).select_from(tables.events)).scalar_one())


def until(condition: Callable[[], bool], what: str, on_turn: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        on_turn()
        time.sleep(0.05)


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return start_broker(tmp_path / "broker", {"central": "central-secret", GATE: "gate-secret"})


def test_nothing_is_lost_or_doubled_while_central_and_the_broker_are_killed(tmp_path: Path, broker: Broker) -> None:
    central = Central(tmp_path, broker)
    gate = FakeGate(broker, central.key)
    rows = a_chain(EVENTS)
    central.start()
    try:
        state = {"sent_s": 0.0, "kills": 0.0}

        def resend() -> None:
            """Everything beyond the watermark, each two seconds; central is killed twice, the broker once."""
            now_s = time.monotonic()
            if gate.hwm > 300 and state["kills"] == 0:
                state["kills"] = 1
                central.kill()
                broker.process.kill()
                broker.process.wait()
                broker.restart()
                central.start()
            elif gate.hwm > 1500 and state["kills"] == 1:
                state["kills"] = 2
                central.kill()
                central.start()
            if now_s - state["sent_s"] < 2.0:
                return
            state["sent_s"] = now_s
            start = gate.hwm
            for first in range(start, min(start + 1000, EVENTS), BATCH):
                gate.send(encode_rows(tuple(rows[first : first + BATCH])))

        until(lambda: gate.hwm == EVENTS, "the watermark reaches the last event", resend)
        assert state["kills"] == 2
        assert central.count() == EVENTS
        with central.engine.connect() as conn:
            stored = conn.execute(select(tables.events.c.seq, tables.events.c.hash).order_by(tables.events.c.seq)).all()
        assert [tuple(row) for row in stored] == [(row.seq, row.hash) for row in rows]
    finally:
        gate.close()
        central.kill()
        central.engine.dispose()
        broker.stop()


def test_a_payload_of_another_version_is_kept_aside_and_the_next_one_is_taken(tmp_path: Path, broker: Broker) -> None:
    central = Central(tmp_path, broker)
    gate = FakeGate(broker, central.key)
    central.start()
    try:
        rows = encode_rows(tuple(a_chain(2)))
        wrong = rows.replace(b'"v":1', b'"v":7')

        def send() -> None:
            gate.send(wrong)
            gate.send(b"\xff\xfenoise")
            gate.send(rows)
            time.sleep(0.5)

        until(lambda: gate.hwm == 2, "the good batch is acked", send)
        with central.engine.connect() as conn:
            aside = conn.execute(select(tables.quarantine.c.payload)).scalars().all()
        assert {bytes(payload) for payload in aside} == {wrong, b"\xff\xfenoise"}
        assert central.count() == 2
    finally:
        gate.close()
        central.kill()
        central.engine.dispose()
        broker.stop()


def a_passage(number: int, direction: Direction) -> AccessEvent:
    is_entry = direction is Direction.IN
    return AccessEvent(
        id=f"{number:032x}",
        kind=EventKind.PASSAGE,
        gate=GateId(GATE),
        lane=LaneId("east-car"),
        at=datetime.now(UTC),
        boot_id="b",
        mono_ns=number,
        clock=ClockTrust.SYNCED,
        reason=Reason.PASSED,
        direction=direction,
        household="h1",
        outcome="passed",
        crossing=Crossing(f"car{number}", "" if is_entry else "yard", "yard" if is_entry else "", is_vehicle=True),
    )


def test_a_passage_is_told_to_the_site_once_and_whoever_asks_hears_who_is_inside(
    tmp_path: Path, broker: Broker
) -> None:
    central = Central(tmp_path, broker)
    gate = FakeGate(broker, central.key)
    rows, previous = [], GENESIS
    for seq in (1, 2):
        rows.append(event_row("ep", seq, previous, event_text(a_passage(seq, Direction.IN), SALT)))
        previous = rows[-1].hash
    request = ListRequest(site="site", epoch="", have=0, want="inside").model_dump_json().encode()
    central.start()
    try:
        until(lambda: gate.hwm == 2, "both passages are acked", lambda: gate.send(encode_rows(tuple(rows))))
        told = list(gate.passages.get(timeout=WAIT_S).items)
        while len(told) < 2:
            told += gate.passages.get(timeout=WAIT_S).items
        assert [(item.seq, item.subject, item.area_to) for item in told] == [(1, "car1", "yard"), (2, "car2", "yard")]
        gate.send(request, "wl/req")
        answer = decode_inside(gate.data.get(timeout=WAIT_S), (central.key,))
        assert [(entry.subject, entry.area, entry.household) for entry in answer.inside] == [
            ("car1", "yard", "h1"),
            ("car2", "yard", "h1"),
        ]
        central.kill()
        central.start()
        gate.send(encode_rows(tuple(rows)))
        gate.send(request, "wl/req")
        again = decode_inside(gate.data.get(timeout=WAIT_S), (central.key,))
        assert (again.inside, again.strangers) == (answer.inside, {})
        assert gate.passages.empty()
    finally:
        gate.close()
        central.kill()
        central.engine.dispose()
        broker.stop()


def test_a_correction_by_the_office_reaches_the_gates_once(tmp_path: Path, broker: Broker) -> None:
    central = Central(tmp_path, broker)
    gate = FakeGate(broker, central.key)
    central.start()
    try:
        rows = encode_rows((event_row("ep", 1, GENESIS, event_text(a_passage(1, Direction.IN), SALT)),))
        until(lambda: gate.hwm == 1, "the passage is acked", lambda: gate.send(rows))
        gate.passages.get(timeout=WAIT_S)
        with writing(central.engine) as conn:
            inside.correct(conn, "chen", "site", "car1", "", "stock-take")
        (item,) = gate.passages.get(timeout=WAIT_S).items
        assert (item.gate, item.subject, item.area_from, item.area_to) == ("", "car1", "yard", "")
        with central.engine.connect() as conn:
            assert not inside.is_waiting(conn)
        gate.send(ListRequest(site="site", epoch="", have=0, want="inside").model_dump_json().encode(), "wl/req")
        assert decode_inside(gate.data.get(timeout=WAIT_S), (central.key,)).inside == ()
        assert gate.passages.empty()
    finally:
        gate.close()
        central.kill()
        central.engine.dispose()
        broker.stop()
