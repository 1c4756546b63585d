"""Card numbers: the bytes and bits that readers send, the forms printed on cards, one canonical key."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal

from gatectl.core.model import CredentialKey

EM4100_BYTES = 5
"""Version byte and 32-bit tag (PROTOCOLS 1): the raw bytes are kept, every printed form is derived."""

WiegandFormat = Literal["w26", "w34"]

_EM = re.compile(r"(?:em:)?([0-9A-F]{10})", re.IGNORECASE)
_W26 = re.compile(r"w26:([0-9]{1,3}):([0-9]{1,5})|([0-9]{1,3}),([0-9]{1,5})", re.IGNORECASE)
_TEN_DIGITS = re.compile(r"[0-9]{10}")
_ROUNDED = re.compile(r"[0-9]+(\.[0-9]+)?E\+?[0-9]+", re.IGNORECASE)
_W34 = re.compile(r"w34:([0-9A-F]{8})", re.IGNORECASE)
_EM_KEY = re.compile(r"em:([0-9A-F]{10})")
_W34_KEY = re.compile(r"w34:([0-9A-F]{8})")
_W26_KEY = re.compile(r"w26:([0-9]{1,3}):([0-9]{1,5})")
_MAX_EM_DECIMAL = 0xFFFFFFFF


def em4100_key(raw: bytes) -> CredentialKey:
    """The key of an EM4100 card's five raw bytes. Raises ValueError for another length."""
    if len(raw) != EM4100_BYTES:
        raise ValueError(f"an EM4100 card has {EM4100_BYTES} bytes, not {len(raw)}")
    return CredentialKey(f"em:{raw.hex().upper()}")


def w26_key(facility: int, number: int) -> CredentialKey:
    """The key of a 26-bit card. Raises ValueError out of range."""
    if not (0 <= facility <= 0xFF and 0 <= number <= 0xFFFF):
        raise ValueError(f"a 26-bit card has a facility code up to 255 and a number up to 65535: {facility},{number}")
    return CredentialKey(f"w26:{facility}:{number}")


def wiegand_key(card_format: WiegandFormat, bits: str) -> CredentialKey:
    """The key in a Wiegand frame of a reader whose format is declared; the bit count does not tell it.

    H10301: even parity over the first 12 data bits, 8 bits facility code, 16 bits number, odd parity over the last 12.
    34 bit: even over the first 16, 32 data bits, odd over the last 16 (PROTOCOLS 2). Raises ValueError with words.
    """
    data_bits = {"w26": 24, "w34": 32}[card_format]
    if len(bits) != data_bits + 2:
        raise ValueError(f"a {card_format} frame has {data_bits + 2} bits, not {len(bits)}")
    if set(bits) - {"0", "1"}:
        raise ValueError(f"a {card_format} frame holds only 0 and 1")
    data = bits[1:-1]
    half = data_bits // 2
    if (bits[0] + data[:half]).count("1") % 2 or (data[half:] + bits[-1]).count("1") % 2 == 0:
        raise ValueError(f"wrong parity in a {card_format} frame")
    number = int(data, 2)
    if card_format == "w34":
        return CredentialKey(f"w34:{number:08X}")
    return w26_key(number >> 16, number & 0xFFFF)


def parse_card(text: str) -> CredentialKey:
    """The key that a person means: `em:0A1B2C3D4E`, ten hex digits, ten decimal digits, `012,34567`, `w26:12:34567`.

    Ten digits that could be both are read as decimal, as printed on cards: that number is the low 32 bits of an
    EM4100 card and does not tell its version byte, so it becomes a `w34:` key, which `find_grant` matches to the
    card by its derived form. Raises ValueError with words.
    """
    text = unicodedata.normalize("NFKC", text).strip().replace(" ", "")
    if _TEN_DIGITS.fullmatch(text):
        number = int(text)
        if number > _MAX_EM_DECIMAL:
            raise ValueError(f"{text}: a printed card number is at most {_MAX_EM_DECIMAL}; for hex write em:{text}")
        return CredentialKey(f"w34:{number:08X}")
    if match := _W26.fullmatch(text):
        facility, number_text = match[1] or match[3], match[2] or match[4]
        return w26_key(int(facility), int(number_text))
    if match := _W34.fullmatch(text):
        return CredentialKey(f"w34:{match[1].upper()}")
    if match := _EM.fullmatch(text):
        return CredentialKey(f"em:{match[1].upper()}")
    if _ROUNDED.fullmatch(text):
        raise ValueError(f"{text}: a spreadsheet has rounded this number; format the column as text and export again")
    raise ValueError(f"{text!r} is no card number; write 0A1B2C3D4E, 0006547886, 012,34567 or w26:12:34567")


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
    """The forms found on cards and in lists: `hex`, `dec10` (ten digits) and `w26` (facility,number)."""
    forms: dict[str, str] = {}
    if em := _EM_KEY.fullmatch(key):
        number = int(em[1], 16) & _MAX_EM_DECIMAL
        forms["hex"] = em[1]
    elif w34 := _W34_KEY.fullmatch(key):
        number = int(w34[1], 16)
        forms["hex"] = w34[1]
    elif w26 := _W26_KEY.fullmatch(key):
        return {"w26": f"{int(w26[1]):03d},{int(w26[2]):05d}"}
    else:
        return forms
    return forms | {"dec10": f"{number:010d}", "w26": f"{number >> 16 & 0xFF:03d},{number & 0xFFFF:05d}"}
