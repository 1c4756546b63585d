"""How a gate gets its certificate: messages and proofs of `enrol/1`, pure.

A one-time code is known to the office and to whoever stands at the gate, and never travels. Both ends prove that they
know it over all that was said: central will certify no key that another put in, and the gate will believe no authority
and no site key that another put in. What an eavesdropper gets to try codes against is stretched by scrypt, and a code
has 60 random bits and lives an hour.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gatectl.errors import PayloadError
from gatectl.wire import certificates
from gatectl.wire.messages import Message

ENROL_PATH = "/gates/enrol"
RENEW_PATH = "/gates/renew"
RENEW_PURPOSE = "renew"
FORM_FIELD = "message"
"""Both are posted as one field of a form."""
_CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O, U."""
CODE_CHARS = 12
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 1
"""16 MB and some 50 ms a try."""
_SCRYPT_MEMORY_BYTES = 64 * 1024 * 1024


def _bytes_of(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _checked_base64(text: str) -> str:
    try:
        _bytes_of(text)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return text


GateName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Base64 = Annotated[str, Field(max_length=6000), AfterValidator(_checked_base64)]


@dataclass(frozen=True, slots=True)
class Pins:
    """What a gate shall pin: the site's and the root's Ed25519 public keys, base64."""

    site_key: str
    root_key: str


class EnrolRequest(Message):
    """A gate asks for its first certificate."""

    v: Literal[1] = 1
    gate: GateName
    request: Base64
    """PKCS#10, DER."""
    nonce: Hex32
    proof: Hex64


class EnrolAnswer(Message):
    """What central certified, and what the gate shall believe from now on."""

    v: Literal[1] = 1
    gate: GateName
    site: GateName
    site_key: str = Field(min_length=44, max_length=44)
    """The site's Ed25519 public key, base64."""
    root_key: str = Field(max_length=44)
    """The root's."""
    certificate: Base64
    authority: Base64
    """The authority's own certificate, DER."""
    proof: Hex64


class RenewRequest(Message):
    """A gate asks for its next certificate; signed with the key of the one it has."""

    v: Literal[1] = 1
    gate: GateName
    serial: str = Field(pattern=r"^[0-9a-f]{1,40}$")
    request: Base64
    signature: Base64


class RenewAnswer(Message):
    """Sealed by the site key for purpose `renew`; the gate checks that the certificate fits the key it asked for."""

    v: Literal[1] = 1
    gate: GateName
    certificate: Base64
    authority: Base64


class EnrolRefusal(Message):
    """Why not, in words."""

    error: str = Field(max_length=500)


def new_code() -> str:
    """A one-time code: `K7QM-2XWD-9FTB`, 60 random bits."""
    text = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(CODE_CHARS))
    return "-".join(text[i : i + 4] for i in range(0, CODE_CHARS, 4))


def plain_code(typed: str) -> str:
    """A code as it was meant: capitals, no separators, O read as 0, I and L as 1. Raises PayloadError."""
    text = "".join(char for char in typed.upper() if not char.isspace() and char != "-")
    text = text.translate(str.maketrans("OIL", "011"))
    if len(text) != CODE_CHARS or any(char not in _CODE_ALPHABET for char in text):
        raise PayloadError(f"not a code: {CODE_CHARS} letters and digits, as in K7QM-2XWD-9FTB")
    return text


def code_secret(code: str, gate: str) -> bytes:
    """The 32 bytes that both ends make of a code; central keeps these, never the code. Raises PayloadError."""
    salt = b"gatectl enrol 1\0" + gate.encode()
    return hashlib.scrypt(
        plain_code(code).encode(),
        salt=salt,
        n=_SCRYPT_N,
        r=_SCRYPT_R,
        p=_SCRYPT_P,
        maxmem=_SCRYPT_MEMORY_BYTES,
        dklen=32,
    )


