"""The words of the vision process: a plate candidate, and the seam at which a better reader replaces this one."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gatectl.core.model import PlateColour
from gatectl.core.plates import CharShares

Image = npt.NDArray[np.uint8]
"""A BGR picture, height x width x 3."""
Quad = npt.NDArray[np.float32]
"""4 x 2 pixel positions: left-top, right-top, right-bottom, left-bottom."""


@dataclass(frozen=True, slots=True)
class PlateCandidate:
    """One plate seen in one picture.

    `probs` has one probability (0-1) a character of `text`; `corners` are left-top, right-top, right-bottom,
    left-bottom in pixels of the picture given; `kind` is the plate's type by GA 36 ("small_car", ...).
    """

    text: str
    probs: tuple[float, ...]
    colour: PlateColour | None
    corners: tuple[tuple[float, float], ...]
    width_px: float
    reader: str
    kind: str
    chars: tuple[CharShares, ...] = ()
    """What each character may be (0-1, likeliest first); () where the reader does not tell."""

    @property
    def confidence(self) -> float:
        """The minimum over the characters, never the mean (PROTOCOLS 13)."""
        return min(self.probs, default=0.0)


class PlateReader(Protocol):
    """Finds and reads every plate of a picture. Pure function of pixels; used from one thread."""

    name: str

    def find_plates(self, image: Image, *, is_deep: bool = False) -> tuple[PlateCandidate, ...]:
        """All legal plates, surest first. `is_deep` may take several times longer on a hard picture."""
