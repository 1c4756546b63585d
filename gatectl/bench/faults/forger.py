"""A stranger on the broker: publishes what they like with an account that they should not have."""

import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gatectl.errors import LinkError
from gatectl.sim.broker import Broker


class Forger:
    """One MQTT client; hears every topic that its account may."""

    def __init__(self, broker: Broker, user: str, password: str) -> None:
        is_v5 = broker.protocol == "5"
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"forger-{user}",
            protocol=mqtt.MQTTv5 if is_v5 else mqtt.MQTTv311,
        )
        self._client.username_pw_set(user, password)
        self._heard: dict[str, list[bytes]] = {}
        self._connected = threading.Event()
        self._client.on_message = lambda _c, _u, m: self._heard.setdefault(m.topic, []).append(bytes(m.payload))
        self._client.on_subscribe = lambda *_: self._connected.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._client.subscribe("gatectl/v1/#", 1)
        if not self._connected.wait(10):
            raise LinkError("the forger was not let in")

    def send(self, topic: str, payload: bytes, *, is_retained: bool = False) -> None:
        """Publish at QoS 1, and wait until the broker has it."""
        self._client.publish(topic, payload, qos=1, retain=is_retained).wait_for_publish(10)

    def heard(self, topic: str) -> list[bytes]:
        """What was published there so far."""
        return list(self._heard.get(topic, ()))

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()
