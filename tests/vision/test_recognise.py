"""The decoder: CTC frames to a legal plate with honest probabilities."""

import random

import numpy as np
import pytest

from gatectl.core.plates import is_legal
from gatectl.vision.grammar import IN_USE, PATTERNS, TOKENS
from gatectl.vision.recognise import Probs, decode


def _frames(*shares: dict[str, float]) -> Probs:
    """One row a dict of token -> probability; the rest of a row is blank."""
    rows = np.zeros((len(shares), len(TOKENS) + 1), np.float32)
    for row, share in zip(rows, shares, strict=True):
        for token, p in share.items():
            row[TOKENS.index(token) + 1] = p
        row[0] = 1.0 - sum(share.values())
    return rows


def _spelt(text: str, p: float = 0.98) -> list[dict[str, float]]:
    """A clean sequence: each character, then a blank."""
    return [frame for character in text for frame in ({character: p}, {})]


def test_every_pattern_of_the_decoder_is_legal_by_ga_36() -> None:
    rng = random.Random(1)
    for pattern in PATTERNS:
        for _ in range(200):
            text = "".join(rng.choice(allowed) for allowed in pattern)
            assert is_legal(text), text


def test_every_province_has_its_issuing_letters() -> None:
    assert len(IN_USE) == 31
    assert all("I" not in letters for letters in IN_USE.values())
    assert "C" not in IN_USE["琼"] or "G" not in IN_USE["琼"]


@pytest.mark.parametrize(
    "text", ["粤E12345", "沪AF71017", "京A12345D", "冀A1234挂", "琼A6716学", "粤ZR066港", "粤BD00001"]
)
def test_a_clean_sequence_is_decoded(text: str) -> None:
    best = decode(_frames(*_spelt(text)))[0]
    assert best.text == text
    # Legal rivals that lack one character share the mass of the frames' 2 % doubt, most of all on eight characters.
    assert 0.85 < best.confidence <= 0.981


def test_a_doubled_character_needs_a_blank_between() -> None:
    frames = [*_spelt("京A6666"), {"6": 0.98}, {"6": 0.98}]
    assert decode(_frames(*frames))[0].text == "京A66666"


def test_the_confidence_is_that_of_the_least_sure_character() -> None:
    frames = _spelt("粤E12345")
    frames[6] = {"2": 0.55, "Z": 0.40}
    best = decode(_frames(*frames))[0]
    assert best.text == "粤E12345"
    assert best.confidence < 0.6
    assert best.probs[3] == best.confidence


def test_a_province_that_was_not_seen_is_not_made_up_with_confidence() -> None:
    readings = decode(_frames({}, {}, *_spelt("E12345")))
    assert all(reading.confidence < 0.05 for reading in readings)


def test_a_letter_not_in_use_after_its_province_loses_to_one_that_is() -> None:
    frames = _spelt("琼A12345")
    frames[2] = {"B": 0.45, "8": 0.0, "R": 0.50}
    assert decode(_frames(*frames))[0].text == "琼B12345"


def test_six_characters_are_no_plate() -> None:
    assert all(reading.confidence < 0.05 for reading in decode(_frames(*_spelt("粤E1234"))))


def test_blank_frames_alone_give_no_sure_reading() -> None:
    assert all(reading.confidence < 0.05 for reading in decode(_frames(*({} for _ in range(20)))))
