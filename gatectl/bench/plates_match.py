"""`gatectl bench plates-match`: how often a stranger's plate opens, and a right one is held.

The noise is the reader's own: `core.confusion` says how often it takes which character for which, and `recorded.tsv`
has the distributions that it gave when it was right, doubtful and wrong (both by `scripts/measure_confusion.py`).
A car's characters err one by one, so a read with one sure error among sure characters is as frequent as can be.
That a camera finds no plate at all is no part of the figures: nothing opens then, and a person is called.

The list is a compound's: most cars of one office, serials of at most two letters, a third new-energy plates.
Uniform strangers are drawn from all legal plates of these kinds alike; near ones have one character of a listed plate
replaced by one that the reader confuses with it (its look-alike class, and the three most often confused by count).
"""

import csv
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from gatectl.bench.process import percentiles
from gatectl.core.model import CharVote, Grant, GrantState, PlateColour, PlateRead
from gatectl.core.plate_match import MatchKind, confusion, match_plate, opens_by_class, rivals_of
from gatectl.core.plates import (
    ALPHABET,
    DIGITS,
    LETTERS,
    PROVINCES,
    CharShares,
    fold,
    is_legal,
    length_fits_colour,
    parse_plate,
    plate_key,
)
from gatectl.core.whitelist import DictGrants

MIN_CONFIDENCE = 0.5
RIGHT_CARS = 50_000
"""Listed cars that come to be refused or not."""
SEARCHES = 5_000
SEARCH_LIST = 200_000
CHUNK = 100_000
_SERIAL = LETTERS + DIGITS
_ENERGY = "ABCDEFGHJK"
_HOME, _OFFICE = "粤", "E"
_CODE = {char: code for code, char in enumerate(ALPHABET)}
_LEAST = 1e-6

Codes = npt.NDArray[np.uint8]
"""Plates as codes of ALPHABET, cars x 8; a plate of seven has `_NOTHING` last."""
_NOTHING = len(ALPHABET)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of plate: the characters of each place, and the colours it has."""

    places: tuple[str, ...]
    colours: tuple[PlateColour, ...]

    @property
    def count(self) -> int:
        """How many such plates there can be."""
        product = 1
        for place in self.places:
            product *= len(place)
        return product


KINDS = (
    Kind((PROVINCES, LETTERS + "O", *(_SERIAL,) * 5), (PlateColour.BLUE, PlateColour.YELLOW)),
    Kind((PROVINCES, LETTERS, _ENERGY, _SERIAL, *(DIGITS,) * 4), (PlateColour.GREEN,)),
    Kind((PROVINCES, LETTERS, *(DIGITS,) * 5, _ENERGY), (PlateColour.YELLOW_GREEN,)),
)
"""Nearly every car: GA 36's other kinds are few."""


@dataclass(frozen=True, slots=True)
class Template:
    """One recorded distribution: of a character that the reader took for another one, or got right."""

    true: str
    read: str
    shares: CharShares

    @property
    def is_plain(self) -> bool:
        """Right, and nothing is likelier than the character read."""
        return self.true == self.read and self.shares[0][0] == self.read


