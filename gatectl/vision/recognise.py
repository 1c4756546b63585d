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

from gatectl.core.plates import parse_plate
from gatectl.vision.candidates import Image
from gatectl.vision.grammar import IN_USE, LOOKALIKES, PATTERNS, RARE, TOKENS

_HEIGHT_PX = 48
"""Input height of PP-OCRv4's recogniser."""
_BEAM = 10
_FLOOR = 1e-6
_SKIP = 2e-3
"""A character below this share of its frame is tried only where the grammar leaves no likelier one."""

Probs = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """One legal reading of a crop: the text, one probability a character, its pattern, its share among all."""

    text: str
    probs: tuple[float, ...]
    kind: str
    share: float

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

    def read(self, crop: Image, *, width_px: int = 176) -> tuple[Reading, ...]:
        """The likeliest legal readings of a crop that shows one plate, best first; empty when none is legal."""
        return decode(self.probabilities(crop, width_px))

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
        Reading(text, _capped(_aligned(probs, text), text, whole, total), _kind_of(text), whole[text] / total)
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
