"""The first plate reader: locate -> rectify -> recognise, several tries a plate, the text detector when they fail."""

import ctypes
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

import cv2

from gatectl.core.model import PlateColour
from gatectl.vision.candidates import Image, PlateCandidate, Quad
from gatectl.vision.colour import may_stand_on, plate_colour
from gatectl.vision.locate import brightened, grown, locate, overlap, quad_size, rectify
from gatectl.vision.recognise import Reading, Recogniser
from gatectl.vision.textdet import TextDetector

_SURE = 0.85
"""A read whose every character is at least this sure ends the search at its place."""
_TELL = 0.30
"""A read with a less sure character than this is not told at all: its text would be a guess."""
_TRIES = ((0.015, 0.03), (0.05, 0.10), (0.09, 0.05))
"""Growth of the quad (shares of width, height on each side) for the first try and the next ones."""


@dataclass(frozen=True, slots=True)
class _Read:
    reading: Reading
    colour: PlateColour | None
    quad: Quad


class OcrPlateReader:
    """PP-OCRv4's recogniser behind a classic locator. One thread; models are loaded on first use."""

    name = "ppocr4"

    def __init__(self) -> None:
        self._recogniser = Recogniser()
        self._detector = TextDetector()

    def find_plates(self, image: Image, *, is_deep: bool = False) -> tuple[PlateCandidate, ...]:
        """All legal plates, surest first; without `is_deep` at most four crops are read (60 ms on one core)."""
        found = self._read_all(image, (r.quad for r in locate(image)[:4]), budget=4)
        if is_deep and not _is_sure(found):
            found = self._deepened(image, found)
        told = [read for read in found if read.reading.confidence >= _TELL]
        return tuple(self._candidate(read) for read in sorted(told, key=_order, reverse=True))

    def _deepened(self, image: Image, found: list[_Read]) -> list[_Read]:
        """Wider and slower: more masks, then the text detector, then that on a brightened picture."""
        found = self._read_all(image, (r.quad for r in locate(image, is_deep=True)[:8]), budget=14, known=found)
        for is_bright in (False, True):
            if _is_sure(found):
                break
            lines = [
                quad for quad in self._detector.find(brightened(image) if is_bright else image) if _is_plate_like(quad)
            ]
            found = self._read_all(image, lines[:8], budget=14, known=found)
        _give_back_memory()
        return found

    def _read_all(
        self, image: Image, quads: Iterable[Quad], *, budget: int, known: Iterable[_Read] = ()
    ) -> list[_Read]:
        """Read each place, at most `budget` crops in all; of reads that overlap the surest stays."""
        found = list(known)
        for quad in quads:
            if budget <= 0:
                break
            if any(overlap(quad, read.quad) > 0.2 for read in found if read.reading.confidence >= _SURE):
                continue
            tries: list[_Read] = []
            for grow in _TRIES[:budget]:
                budget -= 1
                tries += self._read(image, quad, grow)
                if not tries or tries[0].reading.confidence >= _SURE or tries[0].reading.confidence < 0.005:
                    break
            if tries:
                _keep(found, _agreed(tries))
        return found

    def _read(self, image: Image, quad: Quad, grow: tuple[float, float]) -> list[_Read]:
        """The readings of one crop that its colour allows, best first."""
        crop = rectify(image, quad, grow=grow)
        colour = plate_colour(crop)
        readings = self._recogniser.read(crop)
        return [_Read(x, colour, grown(quad, *grow)) for x in readings if may_stand_on(x.text, colour)]

    def _candidate(self, read: _Read) -> PlateCandidate:
        width_px, _ = quad_size(read.quad)
        corners = tuple((round(float(x), 1), round(float(y), 1)) for x, y in read.quad)
        reading = read.reading
        return PlateCandidate(
            reading.text,
            reading.probs,
            read.colour,
            corners,
            round(width_px, 1),
            self.name,
            reading.kind,
            reading.chars,
        )


def _agreed(tries: list[_Read]) -> _Read:
    """One place's crops put together: the surest reading, doubted as far as another crop was sure of another text."""
    best = max(tries, key=lambda read: read.reading.confidence)
    own = best.reading.confidence
    rival = max((x.reading.confidence for x in tries if x.reading.text != best.reading.text), default=0.0)
    doubt = min(1.0, own / max(own + rival, 1e-6) + 0.35)
    probs = tuple(p * doubt for p in best.reading.probs)
    return replace(best, reading=replace(best.reading, probs=probs))


def _order(read: _Read) -> tuple[bool, float]:
    """Sure reads first, the largest plate (the nearest car) before the others; then by confidence."""
    is_sure = read.reading.confidence >= _SURE
    return is_sure, quad_size(read.quad)[0] if is_sure else read.reading.confidence


def _is_sure(found: list[_Read]) -> bool:
    return any(read.reading.confidence >= _SURE for read in found)


def _is_plate_like(quad: Quad) -> bool:
    width, height = quad_size(quad)
    return 1.5 < width / max(1.0, height) < 8 and width > 28


def _keep(found: list[_Read], read: _Read) -> None:
    """Add a read; of two at one place the surer one stays."""
    for i, other in enumerate(found):
        if overlap(read.quad, other.quad) > 0.2 or read.reading.text == other.reading.text:
            if read.reading.confidence > other.reading.confidence:
                found[i] = read
            return
    found.append(read)


def _give_back_memory() -> None:
    """Return what the text detector used (170 MB) to the system: nine such processes share a gate demo's memory."""
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


cv2.setNumThreads(1)
