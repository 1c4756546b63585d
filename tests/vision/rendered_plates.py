"""Seeded legal plates, spread over all provinces."""

import random

from gatectl.core.model import PlateColour
from gatectl.core.plates import DIGITS, LETTERS, PROVINCES

SERIAL = LETTERS + DIGITS


def a_plate(number: int, rng: random.Random) -> tuple[str, PlateColour]:
    """The `number`-th plate of a set: each province in turn; a third new energy, some yellow, else blue."""
    head = PROVINCES[number % len(PROVINCES)] + rng.choice("ABCDE")
    sort = rng.random()
    if sort < 0.35:
        digits = "".join(rng.choices(DIGITS, k=4))
        return head + rng.choice("DF") + rng.choice(SERIAL) + digits, PlateColour.GREEN
    colour = PlateColour.YELLOW if sort > 0.85 else PlateColour.BLUE
    return head + "".join(rng.choices(SERIAL, k=5)), colour
