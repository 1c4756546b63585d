"""The ingest process: central's one MQTT client. Takes events into the database, sends lists and orders.

A message is confirmed to the broker only after its transaction was committed. When the database fails, nothing is
confirmed and the connection is dropped: a broker redelivers only to a new one.
"""

import queue
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from gatectl.central import beats, inside, orders, presence, replicate, retention, tables
from gatectl.central.database import open_database, require_current, words_of, writing
from gatectl.central.holidays import HolidaySource
from gatectl.central.identity_watch import IdentityWatch
from gatectl.central.intake import Arrival, Quarantine, Taken, arrivals_of, gate_sites, ingest_batch, keep_picture
from gatectl.central.keys import CentralKeys, load_or_make_keys
from gatectl.central.list_sender import ListSender
from gatectl.core.schedule import SITE_OFFSET_S
from gatectl.errors import PayloadError
from gatectl.logs import get_logger
from gatectl.settings import CentralSettings
from gatectl.wire.messages import (
    PREFIX,
    Ack,
    Answer,
    Heartbeat,
    Passages,
    decode,
    encode_inside,
    encode_passages,
    gate_topic,
    site_topic,
)
from gatectl.wire.replica import ListRequest, ListState
from gatectl.wire.signed import seal

ACK_PURPOSE = "ack"
MAX_BATCH_MESSAGES = 500
BATCH_WAIT_S = 0.020
"""PROTOCOLS 7: batches of at most 500 or 20 ms."""
_FULL_BATCH_BYTES = 512 * 1024
"""About 500 events: worth a transaction of its own."""
_POLL_S = 0.05
_BUSY_POLL_S = 0.002
"""While a snapshot is being sent."""
_KEEPALIVE_S = 20
_SECOND_S = 1.0
_PURGE_HOUR = 3
_SESSION_EXPIRY_S = 7 * 24 * 3600
_LEAVES = ("ev", "hb", "ans", "wl/req", "wl/state", "media")
_INBOX = 20_000
_BACK_OFF_S = (0.5, 15.0)
SITE_ZONE = timezone(timedelta(seconds=SITE_OFFSET_S))

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Incoming:
    gate: str
    leaf: str
    topic: str
    payload: bytes
    mid: int
    qos: int


