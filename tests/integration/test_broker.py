"""The broker child: accounts and rights hold on mosquitto and on its stand-in alike."""

import queue
import shutil
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gatectl.sim.broker import Broker, free_port, start_broker

WAIT_S = 5.0
PASSWORDS = {"central": "c-secret", "gate-a": "a-secret", "gate-b": "b-secret"}


class Peer:
    """One connected client and what it heard."""

    def __init__(self, broker: Broker, user: str, password: str) -> None:
        protocol = MQTTProtocolVersion.MQTTv5 if broker.protocol == "5" else MQTTProtocolVersion.MQTTv311
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.answers: queue.Queue[bool] = queue.Queue()
        self.subscribed: queue.Queue[int] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=user, protocol=protocol)
        self.client.username_pw_set(user, password)
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.answers.put(not code.is_failure)
        self.client.on_message = lambda _c, _u, message: self.heard.put((message.topic, bytes(message.payload)))
        self.client.on_subscribe = lambda _c, _u, mid, _codes, _p: self.subscribed.put(mid)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, 1)
        self.subscribed.get(timeout=WAIT_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "mosquitto" and not (shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")):
        pytest.skip("mosquitto is not installed here")
    running = start_broker(tmp_path, PASSWORDS, prefer=request.param)
    yield running
    running.stop()


def test_a_wrong_password_is_refused(broker: Broker) -> None:
    peer = Peer(broker, "gate-a", "guess")
    assert peer.answers.get(timeout=WAIT_S) is False
    peer.close()


def test_a_gate_hears_its_own_orders_and_writes_only_its_own_topics(broker: Broker) -> None:
    central, gate = Peer(broker, "central", "c-secret"), Peer(broker, "gate-a", "a-secret")
    assert central.answers.get(timeout=WAIT_S)
    assert gate.answers.get(timeout=WAIT_S)
    central.subscribe("gatectl/v1/g/+/ev")
    gate.subscribe("gatectl/v1/g/gate-a/cmd")
    central.client.publish("gatectl/v1/g/gate-b/cmd", b"for b", 1)
    central.client.publish("gatectl/v1/g/gate-a/cmd", b"for a", 1)
    assert gate.heard.get(timeout=WAIT_S) == ("gatectl/v1/g/gate-a/cmd", b"for a")
    gate.client.publish("gatectl/v1/g/gate-a/ev", b"mine", 1)
    assert central.heard.get(timeout=WAIT_S) == ("gatectl/v1/g/gate-a/ev", b"mine")
    gate.client.publish("gatectl/v1/g/gate-b/ev", b"forged", 1)
    other = Peer(broker, "gate-b", "b-secret")
    assert other.answers.get(timeout=WAIT_S)
    other.client.publish("gatectl/v1/g/gate-b/ev", b"real", 1)
    assert central.heard.get(timeout=WAIT_S) == ("gatectl/v1/g/gate-b/ev", b"real")
    for peer in (central, gate, other):
        peer.close()


def test_gates_hear_the_passages_of_a_site_and_tell_none(broker: Broker) -> None:
    topic = "gatectl/v1/s/danzao/passages"
    central, gate = Peer(broker, "central", "c-secret"), Peer(broker, "gate-a", "a-secret")
    forger = Peer(broker, "gate-b", "b-secret")  # a broker may drop who tries what is not granted
    for peer in (central, gate, forger):
        assert peer.answers.get(timeout=WAIT_S)
    gate.subscribe(topic)
    central.client.publish(topic, b"one", 1)
    assert gate.heard.get(timeout=WAIT_S) == (topic, b"one")
    forger.client.publish(topic, b"forged", 1)
    central.client.publish(topic, b"two", 1)
    assert gate.heard.get(timeout=WAIT_S) == (topic, b"two")
    for peer in (central, gate, forger):
        peer.close()


def test_a_taken_port_gives_another_one() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) not in (0, port)
