"""PP-OCRv4's recogniser on one rectified plate, decoded by the plate grammar instead of its 6,623 characters."""

import importlib.util
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gatectl.core.plates import LETTERS, PROVINCES, CharShares, parse_plate
from gatectl.vision.candidates import Image
from gatectl.vision.grammar import IN_USE, LOOKALIKES, PATTERNS, RARE, TOKENS

_HEIGHT_PX = 48
"""Input height of PP-OCRv4's recogniser."""
_BEAM = 10
_FLOOR = 1e-6
_WIDTHS_PX = (176, 240)
"""Input widths of the first and the second look."""
_WORTH_A_SECOND = 0.1
"""A crop whose best reading has a less sure character is no plate, or none that a second look makes readable."""
_TOLD = 5
"""Characters a position that a reading tells of, as `core.plates` keeps them."""
_LEAST = 2 * _FLOOR
"""A share below this is not told: it is what a character has that no frame shows."""
_SKIP = 2e-3
"""A character below this share of its frame is tried only where the grammar leaves no likelier one."""

Probs = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """One legal reading of a crop: the text, one probability a character, its pattern, its share among all.

    `chars`: per position, what the character may be with the others as they are, likeliest first, five at most;
    what lacks to 1 is spread over the rest.
    """

    text: str
    probs: tuple[float, ...]
    kind: str
    share: float
    chars: tuple[CharShares, ...] = ()

    @property
    def confidence(self) -> float:
        """The least sure character."""
        return min(self.probs, default=0.0)


def model_path(name: str) -> Path:
    """A model file inside the OCR wheel, found without importing the package (its import costs 150 MB)."""
    spec = importlib.util.find_spec("rapidocr_onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("rapidocr-onnxruntime is not installed: the plate reader's model comes with it")
    return Path(next(iter(spec.submodule_search_locations))) / "models" / name


def open_session(name: str) -> Any:
    """An onnxruntime session on one thread that keeps no memory arena."""
    import onnxruntime  # here, so that importing the package stays cheap

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model_path(name)), options, providers=["CPUExecutionProvider"])


class Recogniser:
    """Reads one upright plate crop. The model is loaded on first use (0.2 s)."""

    def __init__(self) -> None:
        self._session: Any = None
        self._columns: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self._starts: list[int] = []

    def read(self, crop: Image) -> tuple[Reading, ...]:
        """The likeliest legal readings of a crop that shows one plate, best first; empty when none is legal.

        What looks like a plate is looked at again, wider: the two differ where either is wrong.
        """
        first = self.probabilities(crop, _WIDTHS_PX[0])
        readings = decode(first)
        if not readings or readings[0].confidence < _WORTH_A_SECOND:
            return readings
        second = self.probabilities(crop, _WIDTHS_PX[1])
        return combined(((first, readings), (second, decode(second))))

    def probabilities(self, crop: Image, width_px: int) -> Probs:
        """Frames x (blank, *TOKENS): the model's softmax folded to the plate alphabet; rows sum to <= 1."""
        if self._session is None:
            self._load()
        small = cv2.resize(crop, (width_px, _HEIGHT_PX), interpolation=cv2.INTER_LINEAR)
        tensor = (small.astype(np.float32) / 127.5 - 1.0).transpose(2, 0, 1)[None]
        raw = self._session.run(None, {"x": np.ascontiguousarray(tensor)})[0][0]
        folded: Probs = np.add.reduceat(raw[:, self._columns], self._starts, axis=1)
        return folded

    def _load(self) -> None:
        session = open_session("ch_PP-OCRv4_rec_infer.onnx")
        characters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
        # The model's columns: CTC blank, its character list, space.
        column_of = {character: i + 1 for i, character in enumerate(characters)}
        groups = [[0, len(characters) + 1, *(column_of[x] for x in "·.-" if x in column_of)]]
        for token in TOKENS:
            shapes = token + token.lower() + LOOKALIKES.get(token, "")
            groups.append(sorted({column_of[x] for x in shapes if x in column_of}))
        self._columns = np.array([column for group in groups for column in group], np.intp)
        self._starts = [0, *np.cumsum([len(group) for group in groups])[:-1].tolist()]
        self._session = session