def _joined(*parts: bytes) -> bytes:
    """Each part behind its length: no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _proof(secret: bytes, *parts: bytes) -> str:
    return hmac.new(secret, _joined(*parts), hashlib.sha256).hexdigest()


def enrol_request(secret: bytes, gate: str, request: bytes) -> EnrolRequest:
    """The gate's message for a PKCS#10 request."""
    nonce = secrets.token_hex(16)
    proof = _proof(secret, b"gate", gate.encode(), nonce.encode(), request)
    return EnrolRequest(gate=gate, request=base64.b64encode(request).decode(), nonce=nonce, proof=proof)


def is_request_proven(secret: bytes, message: EnrolRequest) -> bool:
    """Whether the sender knows the code, and nobody changed what it asks."""
    parts = (b"gate", message.gate.encode(), message.nonce.encode(), request_bytes(message))
    return hmac.compare_digest(_proof(secret, *parts), message.proof)


def request_bytes(message: EnrolRequest | RenewRequest) -> bytes:
    """The PKCS#10 request in a message."""
    return _bytes_of(message.request)


def enrol_answer(
    secret: bytes, asked: EnrolRequest, *, site: str, pins: Pins, certificate: bytes, authority: bytes
) -> EnrolAnswer:
    """Central's answer to just this message."""
    return EnrolAnswer(
        gate=asked.gate,
        site=site,
        site_key=pins.site_key,
        root_key=pins.root_key,
        certificate=base64.b64encode(certificate).decode(),
        authority=base64.b64encode(authority).decode(),
        proof=_answer_proof(secret, asked, site, pins, certificate, authority),
    )


def _answer_proof(
    secret: bytes, asked: EnrolRequest, site: str, pins: Pins, certificate: bytes, authority: bytes
) -> str:
    said = (asked.gate.encode(), asked.nonce.encode(), request_bytes(asked), site.encode())
    return _proof(secret, b"central", *said, pins.site_key.encode(), pins.root_key.encode(), certificate, authority)


def require_answer_proven(secret: bytes, asked: EnrolRequest, answer: EnrolAnswer) -> None:
    """Raise PayloadError unless whoever answered knows the code, answers this message, and was not changed."""
    pins = Pins(answer.site_key, answer.root_key)
    expected = _answer_proof(
        secret, asked, answer.site, pins, _bytes_of(answer.certificate), _bytes_of(answer.authority)
    )
    if answer.gate != asked.gate or not hmac.compare_digest(expected, answer.proof):
        raise PayloadError("the answer does not prove that it comes from who made the code: nothing of it is believed")


def check_words(secret: bytes, request: bytes, authority: bytes) -> str:
    """`7F3A-19C2`: what both ends show at the end, for two people on the telephone to compare."""
    digits = _proof(secret, b"check", request, authority)[:8].upper()
    return f"{digits[:4]}-{digits[4:]}"


def certificate_bytes(answer: EnrolAnswer | RenewAnswer) -> bytes:
    """The certificate in an answer, DER."""
    return _bytes_of(answer.certificate)


def authority_bytes(answer: EnrolAnswer | RenewAnswer) -> bytes:
    """The authority's certificate in an answer, DER."""
    return _bytes_of(answer.authority)


def renew_request(key: certificates.PrivateKey, gate: str, serial: str, request: bytes) -> RenewRequest:
    """The gate's message for its next certificate; `key` is the one that is certified now."""
    signature = certificates.sign(key, _renewal(gate, serial, request))
    return RenewRequest(
        gate=gate,
        serial=serial,
        request=base64.b64encode(request).decode(),
        signature=base64.b64encode(signature).decode(),
    )


def is_renewal_signed(key: certificates.PublicKey, message: RenewRequest) -> bool:
    """Whether the holder of the certified key asks for this."""
    body = _renewal(message.gate, message.serial, request_bytes(message))
    return certificates.is_signed_by(key, _bytes_of(message.signature), body)


def _renewal(gate: str, serial: str, request: bytes) -> bytes:
    return _joined(b"gatectl renew 1", gate.encode(), serial.encode(), request)
