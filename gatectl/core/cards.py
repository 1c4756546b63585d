"""Card numbers: the bytes and bits that readers send, the forms printed on cards, one canonical key."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal

from gatectl.core.model import CredentialKey

EM4100_BYTES = 5
"""Version byte and 32-bit tag (PROTOCOLS 1): the raw bytes are kept, every printed form is derived."""

WiegandFormat = Literal["w26", "w34", "h10304", "h10302", "zk37a"]
WIEGAND_FORMATS: tuple[WiegandFormat, ...] = ("w26", "w34", "h10304", "h10302", "zk37a")

CardForm = Literal["number", "em4100"] | WiegandFormat
"""What a reader's bytes mean: a Wiegand frame with its parity bits, or the bare number."""
UID_BYTES = (6, 16)
"""Serial numbers and tag codes that no shorter form holds; 7 bytes on most 13.56 MHz cards, 12 on UHF tags."""

_PARITY: Mapping[WiegandFormat, tuple[int, tuple[int, int], tuple[int, int]]] = {
    # bits in the frame; the 0-based, end-exclusive ranges that the even first and the odd last bit cover
    # (PROTOCOLS 2). In the two HID formats of 37 bits the ranges share the 19th bit; in ZKTeco's they do not. That is
    # the 37a of ZKTeco's manuals of 2020 to 2023 (3 bits maker, 10 device, 6 site, 16 card number); older devices call
    # another layout, with interleaved parity, by the same name: most of its frames are refused here.
    "w26": (26, (1, 13), (13, 25)),
    "w34": (34, (1, 17), (17, 33)),
    "h10304": (37, (1, 19), (18, 36)),
    "h10302": (37, (1, 19), (18, 36)),
    "zk37a": (37, (1, 18), (18, 36)),
}

_EM = re.compile(r"(?:em:)?([0-9A-F]{10})", re.IGNORECASE)
_W26 = re.compile(r"w26:([0-9]{1,3}):([0-9]{1,5})|([0-9]{1,3}),([0-9]{1,5})", re.IGNORECASE)
_TEN_DIGITS = re.compile(r"[0-9]{10}")
_ROUNDED = re.compile(r"[0-9]+(\.[0-9]+)?E\+?[0-9]+", re.IGNORECASE)
_W34 = re.compile(r"w34:([0-9A-F]{8})", re.IGNORECASE)
_EM_KEY = re.compile(r"em:([0-9A-F]{10})")
_W34_KEY = re.compile(r"w34:([0-9A-F]{8})")
_W26_KEY = re.compile(r"w26:([0-9]{1,3}):([0-9]{1,5})")
_H10304_KEY = re.compile(r"h10304:([0-9]{1,5}):([0-9]{1,6})")
_LONG_KEY = re.compile(r"(h10302|zk37a):([0-9]{1,11})")
_UID = re.compile(r"uid:((?:[0-9A-F]{2}){6,16})", re.IGNORECASE)
_EIGHT_DIGITS = re.compile(r"[0-9]{8}")
_EIGHT_HEX = re.compile(r"[0-9A-F]{8}", re.IGNORECASE)
_BARE_DIGITS = re.compile(r"[0-9]{5,10}")
_MAX_EM_DECIMAL = 0xFFFFFFFF


def em4100_key(raw: bytes) -> CredentialKey:
    """The key of an EM4100 card's five raw bytes. Raises ValueError for another length."""
    if len(raw) != EM4100_BYTES:
        raise ValueError(f"an EM4100 card has {EM4100_BYTES} bytes, not {len(raw)}")
    return CredentialKey(f"em:{raw.hex().upper()}")


def number_key(raw: bytes) -> CredentialKey:
    """The key of a card's bare number, by its length: 3 bytes `w26:`, 4 `w34:`, 5 `em:`, 6 to 16 `uid:`.

    Raises ValueError for another length.
    """
    if len(raw) == 3:
        return w26_key(raw[0], int.from_bytes(raw[1:], "big"))
    if len(raw) == 4:
        return CredentialKey(f"w34:{raw.hex().upper()}")
    if len(raw) == EM4100_BYTES:
        return em4100_key(raw)
    if UID_BYTES[0] <= len(raw) <= UID_BYTES[1]:
        return CredentialKey(f"uid:{raw.hex().upper()}")
    raise ValueError(f"a card's number has 3 to {UID_BYTES[1]} bytes, not {len(raw)}")


def w26_key(facility: int, number: int) -> CredentialKey:
    """The key of a 26-bit card. Raises ValueError out of range."""
    if not (0 <= facility <= 0xFF and 0 <= number <= 0xFFFF):
        raise ValueError(f"a 26-bit card has a facility code up to 255 and a number up to 65535: {facility},{number}")
    return CredentialKey(f"w26:{facility}:{number}")


