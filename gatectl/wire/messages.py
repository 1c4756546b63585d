"""MQTT topics and versioned payloads of events, acks, heartbeats, commands and answers (PROTOCOLS 7-9).

JSON bodies; acks and commands travel sealed (see `signed`). An event's body is kept byte for byte as the
gate wrote it, at both ends, so that its hash can be checked for ever.
"""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gatectl.core.model import AccessEvent, ClockTrust, GateId, SiteId
from gatectl.errors import PayloadError

PREFIX = "gatectl/v1"
EVENT_VERSION = 1
MAX_BATCH_EVENTS = 50
MAX_BATCH_BYTES = 64 * 1024
COMMAND_LIFE_S = 10
"""A command older than this is dead (PROTOCOLS 9)."""
GENESIS = "0" * 64
"""The hash before the first event of an epoch."""


def gate_topic(gate: GateId | str, leaf: str) -> str:
    """`gatectl/v1/g/{gate}/{leaf}`; leaves: ev ack wl/req wl/data wl/state cmd ans hb media."""
    return f"{PREFIX}/g/{gate}/{leaf}"


def list_topic(site: SiteId | str, leaf: str) -> str:
    """`gatectl/v1/wl/{site}/{leaf}`; leaves: head, delta."""
    return f"{PREFIX}/wl/{site}/{leaf}"


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at


AwareTime = Annotated[datetime, AfterValidator(_aware)]


class Message(BaseModel):
    """Base of the wire's own models: frozen; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EventRow(Message):
    """One event on the wire. `hash` = SHA-256(previous hash ‖ body)."""

    v: Literal[1] = 1
    epoch: str = Field(min_length=1, max_length=64)
    seq: int = Field(ge=1)
    prev: str = Field(min_length=64, max_length=64)
    hash: str = Field(min_length=64, max_length=64)
    body: str = Field(max_length=MAX_BATCH_BYTES)


class Ack(Message):
    """Central's committed watermark for one epoch of one gate."""

    v: Literal[1] = 1
    gate: str
    epoch: str
    hwm: int = Field(ge=0)
    chain_hash: str
    missing: tuple[tuple[int, int], ...] = ()
    t_srv: AwareTime


class LaneBeat(Message):
    """One lane in a heartbeat."""

    lane: str
    kind: str
    arm: Literal["up", "down", "moving", "unknown"]
    is_present: bool | None
    is_held: bool
    mode: str = "normal"


class ListStand(Message):
    """Which whitelist a gate decides on."""

    epoch: str
    ver: int
    n: int
    set_hash: str


class Heartbeat(Message):
    """A gate's state, each 5 s, and once with `online` false as its will."""

    v: Literal[1] = 1
    gate: str
    online: bool
    at: AwareTime | None = None
    boot_id: str = ""
    challenge: str = ""
    """The random that commands of this connection must carry."""
    version: str = ""
    clock: ClockTrust = ClockTrust.UNTRUSTED
    list: ListStand | None = None
    outbox_depth: int = 0
    outbox_oldest_at: AwareTime | None = None
    lanes: tuple[LaneBeat, ...] = ()
    alarms: tuple[str, ...] = ()
    counters: dict[str, int] = Field(default_factory=dict)


class Command(Message):
    """A remote order. Sealed for purpose `cmd`; never retained; dead after 10 s."""

    v: Literal[1] = 1
    id: str
    gate: str
    lane: str
    action: Literal["open", "refuse"]
    reason: str
    note: str = ""
    issuer: str
    nonce: str
    challenge: str
    counter: int
    issued: AwareTime
    expires: AwareTime


class Answer(Message):
    """A gate's answer to a command: `received`, `refused`, then `confirmed` by the arm or `unconfirmed`."""

    v: Literal[1] = 1
    gate: str
    id: str
    state: Literal["received", "refused", "confirmed", "unconfirmed"]
    words: str = ""
    event_id: str = ""
    at: AwareTime


M = TypeVar("M", bound=Message)
_EVENT = TypeAdapter(AccessEvent)
_ROWS = TypeAdapter(tuple[EventRow, ...])


def event_body(event: AccessEvent) -> str:
    """The event's canonical JSON: sorted keys, no spaces, UTF-8 kept."""
    fields = _EVENT.dump_python(event, mode="json", exclude_defaults=False)
    return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def parse_event(body: str) -> AccessEvent:
    """The event in a body. Raises PayloadError for anything else."""
    try:
        return _EVENT.validate_json(body)
    except ValidationError as error:
        raise PayloadError(f"not an event of version {EVENT_VERSION}: {error}", body.encode()) from error


def chain_hash(previous: str, body: str) -> str:
    """SHA-256 over the previous hash (as raw bytes) and the body, in hex."""
    return hashlib.sha256(bytes.fromhex(previous) + body.encode()).hexdigest()


def encode_rows(rows: tuple[EventRow, ...]) -> bytes:
    """A batch for `ev`."""
    return _ROWS.dump_json(rows)


def decode_rows(payload: bytes) -> tuple[EventRow, ...]:
    """The rows of a batch. Raises PayloadError (wrong version, not JSON, a field too many)."""
    try:
        return _ROWS.validate_json(payload)
    except ValidationError as error:
        raise PayloadError(f"not an event batch of version {EVENT_VERSION}: {error}", payload) from error


def decode(model: type[M], payload: bytes) -> M:
    """One message of a known model. Raises PayloadError."""
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise PayloadError(f"not a {model.__name__}: {error}", payload) from error