@lru_cache(maxsize=4096)
def _followers(prefix: str) -> tuple[tuple[int, str, float], ...]:
    """(token index + 1, character, prior) of all that may follow a prefix in any pattern."""
    allowed: dict[str, int] = {}
    for pattern in PATTERNS:
        if len(pattern) > len(prefix) and _fits(prefix, pattern):
            for character in pattern[len(prefix)]:
                allowed[character] = TOKENS.index("0" if character == "O" else character) + 1
    in_use = IN_USE.get(prefix, frozenset(allowed))
    return tuple((index, x, 1.0 if x in in_use else RARE * RARE if x == "O" else RARE) for x, index in allowed.items())


def _fits(prefix: str, classes: tuple[str, ...]) -> bool:
    return all(character in allowed for character, allowed in zip(prefix, classes, strict=False))


@lru_cache(maxsize=4096)
def _kind_of(text: str) -> str:
    """The kind of plate that a whole text is, or "" when it is none that this reader looks for."""
    if not any(len(pattern) == len(text) and _fits(text, pattern) for pattern in PATTERNS):
        return ""
    parsed = parse_plate(text)
    return parsed.kind if parsed is not None else ""


def decode(probs: Probs) -> tuple[Reading, ...]:
    """CTC prefix beam search over the grammar's prefixes; a character is as probable as in its best frame."""
    # prefix -> [ends in blank, ends in its last character]
    beam: dict[str, list[float]] = {"": [1.0, 0.0]}
    for frame in probs:
        row = frame.tolist()
        if row[0] > 0.999:
            beam = {prefix: [(blank + last) * row[0], last * _FLOOR] for prefix, (blank, last) in beam.items()}
            continue
        beam = _step(beam, row)
    whole = {prefix: blank + last for prefix, (blank, last) in beam.items() if _kind_of(prefix)}
    total = sum(whole.values())
    if total <= 0:
        return ()
    ranked = sorted(whole, key=lambda text: -whole[text])
    return tuple(
        Reading(
            text,
            _capped(_aligned(probs, text), text, whole, total),
            _kind_of(text),
            whole[text] / total,
            substitutes(probs, text),
        )
        for text in ranked[:3]
    )


def _capped(best: tuple[float, ...], text: str, whole: dict[str, float], total: float) -> tuple[float, ...]:
    """No character is surer than the texts, rivals included, that agree on it."""
    agreed = [
        sum(mass for rival, mass in whole.items() if len(rival) == len(text) and rival[i] == character) / total
        for i, character in enumerate(text)
    ]
    return tuple(min(p, share) for p, share in zip(best, agreed, strict=True))


def _step(beam: dict[str, list[float]], row: list[float]) -> dict[str, list[float]]:
    following: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    blank_p = max(row[0], _FLOOR)
    for prefix, (blank, last) in beam.items():
        mass = blank + last
        kept = following[prefix]
        kept[0] += mass * blank_p
        final = prefix[-1:]
        if final:
            kept[1] += last * max(row[_token(final)], _FLOOR)
        tried = [follower for follower in _followers(prefix) if row[follower[0]] > _SKIP]
        for index, character, prior in tried or _best(row, prefix):
            grown = following[prefix + character]
            grown[1] += (blank if character == final else mass) * max(row[index], _FLOOR) * prior
    ranked = sorted(following.items(), key=lambda item: -(item[1][0] + item[1][1]))[:_BEAM]
    scale = sum(blank + last for _, (blank, last) in ranked) or 1.0
    return {prefix: [blank / scale, last / scale] for prefix, (blank, last) in ranked}


def _best(row: list[float], prefix: str) -> list[tuple[int, str, float]]:
    """The likeliest follower alone, where the frame shows something that the grammar forbids."""
    followers = _followers(prefix)
    if not followers or row[0] > 0.5:
        return []
    return [max(followers, key=lambda follower: row[follower[0]])]