def wiegand_key(card_format: WiegandFormat, bits: str) -> CredentialKey:
    """The key in a Wiegand frame of a reader whose format is declared; the bit count does not tell it.

    Every format has an even parity bit first and an odd one last; over which bits stands in `_PARITY`. Raises
    ValueError with words.
    """
    size, even, odd = _PARITY[card_format]
    if len(bits) != size:
        raise ValueError(f"a {card_format} frame has {size} bits, not {len(bits)}")
    if set(bits) - {"0", "1"}:
        raise ValueError(f"a {card_format} frame holds only 0 and 1")
    if (bits[0] + bits[slice(*even)]).count("1") % 2 or (bits[slice(*odd)] + bits[-1]).count("1") % 2 == 0:
        raise ValueError(f"wrong parity in a {card_format} frame")
    number = int(bits[1:-1], 2)
    if card_format == "w26":
        return w26_key(number >> 16, number & 0xFFFF)
    if card_format == "w34":
        return CredentialKey(f"w34:{number:08X}")
    if card_format == "h10304":
        return CredentialKey(f"h10304:{number >> 19}:{number & 0x7FFFF}")
    return CredentialKey(f"{card_format}:{number}")


def wiegand_bits(key: CredentialKey) -> str:
    """The frame that a reader of this key's format sends. Raises ValueError for a key that no such reader sends."""
    card_format, number = _number(parse_card(key))
    size, even, odd = _PARITY[card_format]
    bits = [0, *map(int, f"{number:0{size - 2}b}"), 0]
    bits[0] = sum(bits[slice(*even)]) % 2
    bits[-1] = 1 - sum(bits[slice(*odd)]) % 2
    return "".join(map(str, bits))


def _number(key: CredentialKey) -> tuple[WiegandFormat, int]:
    if match := _W26_KEY.fullmatch(key):
        return "w26", int(match[1]) << 16 | int(match[2])
    if match := _W34_KEY.fullmatch(key):
        return "w34", int(match[1], 16)
    if match := _H10304_KEY.fullmatch(key):
        return "h10304", int(match[1]) << 19 | int(match[2])
    if match := _LONG_KEY.fullmatch(key):
        return ("h10302" if match[1] == "h10302" else "zk37a"), int(match[2])
    raise ValueError(f"no Wiegand reader sends {key}")


def parse_card(text: str, *, is_reversed: bool = False) -> CredentialKey:
    """The key that a person means by a number on a card or in a list.

    `em:0A1B2C3D4E` or ten hex digits; ten decimal digits; eight digits or `012,34567` (facility code and number); eight
    hex digits; `w26:12:34567`, `h10304:100:12345`, `h10302:1234567890`, `zk37a:…`. `is_reversed`: the last byte stands
    first, as some readers and lists have it. Digits that could be hex too are read as decimal, as printed on cards:
    ten of them are the low 32 bits of an EM4100 card and do not tell its version byte, so they become a `w34:` key,
    which `find_grant` matches to the card by its derived form. Raises ValueError with words.
    """
    text = _plain(text)
    key = _decimal(text) or _hexadecimal(text) or _declared(text)
    if key is None and _ROUNDED.fullmatch(text):
        raise ValueError(f"{text}: a spreadsheet has rounded this number; format the column as text and export again")
    if key is None:
        raise ValueError(f"{text!r} is no card number; write 0A1B2C3D4E, 0006547886, 012,34567 or w26:12:34567")
    return _reversed(key) if is_reversed else key