class Ingest:
    """Owns the connection and the loop; `run` returns after `stop`."""

    def __init__(self, settings: CentralSettings, engine: Engine, keys: CentralKeys) -> None:
        self._settings = settings
        self._engine = engine
        self._key = keys.site_key
        self._lists = ListSender(settings, engine, keys, self._publish)
        self._aside = Quarantine()
        self._holidays = HolidaySource(settings.holidays_file)
        self._pruned_on: date | None = None
        self._sites: dict[str, str] = {}
        self._identities = IdentityWatch(settings)
        self._inbox: queue.Queue[_Incoming] = queue.Queue(_INBOX)
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._client = self._make_client()

    def stop(self) -> None:
        """End `run` after the batch under way."""
        self._stopping.set()

    def run(self) -> None:
        """Serve until `stop`."""
        broker = self._settings.broker
        if broker.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
            self._client.connect_async(broker.host, broker.port, _KEEPALIVE_S, clean_start=False, properties=properties)
        else:
            self._client.connect_async(broker.host, broker.port, _KEEPALIVE_S)
        self._client.loop_start()
        try:
            self._loop()
        finally:
            self._lists.close()
            self._client.disconnect()
            self._client.loop_stop()

    # --- the connection ---

    def _make_client(self) -> mqtt.Client:
        broker = self._settings.broker
        is_v5 = broker.protocol == "5"
        # MQTT 3.1.1 wants the wish for a kept session at construction, MQTT 5 at connection.
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="gatectl-central",
            protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
            clean_session=None if is_v5 else False,
            manual_ack=True,
        )
        client.username_pw_set(broker.username, broker.password() or None)
        if broker.ca_file is not None:
            own, key = broker.cert_file, broker.key_file
            client.tls_set(str(broker.ca_file), str(own) if own else None, str(key) if key else None)
        client.reconnect_delay_set(1, 15)
        client.max_inflight_messages_set(MAX_BATCH_MESSAGES)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, _flags: mqtt.ConnectFlags, code: Any, _properties: Any
    ) -> None:
        if code.is_failure:
            _log.error("broker.refused", words=str(code))
            return
        client.subscribe([(f"{PREFIX}/g/+/{leaf}", 1) for leaf in _LEAVES])
        _log.info("broker.connected")
        self._connected.set()

    def _on_disconnect(
        self, _client: mqtt.Client, _userdata: Any, _flags: mqtt.DisconnectFlags, code: Any, _properties: Any
    ) -> None:
        self._connected.clear()
        _log.warning("broker.lost", words=str(code))

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        gate, _, leaf = message.topic.removeprefix(f"{PREFIX}/g/").partition("/")
        self._inbox.put(_Incoming(gate, leaf, message.topic, bytes(message.payload), message.mid, message.qos))

    # --- the loop ---

    def _loop(self) -> None:
        with writing(self._engine) as conn:
            self._sites = gate_sites(conn)
            sites = tuple(conn.execute(select(tables.sites.c.id)).scalars())
            self._look_at_holidays()
            self._identities.each_second(conn, datetime.now(UTC))
            for site in sites:
                self._lists.begin(conn, site, datetime.now(UTC))
        _log.info("ingest.ready", sites=len(sites), gates=len(self._sites))
        was_connected = False
        next_poll_s = next_second_s = 0.0
        failures = 0
        while not self._stopping.is_set():
            try:
                batch = self._take_batch()
                if batch:
                    self._commit(batch)
                is_connected = self._connected.is_set()
                if is_connected and not was_connected:
                    self._lists.publish_heads(sites)
                self._lists.turn(time.monotonic())
                was_connected = is_connected
                now_s = time.monotonic()
                if now_s >= next_poll_s:
                    next_poll_s = now_s + _POLL_S
                    self._lists.send_due(datetime.now(UTC))
                    self._send_orders()
                    self._send_corrections()
                if now_s >= next_second_s:
                    next_second_s = now_s + _SECOND_S
                    sites = self._each_second()
                failures = 0
            except SQLAlchemyError as error:
                failures += 1
                was_connected = False
                self._give_up_connection(words_of(error), failures)

    def _take_batch(self) -> list[_Incoming]:
        """Up to 500 messages, waiting at most 20 ms for more after the first, and not at all behind full ones."""
        try:
            batch = [self._inbox.get(timeout=_BUSY_POLL_S if self._lists.is_busy else _POLL_S)]
        except queue.Empty:
            return []
        deadline = time.monotonic() + BATCH_WAIT_S
        size = len(batch[0].payload)
        while len(batch) < MAX_BATCH_MESSAGES and (size < _FULL_BATCH_BYTES or not self._inbox.empty()):
            try:
                batch.append(self._inbox.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
            size += len(batch[-1].payload)
        return batch

    def _commit(self, batch: Sequence[_Incoming]) -> None:
        """One transaction for the batch; then confirm to the broker; then ack to the gates."""
        now_ms = time.time_ns() // 1_000_000
        arrivals: list[Arrival] = []
        answers: list[tuple[str, bytes]] = []
        with writing(self._engine) as conn:
            for message in batch:
                try:
                    self._take(conn, message, arrivals, answers, now_ms)
                except PayloadError as error:
                    self._aside.keep(conn, message.topic, str(error), message.payload, now_ms)
                    _log.warning("message.kept_aside", topic=message.topic, words=str(error).splitlines()[0])
            taken = ingest_batch(conn, arrivals, self._sites, self._aside, now_ms) if arrivals else Taken()
            news = presence.count_passages(conn, taken.passages, self._sites, now_ms)
        for message in batch:
            if message.qos:
                self._client.ack(message.mid, message.qos)
        for ack in taken.acks:
            self._publish_ack(ack)
        for passages in news:
            self._publish_passages(passages)
        for topic, payload in answers:
            self._client.publish(topic, payload, qos=1)

    def _take(
        self,
        conn: Connection,
        message: _Incoming,
        arrivals: list[Arrival],
        answers: list[tuple[str, bytes]],
        now_ms: int,
    ) -> None:
        gate, payload = message.gate, message.payload
        if gate not in self._sites:
            self._sites = gate_sites(conn)
            if gate not in self._sites:
                raise PayloadError(f"no gate {gate!r} is known here", payload)
        self._identities.require_trusted(gate, payload)
        if message.leaf == "ev":
            arrivals.extend(arrivals_of(gate, payload))
        elif message.leaf == "hb":
            beat = decode(Heartbeat, payload)
            _require_own(gate, beat.gate, payload)
            beats.take_beat(conn, gate, beat, now_ms)
            self._identities.take_beat(conn, gate, beat, now_ms)
        elif message.leaf == "ans":
            answer = decode(Answer, payload)
            _require_own(gate, answer.gate, payload)
            if not orders.take_answer(conn, gate, answer, now_ms):
                raise PayloadError("an answer to an order that was never given to this gate", payload)
        elif message.leaf == "wl/state":
            self._take_state(conn, gate, decode(ListState, payload))
        elif message.leaf == "wl/req":
            request = decode(ListRequest, payload)
            _require_own(self._sites[gate], request.site, payload)
            answers.extend((gate_topic(gate, "wl/data"), data) for data in self._requested(conn, gate, request))
        elif message.leaf == "media":
            keep_picture(conn, gate, payload, self._aside, now_ms)

    def _take_state(self, conn: Connection, gate: str, state: ListState) -> None:
        _require_own(self._sites[gate], state.site, b"")
        beats.take_list_state(conn, gate, state)
        if replicate.jump_ahead(conn, state.site, state.epoch, state.ver, datetime.now(UTC)):
            self._lists.head_changed(state.site)
            _log.warning("list.jumped", site=state.site, ver=state.ver)

    def _requested(self, conn: Connection, gate: str, request: ListRequest) -> list[bytes]:
        if request.want == "inside":
            return [encode_inside(presence.inside_list(conn, request.site, datetime.now(UTC)), self._key)]
        return self._lists.requested(conn, gate, request)

    def _publish(self, topic: str, payload: bytes, is_retained: bool) -> mqtt.MQTTMessageInfo:
        return self._client.publish(topic, payload, qos=1, retain=is_retained)

    def _publish_ack(self, ack: Ack) -> None:
        sealed = seal(ack.model_dump_json().encode(), ACK_PURPOSE, self._key)
        self._client.publish(gate_topic(ack.gate, "ack"), sealed, qos=1)

    def _publish_passages(self, passages: Passages) -> None:
        sealed = encode_passages(passages, self._key)
        self._client.publish(site_topic(passages.site, "passages"), sealed, qos=1, retain=False)

    # --- lists and orders ---

    def _look_at_holidays(self) -> bool:
        """True when lists must be made with another calendar now; what is wrong with it is told once."""
        problem, missing = self._holidays.problem, self._holidays.missing
        is_new = self._holidays.refresh(datetime.now(SITE_ZONE).date())
        self._lists.calendar = self._holidays.calendar
        if self._holidays.problem not in ("", problem):
            _log.error("holidays.refused", words=self._holidays.problem)
        if self._holidays.missing not in ("", missing):
            _log.warning("holidays.missing", words=self._holidays.missing)
        return is_new

    def _send_orders(self) -> None:
        commands = tables.commands.c
        with self._engine.connect() as conn:
            if conn.execute(select(commands.id).where(commands.state == "queued").limit(1)).first() is None:
                return
        with writing(self._engine) as conn:
            sealed = list(orders.send_queued(conn, self._key, orders.utc_now()))
        for order in sealed:
            self._client.publish(gate_topic(order.gate, "cmd"), order.payload, qos=1, retain=False)

    def _send_corrections(self) -> None:
        """What the office corrected of who is inside, as a passage that no gate saw."""
        with self._engine.connect() as conn:
            if not inside.is_waiting(conn):
                return
        with writing(self._engine) as conn:
            news = inside.take_waiting(conn)
        for passages in news:
            self._publish_passages(passages)

    def _each_second(self) -> tuple[str, ...]:
        now = datetime.now(UTC)
        now_ms = int(now.timestamp() * 1000)
        is_calendar_new = self._look_at_holidays()
        with writing(self._engine) as conn:
            for gate in beats.silence(conn, now_ms):
                _log.warning("gate.silent", gate=gate)
            orders.expire(conn, now_ms)
            self._identities.each_second(conn, now)
            old = replicate.reissue_old_heads(conn, now)
            sites = tuple(conn.execute(select(tables.sites.c.id)).scalars())
            listed = set(conn.execute(select(tables.list_heads.c.site_id)).scalars())
            for site in sites:
                if site not in listed or is_calendar_new:
                    replicate.mark_dirty(conn, site)
            self._purge(conn, now, now_ms)
        if old:
            self._lists.publish_heads(old)
        return sites

    def _purge(self, conn: Connection, now: datetime, now_ms: int) -> None:
        """Each night at three in site time, a step a second until nothing is left."""
        today = now.astimezone(SITE_ZONE)
        if self._pruned_on == today.date() or today.hour != _PURGE_HOUR:
            return
        purged = retention.purge_step(conn, self._settings.retention, now_ms)
        for one in purged:
            _log.info("retention.purged", subject=one.subject, rows=one.count, digest=one.digest[:16])
        if not purged:
            presence.prune(conn, now_ms)
            self._pruned_on = today.date()

    def _give_up_connection(self, words: str, failures: int) -> None:
        """The database refused: unconfirmed messages come again only on a new connection."""
        wait_s = min(_BACK_OFF_S[1], _BACK_OFF_S[0] * 2 ** min(failures, 10)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        _log.error("database.failed", words=words, wait_s=round(wait_s, 1))
        self._client.disconnect()
        self._client.loop_stop()
        self._connected.clear()
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._stopping.wait(wait_s)
        if not self._stopping.is_set():
            self._client.reconnect()
            self._client.loop_start()


def _require_own(expected: str, named: str, payload: bytes) -> None:
    if expected != named:
        raise PayloadError(f"it names {named!r}, but came from {expected!r}", payload)


def make_ingest(settings: CentralSettings) -> Ingest:
    """The process's objects. Raises ConfigError for a database that must be migrated first."""
    engine = open_database(settings.database)
    require_current(engine)
    return Ingest(settings, engine, load_or_make_keys(settings.data_dir))
