"""Digits typed on a keypad, as a salted hash: a list never holds a PIN or a visitor's code itself."""

import hashlib

from gatectl.core.model import CredentialKey

MIN_DIGITS, MAX_DIGITS = 4, 8
CODE_DIGITS = 6
"""Visitors' codes and the PINs that the office makes."""
ITERATIONS = 20_000
"""Measured: 4.4 ms on one core of a server, little enough for a gate's one deciding thread. No count could be enough:
whoever has a site's salt and list tries all million six-digit codes in some 75 minutes on that core, and in seconds
on a graphics card. What protects a code is its short life, and the keypad that locks for 60 s after five wrong ones
(`core.lane`)."""
_HASH_BYTES = 16


def is_code(digits: str) -> bool:
    """4 to 8 decimal digits."""
    return MIN_DIGITS <= len(digits) <= MAX_DIGITS and digits.isascii() and digits.isdigit()


def code_key(salt: bytes, digits: str) -> CredentialKey:
    """The key of a code at the site whose salt this is. Raises ValueError for anything but 4 to 8 digits."""
    if not is_code(digits):
        raise ValueError(f"a code has {MIN_DIGITS} to {MAX_DIGITS} digits")
    return CredentialKey(f"code:{hashlib.pbkdf2_hmac('sha256', digits.encode(), salt, ITERATIONS, _HASH_BYTES).hex()}")


def duress_form(pin: str) -> str:
    """The PIN that opens like this one and calls for help: its last digit one higher, 9 to 0."""
    return pin[:-1] + str((int(pin[-1]) + 1) % 10)
