"""config/mosquitto on a real mosquitto: who gets in, and what an account may say and hear."""

import os
import queue
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gatectl.wire.acl import gate_rights

TEMPLATES = Path(__file__).resolve().parents[2] / "config" / "mosquitto"
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PASSWD = shutil.which("mosquitto_passwd", path=f"{os.environ.get('PATH', '')}:/usr/bin")
DEADLINE_S = 10.0

needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None or PASSWD is None, reason="mosquitto is not installed")


class Account:
    """A connected MQTT client that keeps what it hears."""

    def __init__(self, port: int, name: str, password: str) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[bool] = queue.Queue()
        self._granted: queue.Queue[int] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(name, password)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.is_in = self._answers.get(timeout=DEADLINE_S)

    def hear(self, topic: str) -> None:
        """Subscribe, and return when the broker has answered."""
        self._client.subscribe(topic, 1)
        self._granted.get(timeout=DEADLINE_S)

    def say(self, topic: str, payload: bytes) -> None:
        """Publish, and return when the broker has answered."""
        self._client.publish(topic, payload, 1).wait_for_publish(DEADLINE_S)

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, _c: Client, _u: object, _f: ConnectFlags, code: ReasonCode, _p: Properties | None) -> None:
        self._answers.put(not code.is_failure)

    def _on_disconnect(
        self, _c: Client, _u: object, _f: DisconnectFlags, _code: ReasonCode, _p: Properties | None
    ) -> None:
        self._answers.put(False)

    def _on_message(self, _c: Client, _u: object, message: MQTTMessage) -> None:
        self.heard.put((message.topic, bytes(message.payload)))

    def _on_subscribe(self, _c: Client, _u: object, mid: int, _codes: list[ReasonCode], _p: Properties | None) -> None:
        self._granted.put(mid)


@pytest.fixture
def broker_port(tmp_path: Path) -> Iterator[int]:
    """A mosquitto that runs the two templates, with the accounts central, gate-a and gate-b."""
    assert MOSQUITTO is not None
    assert PASSWD is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    passwords = tmp_path / "gatectl.passwd"
    passwords.touch(mode=0o600)
    for name in ("central", "gate-a", "gate-b"):
        subprocess.run([PASSWD, "-b", str(passwords), name, f"of-{name}"], check=True, capture_output=True)
    shutil.copy(TEMPLATES / "acl", tmp_path / "gatectl.acl")
    (tmp_path / "gatectl.acl").chmod(0o600)
    text = (TEMPLATES / "mosquitto.conf").read_text(encoding="utf-8")
    assert "listener 1883 127.0.0.1" in text
    text = text.replace("/etc/mosquitto/", f"{tmp_path}/").replace("listener 1883", f"listener {port}")
    if os.geteuid() == 0:
        text += "user root\n"
    config = tmp_path / "mosquitto.conf"
    config.write_text(text, encoding="utf-8")
    with (tmp_path / "broker.log").open("wb") as log:
        process = subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "broker.log").read_text(encoding="utf-8")
                assert time.monotonic() < deadline
        yield port
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def test_template_grants_a_gate_what_the_demo_broker_grants_it() -> None:
    patterns = [
        line.split()
        for line in (TEMPLATES / "acl").read_text(encoding="utf-8").splitlines()
        if line.startswith("pattern")
    ]
    write = {topic.replace("%u", "x") for _, right, topic in patterns if right == "write"}
    read = {topic.replace("%u", "x") for _, right, topic in patterns if right == "read"}
    publish, subscribe = gate_rights("x")
    assert write == set(publish)
    assert read == set(subscribe)


@needs_mosquitto
def test_nobody_gets_in_without_the_right_password(broker_port: int) -> None:
    right = Account(broker_port, "gate-a", "of-gate-a")
    wrong = Account(broker_port, "gate-b", "guessed")
    try:
        assert right.is_in
        assert not wrong.is_in
    finally:
        right.stop()
        wrong.stop()


@needs_mosquitto
def test_a_gate_speaks_on_its_own_topics_only(broker_port: int) -> None:
    central, gate = Account(broker_port, "central", "of-central"), Account(broker_port, "gate-a", "of-gate-a")
    try:
        central.hear("gatectl/v1/#")
        gate.say("gatectl/v1/g/gate-b/ev", b"forged event")
        gate.say("gatectl/v1/g/gate-b/cmd", b"forged command")
        gate.say("gatectl/v1/g/gate-a/cmd", b"forged command to itself")
        gate.say("gatectl/v1/wl/site/head", b"forged list")
        gate.say("gatectl/v1/g/gate-a/ev", b"own event")
        # The broker answers in order: what was forged would have come first.
        assert central.heard.get(timeout=DEADLINE_S) == ("gatectl/v1/g/gate-a/ev", b"own event")
    finally:
        central.stop()
        gate.stop()


@needs_mosquitto
def test_a_gate_hears_its_own_commands_and_the_lists_and_nothing_else(broker_port: int) -> None:
    central, gate = Account(broker_port, "central", "of-central"), Account(broker_port, "gate-a", "of-gate-a")
    try:
        gate.hear("gatectl/v1/#")  # answered with "granted" by some brokers; what counts is delivery
        for leaf in ("g/gate-a/cmd", "wl/+/head"):
            gate.hear(f"gatectl/v1/{leaf}")
        central.say("gatectl/v1/g/gate-b/cmd", b"another gate's command")
        central.say("gatectl/v1/g/gate-b/ev", b"another gate's event")
        central.say("gatectl/v1/g/gate-a/cmd", b"own command")
        central.say("gatectl/v1/wl/site/head", b"list")
        heard = {gate.heard.get(timeout=DEADLINE_S)[0]}
        while "gatectl/v1/wl/site/head" not in heard:
            heard.add(gate.heard.get(timeout=DEADLINE_S)[0])
        assert heard == {"gatectl/v1/g/gate-a/cmd", "gatectl/v1/wl/site/head"}
    finally:
        central.stop()
        gate.stop()
