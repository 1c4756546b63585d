"""MQTT topics and versioned payloads of acks, heartbeats, commands and answers (PROTOCOLS 7-9).

JSON bodies; acks and commands travel sealed (see `signed`). Events have a module of their own.
"""

import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gatectl.core.model import ClockTrust, GateId, SiteId
from gatectl.errors import PayloadError
from gatectl.wire.signed import seal, unseal

PREFIX = "gatectl/v1"
COMMAND_LIFE_S = 10
"""A command older than this is dead (PROTOCOLS 9)."""
PASSAGES_PURPOSE = "passages"
INSIDE_PURPOSE = "inside"
INSIDE_TAG = b"I"
"""Tells the list of who is inside from deltas and snapshot chunks on `wl/data`."""
MAX_INSIDE_BYTES = 64 * 1024 * 1024
"""Refuse to inflate more than this from a peer: 100,000 people inside take about 20 MB."""


def gate_topic(gate: GateId | str, leaf: str) -> str:
    """`gatectl/v1/g/{gate}/{leaf}`; leaves: ev ack wl/req wl/data wl/state cmd ans hb media."""
    return f"{PREFIX}/g/{gate}/{leaf}"


def list_topic(site: SiteId | str, leaf: str) -> str:
    """`gatectl/v1/wl/{site}/{leaf}`; leaves: head, delta, snap (chunks for many gates at once)."""
    return f"{PREFIX}/wl/{site}/{leaf}"


def site_topic(site: SiteId | str, leaf: str) -> str:
    """`gatectl/v1/s/{site}/{leaf}`; leaf: passages."""
    return f"{PREFIX}/s/{site}/{leaf}"


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at


AwareTime = Annotated[datetime, AfterValidator(_aware)]


class Message(BaseModel):
    """Base of the wire's own models: frozen; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class SignedHead(Message):
    """A gate's word that its chain has this hash at this seq. Whoever rewrites the chain later cannot sign it."""

    epoch: str = Field(min_length=1, max_length=64)
    seq: int = Field(ge=1)
    hash: str = Field(min_length=64, max_length=64)
    key: str = Field(max_length=44)
    """The gate's Ed25519 public key: 32 bytes in base64."""
    signature: str = Field(max_length=88)
    """64 bytes in base64."""


class Heartbeat(Message):
    """A gate's state, each 5 s, and once with `online` false as its will."""

    v: Literal[1] = 1
    gate: str
    online: bool
    at: AwareTime | None = None
    boot_id: str = ""
    instance: str = Field(default="", max_length=40)
    """Random for each run of the daemon: two that alternate are two gates on one identity."""
    certificate: str = Field(default="", max_length=40)
    """Serial number of the certificate that this connection was made with, hex; empty without one."""
    challenge: str = ""
    """The random that commands of this connection must carry."""
    version: str = ""
    clock: ClockTrust = ClockTrust.UNTRUSTED
    list: ListStand | None = None
    head: SignedHead | None = None
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
    action: Literal["open", "refuse", "emergency_open", "emergency_release"]
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


class PassageNews(Message):
    """A completed passage, for the site's other gates to count (`core.occupancy.crossed`).

    One that a later passage of the same subject has overtaken comes without subject and areas: only its use counts.
    """

    gate: str
    """Who saw it; "" = central, which counts an entry on a visit's other credentials too."""
    epoch: str = ""
    seq: int = Field(default=0, ge=0)
    credential: str = ""
    subject: str = ""
    household: str = ""
    is_vehicle: bool = False
    area_from: str = ""
    area_to: str = ""
    dir: Literal["in", "out"]
    at: AwareTime
    max_stay_s: int = Field(default=0, ge=0)
    uses_key: str = ""
    ref: str = ""
    """The passage event's id."""


class Passages(Message):
    """What central committed since the last such message. Sealed for purpose `passages`; QoS 1; never retained."""

    v: Literal[1] = 1
    site: str
    items: tuple[PassageNews, ...]


class InsideEntry(Message):
    """Where somebody is; `core.model.Inside` with its subject."""

    subject: str = Field(min_length=1)
    area: str = Field(min_length=1)
    since_s: int
    household: str = ""
    is_vehicle: bool = False
    max_stay_s: int = Field(default=0, ge=0)


class InsideList(Message):
    """Who is inside a site as central counts it. Sealed for purpose `inside`, on `wl/data`."""

    v: Literal[1] = 1
    site: str
    at: AwareTime
    inside: tuple[InsideEntry, ...] = ()
    uses: dict[str, int] = Field(default_factory=dict)
    """Entries made, by credential key or pass nonce."""
    strangers: dict[str, int] = Field(default_factory=dict)
    """By area: vehicles inside that nobody knows, beside those in `inside`."""


M = TypeVar("M", bound=Message)


def decode(model: type[M], payload: bytes) -> M:
    """One message of a known model. Raises PayloadError."""
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise PayloadError(f"not a {model.__name__}: {error}", payload) from error


# --- who is inside ---


def encode_passages(passages: Passages, key: Ed25519PrivateKey) -> bytes:
    """Sealed news for `site_topic(site, "passages")`."""
    return seal(passages.model_dump_json().encode(), PASSAGES_PURPOSE, key)


def decode_passages(payload: bytes, keys: Iterable[Ed25519PublicKey]) -> Passages:
    """Verified news. Raises PayloadError."""
    return decode(Passages, unseal(payload, PASSAGES_PURPOSE, keys))


def encode_inside(inside: InsideList, key: Ed25519PrivateKey) -> bytes:
    """The tagged, sealed, compressed list for `wl/data`."""
    body = zlib.compress(inside.model_dump_json().encode())
    return INSIDE_TAG + seal(body, INSIDE_PURPOSE, key)


def decode_inside(payload: bytes, keys: Iterable[Ed25519PublicKey]) -> InsideList:
    """The verified list of a `wl/data` message that begins with `INSIDE_TAG`. Raises PayloadError."""
    if not payload.startswith(INSIDE_TAG):
        raise PayloadError("not a list of who is inside", payload)
    body = unseal(payload[len(INSIDE_TAG) :], INSIDE_PURPOSE, keys)
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(body, MAX_INSIDE_BYTES)
    except zlib.error as error:
        raise PayloadError(f"not a list of who is inside: {error}", payload) from error
    if engine.unconsumed_tail or not engine.eof:
        raise PayloadError("a list of who is inside that is cut short, or too large", payload)
    return decode(InsideList, plain)
