"""Licence plates of China: GA 36-2018 grammar, normal form, look-alike classes, and the vote over a car's frames."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gatectl.core.model import CharVote, CredentialKey, PlateColour, PlateRead

PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
"""I and O never stand in a serial (GA 36)."""
DIGITS = "0123456789"
WORDS = "警学挂港澳使领应急民航"
ALPHABET = PROVINCES + LETTERS + "O" + DIGITS + WORDS
"""Every character a plate can show."""
PLATE_PREFIX = "plate:"

_X = "[A-HJ-NP-Z0-9]"
_P = f"[{PROVINCES}]"
_B, _Y, _G, _YG, _W, _K = (
    PlateColour.BLUE,
    PlateColour.YELLOW,
    PlateColour.GREEN,
    PlateColour.YELLOW_GREEN,
    PlateColour.WHITE,
    PlateColour.BLACK,
)
_KINDS: tuple[tuple[str, str, frozenset[PlateColour]], ...] = (
    # kind, pattern, colours it is issued in (PROTOCOLS 13)
    ("ordinary", f"{_P}[A-HJ-NP-ZO]{_X}{{5}}", frozenset({_B, _Y})),
    ("new_energy_small", f"{_P}[A-Z][A-HJK]{_X}[0-9]{{4}}", frozenset({_G})),
    ("new_energy_large", f"{_P}[A-Z][0-9]{{5}}[A-HJK]", frozenset({_YG})),
    ("trailer", f"{_P}[A-Z]{_X}{{4}}挂", frozenset({_Y})),
    ("school", f"{_P}[A-Z]{_X}{{4}}学", frozenset({_Y})),
    ("police", f"{_P}[A-Z]{_X}{{4}}警", frozenset({_W})),
    ("crossing", f"粤Z{_X}{{4}}[港澳]", frozenset({_K})),
    ("consulate", f"{_P}[A-Z]?[0-9]{{4,5}}领", frozenset({_K})),
    ("embassy", "使[0-9]{6}|[0-9]{6}使", frozenset({_K})),
    ("emergency", f"{_P}[XS][0-9]{{4}}应急", frozenset({_W})),
    ("armed_police", f"WJ{_P}?[0-9]{{4}}[0-9TDSHBXJ]", frozenset({_W})),
    ("army", "[A-Z]{2}[0-9]{5}", frozenset({_W})),
    ("civil_aviation", "民航[A-Z]?[0-9A-Z]{4,5}", frozenset({_G})),
    ("farm", f"{_P}[0-9]{{7}}", frozenset({_G})),
)
_COMPILED = tuple((kind, re.compile(pattern), colours) for kind, pattern, colours in _KINDS)

_WIDE = {code + 0xFEE0: chr(code) for code in range(0x21, 0x7F)}
"""Full-width forms of ASCII."""
_STRIPPED = re.compile(r"[\s·•・.\-_]+")

_FOLDS = {"O": "0", "D": "0", "Q": "0", "I": "1", "L": "1", "B": "8", "Z": "2", "S": "5", "G": "6"}
"""Look-alike classes (DOMAIN 22): 0/O/D/Q, 1/I/L, 8/B, 2/Z, 5/S, 6/G."""
_FOLD_TABLE = str.maketrans(_FOLDS)
_MIN_PLATE = 6


@dataclass(frozen=True, slots=True)
class ParsedPlate:
    """A legal plate: its text, its kind and the colours such a plate is issued in."""

    text: str
    kind: str
    colours: frozenset[PlateColour]


@dataclass(frozen=True, slots=True)
class FrameRead:
    """What one frame's best candidate says: text, one probability (0-1) a character, the background's colour."""

    text: str
    probs: tuple[float, ...]
    colour: PlateColour | None


def normalise(text: str) -> str:
    """Separators gone, full width to half, upper case, traditional 粵 to 粤."""
    return _STRIPPED.sub("", text.translate(_WIDE)).upper().replace("粵", "粤")


def parse_plate(text: str) -> ParsedPlate | None:
    """The plate in `text` after normalising, or None when GA 36 knows no such plate."""
    plate = normalise(text)
    for kind, pattern, colours in _COMPILED:
        if pattern.fullmatch(plate):
            return ParsedPlate(plate, kind, colours)
    return None


def is_legal(text: str) -> bool:
    """Whether GA 36 knows such a plate."""
    return parse_plate(text) is not None


def is_emergency(text: str) -> bool:
    """An emergency rescue (应急) or police plate opens by its class alone (DOMAIN 1.6)."""
    plate = parse_plate(text)
    return plate is not None and plate.kind in ("emergency", "police")


def fold(text: str) -> str:
    """The text with look-alike characters made one; the province is never folded."""
    return text[:1] + text[1:].translate(_FOLD_TABLE)


def plate_key(text: str) -> CredentialKey:
    """The canonical key of a plate."""
    return CredentialKey(f"plate:{normalise(text)}")


def length_fits_colour(text: str, colour: PlateColour | None) -> bool:
    """Green and yellow-green plates have eight characters, blue ones seven: a seven on green lost its last one."""
    if colour in (PlateColour.GREEN, PlateColour.YELLOW_GREEN):
        return len(text) == 8 or text.startswith("民航")
    if colour is PlateColour.BLUE:
        return len(text) == 7
    return True


def near_plates(text: str, others: Sequence[str]) -> tuple[str, ...]:
    """Plates that a camera could take for this one: the same when folded, or one character apart."""
    folded = fold(text)
    return tuple(other for other in others if other != text and (fold(other) == folded or _one_apart(text, other)))


def _one_apart(a: str, b: str) -> bool:
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1


@dataclass(slots=True)
class PlateVote:
    """Gathers one car's frames and votes, position by position, among the reads of the commonest length."""

    _reads: list[FrameRead] = field(default_factory=list)

    def add(self, read: FrameRead) -> None:
        """Take one frame's best candidate; a frame without one is not added."""
        if len(read.text) >= _MIN_PLATE and len(read.text) == len(read.probs):
            self._reads.append(read)

    @property
    def frames(self) -> int:
        """How many frames have voted."""
        return len(self._reads)

    def result(self, picture_sha256: str = "") -> PlateRead:
        """The vote's outcome; text "" when no frame had a plate. `confidence` is the least of its characters'."""
        if not self._reads:
            return PlateRead("", 0.0, None, 0, picture_sha256=picture_sha256)
        length = self._winning_length()
        reads = [read for read in self._reads if len(read.text) == length]
        chars = tuple(self._position(reads, i) for i in range(length))
        text = "".join(vote.candidates[0][0] for vote in chars)
        return PlateRead(
            text=text,
            confidence=self._confidence(text, reads),
            colour=self._colour(),
            frames=len(self._reads),
            chars=chars,
            candidates=self._candidates(),
            picture_sha256=picture_sha256,
        )

    def _winning_length(self) -> int:
        weights: dict[int, float] = defaultdict(float)
        for read in self._reads:
            weights[len(read.text)] += min(read.probs)
        return max(weights, key=lambda length: (weights[length], length))

    @staticmethod
    def _position(reads: list[FrameRead], i: int) -> CharVote:
        weights: dict[str, float] = defaultdict(float)
        for read in reads:
            weights[read.text[i]] += read.probs[i]
        total = sum(weights.values()) or 1.0
        ranked = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
        return CharVote(tuple((char, round(weight / total, 4)) for char, weight in ranked[:3]))

    @staticmethod
    def _confidence(text: str, reads: list[FrameRead]) -> float:
        """Least over the characters of: the mean probability for the winner among all voting frames (a no counts 0)."""
        count = len(reads)
        means = (sum(read.probs[i] for read in reads if read.text[i] == char) / count for i, char in enumerate(text))
        return round(min(means), 4)

    def _colour(self) -> PlateColour | None:
        colours = Counter(read.colour for read in self._reads if read.colour is not None)
        return colours.most_common(1)[0][0] if colours else None

    def _candidates(self) -> tuple[tuple[str, float], ...]:
        best: dict[str, float] = {}
        for read in self._reads:
            best[read.text] = max(best.get(read.text, 0.0), min(read.probs))
        ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        return tuple((text, round(confidence, 4)) for text, confidence in ranked[:3])
