"""A real edge daemon in its own process, on simulated devices, with a real broker and a central made for the test."""

import base64
import hashlib
import json
import os
import random
import resource
import secrets
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gatectl.core.model import (
    AccessEvent,
    AccessLevel,
    CredentialKey,
    EventKind,
    Grant,
    GrantState,
    InputName,
    LaneId,
    LaneKind,
    PlateColour,
    Verdict,
)
from gatectl.core.reasons import Reason
from gatectl.edge.replica_store import ReplicaStand, ReplicaStore
from gatectl.sim.broker import Broker, free_port, start_broker
from gatectl.sim.devices import Pty, SimReader
from gatectl.sim.mcu import SimLane, SimMcu
from gatectl.sim.platepics import encode_jpeg, render_frame
from gatectl.wire.events import GENESIS, EventRow, chain_hash, decode_rows, parse_event
from gatectl.wire.messages import Ack, Answer, Command, Heartbeat, decode, gate_topic, list_topic
from gatectl.wire.replica import SetHash
from gatectl.wire.rows import decode_row, encode_row, grant_row, row_key, ruling_row
from gatectl.wire.signed import seal

KEY = Ed25519PrivateKey.generate()
GATE = "north"
CARD, LOST_CARD, UNKNOWN_CARD = "0A1B2C3D4E", "010063E9AE", "100086F444"
PLATE = "粤E12345"
PASSWORDS = {GATE: "gate-secret", "central": "central-secret"}
CONFIG = """
gate = "north"
site = "danzao"
data_dir = "{data}"
site_key = "{site_key}"
heartbeat_s = 1.0
[broker]
port = {port}
username = "north"
protocol = "{protocol}"
[[devices]]
name = "bridge"
driver = "mcu"
port = "{bridge}"
[[lanes]]
id = "car-in"
kind = "vehicle"
direction = "in"
barrier = "bridge"
channel = 0
[[lanes]]
id = "foot"
kind = "pedestrian"
direction = "in"
barrier = "bridge"
channel = 1
require_presence = false
[[readers]]
name = "pillar"
driver = "rfid_serial"
lane = "foot"
port = "{reader}"
repeat_s = 0.2
"""


def until(is_true: Callable[[], bool], seconds: float = 10.0, what: str = "the condition") -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"{what} did not come true in time"
        time.sleep(0.01)


