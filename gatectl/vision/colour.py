"""The background colour of a rectified plate, by hue, and whether a plate type may stand on it."""

import cv2
import numpy as np
import numpy.typing as npt

from gatectl.core.model import PlateColour
from gatectl.core.plates import length_fits_colour, parse_plate
from gatectl.vision.candidates import Image

_GREENS = frozenset({PlateColour.GREEN, PlateColour.YELLOW_GREEN})
_COLOURED = _GREENS | {PlateColour.BLUE, PlateColour.YELLOW}


def plate_colour(crop: Image) -> PlateColour | None:
    """The background of a rectified plate; None where the light shows no colour (infra-red, deep night)."""
    hsv = cv2.cvtColor(crop, cv2.COLOR_BGR2HSV)
    height, width = hsv.shape[:2]
    inner = hsv[height // 8 : height - height // 8, width // 24 : width - width // 24]
    hue, saturation, value = (inner[:, :, i].astype(np.int16) for i in range(3))
    vivid = (saturation > 55) & (value > 28)
    blue = _share(vivid & (hue > 95) & (hue < 132))
    # Yellow plates under lamps drift to hue 46; green ones stand at 55-75.
    yellow = _share(vivid & (saturation > 70) & (hue > 10) & (hue < 48))
    green = _share((saturation > 28) & (value > 32) & (hue >= 48) & (hue < 95))
    best = max(blue, yellow, green)
    if best < 0.22:
        return PlateColour.WHITE if _is_white(saturation, value) else None
    if best == blue:
        return PlateColour.BLUE
    left = slice(0, inner.shape[1] // 4)
    is_left_yellow = _share((vivid & (hue > 10) & (hue < 48))[:, left]) > 0.4
    if green > 0.2 and is_left_yellow:
        return PlateColour.YELLOW_GREEN
    return PlateColour.GREEN if best == green else PlateColour.YELLOW


def _share(mask: npt.NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(mask)) / mask.size


def _is_white(saturation: npt.NDArray[np.int16], value: npt.NDArray[np.int16]) -> bool:
    return bool(np.median(value) > 120 and np.median(saturation) < 40)


def may_stand_on(text: str, colour: PlateColour | None) -> bool:
    """Whether a legal plate can have this background; an unknown colour allows every plate."""
    parsed = parse_plate(text)
    if parsed is None:
        return False
    if colour is None or colour is PlateColour.WHITE:
        # Grey light: a blue or green plate may look white or black.
        return True
    if colour in _GREENS:
        # Green and yellow-green differ by a strip that dirt hides; seven characters on green have lost one.
        return length_fits_colour(text, colour) and bool(parsed.colours & _GREENS)
    return colour in parsed.colours or not parsed.colours & _COLOURED
