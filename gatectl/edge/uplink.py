"""The gate's one MQTT client: drains the outbox, takes acks and commands, beats, carries the list's messages."""

import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, monotonic_ns
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gatectl.core.lane_io import CommandAnswered
from gatectl.core.model import ClockTrust, EventKind
from gatectl.core.reasons import Reason
from gatectl.edge.clock import SystemClock
from gatectl.edge.commands import CommandJudge, Refusal
from gatectl.edge.drain import DrainPlan
from gatectl.edge.events import EventMaker
from gatectl.edge.identity import BrokerTls
from gatectl.edge.inbox import InsideHeard, LaneOrder, PassagesHeard
from gatectl.edge.shelf import PictureShelf
from gatectl.edge.store import EventStore
from gatectl.errors import PayloadError, StoreError
from gatectl.logs import get_logger
from gatectl.settings import BrokerSettings
from gatectl.wire.events import encode_rows
from gatectl.wire.messages import (
    INSIDE_TAG,
    Ack,
    Answer,
    Heartbeat,
    decode,
    decode_inside,
    decode_passages,
    gate_topic,
    list_topic,
    site_topic,
)
from gatectl.wire.replica import ListRequest
from gatectl.wire.signed import unseal

_KEEPALIVE_S = 20
_PACE_S = 0.01
_IDLE_S = 0.25
_REFUSALS_A_MINUTE = 20
_ANCHOR_EACH_S = 3600.0
_INBOX = 1000
_INFLIGHT = 100
INSIDE_EACH_S = 120.0
"""How often a gate asks central who is inside; what it heard in between it has counted already."""
INSIDE_STALE_S = 300.0
"""No answer for so long: the other gates' passages do not arrive, and the link counts as down."""