def readings(text: str, *, is_reversed: bool = False) -> tuple[CredentialKey, ...]:
    """Every card that these characters may stand for; first the one that `parse_card` takes, if it takes one.

    Ten digits may be decimal or hex; fewer may be eight-digit or ten-digit decimals that lost their leading zeros, or
    eight hex digits. Raises ValueError with words when there is none.
    """
    plain = _plain(text)
    found: list[CredentialKey] = []
    if _BARE_DIGITS.fullmatch(plain):
        number = int(plain)
        if len(plain) <= 8 and number // 100_000 <= 0xFF and number % 100_000 <= 0xFFFF:
            found.append(w26_key(number // 100_000, number % 100_000))
        if number <= _MAX_EM_DECIMAL:
            found.append(CredentialKey(f"w34:{number:08X}"))
        if len(plain) in (8, 10):
            found.append(CredentialKey(f"w34:{plain}" if len(plain) == 8 else f"em:{plain}"))
    if is_reversed:
        found = [_reversed(key) for key in found if not _W26_KEY.fullmatch(key)]
    return tuple(dict.fromkeys(found)) or (parse_card(text, is_reversed=is_reversed),)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().replace(" ", "")


def _decimal(text: str) -> CredentialKey | None:
    if _TEN_DIGITS.fullmatch(text):
        number = int(text)
        if number > _MAX_EM_DECIMAL:
            raise ValueError(f"{text}: a printed card number is at most {_MAX_EM_DECIMAL}; for hex write em:{text}")
        return CredentialKey(f"w34:{number:08X}")
    if match := _W26.fullmatch(text):
        facility, number_text = match[1] or match[3], match[2] or match[4]
        return w26_key(int(facility), int(number_text))
    if _EIGHT_DIGITS.fullmatch(text):
        return w26_key(int(text[:3]), int(text[3:]))
    return None


def _hexadecimal(text: str) -> CredentialKey | None:
    if match := _W34.fullmatch(text):
        return CredentialKey(f"w34:{match[1].upper()}")
    if match := _EM.fullmatch(text):
        return CredentialKey(f"em:{match[1].upper()}")
    return CredentialKey(f"w34:{text.upper()}") if _EIGHT_HEX.fullmatch(text) else None


def _declared(text: str) -> CredentialKey | None:
    """A key of a 37-bit format in its canonical form: no leading zeros, and within its bits."""
    if match := _H10304_KEY.fullmatch(text.lower()):
        facility, number = int(match[1]), int(match[2])
        if facility >= 1 << 16 or number >= 1 << 19:
            raise ValueError(f"{text}: an H10304 card has a facility code up to 65535 and a number up to 524287")
        return CredentialKey(f"h10304:{facility}:{number}")
    if match := _UID.fullmatch(text):
        return CredentialKey(f"uid:{match[1].upper()}")
    if match := _LONG_KEY.fullmatch(text.lower()):
        if int(match[2]) >= 1 << 35:
            raise ValueError(f"{text}: a number of 35 bits is at most {(1 << 35) - 1}")
        return CredentialKey(f"{match[1]}:{int(match[2])}")
    return None


def _reversed(key: CredentialKey) -> CredentialKey:
    """The same bytes, last one first."""
    if em := _EM_KEY.fullmatch(key):
        return em4100_key(bytes.fromhex(em[1])[::-1])
    if w34 := _W34_KEY.fullmatch(key):
        return CredentialKey(f"w34:{bytes.fromhex(w34[1])[::-1].hex().upper()}")
    raise ValueError("only hex digits and ten decimal digits can stand in reversed order")


def derived_keys(key: CredentialKey) -> tuple[CredentialKey, ...]:
    """The shorter forms in which other readers see the same card: its low 24 bits (26-bit) and low 32 bits (34-bit).

    An `em:` key has both, a `w34:` key the 26-bit one; () for every other key.
    """
    if em := _EM_KEY.fullmatch(key):
        number = int(em[1], 16) & _MAX_EM_DECIMAL
        return (_low_24(number), CredentialKey(f"w34:{number:08X}"))
    if w34 := _W34_KEY.fullmatch(key):
        return (_low_24(int(w34[1], 16)),)
    return ()


def _low_24(number: int) -> CredentialKey:
    return w26_key(number >> 16 & 0xFF, number & 0xFFFF)


def printed_forms(key: CredentialKey) -> Mapping[str, str]:
    """The forms found on cards and in lists, by name; {} for what is no card. `parse_card` takes each of them back.

    `hex` as the key has it (bare hex without a letter is read as a decimal: write `em:` before it), `dec10` of the low
    32 bits, `w26` and `w26_8` (without its comma) of the low 24; `number` for the 37-bit formats.
    """
    if match := _EM_KEY.fullmatch(key) or _W34_KEY.fullmatch(key):
        low = int(match[1][-8:], 16)
        return {"hex": match[1], "dec10": f"{low:010d}", **_w26_forms(low)}
    if w26 := _W26_KEY.fullmatch(key):
        return _w26_forms(int(w26[1]) << 16 | int(w26[2]))
    if _H10304_KEY.fullmatch(key) or _LONG_KEY.fullmatch(key) or _UID.fullmatch(key):
        return {"number": key}
    return {}


def other_forms(key: CredentialKey) -> Mapping[str, str]:
    """What readers' displays and foreign lists make of the same card: `hex8`, and the bytes in reversed order."""
    match = _EM_KEY.fullmatch(key) or _W34_KEY.fullmatch(key)
    if match is None:
        return {}
    whole, low = bytes.fromhex(match[1])[::-1].hex().upper(), bytes.fromhex(match[1][-8:])[::-1]
    return {"hex8": match[1][-8:], "reversed_hex": whole, "reversed_dec10": f"{int.from_bytes(low, 'big'):010d}"}


def _w26_forms(number: int) -> dict[str, str]:
    facility, card = number >> 16 & 0xFF, number & 0xFFFF
    return {"w26": f"{facility:03d},{card:05d}", "w26_8": f"{facility:03d}{card:05d}"}