def _token(character: str) -> int:
    return TOKENS.index("0" if character == "O" else character) + 1


def _aligned(probs: Probs, text: str) -> tuple[float, ...]:
    """Viterbi alignment of the text; a character's probability is that of its best frame."""
    states = [0]
    for character in text:
        states += [_token(character), 0]
    logs = np.log(np.maximum(probs[:, states], _FLOOR))
    frames, count = logs.shape
    score = np.full(count, -math.inf)
    score[:2] = logs[0, :2]
    back = np.zeros((frames, count), np.int8)
    for t in range(1, frames):
        stay = score
        one = np.concatenate(([-math.inf], score[:-1]))
        two = np.concatenate(([-math.inf, -math.inf], score[:-2]))
        for s in range(count):
            if s < 2 or s % 2 == 0 or states[s] == states[s - 2]:
                two[s] = -math.inf
        choice = np.stack([stay, one, two])
        back[t] = choice.argmax(axis=0)
        score = choice.max(axis=0) + logs[t]
    state = count - 1 if score[-1] >= score[-2] else count - 2
    best = [0.0] * len(text)
    for t in range(frames - 1, -1, -1):
        if state % 2:
            best[state // 2] = max(best[state // 2], float(probs[t, states[state]]))
        state -= int(back[t, state])
    return tuple(min(1.0, p) for p in best)


Look = tuple[Probs, tuple[Reading, ...]]
"""One look at a crop: its frames, and its readings."""


def combined(looks: tuple[Look, ...]) -> tuple[Reading, ...]:
    """The readings of several looks at one crop, each with the mean of what the looks say of it, best first."""
    texts = {reading.text: reading for _, readings in looks for reading in readings}
    merged = [_merged(reading, looks) for reading in texts.values()]
    return tuple(sorted(merged, key=lambda reading: (-reading.confidence, reading.text))[:3])


def _merged(reading: Reading, looks: tuple[Look, ...]) -> Reading:
    probs, chars, share = [0.0] * len(reading.text), [dict[str, float]() for _ in reading.text], 0.0
    for frames, readings in looks:
        own = next((other for other in readings if other.text == reading.text), None)
        if own is not None:
            shares, here = own.chars, own.probs
            share += own.share / len(looks)
        elif readings and len(readings[0].text) == len(reading.text):
            shares = substitutes(frames, reading.text)
            here = tuple(dict(place).get(x, 0.0) for place, x in zip(shares, reading.text, strict=True))
        else:
            continue  # this look saw another number of characters: it agrees with none
        for i, place in enumerate(shares):
            probs[i] += here[i] / len(looks)
            for character, p in place:
                chars[i][character] = chars[i].get(character, 0.0) + p / len(looks)
    ranked = (sorted(place.items(), key=lambda item: (-item[1], item[0]))[:_TOLD] for place in chars)
    told = tuple(tuple((x, round(p, 6)) for x, p in place) for place in ranked)
    return Reading(reading.text, tuple(probs), reading.kind, share, told)


def substitutes(probs: Probs, text: str) -> tuple[CharShares, ...]:
    """What each character of `text` may be while the others stay: CTC's forward-backward over all alignments.

    A share is P(frames | text with the character replaced) over the sum for every token and for everything that is
    no plate character, so the shares of a position sum to <= 1.
    """
    states = [0]
    for character in text:
        states += [_token(character), 0]
    p = np.maximum(probs.astype(np.float64), _FLOOR)
    forward, backward = _forward_backward(p[:, states], states)
    other = np.maximum(1.0 - p.sum(axis=1, keepdims=True), _FLOOR)
    tokens = np.concatenate([p[:, 1:], other], axis=1)  # frames x (tokens, anything else)
    places = np.arange(1, len(states), 2)
    same_before, same_after = _same_neighbours(states, tokens.shape[1])
    mass = np.zeros((len(places), tokens.shape[1]))
    inside = np.zeros_like(mass)
    last = len(p) - 1
    for t in range(len(p)):
        inside = (inside + _entry(forward, places, t, same_before)) * tokens[t]
        mass += inside * _exit(p[:, states], backward, places, t, last, same_after)
    shares = mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-300)
    is_car = text[:1] in PROVINCES
    return tuple(_told(row, _standing(i, is_car=is_car)) for i, row in enumerate(shares))


