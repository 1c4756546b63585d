"""The decoder: CTC frames to a legal plate with honest probabilities."""

import random

import numpy as np
import pytest

from gatectl.core.plates import is_legal
from gatectl.vision.grammar import IN_USE, PATTERNS, TOKENS
from gatectl.vision.recognise import Probs, Reading, combined, decode, substitutes


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


def _shares(frames: list[dict[str, float]], text: str) -> list[dict[str, float]]:
    return [dict(place) for place in substitutes(_frames(*frames), text)]


def test_each_characters_rivals_are_told_with_their_shares() -> None:
    frames = _spelt("粤E12345", p=1.0)
    frames[6] = {"2": 0.55, "Z": 0.40}
    frames[0] = {"粤": 0.7, "云": 0.2}
    places = _shares(frames, "粤E12345")
    # The blank's share of the frame belongs to a text that lacks the character.
    assert places[3]["2"] == pytest.approx(0.55 / 0.95, abs=0.01)
    assert places[3]["Z"] == pytest.approx(0.40 / 0.95, abs=0.01)
    assert places[0]["云"] == pytest.approx(0.2 / 0.9, abs=0.01)
    assert places[6] == {"5": pytest.approx(1.0, abs=0.001)}


def test_what_is_no_plate_character_is_in_nobodys_share() -> None:
    frames = _frames(*_spelt("粤E12345", p=1.0))
    frames[6] = 0.0
    frames[6, TOKENS.index("2") + 1] = 0.6  # the other 0.4 is a character that no plate has
    assert sum(share for _, share in substitutes(frames, "粤E12345")[3]) == pytest.approx(0.6, abs=0.01)


def test_only_what_can_stand_there_is_told() -> None:
    frames = _spelt("粤O12345", p=1.0)
    frames[0] = {"粤": 0.6, "8": 0.3}
    frames[2] = {"0": 0.7, "Q": 0.2, "粤": 0.05}
    frames[4] = {"1": 0.7, "粤": 0.2}
    places = _shares(frames, "粤O12345")
    assert set(places[0]) == {"粤"}
    assert set(places[1]) == {"O", "Q"}
    assert set(places[2]) == {"1"}


def test_a_character_over_several_frames_counts_once() -> None:
    frames = [frame for frame in _spelt("粤E12345", p=1.0) for _ in range(2)]
    frames[12] = frames[13] = {"2": 0.6, "Z": 0.3}
    place = _shares(frames, "粤E12345")[3]
    assert place["2"] > place["Z"]
    assert sum(place.values()) <= 1.0


def test_the_neighbour_of_a_doubled_character_needs_a_blank_between() -> None:
    # Without a blank between, "55" would be one 5: the place before a 5 cannot be a 5 by touching it.
    frames = _spelt("粤E12345", p=1.0)
    touching = [*frames[:10], {"4": 0.5, "5": 0.5}, *frames[12:]]
    assert _shares(touching, "粤E12345")[5].get("5", 0.0) < 0.01
    apart = [*frames[:10], {"4": 0.5, "5": 0.5}, {}, *frames[12:]]
    assert _shares(apart, "粤E12345")[5]["5"] == pytest.approx(0.5, abs=0.01)


def test_shares_sum_to_one_at_most_whatever_the_frames() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        rows = rng.dirichlet(np.full(len(TOKENS) + 1, 0.05), 22).astype(np.float32)
        for place in substitutes(rows, "粤ED12345"):
            assert sum(share for _, share in place) <= 1.00001
            assert len(place) <= 5


def test_two_looks_that_agree_are_as_sure_as_both_and_two_that_differ_are_not() -> None:
    good = _frames(*_spelt("粤E12345"))
    doubtful = _frames(*_spelt("粤E12845", p=0.9))
    agreed = combined(((good, decode(good)), (good, decode(good))))[0]
    assert agreed.text == "粤E12345"
    assert agreed.confidence == pytest.approx(decode(good)[0].confidence)
    torn = combined(((good, decode(good)), (doubtful, decode(doubtful))))[0]
    assert torn.confidence < 0.6
    assert {char for char, share in torn.chars[4] if share > 0.3} == {"3", "8"}


def test_a_look_that_saw_another_number_of_characters_halves_the_certainty() -> None:
    seven, eight = _frames(*_spelt("粤E12345")), _frames(*_spelt("粤ED12345"))
    best: Reading = combined(((seven, decode(seven)), (eight, decode(eight))))[0]
    assert best.confidence <= 0.5


def test_every_reading_tells_one_distribution_a_character() -> None:
    for reading in decode(_frames(*_spelt("京A12345D"))):
        assert len(reading.chars) == len(reading.text)
