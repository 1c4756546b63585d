"""The benchmark of strangers: what it leaves out changes nothing, and its figures are what they say."""

import random
from itertools import islice

import numpy as np
import pytest

from gatectl.bench import plates_match
from gatectl.bench.plates_match import (
    Gate,
    Noise,
    as_read,
    compound,
    confusables,
    lookalikes,
    near_strangers,
    recorded_noise,
    uniform_strangers,
    upper95,
)
from gatectl.core.plates import fold, is_legal


@pytest.fixture(scope="module")
def noise() -> Noise:
    return recorded_noise()


def test_a_plain_read_of_a_stranger_never_opens(noise: Noise) -> None:
    """What `_false_grants` does not decide on would not have opened."""
    rng = random.Random(1)
    listed = compound(300, rng)
    gate = Gate(listed)
    for codes, colour in near_strangers(600, listed, confusables(noise.characters), np.random.default_rng(1)):
        for row in codes:
            text = plates_match._text(row)
            read = as_read(noise.read(text, rng, [False] * len(text)), colour)
            assert read.text == text
            assert not gate.opens(read), text


def test_a_plain_read_of_a_listed_plate_opens(noise: Noise) -> None:
    rng = random.Random(2)
    listed = compound(300, rng)
    gate = Gate(listed)
    held = [
        text for text, colour in listed.items() if not gate.opens(as_read([noise.plain(x, rng) for x in text], colour))
    ]
    assert len(held) <= 15, held


def test_uniform_strangers_are_legal(noise: Noise) -> None:
    groups = list(uniform_strangers(900, np.random.default_rng(3)))
    assert sum(len(codes) for codes, _ in groups) == 900
    for codes, colour in groups:
        for text in map(plates_match._text, codes):
            assert is_legal(text)
            assert set(text) <= set(noise.characters)
            assert (len(text) == 8) == (colour in ("green", "yellow_green"))


@pytest.mark.parametrize("is_class_only", [False, True])
def test_near_strangers_are_one_confusable_character_from_a_listed_plate(noise: Noise, is_class_only: bool) -> None:
    listed = compound(40, random.Random(4))
    near = lookalikes(noise.characters) if is_class_only else confusables(noise.characters)
    count = 0
    for codes, colour in near_strangers(500, listed, near, np.random.default_rng(4)):
        for text in map(plates_match._text, codes):
            count += 1
            assert is_legal(text)
            assert text not in listed
            neighbours = [
                (own, place)
                for own in listed
                if len(own) == len(text) and listed[own] is colour
                for place in range(len(text))
                if own[:place] == text[:place] and own[place + 1 :] == text[place + 1 :]
            ]
            assert any(text[place] in near[own[place]] for own, place in neighbours)
            assert not is_class_only or any(fold(own) == fold(text) for own, _ in neighbours)
    assert count == 500


def test_errors_of_the_noise_are_as_frequent_as_the_reader_is_measured_to_err(noise: Noise) -> None:
    rng = random.Random(5)
    texts = list(compound(4000, rng))
    wrong = sum(template.true != template.read for text in texts for template in noise.read(text, rng))
    expected = sum(noise._error_rate(char) for text in texts for char in text)
    # Errors that would make no legal plate are none, so somewhat fewer than expected come out.
    assert 0.4 * expected < wrong < 1.3 * expected


def test_a_plate_is_misread_only_into_a_legal_one(noise: Noise) -> None:
    rng = random.Random(6)
    for text in islice(compound(400, rng), 400):
        for place in range(len(text)):
            read = as_read(noise.read(text, rng, [i == place for i in range(len(text))]), compound(1, rng).popitem()[1])
            assert is_legal(read.text)


def test_no_hits_in_n_bound_the_rate_by_three_in_n() -> None:
    assert upper95(0, 3_000_000) == pytest.approx(2.9957 / 3_000_000, rel=1e-3)
    assert upper95(0, 3_000_000) <= 1e-6
    assert upper95(0, 0) == 1.0
    assert upper95(5, 5) == 1.0


@pytest.mark.parametrize(("hits", "count"), [(1, 20), (10, 1000), (265, 3_000_000)])
def test_the_bound_is_where_so_few_hits_have_a_chance_of_one_in_twenty(hits: int, count: int) -> None:
    bound = upper95(hits, count)
    assert bound > hits / count
    assert plates_match._at_most(hits, count, bound) == pytest.approx(0.05, rel=1e-6)


def test_the_same_seed_gives_the_same_figures_and_every_stranger_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plates_match, "RIGHT_CARS", 500)
    monkeypatch.setattr(plates_match, "SEARCH_LIST", 500)
    monkeypatch.setattr(plates_match, "SEARCHES", 100)
    steps: list[int] = []
    first = plates_match.run(200, 4000, 9, steps.append)
    second = plates_match.run(200, 4000, 9, lambda _steps: None)
    assert first.pop("search")["plates"] == second.pop("search")["plates"] == 500
    assert first == second
    assert sum(steps) == 8000
    assert first["uniform"]["strangers"] == first["near"]["strangers"] == 4000
    assert first["uniform"]["false_grant"] <= first["uniform"]["false_grant_upper95"] < 0.01
    assert 0 < first["false_refusal"] < 0.1