@lru_cache(maxsize=32)
def _standing(i: int, *, is_car: bool) -> tuple[str, ...]:
    """How each token is spelt at a position, "" where it cannot stand: a car's province and its issuing letter."""
    if not is_car:
        return tuple(TOKENS)
    if i == 0:
        return tuple(x if x in PROVINCES else "" for x in TOKENS)
    if i == 1:
        return tuple("O" if x == "0" else x if x in LETTERS else "" for x in TOKENS)
    return tuple("" if x in PROVINCES else x for x in TOKENS)


def _told(row: npt.NDArray[np.float64], spelt: tuple[str, ...]) -> CharShares:
    """The likeliest characters that can stand at one position."""
    best = [int(k) for k in np.argsort(-row[:-1], kind="stable") if spelt[k] and row[k] >= _LEAST][:_TOLD]
    return tuple((spelt[k], round(float(row[k]), 6)) for k in best)


def _forward_backward(
    emitted: npt.NDArray[np.float64], states: list[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """forward[t, s]: frames up to t ending in state s; backward[t, s]: frames after t from state s."""
    frames, count = emitted.shape
    may_skip = np.array([s >= 2 and s % 2 == 1 and states[s] != states[s - 2] for s in range(count)], np.float64)
    forward = np.zeros((frames, count))
    backward = np.zeros((frames, count))
    forward[0, :2] = emitted[0, :2]
    backward[-1, -2:] = 1.0
    for t in range(1, frames):
        came = forward[t - 1].copy()
        came[1:] += forward[t - 1, :-1]
        came[2:] += forward[t - 1, :-2] * may_skip[2:]
        forward[t] = came * emitted[t]
        following = backward[-t] * emitted[-t]
        going = following.copy()
        going[:-1] += following[1:]
        going[:-2] += following[2:] * may_skip[2:]
        backward[-t - 1] = going
    return forward, backward


def _same_neighbours(states: list[int], tokens: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """0 where a token is the character before (after) the place: CTC then needs a blank between; 1 elsewhere."""
    characters = [state - 1 for state in states[1::2]]
    before, after = np.ones((len(characters), tokens)), np.ones((len(characters), tokens))
    for i in range(1, len(characters)):
        before[i, characters[i - 1]] = 0.0
        after[i - 1, characters[i]] = 0.0
    return before, after


def _entry(
    forward: npt.NDArray[np.float64], places: npt.NDArray[np.intp], t: int, may_touch: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Mass that comes into each place at frame t, from the blank before it or from the character before that."""
    if t == 0:
        start = np.zeros_like(may_touch)
        start[0] = 1.0
        return start
    from_blank = forward[t - 1, places - 1]
    from_character = np.concatenate(([0.0], forward[t - 1, places[1:] - 2]))
    entry: npt.NDArray[np.float64] = from_blank[:, None] + from_character[:, None] * may_touch
    return entry


def _exit(
    emitted: npt.NDArray[np.float64],
    backward: npt.NDArray[np.float64],
    places: npt.NDArray[np.intp],
    t: int,
    last: int,
    may_touch: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """What the frames after t give once a place has been left at t."""
    if t == last:
        end = np.zeros_like(may_touch)
        end[-1] = 1.0
        return end
    following = emitted[t + 1] * backward[t + 1]
    to_character = np.append(following[places[:-1] + 2], 0.0)
    out: npt.NDArray[np.float64] = following[places + 1][:, None] + to_character[:, None] * may_touch
    return out