class Central:
    """Takes events, acks them when told to, sends lists and orders."""

    def __init__(self, broker: Broker) -> None:
        self.rows: dict[tuple[str, int], EventRow] = {}
        self.conflicts = 0
        self.beats: list[Heartbeat] = []
        self.answers: list[Answer] = []
        self.states: list[dict[str, Any]] = []
        self.media: list[bytes] = []
        self.is_acking = True
        is_v5 = broker.protocol == "5"
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="test-central",
            protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
        )
        self.client.username_pw_set("central", PASSWORDS["central"])
        self.client.on_message = self._on_message
        self.client.on_connect = lambda client, *_: client.subscribe([("gatectl/v1/g/#", 1)])
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        leaf = message.topic.split("/", 4)[4]
        if leaf == "ev":
            for row in decode_rows(bytes(message.payload)):
                known = self.rows.setdefault((row.epoch, row.seq), row)
                self.conflicts += known != row
                epoch = row.epoch
            if self.is_acking:
                self.ack(epoch)
        elif leaf == "hb":
            self.beats.append(decode(Heartbeat, bytes(message.payload)))
        elif leaf == "ans":
            self.answers.append(decode(Answer, bytes(message.payload)))
        elif leaf == "media":
            self.media.append(bytes(message.payload))
        elif leaf == "wl/state" and message.payload:
            self.states.append(json.loads(message.payload))

    def ack(self, epoch: str, key: Ed25519PrivateKey = KEY) -> None:
        hwm = 0
        while (epoch, hwm + 1) in self.rows:
            hwm += 1
        chain = self.rows[epoch, hwm].hash if hwm else GENESIS
        ack = Ack(gate=GATE, epoch=epoch, hwm=hwm, chain_hash=chain, t_srv=datetime.now(UTC))
        self.send("ack", seal(ack.model_dump_json().encode(), "ack", key))

    def send(self, leaf: str, payload: bytes) -> None:
        self.client.publish(gate_topic(GATE, leaf), payload, qos=1)

    def order(self, **changes: Any) -> None:
        """An order to open `foot`, for the newest connection."""
        now = datetime.now(UTC)
        fields = {
            "id": secrets.token_hex(4),
            "gate": GATE,
            "lane": "foot",
            "action": "open",
            "reason": "GUARD_OPEN",
            "issuer": "li.wei",
            "nonce": secrets.token_hex(8),
            "challenge": self.beats[-1].challenge,
            "counter": 1,
            "issued": now,
            "expires": now + timedelta(seconds=10),
        }
        command = Command.model_validate({**fields, **changes})
        self.send("cmd", seal(command.model_dump_json().encode(), "cmd", KEY))

    def events(self) -> list[AccessEvent]:
        return [parse_event(row.body, row.personal) for row in sorted(self.rows.values(), key=lambda row: row.seq)]

    def reasons(self) -> list[Reason]:
        return [event.reason for event in self.events()]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Gate:
    """The devices of a gate, and its daemon's process."""

    def __init__(self, folder: Path, port: int, protocol: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.bridge, self.line = Pty(), Pty()
        self.reader = SimReader(self.line)
        self.opens: list[int] = []
        self.mcu = SimMcu(
            self.bridge,
            (SimLane(LaneKind.VEHICLE, rise_s=0.2), SimLane(LaneKind.PEDESTRIAN)),
            on_open=lambda channel, _tick_ns: self.opens.append(channel),
        )
        self._is_over = threading.Event()
        self._mover = threading.Thread(target=self._move, daemon=True)
        self._mover.start()
        self.config = folder / "edge.toml"
        site_key = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        text = CONFIG.format(
            data=self.data,
            site_key=base64.b64encode(site_key).decode(),
            port=port,
            protocol=protocol,
            bridge=self.bridge.path,
            reader=self.line.path,
        )
        self.config.write_text(text, encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "edge.log"

    def _move(self) -> None:
        while not self._is_over.is_set():
            select.select([self.mcu.fileno()], [], [], 0.003)
            self.mcu.poll(time.monotonic_ns())

    def give_list(self) -> None:
        """A replica on the disk, as an earlier sync left it."""
        level = AccessLevel("residents", frozenset({LaneId("foot"), LaneId("car-in")}))
        rows = [
            encode_row(ruling_row("level", level)),
            encode_row(grant_row(Grant(CredentialKey(f"em:{CARD}"), GrantState.ACTIVE, ("residents",), "p1"))),
            encode_row(grant_row(Grant(CredentialKey(f"plate:{PLATE}"), GrantState.ACTIVE, ("residents",), "p3"))),
            encode_row(grant_row(Grant(CredentialKey(f"em:{LOST_CARD}"), GrantState.LOST, ("residents",), "p2"))),
        ]
        total = SetHash()
        for row in rows:
            total.add(row)
        store = ReplicaStore(self.data / "acl.db")
        store.open()
        keyed = {row_key(decode_row(row)): row for row in rows}
        store.replace(keyed, ReplicaStand("e1", 3, total.hex(), len(rows), int(time.time()) - 60, 0))
        store.close()

    def start(self) -> None:
        environment = {**os.environ, "GATECTL_BROKER_PASSWORD": PASSWORDS[GATE]}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gatectl.edge.daemon", "--config", str(self.config)],
                stderr=log,
                env=environment,
            )
        process = self.process

        def is_serving() -> bool:
            assert process.poll() is None, self.log.read_text(encoding="utf-8")
            ready = self.data / "ready"
            return ready.exists() and json.loads(ready.read_text())["pid"] == process.pid and self.mcu.is_lease_held

        until(is_serving, 15, "serving")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(5)

    def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(5)

    def outbox(self) -> int:
        with closing(sqlite3.connect(self.data / "edge.db", timeout=5)) as database:
            return int(database.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def journal(self) -> list[tuple[int, str, str, str, str]]:
        with closing(sqlite3.connect(self.data / "edge.db", timeout=5)) as database:
            return database.execute("SELECT seq, prev, hash, body, personal FROM journal ORDER BY seq").fetchall()

    def verdicts(self) -> list[tuple[Verdict, Reason]]:
        events = (parse_event(body, personal) for _seq, _prev, _hash, body, personal in self.journal())
        return [(event.verdict, event.reason) for event in events if event.verdict is not None]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self._is_over.set()
        self._mover.join(2)
        self.mcu.close()
        self.line.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if shutil.which("mosquitto") is None and shutil.which("mosquitto", path="/usr/sbin") is None:
        pytest.skip("mosquitto is not installed")
    running = start_broker(tmp_path_factory.mktemp("broker"), PASSWORDS)
    yield running
    running.stop()


@pytest.fixture
def central(broker: Broker) -> Iterator[Central]:
    made = Central(broker)
    yield made
    made.client.publish(gate_topic(GATE, "wl/state"), b"", qos=1, retain=True).wait_for_publish(5)
    made.close()


@pytest.fixture
def gate(tmp_path: Path, broker: Broker) -> Iterator[Gate]:
    made = Gate(tmp_path, broker.port, broker.protocol)
    made.give_list()
    yield made
    made.close()


@pytest.fixture
def lonely_gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate whose broker is down."""
    made = Gate(tmp_path, 1, "5")
    made.give_list()
    yield made
    made.close()


def test_a_tap_opens_and_the_outbox_empties_only_after_the_ack(gate: Gate, central: Central) -> None:
    central.is_acking = False
    gate.start()
    gate.reader.tap(CARD)
    until(lambda: gate.opens == [1], what="the opening")
    until(lambda: Reason.CARD_OK in central.reasons(), what="the event at central")
    event = next(event for event in central.events() if event.reason is Reason.CARD_OK)
    assert (event.verdict, event.credential, event.lane, event.subject) == (
        Verdict.GRANTED,
        f"em:{CARD}",
        "foot",
        "p1",
    )
    assert event.revision == ("e1", 3)
    waiting = gate.outbox()
    assert waiting >= 2, "published, and acknowledged by the broker, is not committed by central"
    epoch = next(iter(central.rows))[0]
    central.ack(epoch, Ed25519PrivateKey.generate())
    central.ack("another epoch")
    central.is_acking = True
    central.ack(epoch)
    until(lambda: gate.outbox() == 0, what="the empty outbox")
    until(lambda: central.beats[-1].outbox_depth == 0, what="the heartbeat that says so")
    assert central.beats[-1].counters["acks_bad"] == 1
    assert central.beats[-1].counters["tap_to_relay_us_p50"] > 0
    assert gate.end() == 0


def test_unknown_and_lost_cards_stay_out(gate: Gate, central: Central) -> None:
    gate.start()
    gate.reader.tap(UNKNOWN_CARD)
    until(lambda: Reason.CARD_UNKNOWN in central.reasons())
    gate.reader.tap(LOST_CARD)
    until(lambda: Reason.CARD_LOST in central.reasons())
    assert gate.opens == []


def test_kill_dash_nine_loses_nothing_and_doubles_nothing(gate: Gate, central: Central) -> None:
    gate.start()
    for turn in range(3):
        gate.reader.tap(UNKNOWN_CARD)
        until(lambda turn=turn: gate.verdicts().count((Verdict.DENIED, Reason.CARD_UNKNOWN)) == turn + 1)  # type: ignore[misc]
        gate.kill()
        gate.start()
    until(lambda: gate.outbox() == 0, what="the empty outbox")
    rows = gate.journal()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    previous = GENESIS
    for _seq, prev, own, body, _personal in rows:
        assert prev == previous
        assert own == chain_hash(previous, body)
        previous = own
    assert central.reasons().count(Reason.CARD_UNKNOWN) == 3
    assert sorted(seq for _epoch, seq in central.rows) == [row[0] for row in rows]
    assert central.conflicts == 0


def test_a_gate_without_a_broker_opens_and_keeps_its_events(lonely_gate: Gate) -> None:
    lonely_gate.start()
    lonely_gate.reader.tap(CARD)
    until(lambda: lonely_gate.opens == [1])
    until(lambda: (Verdict.GRANTED, Reason.CARD_OK) in lonely_gate.verdicts())
    assert lonely_gate.outbox() >= 2
    started = time.monotonic()
    assert lonely_gate.end() == 0
    assert time.monotonic() - started < 3


def test_events_kept_while_the_broker_was_down_arrive_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    gate = Gate(tmp_path, port, "5")
    gate.give_list()
    gate.start()
    for turn, card in enumerate((CARD, LOST_CARD, UNKNOWN_CARD), 1):
        gate.reader.tap(card)
        until(lambda turn=turn: len(gate.verdicts()) == turn)  # type: ignore[misc]
        tapped = time.monotonic()
        until(lambda tapped=tapped: time.monotonic() - tapped > 0.4)  # type: ignore[misc]  # the reader's own repeat
    broker = start_broker(tmp_path / "broker", PASSWORDS, port)
    central = Central(broker)
    until(lambda: gate.outbox() == 0, 20, what="the empty outbox")
    reasons = (Reason.CARD_OK, Reason.CARD_LOST, Reason.CARD_UNKNOWN)
    taps = [event for event in central.events() if event.reason in reasons]
    assert [event.reason for event in taps] == list(reasons)
    assert all(event.is_offline for event in taps)
    central.close()
    gate.close()
    broker.stop()


def test_a_full_disk_keeps_nobody_out_and_loses_nothing(gate: Gate, central: Central) -> None:
    gate.start()
    until(lambda: gate.outbox() == 0 and bool(central.rows), what="quiet")
    assert gate.process is not None
    _soft, hard = resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE, (0, hard))
    gate.reader.tap(CARD)
    until(lambda: gate.opens == [1], what="the opening")
    until(lambda: any("cannot record" in alarm for alarm in central.beats[-1].alarms), what="the alarm")
    assert central.beats[-1].counters["late_records"] == 1
    resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    until(lambda: Reason.CARD_OK in central.reasons(), what="the event")
    event = next(event for event in central.events() if event.reason is Reason.CARD_OK)
    assert event.is_late_record


def test_a_list_of_noise_is_refused_and_the_old_one_stays(gate: Gate, central: Central) -> None:
    gate.start()
    until(lambda: bool(central.states))
    for leaf in ("head", "delta"):
        central.client.publish(list_topic("danzao", leaf), b"gs1" + os.urandom(200), qos=1)
    central.send("wl/data", b"C" + os.urandom(50))
    until(lambda: any(state["status"] == "nack" for state in central.states), what="the nack")
    assert central.states[-1]["ver"] == 3
    gate.reader.tap(CARD)
    until(lambda: gate.opens == [1])


def test_a_remote_order_opens_and_is_confirmed_and_never_twice(gate: Gate, central: Central) -> None:
    gate.start()
    until(lambda: any(beat.online and beat.challenge for beat in central.beats), what="the heartbeat")
    now = datetime.now(UTC)
    same: dict[str, Any] = {"nonce": "n1", "issued": now, "expires": now + timedelta(seconds=9), "id": "c1"}
    central.order(**same)
    until(lambda: gate.opens == [1], what="the opening")
    gate.mcu.set_input(1, InputName.DOOR_OPEN, True)
    until(lambda: [a.state for a in central.answers] == ["received", "confirmed"], what="the confirmation")
    central.order(**same)
    until(lambda: central.answers[-1].state == "refused", what="the refusal")
    assert "replayed" in central.answers[-1].words
    until(lambda: Reason.COMMAND_REFUSED in central.reasons())
    assert gate.opens == [1]
    by_person = [event for event in central.events() if event.kind is EventKind.COMMAND and event.actor == "li.wei"]
    assert {event.reason for event in by_person} >= {Reason.GUARD_OPEN, Reason.COMMAND_REFUSED}


def test_an_opening_behind_the_daemons_back_is_told(gate: Gate, central: Central) -> None:
    gate.start()
    gate.reader.tap(CARD)
    until(lambda: gate.opens == [1])
    until(lambda: Reason.CARD_OK in central.reasons())
    gate.kill()
    gate.mcu.lane(1).opens += 2
    gate.start()
    until(lambda: Reason.UNEXPLAINED_OPENING in central.reasons(), what="the alarm")
    assert central.reasons().count(Reason.UNEXPLAINED_OPENING) == 1


def test_a_car_opens_by_its_plate_and_its_picture_follows_the_event(gate: Gate, central: Central) -> None:
    camera = gate.folder / "camera"
    camera.mkdir()
    with gate.config.open("a", encoding="utf-8") as config:
        config.write(f'[[cameras]]\nname = "cam"\nlane = "car-in"\nsource = "folder:{camera}"\n')
    rng = random.Random(3)
    pictures = [encode_jpeg(render_frame(PLATE, PlateColour.BLUE, rng, condition="day")[0], 88) for _ in range(3)]
    gate.start()
    gate.mcu.set_input(0, InputName.PRESENCE, True)
    for picture in pictures:
        name = f"{time.time_ns():020d}.jpg"
        (camera / f".{name}").write_bytes(picture)
        (camera / f".{name}").rename(camera / name)
        shown = time.monotonic()
        until(lambda shown=shown: gate.opens == [0] or time.monotonic() - shown > 0.2)  # type: ignore[misc]
    until(lambda: gate.opens == [0], what="the opening")
    until(lambda: gate.mcu.lane(0).arm_is_up, what="the arm")
    gate.mcu.set_input(0, InputName.SAFETY, True)
    gate.mcu.set_input(0, InputName.PRESENCE, False)
    gate.mcu.set_input(0, InputName.SAFETY, False)
    until(lambda: Reason.PASSED in central.reasons(), what="the passage")
    event = next(event for event in central.events() if event.reason is Reason.PLATE_OK)
    passage = next(event for event in central.events() if event.reason is Reason.PASSED)
    assert passage.ref == event.id
    assert passage.lane_trace
    assert event.plate is not None
    until(lambda: bool(central.media), what="the picture")
    head, _, jpeg = central.media[0].partition(b"\0")
    assert json.loads(head)["sha256"] == event.plate.picture_sha256 == hashlib.sha256(jpeg).hexdigest()
    until(lambda: "plate_to_relay_us_p50" in central.beats[-1].counters, what="the figure")


def test_two_daemons_never_share_a_data_directory(lonely_gate: Gate) -> None:
    lonely_gate.start()
    second = subprocess.run(
        [sys.executable, "-m", "gatectl.edge.daemon", "--config", str(lonely_gate.config)],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert second.returncode == 2
    assert "in use by another edge daemon" in second.stderr
