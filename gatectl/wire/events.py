"""`ev/1`: events as bytes that are chained for ever, with their personal fields apart (PROTOCOLS 7).

An event's body is kept byte for byte as the gate wrote it, at both ends, so that its hash can be checked for ever. What
says who somebody was is not in it: the body holds a salted hash of those fields, and they travel beside it. So they can
be purged when their time is over, and the chain still verifies.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from gatectl.core.model import AccessEvent, EventKind
from gatectl.errors import PayloadError
from gatectl.wire.messages import Message, SignedHead

EVENT_VERSION = 1
MAX_BATCH_EVENTS = 50
MAX_BATCH_BYTES = 64 * 1024
GENESIS = "0" * 64
"""The hash before the first event of an epoch."""
PERSONAL = ("credential", "subject", "household", "plate", "trace", "crossing", "actor", "note")
"""The fields that may say who somebody was."""
_IMPERSONAL_KINDS = (EventKind.ANCHOR, EventKind.SYSTEM)
"""Nobody is in these; their notes are the machine's own words."""
_SEALED_AS = "personal"
_SEAL = f'"{_SEALED_AS}":"'
_SALT = "salt"
_APART = frozenset((*PERSONAL, _SALT))


@dataclass(frozen=True, slots=True)
class EventText:
    """An event as it is written."""

    body: str
    """Canonical JSON, chained; never rewritten."""
    personal: str
    """Canonical JSON of the personal fields and their salt, hashed in the body; "" = none, or purged."""


class EventRow(Message):
    """One event on the wire. `hash` = SHA-256(previous hash ‖ body)."""

    v: Literal[1] = 1
    epoch: str = Field(min_length=1, max_length=64)
    seq: int = Field(ge=1)
    prev: str = Field(min_length=64, max_length=64)
    hash: str = Field(min_length=64, max_length=64)
    body: str = Field(max_length=MAX_BATCH_BYTES)
    personal: str = Field(default="", max_length=MAX_BATCH_BYTES)


_EVENT = TypeAdapter(AccessEvent)
_ROWS = TypeAdapter(tuple[EventRow, ...])
_DEFAULTS: dict[str, Any] = {"trace": [], "subject": "", "household": "", "actor": "", "note": ""}


def event_text(event: AccessEvent, salt: str) -> EventText:
    """The event as it is chained; `salt` is 32 random hex digits, its own for each event."""
    fields: dict[str, Any] = _EVENT.dump_python(event, mode="json", exclude_defaults=False)
    if event.kind in _IMPERSONAL_KINDS:
        return EventText(_canonical(fields), "")
    apart = {name: value for name in PERSONAL if (value := fields.pop(name)) != _DEFAULTS.get(name)}
    personal = _canonical({**apart, _SALT: salt}) if apart else ""
    return EventText(_canonical({**fields, _SEALED_AS: _digest(personal)}), personal)


def parse_event(body: str, personal: str = "") -> AccessEvent:
    """The event of a body; without its personal fields where they are purged. Raises PayloadError for anything else."""
    try:
        return _EVENT.validate_json(_together(body, personal) if personal else body)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"not an event of version {EVENT_VERSION}: {error}", body.encode()) from error


def event_fields(body: str, personal: str = "") -> dict[str, Any]:
    """The top-level fields of an event as JSON gives them; their depths are not looked at. Raises PayloadError."""
    try:
        fields = from_json(body)
        if personal:
            apart = from_json(personal)
            if not isinstance(apart, dict) or not isinstance(fields, dict) or apart.keys() - _APART:
                raise PayloadError("something that is not personal stands beside the body", body.encode())
            fields.update(apart)
    except ValueError as error:
        raise PayloadError(f"not an event of version {EVENT_VERSION}: {error}", body.encode()) from error
    if not isinstance(fields, dict):
        raise PayloadError(f"not an event of version {EVENT_VERSION}: no object", body.encode())
    return fields


def _together(body: str, personal: str) -> str:
    """One JSON object of both. Raises ValueError."""
    apart = json.loads(personal)
    if not isinstance(apart, dict) or apart.keys() - _APART:
        raise ValueError("something that is not personal stands beside the body")
    return f"{body.rstrip()[:-1]},{personal.lstrip()[1:]}"


def is_whole(body: str, personal: str) -> bool:
    """Whether `personal` is what the body's hash says; False too where the body has a hash and they are missing."""
    if personal:
        return f'{_SEAL}{_digest(personal)}"' in body
    # Within a JSON string the quotes would be escaped: only a key reads so.
    return _SEAL not in body or f'{_SEAL}"' in body


def is_purged(body: str, personal: str) -> bool:
    """Whether there were personal fields, and they are gone."""
    return not personal and not is_whole(body, personal)


def _digest(personal: str) -> str:
    return hashlib.sha256(personal.encode()).hexdigest() if personal else ""


def _canonical(fields: dict[str, Any]) -> str:
    """Sorted keys, no spaces, UTF-8 kept."""
    return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def chain_hash(previous: str, body: str) -> str:
    """SHA-256 over the previous hash (as raw bytes) and the body, in hex."""
    return hashlib.sha256(bytes.fromhex(previous) + body.encode()).hexdigest()


def event_row(epoch: str, seq: int, previous: str, text: EventText) -> EventRow:
    """The next row of a chain."""
    return EventRow(
        epoch=epoch,
        seq=seq,
        prev=previous,
        hash=chain_hash(previous, text.body),
        body=text.body,
        personal=text.personal,
    )


def sign_head(gate: str, epoch: str, seq: int, own: str, key: Ed25519PrivateKey) -> SignedHead:
    """The head of a gate's chain, signed."""
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return SignedHead(
        epoch=epoch,
        seq=seq,
        hash=own,
        key=base64.b64encode(public).decode(),
        signature=base64.b64encode(key.sign(_head_bytes(gate, epoch, seq, own))).decode(),
    )


def is_head_genuine(gate: str, head: SignedHead) -> bool:
    """Whether the head was signed by the key that it names. Never raises."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(head.key, validate=True))
        signed = _head_bytes(gate, head.epoch, head.seq, head.hash)
        key.verify(base64.b64decode(head.signature, validate=True), signed)
    except (ValueError, InvalidSignature):
        return False
    return True


def _head_bytes(gate: str, epoch: str, seq: int, own: str) -> bytes:
    return json.dumps(["gatectl head", gate, epoch, seq, own], ensure_ascii=False).encode()


def encode_rows(rows: tuple[EventRow, ...]) -> bytes:
    """A batch for `ev`."""
    return _ROWS.dump_json(rows)


def decode_rows(payload: bytes) -> tuple[EventRow, ...]:
    """The rows of a batch. Raises PayloadError (wrong version, not JSON, a field too many)."""
    try:
        return _ROWS.validate_json(payload)
    except ValidationError as error:
        raise PayloadError(f"not an event batch of version {EVENT_VERSION}: {error}", payload) from error
