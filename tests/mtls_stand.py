"""A central's database with its authority, and a mosquitto that runs config/mosquitto/mtls.conf on its files."""

import os
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy import Engine, insert

from gatectl.central import tables
from gatectl.central.authority import Authority, load_or_make_authority
from gatectl.central.database import migrate, open_database
from gatectl.central.identities import BrokerFiles
from gatectl.wire import certificates

TEMPLATE = Path(__file__).resolve().parents[1] / "config" / "mosquitto" / "mtls.conf"
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
DEADLINE_S = 20.0
SITES = {"north": "danzao", "south": "danzao", "lake": "xianhu"}
"""Gate -> site."""


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Office:
    """Central without its processes: the database, the authority, the broker's files."""

    folder: Path
    engine: Engine
    authority: Authority
    files: BrokerFiles

    def write_files(self) -> None:
        """As ingest does each second."""
        with self.engine.begin() as conn:
            self.files.refresh(conn, datetime.now(UTC))


def an_office(folder: Path) -> Office:
    """Two sites and three gates."""
    url = f"sqlite:///{folder / 'central.db'}"
    migrate(url)
    engine = open_database(url)
    with engine.begin() as conn:
        for site in sorted(set(SITES.values())):
            conn.execute(insert(tables.sites).values(id=site, name_zh=site, name_en=site))
        for gate, site in SITES.items():
            conn.execute(insert(tables.gates).values(id=gate, site_id=site, name_zh=gate, name_en=gate))
            lane = {"kind": "pedestrian", "direction": "in", "name_zh": gate, "name_en": gate}
            conn.execute(insert(tables.lanes).values(id=f"{gate}-foot", gate_id=gate, **lane))
    authority = load_or_make_authority(folder / "authority", datetime.now(UTC))
    office = Office(folder, engine, authority, BrokerFiles(folder / "broker", authority, "central"))
    office.write_files()
    return office


class MtlsBroker:
    """A mosquitto child for an office."""

    def __init__(self, office: Office, port: int = 0) -> None:
        assert MOSQUITTO is not None
        self.port = port or free_port()
        self._folder = office.folder / "broker"
        key = certificates.new_key()
        issued = office.authority.issue_server(["127.0.0.1", "localhost"], key.public_key(), 30, datetime.now(UTC))
        (self._folder / "server.key").write_bytes(certificates.key_pem(key))
        (self._folder / "server.crt").write_bytes(certificates.certificate_pem(issued))
        text = TEMPLATE.read_text(encoding="utf-8")
        text = text.replace("/etc/mosquitto/gatectl/", f"{self._folder}/").replace(
            "listener 8883", f"listener {self.port} 127.0.0.1"
        )
        text += f"acl_file {self._folder}/gatectl.acl\nallow_anonymous false\nlog_type all\n"
        if os.geteuid() == 0:
            text += "user root\n"
        config = self._folder / "mosquitto.conf"
        config.write_text(text, encoding="utf-8")
        self.log = self._folder / "broker.log"
        self._command = [MOSQUITTO, "-c", str(config)]
        self.start()

    def start(self) -> None:
        """Start it, on the same port each time; returns when it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + DEADLINE_S
        while not self._listens():
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.5).close()
        except OSError:
            return False
        return True

    def reload(self) -> None:
        """Read ACL, certificates and revocations anew; returns when it has."""
        before = self.log.read_text(encoding="utf-8").count("Reloading config")
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE_S
        while self.log.read_text(encoding="utf-8").count("Reloading config") == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # a child's log; there is nothing to wait on

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(DEADLINE_S)


def a_certificate(office: Office, name: str, folder: Path, authority: Authority | None = None) -> Path:
    """A certificate with its key in one file, by the office's authority or another."""
    key = certificates.new_key()
    issued = (authority or office.authority).issue_gate(name, key.public_key(), 30, datetime.now(UTC))
    path = folder / f"{name}-{issued.serial_number:x}.pem"
    path.touch(mode=0o600)
    path.write_bytes(issued.public_bytes(Encoding.PEM) + certificates.key_pem(key))
    return path


class TlsPeer:
    """A client with a certificate that keeps what it hears. `says_it_is`: user name and client id that it claims."""

    def __init__(self, broker: MtlsBroker, ca: Path, certificate: Path | None, says_it_is: str) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.ended: queue.Queue[str] = queue.Queue()
        self._answers: queue.Queue[bool] = queue.Queue()
        self._granted: queue.Queue[int] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=says_it_is, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(says_it_is, "any")
        context = ssl.create_default_context(cafile=str(ca))
        if certificate is not None:
            context.load_cert_chain(str(certificate))
        self._client.tls_set_context(context)
        self._client.will_set(f"gatectl/v1/g/{says_it_is}/hb", b"lost", qos=1)
        self._client.reconnect_delay_set(30, 60)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        try:
            self._client.connect("127.0.0.1", broker.port)
        except OSError:
            self.is_in = False
            return
        self._client.loop_start()
        self.is_in = self._answers.get(timeout=DEADLINE_S)

    def hear(self, topic: str) -> None:
        """Subscribe, and return when the broker has answered; it may say "granted" and deliver nothing."""
        self._client.subscribe(topic, 1)
        self._granted.get(timeout=DEADLINE_S)

    def say(self, topic: str, payload: bytes) -> None:
        """Publish, and return when the broker has answered."""
        self._client.publish(topic, payload, 1).wait_for_publish(DEADLINE_S)

    def say_if_it_can(self, topic: str, payload: bytes) -> None:
        """Publish; a broker that has thrown us out, or denies it, is fine."""
        try:
            self._client.publish(topic, payload, 1).wait_for_publish(1.0)
        except (RuntimeError, ValueError):
            return

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, _c: Client, _u: object, _f: ConnectFlags, code: ReasonCode, _p: Properties | None) -> None:
        self._answers.put(not code.is_failure)

    def _on_disconnect(
        self, _c: Client, _u: object, _f: DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        self.ended.put(str(code))
        self._answers.put(False)

    def _on_message(self, _c: Client, _u: object, message: MQTTMessage) -> None:
        self.heard.put((message.topic, bytes(message.payload)))

    def _on_subscribe(self, _c: Client, _u: object, mid: int, _codes: list[ReasonCode], _p: Properties | None) -> None:
        self._granted.put(mid)
