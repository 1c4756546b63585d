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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from gatectl.bench.process import percentiles
from gatectl.core.decide import decide
from gatectl.core.model import (
    AccessLevel,
    Attempt,
    CharVote,
    ClockTrust,
    Decision,
    Direction,
    Grant,
    Grants,
    GrantState,
    Lane,
    LaneId,
    LaneKind,
    LaneState,
    PlateColour,
    PlateRead,
    Verdict,
)
from gatectl.core.plate_match import confusion, match_plate, rivals_of
from gatectl.core.plates import (
    ALPHABET,
    DIGITS,
    LETTERS,
    PROVINCES,
    CharShares,
    fold,
    is_legal,
    parse_plate,
    plate_key,
)
from gatectl.core.whitelist import whitelist_view

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
_LANE = LaneId("car-in")
_NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)

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


class Gate:
    """A vehicle entry with this list, and always a car on its loop."""

    def __init__(self, listed: Mapping[str, PlateColour]) -> None:
        self.listed = listed
        lane = Lane(_LANE, LaneKind.VEHICLE, Direction.IN)
        self._state = LaneState(lane, is_present=True, clock=ClockTrust.SYNCED)
        grants = [Grant(plate_key(text), GrantState.ACTIVE, ("all",), colour=colour) for text, colour in listed.items()]
        self._view = whitelist_view("e", 1, 0, grants, [AccessLevel("all", frozenset({_LANE}))])

    @property
    def grants(self) -> Grants:
        """The listed cars."""
        return self._view.grants

    def decides(self, read: PlateRead) -> Decision:
        """The real decision on a read."""
        attempt = Attempt("a", _LANE, Direction.IN, _NOW, "camera", plate=read)
        return decide(attempt, self._view, self._state)

    def opens(self, read: PlateRead) -> bool:
        """Whether it opens."""
        return self.decides(read).verdict is Verdict.GRANTED


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


def lookalikes(characters: str) -> dict[str, str]:
    """By character: the others of its look-alike class."""
    return {
        char: "".join(x for x in characters if x != char and fold("-" + x) == fold("-" + char)) for char in characters
    }


def confusables(characters: str) -> dict[str, str]:
    """By character: those that the reader may take for it, its look-alike class and the three most often confused."""
    alike = lookalikes(characters)
    return {char: "".join(dict.fromkeys(alike[char] + rivals_of(char)[:3])) for char in characters}


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
    plates = {colour: [text for text in listed if listed[text] is colour] for colour in set(listed.values())}
    choices = {
        colour: [
            (i, place, [_CODE[char] for char in new])
            for i, text in enumerate(plates[colour])
            for place in range(len(text))
            if (new := _neighbours(text, place, near, listed))
        ]
        for colour in sorted(plates)
    }
    total = sum(map(len, choices.values()))
    if not total:
        return
    drawn = rng.multinomial(count, [len(found) / total for found in choices.values()])
    for (colour, found), number in zip(choices.items(), drawn, strict=True):
        base = np.array([_coded(text) for text in plates[colour]], np.uint8)
        picked, which = rng.integers(0, max(1, len(found)), number).tolist(), rng.random(number).tolist()
        codes = np.empty((number, 8), np.uint8)
        for k, (choice, share) in enumerate(zip(picked, which, strict=True)):
            i, place, new = found[choice]
            codes[k] = base[i]
            codes[k, place] = new[int(share * len(new))]
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
    rng = random.Random(seed)  # noqa: S311 - a repeatable load
    numbers, noise = np.random.default_rng(seed), recorded_noise()
    listed = compound(whitelist, rng)
    scene = _Scene(Gate(listed), noise, rng, numbers)
    uniform = _false_grants(scene, uniform_strangers(strangers, numbers), progress)
    near = near_strangers(strangers, listed, confusables(noise.characters), numbers)
    close = _false_grants(scene, near, progress)
    alike = near_strangers(max(1, strangers // 10), listed, lookalikes(noise.characters), numbers)
    closest = _false_grants(scene, alike, lambda _steps: None)
    return {
        "whitelist": whitelist,
        "uniform": uniform,
        "near": close,
        "near_lookalikes_only": closest,
        **_false_refusals(scene),
        "search": _searches(noise, rng),
        "seed": seed,
    }


@dataclass(frozen=True, slots=True)
class _Scene:
    """What all figures share."""

    gate: Gate
    noise: Noise
    rng: random.Random
    numbers: np.random.Generator


def _false_grants(
    scene: _Scene, groups: Iterable[tuple[Codes, PlateColour]], progress: Callable[[int], None]
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
            is_other = scene.numbers.random(part.shape, np.float32) < scene.noise.not_plain[part]
            for k in np.flatnonzero(is_other.any(axis=1)).tolist():
                text = _text(part[k])
                if text in scene.gate.listed:
                    continue  # no stranger
                decided += 1
                read = as_read(scene.noise.read(text, scene.rng, is_other[k].tolist()), colour)
                opened += scene.gate.opens(read)
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


def _false_refusals(scene: _Scene) -> dict[str, Any]:
    """Listed cars that are not let in at the first look, and the reasons that their drivers are told."""
    why: dict[str, int] = defaultdict(int)
    cars = list(scene.gate.listed.items())
    for _ in range(RIGHT_CARS):
        text, colour = scene.rng.choice(cars)
        read = as_read(scene.noise.read(text, scene.rng), colour)
        decision = scene.gate.decides(read)
        if decision.verdict is not Verdict.GRANTED:
            misread = "" if read.text == text else "misread, "
            why[misread + decision.reason.name] += 1
    return {
        "false_refusal": sum(why.values()) / RIGHT_CARS,
        "cars": RIGHT_CARS,
        "refused_for": {reason: count / RIGHT_CARS for reason, count in sorted(why.items())},
    }


def _searches(noise: Noise, rng: random.Random) -> dict[str, Any]:
    """Microseconds of a search for a read that is not listed, in 200,000 plates; every other read is illegal."""
    listed = compound(SEARCH_LIST, rng)
    grants = Gate(listed).grants
    cars = list(listed)
    took: list[float] = []
    while len(took) < SEARCHES:
        text = rng.choice(cars)
        place = rng.randrange(2, len(text))
        templates = noise.read(text, rng, [i == place for i in range(len(text))])
        if len(took) % 2:  # a read that is no legal plate, and could be several
            share = rng.uniform(0.2, 0.6)
            templates[place] = Template("O", "O", (("O", share), (text[place], share * 0.6), ("D", share * 0.05)))
        read = as_read(templates, listed[text])
        if read.text in listed:
            continue
        started_ns = perf_counter_ns()
        match_plate(read, grants)
        took.append((perf_counter_ns() - started_ns) / 1000)
    return {"plates": SEARCH_LIST, "us": percentiles(took)}