_INSIDE_RETRY_S = 2.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message from the broker."""

    topic: str
    payload: bytes
    is_retained: bool


class ListClient(Protocol):
    """What the uplink needs of `sync`."""

    def on_message(self, leaf: str, payload: bytes) -> None:
        """Take `head`, `delta` or `data`; never blocks."""

    def on_connected(self) -> None:
        """The connection is up again."""


class Uplink:
    """Two threads: paho's own for the socket, and `uplink` for everything that takes thought."""

    def __init__(
        self,
        broker: BrokerSettings,
        site: str,
        maker: EventMaker,
        judge: CommandJudge,
        keys: Iterable[Ed25519PublicKey],
        store: EventStore,
        clock: SystemClock,
        shelf: PictureShelf,
        heartbeat_s: float,
    ) -> None:
        self._broker = broker
        self._gate = maker.gate
        self._site = site
        self._maker = maker
        self._judge = judge
        self._keys = keys
        self._store = store
        self._clock = clock
        self._shelf = shelf
        self._heartbeat_s = heartbeat_s
        self._plan = DrainPlan()
        self._inbox: queue.Queue[Incoming | CommandAnswered] = queue.Queue(_INBOX)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._is_connected = threading.Event()
        self._is_fresh = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._beat_ns = monotonic_ns()
        self._next_heartbeat_s = 0.0
        self._refused_s: deque[float] = deque()
        self._anchored_s = 0.0
        self._agreed: bool | None = None
        self._media: dict[int, str] = {}
        self._inside_asked_s = 0.0
        self._inside_heard_s: float | None = None
        self.list_client: ListClient | None = None
        self.make_heartbeat: Callable[[str], Heartbeat] | None = None
        """Builds a heartbeat around the connection's challenge."""
        self.place_order: Callable[[LaneOrder | PassagesHeard | InsideHeard], None] = lambda _order: None
        """Takes what the controller must know: orders, and who passed at the site's other gates."""
        self.counters = {
            "acks": 0,
            "acks_bad": 0,
            "commands_refused": 0,
            "uplink_overflow": 0,
            "connects": 0,
            "news_refused": 0,
            "taken_over": 0,
        }
        self.tls: BrokerTls | None = None
        self._client = self._make_client()

    def _make_client(self) -> mqtt.Client:
        is_v5 = self._broker.protocol == "5"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"gatectl-edge-{self._gate}",
            protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
            clean_session=None if is_v5 else True,
        )
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password() or None)
        if self._broker.ca_file is not None:
            tls = self.tls = BrokerTls(self._broker, lambda: self._clock.trust() is ClockTrust.SYNCED)
            client.tls_set_context(tls.context)
            client.on_pre_connect = lambda _client, _userdata: tls.refresh()
        will = Heartbeat(gate=self._gate, online=False, boot_id=self._maker.boot_id)
        client.will_set(gate_topic(self._gate, "hb"), will.model_dump_json().encode(), qos=1)
        client.max_queued_messages_set(_INBOX)
        client.max_inflight_messages_set(_INFLIGHT)
        client.connect_timeout = 5.0
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        self._jitter(client)
        return client

    # --- from other threads ---

    def start(self) -> None:
        """Start both threads; a broker that is down is tried again for ever."""
        # No session outlives its connection: what was queued for an earlier one must not arrive on this one.
        is_clean = True if self._broker.protocol == "5" else mqtt.MQTT_CLEAN_START_FIRST_ONLY
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=_KEEPALIVE_S, clean_start=is_clean)
        self._client.loop_start()
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye and stop within 2 s. Safe to call twice."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
        self._client.disconnect()
        # A connect under way to a silent host would hold loop_stop for its whole time-out.
        closing = threading.Thread(target=self._client.loop_stop, name="uplink-close", daemon=True)
        closing.start()
        closing.join(1.0)

    def beat_ns(self) -> int:
        """Monotonic ns of the last turn."""
        return self._beat_ns

    def is_offline(self) -> bool:
        """Whether no broker is there."""
        return not self._is_connected.is_set()

    def is_link_up(self) -> bool:
        """Whether the passages of the site's other gates arrive: connected, and central answered lately."""
        heard_s = self._inside_heard_s
        return self._is_connected.is_set() and heard_s is not None and monotonic() - heard_s < INSIDE_STALE_S

    def wake(self) -> None:
        """Something was committed."""
        self._wake.set()

    def answer(self, answered: CommandAnswered) -> None:
        """Send the end of a command to central; its event in the journal stands in any case."""
        self._offer(answered)

    def publish(self, leaf: str, payload: bytes, *, is_retained: bool = False) -> None:
        """Publish under this gate's own topics at QoS 1; dropped while there is no connection."""
        if self._is_connected.is_set():
            self._client.publish(gate_topic(self._gate, leaf), payload, qos=1, retain=is_retained)

    def follow_snapshot(self, *, is_wanted: bool) -> None:
        """Listen, or no longer, to the chunks that central sends to many gates at once."""
        topic = list_topic(self._site, "snap")
        if self._is_connected.is_set():
            if is_wanted:
                self._client.subscribe(topic, 1)
            else:
                self._client.unsubscribe(topic)

    # --- paho's thread ---

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: Any,
        _flags: mqtt.ConnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if code.is_failure:
            _log.error("broker.refused", words=str(code))
            return
        self._jitter(client)
        topics = [gate_topic(self._gate, leaf) for leaf in ("ack", "cmd", "wl/data")]
        topics += [list_topic(self._site, leaf) for leaf in ("head", "delta")]
        topics.append(site_topic(self._site, "passages"))
        client.subscribe([(topic, 1) for topic in topics])
        self._is_fresh.set()
        self._is_connected.set()
        self.counters["connects"] += 1
        self._wake.set()
        _log.info("broker.connected", host=self._broker.host, port=self._broker.port)

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        _flags: mqtt.DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._is_connected.clear()
        if code.getName() == "Session taken over":  # on a live connection: somebody else connected with our identity
            self.counters["taken_over"] += 1
        if not self._stopping.is_set():
            _log.warning("broker.disconnected", words=str(code))

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._offer(Incoming(message.topic, bytes(message.payload), message.retain))

    def _on_publish(
        self, _client: mqtt.Client, _userdata: Any, mid: int, _code: ReasonCode, _properties: Properties
    ) -> None:
        sha256 = self._media.pop(mid, None)
        if sha256 is not None:
            self._store.picture_sent(sha256)
            self._wake.set()

    def _offer(self, item: Incoming | CommandAnswered) -> None:
        try:
            self._inbox.put_nowait(item)
        except queue.Full:
            self.counters["uplink_overflow"] += 1
        self._wake.set()

    @staticmethod
    def _jitter(client: mqtt.Client) -> None:
        """Paho doubles its delay without jitter: gates that lost one broker must not come back in step."""
        first_s = random.uniform(0.2, 0.8)  # noqa: S311 - jitter, not a secret
        client.reconnect_delay_set(first_s, first_s * 16)  # type: ignore[arg-type]  # floats work and are documented

    # --- the uplink's thread ---

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._beat_ns = monotonic_ns()
            pause_s = _IDLE_S
            try:
                self._take_messages()
                if self._is_connected.is_set():
                    pause_s = self._turn()
            except StoreError as error:
                _log.warning("uplink.store", words=str(error))
            self._wake.wait(pause_s)
            self._wake.clear()

    def _take_messages(self) -> None:
        while not self._stopping.is_set():
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return
            if isinstance(item, CommandAnswered):
                self._send_answer(item.command_id, item.state, item.words, item.event_id)
            else:
                self._dispatch(item)

    def _dispatch(self, message: Incoming) -> None:
        leaf = message.topic.rsplit("/", 1)[-1]
        if leaf == "ack":
            self._ack(message.payload)
        elif leaf == "cmd":
            self._command(message)
        elif leaf == "passages" or (leaf == "data" and message.payload.startswith(INSIDE_TAG)):
            self._presence(leaf, message.payload)
        elif self.list_client is not None:
            self.list_client.on_message(leaf, message.payload)

    def _presence(self, leaf: str, payload: bytes) -> None:
        try:
            if leaf == "passages":
                news = decode_passages(payload, self._keys)
                if news.site == self._site:
                    self.place_order(PassagesHeard(news))
            else:
                count = decode_inside(payload, self._keys)
                if count.site == self._site:
                    self._inside_heard_s = monotonic()
                    self.place_order(InsideHeard(count))
        except PayloadError as error:
            self.counters["news_refused"] += 1
            _log.warning("passages.refused", words=str(error).splitlines()[0])

    def _ask_who_is_inside(self, now_s: float) -> None:
        """Not before central has all of our own passages: its count would lack them."""
        if not self._store.wait_ready(0) or self._store.stand().depth:
            self._inside_asked_s = now_s - INSIDE_EACH_S + _INSIDE_RETRY_S
            return
        self._inside_asked_s = now_s
        request = ListRequest(site=self._site, epoch="", have=0, want="inside")
        self.publish("wl/req", request.model_dump_json().encode())

    def _turn(self) -> float:
        """One look at the outbox and the clock; returns how long to rest."""
        now_s = monotonic()
        if self._is_fresh.is_set():
            self._is_fresh.clear()
            self._judge.new_connection()
            self._media.clear()
            self._next_heartbeat_s = 0.0
            if self._store.wait_ready(0):
                self._plan.connected(self._store.first_unconfirmed(), now_s)
            if self.list_client is not None:
                self.list_client.on_connected()
            self._inside_heard_s, self._inside_asked_s = None, -INSIDE_EACH_S
        if self._is_connected.is_set() and now_s - self._inside_asked_s >= INSIDE_EACH_S:
            self._ask_who_is_inside(now_s)
        if now_s >= self._next_heartbeat_s:
            self._next_heartbeat_s = now_s + self._heartbeat_s
            self._beat()
        if not self._store.wait_ready(0):
            return _IDLE_S
        return self._drain(now_s)

    def _drain(self, now_s: float) -> float:
        plan = self._plan
        last_seq = self._store.last_seq()
        if plan.is_stuck(now_s):
            _log.warning("outbox.resend", from_seq=plan.hwm + 1, to_seq=last_seq)
        if plan.wants_live(last_seq):
            rows = self._store.batch(max(plan.live_upto, plan.sent_upto), is_newest=True)
            if rows:
                self.publish("ev", encode_rows(rows))
            plan.sent_live(last_seq)
            return _PACE_S
        room = plan.room(last_seq - plan.hwm, now_s)
        if room and last_seq > plan.sent_upto:
            rows = self._store.batch(plan.sent_upto, room)
            if rows:
                self.publish("ev", encode_rows(rows))
            plan.sent(rows[-1].seq if rows else last_seq, now_s)
            return 0.0
        return self._send_pictures()

    def _send_pictures(self) -> float:
        """One picture at a time, and only when no event waits to be sent."""
        if self._media or not self._shelf.may_have_unsent:
            return _IDLE_S
        unsent = self._store.unsent_pictures(self._plan.hwm, limit=1)
        if not unsent:
            self._shelf.may_have_unsent = self._plan.hwm < self._store.last_seq()
            return _IDLE_S
        picture = unsent[0]
        payload = self._shelf.payload(picture.sha256, self._store.epoch, picture.seq)
        if payload is None:
            self._store.picture_sent(picture.sha256)
            return _PACE_S
        info = self._client.publish(gate_topic(self._gate, "media"), payload, qos=1)
        self._media[info.mid] = picture.sha256
        if info.is_published() and self._media.pop(info.mid, None) is not None:
            self._store.picture_sent(picture.sha256)
        return _IDLE_S

    def _beat(self) -> None:
        if self.make_heartbeat is not None:
            beat = self.make_heartbeat(self._judge.challenge)
            self._client.publish(gate_topic(self._gate, "hb"), beat.model_dump_json().encode(), qos=0)

    def _ack(self, payload: bytes) -> None:
        try:
            ack = decode(Ack, unseal(payload, "ack", self._keys))
        except PayloadError as error:
            self.counters["acks_bad"] += 1
            _log.error("ack.refused", words=str(error).splitlines()[0])
            return
        if ack.gate != self._gate or ack.epoch != self._store.epoch:
            return
        if not self._agrees(ack):
            return
        self.counters["acks"] += 1
        waited_s = self._plan.acked(ack.hwm, monotonic())
        self._store.delete_upto(ack.hwm)
        if waited_s is not None:
            self._anchor(ack.t_srv, waited_s)
        if ack.missing:
            self._resend(ack.missing)

    def _agrees(self, ack: Ack) -> bool:
        """An ack for a history that is not ours deletes nothing and is told once."""
        ours = self._store.hash_at(ack.hwm)
        if ack.hwm <= self._store.last_seq() and (ours is None or ours == ack.chain_hash):
            return True
        self.counters["acks_bad"] += 1
        if self.counters["acks_bad"] == 1:
            note = f"central holds another history at seq {ack.hwm}; ours ends at {self._store.last_seq()}"
            self._store.submit(self._maker.alarm(Reason.EVENT_CONFLICT, note))
        _log.error("ack.conflict", hwm=ack.hwm, last_seq=self._store.last_seq())
        return False

    def _resend(self, missing: tuple[tuple[int, int], ...]) -> None:
        """Central names holes: they go again at once, one batch each."""
        for first, last in missing[:4]:
            rows = self._store.batch(first - 1, last - first + 1)
            wanted = tuple(row for row in rows if row.seq <= last)
            if wanted and last <= self._plan.sent_upto:
                self.publish("ev", encode_rows(wanted))

    def _anchor(self, server_at: datetime, waited_s: float) -> None:
        anchor = self._clock.note_server(server_at, waited_s)
        agrees, now_s = self._clock.server_agrees(), monotonic()
        if agrees is self._agreed and now_s - self._anchored_s < _ANCHOR_EACH_S:
            return
        if not agrees and self._agreed is not False:
            note = f"this clock differs from central's by {anchor.offset_ms} ms"
            self._store.submit(self._maker.alarm(Reason.CLOCK_DRIFT, note))
        self._agreed = agrees
        self._anchored_s = now_s
        utc_ns = int(anchor.utc.astimezone(UTC).timestamp() * 1e9)
        note = (
            f"mono_ns={anchor.mono_ns} utc_ns={utc_ns} err_ms={anchor.error_ms} offset_ms={anchor.offset_ms} source=ack"
        )
        self._store.submit(self._maker.make(EventKind.ANCHOR, Reason.RECOVERED, note=note))

    def _command(self, message: Incoming) -> None:
        outcome = self._judge.judge(message.payload, is_retained=message.is_retained)
        if isinstance(outcome, LaneOrder):
            self._send_answer(outcome.order.command_id, "received", "", "")
            _log.info("command.received", command=outcome.order.command_id, actor=outcome.order.actor)
            self.place_order(outcome)
            return
        self._refuse(outcome)

    def _refuse(self, refusal: Refusal) -> None:
        self.counters["commands_refused"] += 1
        _log.warning("command.refused", command=refusal.command_id, words=refusal.words)
        now_s = monotonic()
        while self._refused_s and now_s - self._refused_s[0] > 60:
            self._refused_s.popleft()
        event_id = ""
        if len(self._refused_s) < _REFUSALS_A_MINUTE:  # a flood of forgeries must not fill the journal
            self._refused_s.append(now_s)
            event = self._maker.make(
                EventKind.COMMAND,
                Reason.COMMAND_REFUSED,
                lane=refusal.lane,
                note=refusal.words,
                actor=refusal.issuer,
                ref=refusal.command_id,
                outcome="refused",
            )
            event_id = event.id
            self._store.submit(event)
        if refusal.command_id:
            self._send_answer(refusal.command_id, "refused", refusal.words, event_id)

    def _send_answer(self, command_id: str, state: str, words: str, event_id: str) -> None:
        answer = Answer.model_validate(
            {
                "gate": self._gate,
                "id": command_id,
                "state": state,
                "words": words,
                "event_id": event_id,
                "at": self._clock.now(),
            }
        )
        self.publish("ans", answer.model_dump_json().encode())
