"""A crowd of simulated gates in one process, for load: real MQTT clients that ask for, check and report a list.

One thread serves all sockets. Each gate verifies every signature and digest itself; the bytes of a snapshot that it has
verified are kept once for all, so that a thousand gates fit into one process. Nothing is written to a disk.
"""

import hashlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gatectl.errors import LinkError, PayloadError
from gatectl.wire.messages import gate_topic, list_topic
from gatectl.wire.replica import (
    CHUNK_TAG,
    DELTA_TAG,
    WINDOW_CHUNKS,
    Delta,
    Head,
    ListRequest,
    ListState,
    SetHash,
    SnapChunk,
    decode_chunk,
    decode_delta,
    decode_head,
    decode_snapshot,
)
from gatectl.wire.rows import prefix_size, row_prefix

_KEEPALIVE_S = 300
_CONNECT_S = 60.0
_SELECT_S = 0.2
_MISC_EACH_S = 5.0


class Library:
    """The chunks of snapshots by digest, and the rows in them by prefix, once for all gates of a crowd."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[int, bytes]] = {}
        self._rows: dict[str, tuple[dict[bytes, bytes], str]] = {}

    def keep(self, sha256: str, i: int, data: bytes) -> None:
        """Take in a chunk that some gate received."""
        self._parts.setdefault(sha256, {}).setdefault(i, data)

    def data(self, sha256: str) -> bytes:
        """A snapshot. Raises PayloadError when the chunks do not add up to it."""
        parts = self._parts.get(sha256, {})
        data = b"".join(parts[i] for i in sorted(parts))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise PayloadError("the chunks that were kept are not this snapshot")
        return data

    def rows(self, sha256: str) -> tuple[Mapping[bytes, bytes], str]:
        """Its rows by `row_prefix`, and their set hash; decoded at the first use. Raises PayloadError."""
        if sha256 not in self._rows:
            table, total = decode_snapshot(self.data(sha256)), SetHash()
            for row in table:
                total.add(row)
            self._rows[sha256] = {row[: prefix_size(row)]: row for row in table}, total.hex()
        return self._rows[sha256]


@dataclass(slots=True)
class SimGate:
    """One gate's list: what it holds, and what it lacks. `ver` 0 = nothing."""

    name: str
    client: mqtt.Client
    epoch: str = ""
    ver: int = 0
    set_hash: str = ""
    sha256: str = ""
    """Of the snapshot that its list rests on."""
    over: dict[bytes, bytes | None] = field(default_factory=dict)
    """What deltas have put over it, by row prefix."""
    head: Head | None = None
    digest: Any = field(default_factory=hashlib.sha256)
    """Over the chunks before `next`."""
    next: int = 0
    ahead: dict[int, bytes] = field(default_factory=dict)
    """Chunks that came before the one that is next."""
    refused: list[str] = field(default_factory=list)