class Noise:
    """The reader's errors, character by character."""

    def __init__(self, rows: Iterable[dict[str, str]]) -> None:
        self._plain: dict[str, tuple[list[Template], list[int]]] = defaultdict(lambda: ([], []))
        self._odd: dict[str, tuple[list[Template], list[int]]] = defaultdict(lambda: ([], []))
        self._wrong: dict[tuple[str, str], list[Template]] = defaultdict(list)
        self._all_wrong: list[Template] = []
        for row in rows:
            template = Template(row["true"], row["read"], _shares(row["shares"]))
            if template.true != template.read:
                self._wrong[template.true, template.read].append(template)
                self._all_wrong.append(template)
                continue
            templates, counts = (self._plain if template.is_plain else self._odd)[template.true]
            templates.append(template)
            counts.append(int(row["count"]))
        self.characters = "".join(char for char in ALPHABET if char in self._plain)
        self._errors = {char: self._error_row(char) for char in self.characters}
        self.not_plain = np.zeros(_NOTHING + 1, np.float32)
        """By code: how often a character is not read right with nothing likelier."""
        for char in self.characters:
            self.not_plain[_CODE[char]] = self._error_rate(char) + (1 - self._error_rate(char)) * self._odd_rate(char)

    def _error_row(self, true: str) -> tuple[list[str], list[float]]:
        """What a character may be taken for, with `core.plate_match.confusion` as rates; provinces for provinces."""
        is_province = true in PROVINCES
        others = [x for x in self.characters if x != true and (x in PROVINCES) == is_province]
        return others, [confusion(true, other) for other in others]

    def _error_rate(self, true: str) -> float:
        return sum(self._errors[true][1])

    def _odd_rate(self, true: str) -> float:
        odd, plain = sum(self._odd[true][1]), sum(self._plain[true][1])
        return odd / (odd + plain)

    def plain(self, true: str, rng: random.Random) -> Template:
        """A right and undoubted character."""
        templates, counts = self._plain[true]
        return rng.choices(templates, counts)[0]

    def other(self, text: str, place: int, rng: random.Random) -> Template:
        """One that is not plain: wrong, or right though something else seemed likelier."""
        true = text[place]
        error = self._error_rate(true)
        odd = (1 - error) * self._odd_rate(true)
        if rng.random() * (error + odd) < error:
            others, rates = self._errors[true]
            read = rng.choices(others, rates)[0]
            if is_legal(text[:place] + read + text[place + 1 :]):
                return self._error(true, read, rng)
            # The reader's grammar lets only legal plates through: here this error is none.
        templates, counts = self._odd[true] if self._odd[true][0] else self._plain[true]
        return rng.choices(templates, counts)[0]

    def read(self, text: str, rng: random.Random, is_other: Sequence[bool] | None = None) -> list[Template]:
        """However the reader may see a plate; `is_other` names the characters that it does not see plainly."""
        if is_other is None:
            is_other = [rng.random() < self.not_plain[_CODE[char]] for char in text]
        return [
            self.other(text, place, rng) if is_other[place] else self.plain(char, rng)
            for place, char in enumerate(text)
        ]

    def _error(self, true: str, read: str, rng: random.Random) -> Template:
        """A recorded error of this pair, or (the less often the more are recorded) another pair's in its place."""
        own = self._wrong.get((true, read), [])
        if rng.random() * (len(own) + 1) < len(own):
            return rng.choice(own)
        model = rng.choice(self._all_wrong)
        renamed = {model.true: true, model.read: read, true: model.true, read: model.read}
        shares = tuple((renamed.get(char, char), share) for char, share in model.shares)
        return Template(true, read, shares)


def _shares(text: str) -> CharShares:
    return tuple((part[0], float(part[2:])) for part in text.split(",") if part)


def recorded_noise() -> Noise:
    """The noise of the recorded reads."""
    with (files("gatectl.bench") / "recorded.tsv").open(encoding="utf-8") as lines:
        return Noise(csv.DictReader(lines, delimiter="\t"))


def as_read(templates: Sequence[Template], colour: PlateColour) -> PlateRead:
    """The read that a vote gives when its characters are seen so."""
    confidence = min(max(dict(template.shares).get(template.read, _LEAST), _LEAST) for template in templates)
    text = "".join(template.read for template in templates)
    return PlateRead(text, confidence, colour, 2, tuple(CharVote(template.shares) for template in templates))


def opens(read: PlateRead, grants: DictGrants) -> bool:
    """Whether a gate's answer to this read, with a car on the loop, is to open."""
    if read.confidence < MIN_CONFIDENCE or not length_fits_colour(read.text, read.colour):
        return False
    if opens_by_class(read):
        return True
    match = match_plate(read, grants)
    grant = grants.get(match.key) if match.key is not None else None
    return grant is not None and grant.colour is read.colour


# --- plates ---


def compound(count: int, rng: random.Random) -> dict[str, PlateColour]:
    """So many different plates of one compound, with their colours."""
    listed: dict[str, PlateColour] = {}
    while len(listed) < count:
        province = _HOME if rng.random() < 0.8 else rng.choice(PROVINCES)
        office = _OFFICE if rng.random() < 0.7 else rng.choice("ABCDEFGH")
        sort = rng.random()
        if sort < 0.30:
            text = province + office + rng.choice("DF") + rng.choice(_SERIAL) + _digits(4, rng)
            colour = PlateColour.GREEN
        elif sort < 0.33:
            text, colour = province + office + _digits(5, rng) + rng.choice("DF"), PlateColour.YELLOW_GREEN
        else:
            serial = list(_digits(5, rng))
            for place in rng.sample(range(5), rng.choice((0, 1, 1, 2, 2))):
                serial[place] = rng.choice(LETTERS)
            text = province + office + "".join(serial)
            colour = PlateColour.YELLOW if sort > 0.97 else PlateColour.BLUE
        listed[text] = colour
    return listed


