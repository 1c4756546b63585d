"""Visitor passes: a few signed bytes in a QR code, verified at the gate without a network.

    body = 'G' version | kid 4 | nonce 8 | from u32 | until u32 | uses u8 | profile u8 | site text | n u8, lanes text*
    text = base32( body | Ed25519 signature 64 ), upper case without padding: what a QR code stores as alphanumeric

Numbers are big-endian, `text` a u8 length and UTF-8. Times are UTC seconds; a pass for one lane has about 120 bytes,
190 characters, and fits in a QR code of version 8 at level M.
"""

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gatectl.core.model import PassClaim, Profile, SiteId
from gatectl.errors import PayloadError

MAX_TEXT = 400
"""Longer text is no pass of ours."""
KID_BYTES, NONCE_BYTES = 4, 8
MAX_LANES = 16
_MAGIC = b"G\x01"
_FIXED = struct.Struct(">2s4s8sIIBB")
_SIGNATURE_BYTES = 64
_CONTEXT = b"gatectl pass 1\0"
"""Signed before the body, so that no other signature of the same key can be taken for a pass."""
_PROFILES = tuple(Profile)
"""By number on the wire: append only."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What an issuer promises, from `valid_from_s` until just before `valid_until_s`; `lanes` () = all of the site."""

    site: SiteId
    lanes: tuple[str, ...]
    valid_from_s: int
    valid_until_s: int
    uses: int
    nonce: bytes
    profile: Profile = Profile.VISITOR


def encode_pass(visit: Pass, kid: str, key: Ed25519PrivateKey) -> str:
    """The signed text of a pass; `kid` names the key, 8 lower-case hex digits. Raises ValueError with words."""
    if not re.fullmatch(r"[0-9a-f]{8}", kid):
        raise ValueError(f"a pass names its issuer by {2 * KID_BYTES} lower-case hex digits, not {kid!r}")
    if not 0 <= visit.valid_from_s < visit.valid_until_s < 1 << 32:
        raise ValueError("a pass begins before it ends, between 1970 and 2106")
    if len(visit.nonce) != NONCE_BYTES or not 0 < visit.uses < 256:
        raise ValueError(f"a pass has a nonce of {NONCE_BYTES} bytes and 1 to 255 uses")
    if len(visit.lanes) > MAX_LANES:
        raise ValueError(f"a pass names at most {MAX_LANES} lanes; none of them named means every lane")
    fixed = _FIXED.pack(
        _MAGIC,
        bytes.fromhex(kid),
        visit.nonce,
        visit.valid_from_s,
        visit.valid_until_s,
        visit.uses,
        _PROFILES.index(visit.profile),
    )
    body = fixed + _text(visit.site) + bytes([len(visit.lanes)]) + b"".join(_text(lane) for lane in visit.lanes)
    text = base64.b32encode(body + key.sign(_CONTEXT + body)).decode().rstrip("=")
    if len(text) > MAX_TEXT:
        raise ValueError("the names of these lanes are too long for a pass; none of them named means every lane")
    return text


def read_pass(text: str, issuers: Mapping[str, bytes]) -> PassClaim:
    """What a scanned pass says, and whether the issuer that it names signed it; `issuers` as in `WhitelistView`.

    Upper and lower case are the same text. Raises PayloadError only for what is no pass of ours at all.
    """
    data = _decoded(text)
    body, signature = data[:-_SIGNATURE_BYTES], data[-_SIGNATURE_BYTES:]
    try:
        magic, kid, nonce, from_s, until_s, uses, profile = _FIXED.unpack_from(body)
        site, at = _read_text(body, _FIXED.size)
        lanes = []
        count, at = body[at], at + 1
        for _ in range(count):
            lane, at = _read_text(body, at)
            lanes.append(lane)
        claim = PassClaim(
            nonce=nonce.hex(),
            site=SiteId(site),
            lanes=tuple(lanes),
            valid_from_s=from_s,
            valid_until_s=until_s,
            uses=uses,
            profile=_PROFILES[profile],
            is_genuine=_is_genuine(issuers.get(kid.hex()), body, signature),
        )
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise PayloadError(f"not a pass: {error}") from error
    if magic != _MAGIC or at != len(body):
        raise PayloadError("not a pass of this version")
    return claim


def _decoded(text: str) -> bytes:
    """Bytes of exactly the text that `encode_pass` would write for them. Raises PayloadError."""
    text = text.strip()
    if not text.isascii() or not 0 < len(text) <= MAX_TEXT:
        raise PayloadError("not a pass: empty, too long, or other characters than a pass has")
    text = text.upper()
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise PayloadError(f"not a pass: {error}") from error
    if base64.b32encode(data).decode().rstrip("=") != text:
        raise PayloadError("not a pass: stray bits at its end")
    return data


def _is_genuine(public_key: bytes | None, body: bytes, signature: bytes) -> bool:
    if public_key is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _CONTEXT + body)
    except (InvalidSignature, ValueError):
        return False
    return True


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) > 63:
        raise ValueError(f"{text!r} is longer than any id")
    return bytes([len(data)]) + data


def _read_text(body: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + body[at]
    if end > len(body):
        raise IndexError("cut short")
    return body[at + 1 : end].decode(), end