class GateCrowd:
    """Gates of one site. `on_list` is told of each gate that holds another version, at once, in the crowd's thread."""

    def __init__(
        self,
        site: str,
        names: Iterable[str],
        keys: tuple[Ed25519PublicKey, ...],
        port: int,
        password: str,
        protocol: str = "5",
    ) -> None:
        self.site = site
        self._keys = keys
        self._port = port
        self._password = password
        self._protocol = MQTTProtocolVersion.MQTTv5 if protocol == "5" else MQTTProtocolVersion.MQTTv311
        self._selector = selectors.DefaultSelector()
        self.library = Library()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gate-crowd", daemon=True)
        self._to_report: list[SimGate] = []
        self._connected = 0
        self._answered = 0
        self.asks = True
        """Whether a gate that lacks a list asks for it; without, it only listens."""
        self.reports = True
        """Whether a gate says what it holds."""
        self.on_list: Callable[[SimGate], None] = lambda _gate: None
        self.snapshot_bytes = 0
        """Payloads of the chunks of one snapshot, as one gate received them."""
        self.delta_bytes = 0
        """Payload of the last change."""
        self.gates = [self._make(name) for name in names]

    def _make(self, name: str) -> SimGate:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"gatectl-edge-{name}", protocol=self._protocol)
        client.username_pw_set(name, self._password)
        gate = SimGate(name, client)
        client.on_message = lambda _client, _data, message: self._take(gate, message.topic, bytes(message.payload))
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_socket_open = lambda _client, _data, sock: self._watch(gate, sock)
        client.on_socket_close = lambda _client, _data, sock: self._unwatch(sock)
        client.on_socket_register_write = lambda _client, _data, sock: self._want_write(gate, sock, is_wanted=True)
        client.on_socket_unregister_write = lambda _client, _data, sock: self._want_write(gate, sock, is_wanted=False)
        return gate

    # --- from other threads ---

    def connect(self) -> None:
        """Connect every gate and start the thread. Raises LinkError when some do not get in."""
        try:
            for gate in self.gates:
                gate.client.connect("127.0.0.1", self._port, _KEEPALIVE_S)
        except OSError as error:
            raise LinkError(f"a simulated gate cannot connect: {error}") from error
        self._thread.start()
        self.wait(lambda: self._connected >= len(self.gates), "gates are connected")

    def subscribe(self, *topics: str) -> None:
        """Every gate subscribes to these; returns when the broker has answered all. `{gate}` stands for its name."""
        wanted = self._answered + len(self.gates)
        for gate in self.gates:
            gate.client.subscribe([(topic.replace("{gate}", gate.name), 1) for topic in topics])
        self.wait(lambda: self._answered >= wanted, "subscriptions are answered")

    def begin(self) -> None:
        """Every gate subscribes to its site's head and what leads there; returns at once."""
        topics = [(list_topic(self.site, leaf), 1) for leaf in ("snap", "delta", "head")]
        for gate in self.gates:
            gate.client.subscribe([(gate_topic(gate.name, "wl/data"), 1), *topics])

    def wait(self, is_true: Callable[[], bool], what: str) -> None:
        """Until it is true. Raises LinkError after a minute."""
        deadline = time.monotonic() + _CONNECT_S
        while not is_true():
            if time.monotonic() > deadline:
                raise LinkError(f"not all {what} after {_CONNECT_S:.0f} s")
            time.sleep(0.01)

    def stop(self) -> None:
        """Disconnect and end the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10)
        for gate in self.gates:
            gate.client.disconnect()
            gate.client.loop_write()
        self._selector.close()

    # --- the sockets ---

    def _watch(self, gate: SimGate, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, gate)

    def _unwatch(self, sock: Any) -> None:
        if not self._stopping.is_set():
            self._selector.unregister(sock)

    def _want_write(self, gate: SimGate, sock: Any, *, is_wanted: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if is_wanted else 0)
        self._selector.modify(sock, events, gate)

    def _run(self) -> None:
        next_misc_s = time.monotonic() + _MISC_EACH_S
        while not self._stopping.is_set():
            ready = self._selector.select(0.0 if self._to_report else _SELECT_S)
            if not ready and self._to_report:
                self._report()
            for key, events in ready:
                client = key.data.client
                if events & selectors.EVENT_READ:
                    client.loop_read()
                if events & selectors.EVENT_WRITE:
                    client.loop_write()
            if time.monotonic() >= next_misc_s:
                next_misc_s = time.monotonic() + _MISC_EACH_S
                for gate in self.gates:
                    gate.client.loop_misc()

    def _on_connect(self, _client: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if not code.is_failure:
            self._connected += 1

    def _on_subscribe(self, *_args: Any) -> None:
        self._answered += 1

    # --- the list ---

    def _take(self, gate: SimGate, topic: str, payload: bytes) -> None:
        leaf = topic.rsplit("/", 1)[-1]
        try:
            if leaf == "head":
                self._take_head(gate, decode_head(payload, self._keys))
            elif leaf == "delta":
                self.delta_bytes = len(payload)
                self._take_delta(gate, decode_delta(payload, self._keys))
            elif payload.startswith(CHUNK_TAG):
                self._take_chunk(gate, decode_chunk(payload), len(payload), is_shared=leaf == "snap")
            elif payload.startswith(DELTA_TAG):
                self._take_delta(gate, decode_delta(payload[len(DELTA_TAG) :], self._keys))
        except PayloadError as error:
            gate.refused.append(str(error).splitlines()[0])

    def _take_head(self, gate: SimGate, head: Head) -> None:
        gate.head = head
        if (head.epoch, head.ver) != (gate.epoch, gate.ver) and self.asks:
            self._ask(gate, "delta" if head.epoch == gate.epoch else "snap")

    def _ask(self, gate: SimGate, want: str) -> None:
        fields = {"site": self.site, "epoch": gate.epoch, "have": gate.ver, "want": want}
        if want == "snap" and gate.head is not None:
            fields |= {"chunk_from": gate.next, "sha256": gate.head.snap.sha256}
        request = ListRequest.model_validate(fields)
        gate.client.publish(gate_topic(gate.name, "wl/req"), request.model_dump_json().encode(), qos=1)

    def _take_chunk(self, gate: SimGate, chunk: SnapChunk, size: int, *, is_shared: bool) -> None:
        head = gate.head
        if head is None or gate.sha256 == head.snap.sha256 or (chunk.ver, chunk.n) != (head.snap.ver, head.snap.chunks):
            return
        if chunk.i < gate.next or chunk.i in gate.ahead:
            return
        if gate is self.gates[0]:
            self.snapshot_bytes += size
        self.library.keep(head.snap.sha256, chunk.i, chunk.data)
        gate.ahead[chunk.i] = chunk.data
        while gate.next in gate.ahead:
            gate.digest.update(gate.ahead.pop(gate.next))
            gate.next += 1
        if gate.next == chunk.n:
            self._whole(gate, head)
        elif self.asks and (chunk.i == chunk.n - 1 if is_shared else gate.next % WINDOW_CHUNKS == 0):
            self._ask(gate, "snap")

    def _whole(self, gate: SimGate, head: Head) -> None:
        is_right = gate.digest.hexdigest() == head.snap.sha256
        gate.digest, gate.next, gate.ahead = hashlib.sha256(), 0, {}
        if not is_right:
            gate.refused.append("a snapshot that is not the one that the head names")
            return
        gate.sha256, gate.over = head.snap.sha256, {}
        is_newest = head.snap.ver == head.ver
        self._arrived(
            gate, head.epoch, head.snap.ver, head.set_hash if is_newest else self.library.rows(gate.sha256)[1]
        )
        if not is_newest and self.asks:
            self._ask(gate, "delta")

    def _take_delta(self, gate: SimGate, delta: Delta) -> None:
        if (delta.epoch, delta.from_ver) != (gate.epoch, gate.ver):
            return
        base, _ = self.library.rows(gate.sha256)
        total = SetHash(gate.set_hash)
        news: dict[bytes, bytes | None] = {_prefix_of(key): None for key in delta.delete}
        news |= {row[: prefix_size(row)]: row for row in delta.put}
        for prefix, row in news.items():
            old = gate.over[prefix] if prefix in gate.over else base.get(prefix)
            if old is not None:
                total.remove(old)
            if row is not None:
                total.add(row)
        if total.hex() != delta.set_hash_after:
            gate.refused.append(f"delta {delta.from_ver}-{delta.to_ver} does not lead to its hash")
            return
        gate.over |= news
        self._arrived(gate, delta.epoch, delta.to_ver, delta.set_hash_after)

    def _arrived(self, gate: SimGate, epoch: str, ver: int, set_hash: str) -> None:
        gate.epoch, gate.ver, gate.set_hash = epoch, ver, set_hash
        self.on_list(gate)
        if self.reports:
            self._to_report.append(gate)

    def _report(self) -> None:
        """When no message waits: real gates would each do it beside the others."""
        for gate in self._to_report:
            fields = {
                "site": self.site,
                "epoch": gate.epoch,
                "ver": gate.ver,
                "set_hash": gate.set_hash,
                "n": 0,
                "status": "ok",
            }
            state = ListState.model_validate({**fields, "applied_at": datetime.now(UTC)})
            gate.client.publish(gate_topic(gate.name, "wl/state"), state.model_dump_json().encode(), 1, retain=True)
        self._to_report.clear()


def _prefix_of(key: str) -> bytes:
    kind, _, row_id = key.partition("/")
    return row_prefix(kind, row_id)