def _digits(count: int, rng: random.Random) -> str:
    return "".join(rng.choices(DIGITS, k=count))


def confusables(characters: str) -> dict[str, str]:
    """By character: those that the reader may take for it, its look-alike class and the three most often confused."""
    near = {}
    for char in characters:
        alike = [x for x in characters if x != char and fold("-" + x) == fold("-" + char)]
        near[char] = "".join(dict.fromkeys((*alike, *rivals_of(char)[:3])))
    return near


def uniform_strangers(count: int, rng: np.random.Generator) -> Iterator[tuple[Codes, PlateColour]]:
    """Legal plates, each as likely as any other, kind by kind."""
    total = sum(kind.count for kind in KINDS)
    for kind, number in zip(KINDS, rng.multinomial(count, [kind.count / total for kind in KINDS]), strict=True):
        for colour, part in zip(kind.colours, _split(int(number), len(kind.colours)), strict=True):
            codes = np.full((part, 8), _NOTHING, np.uint8)
            for place, allowed in enumerate(kind.places):
                known = np.array([_CODE[char] for char in allowed], np.uint8)
                codes[:, place] = known[rng.integers(0, len(known), part)]
            yield codes, colour


def _split(count: int, parts: int) -> list[int]:
    return [count // parts + (i < count % parts) for i in range(parts)]


def near_strangers(
    count: int, listed: dict[str, PlateColour], near: dict[str, str], rng: np.random.Generator
) -> Iterator[tuple[Codes, PlateColour]]:
    """Legal plates one confusable character away from a listed one, and in its colour; every place is as likely."""
    by_colour: dict[PlateColour, list[tuple[str, ...]]] = defaultdict(list)
    for text, colour in listed.items():
        by_colour[colour].append(tuple(_neighbours(text, place, near, listed) for place in range(len(text))))
    total = sum(len(rows) for rows in by_colour.values())
    plates = {colour: [text for text in listed if listed[text] is colour] for colour in by_colour}
    share = [len(rows) / total for rows in by_colour.values()]
    for (colour, rows), number in zip(by_colour.items(), rng.multinomial(count, share), strict=True):
        base = np.array([_coded(text) for text in plates[colour]], np.uint8)
        choices = np.array([(i, place) for i, row in enumerate(rows) for place, new in enumerate(row) if new], np.int64)
        if not len(choices):
            continue
        picked = choices[rng.integers(0, len(choices), number)]
        codes = base[picked[:, 0]]
        which = rng.random(number)
        news = [[np.array([_CODE[c] for c in new], np.uint8) for new in row] for row in rows]
        for k, (i, place) in enumerate(picked.tolist()):
            options = news[i][place]
            codes[k, place] = options[int(which[k] * len(options))]
        yield codes, colour


def _neighbours(text: str, place: int, near: dict[str, str], listed: dict[str, PlateColour]) -> str:
    """What may stand at this place instead, so that a legal plate of the same colours results that is not listed."""
    found = ""
    own = parse_plate(text)
    for char in near.get(text[place], ""):
        other = parse_plate(text[:place] + char + text[place + 1 :])
        if other is not None and own is not None and other.colours == own.colours and other.text not in listed:
            found += char
    return found


def _coded(text: str) -> list[int]:
    return [_CODE[char] for char in text] + [_NOTHING] * (8 - len(text))


def _text(codes: Codes) -> str:
    return "".join(ALPHABET[code] for code in codes.tolist() if code != _NOTHING)


# --- the figures ---


def run(whitelist: int, strangers: int, seed: int, progress: Callable[[int], None]) -> dict[str, Any]:
    """The figures; `progress` is told of strangers done, 2 x `strangers` in all."""
    rng, numbers, noise = random.Random(seed), np.random.default_rng(seed), recorded_noise()
    listed = compound(whitelist, rng)
    grants = _granted(listed)
    near = confusables(noise.characters)
    uniform = _false_grants(uniform_strangers(strangers, numbers), listed, grants, noise, rng, numbers, progress)
    close = _false_grants(near_strangers(strangers, listed, near, numbers), listed, grants, noise, rng, numbers, progress)
    return {
        "whitelist": whitelist,
        "uniform": uniform,
        "near": close,
        **_false_refusals(listed, grants, noise, rng),
        "search": _searches(noise, rng),
        "seed": seed,
    }


def _granted(listed: dict[str, PlateColour]) -> DictGrants:
    return DictGrants(
        Grant(plate_key(text), GrantState.ACTIVE, ("residents",), colour=colour) for text, colour in listed.items()
    )


def _false_grants(
    groups: Iterable[tuple[Codes, PlateColour]],
    listed: dict[str, PlateColour],
    grants: DictGrants,
    noise: Noise,
    rng: random.Random,
    numbers: np.random.Generator,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Every stranger is read once.

    One whose every character is read plainly is not decided on: his read is his own plate, legal and not listed, and
    each of its characters is the likeliest, so no listed plate has a likelihood ratio above 1. Exactly the same comes
    out when he is (`test_a_plain_read_of_a_stranger_never_opens`).
    """
    count = opened = decided = 0
    for codes, colour in groups:
        for start in range(0, len(codes), CHUNK):
            part = codes[start : start + CHUNK]
            is_other = numbers.random(part.shape, np.float32) < noise.not_plain[part]
            for k in np.flatnonzero(is_other.any(axis=1)).tolist():
                text = _text(part[k])
                if text in listed:
                    continue  # no stranger
                decided += 1
                opened += opens(as_read(noise.read(text, rng, is_other[k].tolist()), colour), grants)
            count += len(part)
            progress(len(part))
    return {
        "strangers": count,
        "false_grant": opened / max(1, count),
        "false_grant_upper95": upper95(opened, count),
        "false_grants": opened,
        "decided": decided,
    }


def upper95(hits: int, count: int) -> float:
    """Clopper and Pearson's one-sided 95 % upper bound of a rate; 3 / count for no hits."""
    if count == 0 or hits >= count:
        return 1.0
    low, high = hits / count, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if _at_most(hits, count, middle) > 0.05:
            low = middle
        else:
            high = middle
    return high


def _at_most(hits: int, count: int, rate: float) -> float:
    """P(at most so many hits), binomial."""
    k = np.arange(hits + 1)
    steps = np.log(count - k[:-1]) - np.log(k[1:]) + np.log(rate) - np.log1p(-rate)
    logs = count * np.log1p(-rate) + np.concatenate(([0.0], np.cumsum(steps)))
    return float(np.exp(logs).sum())


def _false_refusals(
    listed: dict[str, PlateColour], grants: DictGrants, noise: Noise, rng: random.Random
) -> dict[str, Any]:
    """Listed cars that are not let in at the first look, and why."""
    why: dict[str, int] = defaultdict(int)
    cars = list(listed.items())
    for _ in range(RIGHT_CARS):
        text, colour = rng.choice(cars)
        read = as_read(noise.read(text, rng), colour)
        if not opens(read, grants):
            why[_why(text, read, grants)] += 1
    return {
        "false_refusal": sum(why.values()) / RIGHT_CARS,
        "cars": RIGHT_CARS,
        "refused_for": {reason: count / RIGHT_CARS for reason, count in sorted(why.items())},
    }


def _why(text: str, read: PlateRead, grants: DictGrants) -> str:
    if read.text != text:
        return "misread" if is_legal(read.text) else "misread_illegal"
    if read.confidence < MIN_CONFIDENCE:
        return "confidence"
    return "ambiguous" if match_plate(read, grants).kind is MatchKind.AMBIGUOUS else "ratio"


def _searches(noise: Noise, rng: random.Random) -> dict[str, Any]:
    """Microseconds of a look-alike search for a read that is not listed, in a list of 200,000 plates."""
    listed = compound(SEARCH_LIST, rng)
    grants = _granted(listed)
    cars = list(listed)
    took = []
    while len(took) < SEARCHES:
        text = rng.choice(cars)
        place = rng.randrange(len(text))
        read = as_read(noise.read(text, rng, [i == place for i in range(len(text))]), PlateColour.BLUE)
        if read.text in listed:
            continue
        started_ns = perf_counter_ns()
        match_plate(read, grants)
        took.append((perf_counter_ns() - started_ns) / 1000)
    return {"plates": SEARCH_LIST, "us": percentiles(took)}
