"""The search behind a plate's match, place by place: rates, likelihoods, the likeliest strings, the bounds."""

from collections.abc import Iterator
from math import isclose, prod
from typing import Any

import pytest

from gatectl.core import plate_match
from gatectl.core.confusion import LOG_ODDS, READ_AS
from gatectl.core.model import CharVote, Grant, GrantState, PlateColour, PlateRead
from gatectl.core.plate_match import (
    EXACT_RATIO,
    GROWTH,
    LOOKALIKE_RATIO,
    MOST_RATIO,
    MatchKind,
    Options,
    PlateMatch,
    confusion,
    grant_bound,
    likelihoods,
    match_plate,
    opens_by_class,
    rivals_of,
    tail,
)
from gatectl.core.plates import ALPHABET, DIGITS, LETTERS, PROVINCES, WORDS, is_emergency, is_plate, plate_key
from gatectl.core.whitelist import DictGrants

OWN = "粤E12345"
BLUE, GREEN, WHITE = PlateColour.BLUE, PlateColour.GREEN, PlateColour.WHITE
O_FOR_0 = (("O", 0.9), ("0", 0.099999), ("D", 1e-7))
SURE = 0.999999


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What an earlier test found out is not remembered, and what a test sets is forgotten."""
    caches = (plate_match._rivals, plate_match._standing, plate_match._options)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def the_list(*plates: str, colour: PlateColour | None = BLUE) -> DictGrants:
    return DictGrants(Grant(plate_key(plate), GrantState.ACTIVE, ("all",), colour=colour) for plate in plates)


def a_read(text: str, colour: PlateColour | None = BLUE, /, **doubts: Any) -> PlateRead:
    """Every character all but certain, but for the positions named: p0=((char, share), ...), p1=..."""
    chars = tuple(CharVote(doubts.get(f"p{i}", ((char, SURE),))) for i, char in enumerate(text))
    return PlateRead(text, 0.999, colour, 3, chars)


def places_of(*told: str, weights: tuple[float, ...] = (1.0, 0.5, 0.1, 0.01)) -> tuple[Options, ...]:
    """One position for each word, its letters with these likelihoods."""
    return tuple(tuple(zip(weights, word, strict=False)) for word in told)


# --- rates ---

COUNTED = {"6": (99, {"G": (3, 2.0), "8": (1, 0.5)}), "粤": (9, {"京": (2, 1.0)})}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that erred six times."""
    monkeypatch.setattr(plate_match, "READ_AS", COUNTED)


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    ("true", "read", "errors", "seen"),
    [("6", "G", 3, 99), ("6", "8", 1, 99), ("6", "7", 0, 99), ("粤", "京", 2, 9), ("粤", "津", 0, 9), ("Z", "2", 0, 0)],
)
def test_a_rate_is_the_errors_counted_and_one_error_more_spread_over_all(
    true: str, read: str, errors: int, seen: int
) -> None:
    others = len(PROVINCES) if true in PROVINCES else len(ALPHABET) - len(PROVINCES)
    assert confusion(true, read) == pytest.approx((errors + 1 / others) / (seen + 1), rel=1e-12)


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    ("true", "read", "errors", "log_odds"),
    [("6", "G", 3, 2.0), ("6", "8", 1, 0.5), ("6", "7", 0, 0.0), ("Z", "2", 0, 0)],
)
def test_how_sure_errors_are_is_their_mean_with_three_ordinary_ones(
    true: str, read: str, errors: int, log_odds: float
) -> None:
    assert 1 / tail(true, read) == pytest.approx((errors * log_odds + 3 * LOG_ODDS) / (errors + 3), rel=1e-12)


@pytest.mark.usefixtures("counted")
def test_the_bound_is_the_rate_times_what_of_its_odds_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    rate, b = confusion("6", "G"), tail("6", "G")
    assert rate * EXACT_RATIO > 1
    assert grant_bound("6", "G") == pytest.approx(rate * (rate * EXACT_RATIO) ** (-b / (b + GROWTH)), rel=1e-12)
    monkeypatch.setattr(plate_match, "EXACT_RATIO", 0.5)
    assert grant_bound("6", "G") == rate, "whatever is asked for, no more open than are confused"


@pytest.mark.parametrize("character", ["6", "Z", "粤", "京", "警"])
def test_the_rivals_are_the_other_characters_of_its_kind_most_often_first(character: str) -> None:
    others = PROVINCES if character in PROVINCES else LETTERS + DIGITS
    rivals = rivals_of(character)
    assert sorted(rivals) == sorted(set(others) - {character})
    rates = [confusion(other, character) for other in rivals]
    assert rates == sorted(rates, reverse=True)
    assert all(x < y for x, y, p, q in zip(rivals, rivals[1:], rates, rates[1:], strict=False) if p == q)


# --- what one position may be ---


def standing_at(text: str, place: int) -> set[str]:
    """The characters that are weighed at a place when nothing is told of it."""
    read = PlateRead(text, 0.3, None, 1)
    return {char for _likelihood, char in likelihoods(read)[place]}


def test_only_what_can_stand_at_a_place_is_weighed() -> None:
    letters, serial = set(LETTERS + "O"), set(LETTERS + DIGITS)
    assert standing_at(OWN, 0) < set(PROVINCES)
    assert standing_at(OWN, 1) < letters
    assert all(standing_at(OWN, i) < serial for i in range(2, 6))
    assert standing_at(OWN, 6) < serial | set(WORDS)
    energy = "粤BD12345"
    assert standing_at(energy, 0) < set(PROVINCES)
    assert standing_at(energy, 1) < letters
    assert all(standing_at(energy, i) < set("ABCDEFGHJK" + DIGITS) for i in (2, 7))
    assert standing_at(energy, 3) < serial
    assert all(standing_at(energy, i) < set(DIGITS) for i in (4, 5, 6))
    assert standing_at("QB12345", 0) - set(PROVINCES) == standing_at("QB12345", 0)


@pytest.mark.parametrize(
    ("text", "place", "char", "may"),
    [
        (OWN, 0, "E", False),
        (OWN, 0, "京", True),
        (OWN, 1, "8", False),
        (OWN, 1, "O", True),
        (OWN, 2, "O", False),
        (OWN, 2, "警", False),
        (OWN, 5, "警", False),
        (OWN, 6, "警", True),
        (OWN, 6, "Z", True),
        (OWN, 6, "京", False),
        ("粤BD12345", 1, "8", False),
        ("粤BD12345", 2, "L", False),
        ("粤BD12345", 2, "K", True),
        ("粤BD12345", 3, "Z", True),
        ("粤BD12345", 4, "Z", False),
        ("粤BD12345", 6, "G", False),
        ("粤BD12345", 7, "K", True),
        ("粤BD12345", 7, "Z", False),
        ("粤BD12345", 7, "警", False),
        ("粤E", 1, "警", False),
        ("粤E1", 2, "警", True),
        ("QB12345", 0, "G", True),
        ("QB12345", 0, "京", True),
    ],
)
def test_a_told_character_counts_only_where_it_can_stand(text: str, place: int, char: str, *, may: bool) -> None:
    doubts: dict[str, Any] = {f"p{place}": ((text[place], 0.7), (char, 0.2))}
    options = likelihoods(a_read(text, **doubts))[place]
    assert (char in {option for _likelihood, option in options}) == may


@pytest.mark.parametrize(("share", "odds"), [(0.2, 3.5), (0.35, 2.0), (1e-9, 0.7 / 1e-6)])
def test_a_told_character_has_its_rate_times_what_the_odds_say(share: float, odds: float) -> None:
    options = likelihoods(a_read("粤E12346", p6=(("6", 0.7), ("G", share))))[6]
    weights = {char: likelihood for likelihood, char in options}
    assert weights["6"] == 1.0
    assert weights["G"] == pytest.approx(confusion("G", "6") * odds ** -(tail("G", "6") + GROWTH), rel=1e-9)


def test_below_the_least_odds_it_does_not_count_how_seldom_the_reader_errs() -> None:
    options = likelihoods(a_read("粤E12346", p6=(("6", 0.5), ("G", 0.4))))[6]
    weights = {char: likelihood for likelihood, char in options}
    assert weights["G"] == pytest.approx(1.25 ** -(tail("G", "6") + GROWTH), rel=1e-9)


def test_the_likeliest_character_is_the_measure_though_the_read_says_otherwise() -> None:
    options = likelihoods(a_read("粤E12346", p6=(("6", 0.2), ("G", 0.7))))[6]
    weights = {char: likelihood for likelihood, char in options}
    assert options[0] == (1.0, "G")
    assert weights["6"] == pytest.approx(confusion("6", "G") * 3.5 ** -(tail("6", "G") + GROWTH), rel=1e-9)


def test_a_read_character_that_nothing_is_told_of_has_the_least_share() -> None:
    options = likelihoods(a_read("粤E12346", p6=(("G", 0.7),)))[6]
    weights = {char: likelihood for likelihood, char in options}
    odds = 0.7 / 1e-6
    assert weights["6"] == pytest.approx(confusion("6", "G") * odds ** -(tail("6", "G") + GROWTH), rel=1e-9)


def test_a_read_character_that_cannot_stand_there_keeps_its_share() -> None:
    options = likelihoods(a_read("粤E1O345", p3=(("0", 0.6), ("O", 0.3))))[3]
    assert {char: likelihood for likelihood, char in options}["O"] == pytest.approx(0.5)


def test_shares_that_are_none_are_not_counted() -> None:
    told = (("6", 0.7), ("G", 0.0), ("B", -1.0), ("8", 1.5), ("S", 1.0))
    weights = {char: likelihood for likelihood, char in likelihoods(a_read("粤E12346", p6=told))[6]}
    assert weights["S"] == 1.0, "a share of 1 is one"
    bare = {char: likelihood for likelihood, char in likelihoods(a_read("粤E12346", p6=(("6", 0.7), ("S", 1.0))))[6]}
    assert weights == bare


def test_what_is_left_of_one_is_shared_by_the_untold() -> None:
    options = likelihoods(a_read("粤E12365", p5=(("6", 0.5), ("G", 0.3))))[5]
    standing = set(LETTERS + DIGITS)
    odds = 0.5 / (0.2 / (len(standing) - 2))
    first = next(char for char in rivals_of("6") if char not in "6G")
    weights = {char: likelihood for likelihood, char in options}
    assert weights[first] == pytest.approx(confusion(first, "6") * odds ** -(tail(first, "6") + GROWTH), rel=1e-9)
    untold = [char for char in weights if char not in "6G"]
    assert 4 <= len(untold) <= 4 + 2, "a few of the likeliest"
    assert set(untold) <= set(rivals_of("6")[:6])


def test_the_untold_are_never_likelier_than_the_told() -> None:
    options = likelihoods(a_read("粤E12365", p5=(("6", 0.3), ("G", 1e-5))))[5]
    weights = {char: likelihood for likelihood, char in options}
    first = next(char for char in rivals_of("6") if char not in "6G")
    odds = 0.3 / 1e-5
    assert weights[first] == pytest.approx(confusion(first, "6") * odds ** -(tail(first, "6") + GROWTH), rel=1e-9)


def test_the_untold_of_a_read_that_knows_nothing_count_without_their_rate() -> None:
    options = likelihoods(a_read("粤E12365", p5=(("6", 0.01), ("G", 0.01))))[5]
    weights = {char: likelihood for likelihood, char in options}
    first = next(char for char in rivals_of("6") if char not in "6G")
    assert weights[first] == pytest.approx(1.0)
    assert weights["G"] == pytest.approx(1.0)


def test_the_untold_count_with_their_rate_from_the_least_odds_on() -> None:
    options = likelihoods(a_read("粤E12365", p5=(("6", 0.052), ("G", 0.026))))[5]
    weights = {char: likelihood for likelihood, char in options}
    first = next(char for char in rivals_of("6") if char not in "6G")
    assert weights[first] == pytest.approx(confusion(first, "6") * 2.0 ** -(tail(first, "6") + GROWTH), rel=1e-9)


def test_the_one_untold_character_has_all_that_is_left() -> None:
    told = (("0", 0.115), *((char, 0.105) for char in "12345678"))
    options = likelihoods(a_read("粤BD10345", GREEN, p4=told))[4]
    weights = {char: likelihood for likelihood, char in options}
    left = 1 - sum(share for _char, share in told)
    assert 0.04 < left < 0.05
    odds = 0.115 / left
    assert weights["9"] == pytest.approx(confusion("9", "0") * odds ** -(tail("9", "0") + GROWTH), rel=1e-9)


def test_of_characters_that_are_as_likely_the_reads_own_is_the_measure_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plate_match, "READ_AS", {"8": (99, {"6": (3, 1.0)})})
    for told in ((("6", 0.5), ("G", 0.5)), (("G", 0.5), ("6", 0.5))):
        weights = {char: likelihood for likelihood, char in likelihoods(a_read("粤E12365", p5=told))[5]}
        assert weights["6"] == weights["G"] == 1.0
        assert weights["8"] == pytest.approx(confusion("8", "6") * (0.5 / 1e-6) ** -(tail("8", "6") + GROWTH), rel=1e-9)


def test_a_ratio_is_told_by_its_order_of_magnitude() -> None:
    assert PlateMatch(MatchKind.NONE).ratio_log10 == float("-inf")
    assert PlateMatch(MatchKind.UNSURE, ratio=0.01).ratio_log10 == pytest.approx(-2.0)
    assert PlateMatch(MatchKind.EXACT, ratio=1e5).ratio_log10 == pytest.approx(5.0)


@pytest.mark.parametrize("confidence", [1.0, 0.6])
def test_a_read_without_distributions_is_told_by_its_confidence(confidence: float) -> None:
    bare = PlateRead(OWN, confidence, BLUE, 3)
    told = PlateRead(OWN, 0.9, BLUE, 3, tuple(CharVote(((char, confidence),)) for char in OWN))
    assert likelihoods(bare) == likelihoods(told)


@pytest.mark.parametrize("confidence", [0.0, -1.0, 1.01, float("nan")])
def test_a_confidence_that_is_none_is_the_least(confidence: float) -> None:
    assert likelihoods(PlateRead(OWN, confidence, BLUE, 3)) == likelihoods(PlateRead(OWN, 1e-6, BLUE, 3))


# --- the likeliest strings ---


def test_every_string_comes_once_likeliest_first() -> None:
    places = (*places_of("AB", "F"), *places_of("CDE", weights=(1.0, 0.4, 0.1)))
    found = list(plate_match._best_first(places))
    assert [text for _likelihood, text in found] == ["AFC", "BFC", "AFD", "BFD", "AFE", "BFE"]
    assert [likelihood for likelihood, _text in found] == pytest.approx([1.0, 0.5, 0.4, 0.2, 0.1, 0.05])


def test_strings_that_differ_in_every_place_come_too_and_only_the_first_few() -> None:
    places = places_of("ABC", "DEF", "GHI", "KLM")
    every = list(plate_match._best_first(places))
    assert len({text for _likelihood, text in every}) == len(every) == 3**4
    assert [likelihood for likelihood, _text in every] == sorted((x for x, _text in every), reverse=True)
    assert list(plate_match._first(places)) == every[:48]


def test_the_likelihood_of_a_string_is_the_product_of_its_characters() -> None:
    places = places_of("AB", "CDE", "F")
    for text in ("ACF", "BCF", "BEF"):
        shares = [next(x for x, c in options if c == char) for char, options in zip(text, places, strict=True)]
        assert isclose(plate_match._likelihood(text, places), prod(shares))
    assert plate_match._likelihood("AXF", places) == 0.0


def test_the_likeliest_string_that_is_meant_is_found_or_what_bounds_it() -> None:
    places = places_of("AB", "CD")
    assert plate_match._likeliest(places, lambda text: text.endswith("D")) == (0.5, "AD")
    assert plate_match._likeliest(places, lambda _text: False) == (0.25, "")


def test_a_ratio_is_told_up_to_its_most() -> None:
    assert plate_match._over(1.0, 0.0) == MOST_RATIO
    assert plate_match._over(1.0, 1e-30) == MOST_RATIO
    assert plate_match._over(1.0, 0.5) == 2.0


# --- the quick search ---


def changed(text: str, **options: tuple[tuple[float, str], ...]) -> tuple[Options, ...]:
    """The text for certain, but for the positions named: p0=((likelihood, char), ...) beside its own character."""
    return tuple(((1.0, char), *options.get(f"p{i}", ())) for i, char in enumerate(text))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"p3": ((0.2, "3"), (0.1, "4"))}, (0.2, "粤E13345")),
        ({"p3": ((0.2, "3"),), "p6": ((0.3, "6"),)}, (0.3, "粤E12346")),
        ({"p3": ((0.3, "3"),), "p6": ((0.2, "6"),)}, (0.3, "粤E13345")),
        ({"p3": ((0.2, "I"), (0.1, "4"))}, (0.1, "粤E14345")),  # I stands in no serial
        ({"p3": ((0.2, "I"), (0.15, "O"), (0.1, "4"))}, (0.1, "粤E14345")),
        ({"p3": ((0.2, "I"), (0.01, "4")), "p6": ((0.1, "6"),)}, (0.1, "粤E12346")),
        ({"p3": ((0.4, "I"), (0.2, "4")), "p6": ((0.3, "O"), (0.25, "6"))}, (0.25, "粤E12346")),
        ({"p0": ((0.2, "京"),)}, (0.2, "京E12345")),
        ({"p6": ((0.2, "警"),)}, (0.2, "粤E1234警")),
        ({"p3": ((0.2, "I"),)}, None),
        ({}, None),
        ({"p3": ((0.4, "I"), (0.05, "4")), "p6": ((0.3, "O"),)}, None),  # two changed ones may be likelier
        ({"p3": ((0.4, "I"), (0.1, "4")), "p6": ((0.3, "O"),)}, None),
        ({"p3": ((0.5, "I"), (0.1, "4")), "p6": ((0.2, "O"),)}, (0.1, "粤E14345")),  # just as likely is not likelier
    ],
)
def test_the_likeliest_plate_with_one_character_changed(
    options: dict[str, tuple[tuple[float, str], ...]], found: tuple[float, str] | None
) -> None:
    assert plate_match._changed_once(OWN, changed(OWN, **options)) == found


def test_a_read_whose_own_characters_lead_is_certain_and_its_rival_is_one_character_away() -> None:
    places = changed(OWN, p3=((0.2, "3"),))
    assert plate_match._against_another(OWN, places) == (1.0, (0.2, "粤E13345"))


def test_two_changed_characters_are_found_where_one_is_none() -> None:
    places = changed(OWN, p3=((0.4, "I"), (0.05, "4")), p6=((0.3, "O"), (0.2, "6")))
    assert plate_match._against_another(OWN, places) == (1.0, (0.2, "粤E12346"))
    none = changed(OWN, p3=((0.4, "I"),))
    assert plate_match._against_another(OWN, none) == (1.0, (0.4, ""))


def test_a_read_that_another_text_leads_is_weighed_against_it() -> None:
    places = (*changed("粤E1234"), ((1.0, "6"), (0.25, "5")))
    assert plate_match._against_another(OWN, places) == (0.25, (1.0, "粤E12346"))
    places = (*changed("粤E1234"), ((1.0, "I"), (0.25, "5"), (0.125, "6")))
    assert plate_match._against_another(OWN, places) == (0.25, (0.125, "粤E12346")), "no plate is no rival"


def test_a_read_of_which_nothing_leads_is_weighed_by_all_its_characters() -> None:
    places = tuple(((1.0, other), (0.5, char)) for char, other in zip(OWN, "京A67890", strict=True))
    assert plate_match._against_another(OWN, places) == (0.5**7, (1.0, "京A67890"))


# --- at the bounds ---


def test_a_listed_plate_opens_at_its_bound_and_not_just_below(monkeypatch: pytest.MonkeyPatch) -> None:
    read, grants = a_read("粤E12365", BLUE, p5=(("6", 0.9), ("G", 0.001))), the_list("粤E12365")
    ratio = match_plate(read, grants).ratio
    assert EXACT_RATIO < ratio < MOST_RATIO
    monkeypatch.setattr(plate_match, "EXACT_RATIO", ratio)
    assert match_plate(read, grants).kind is MatchKind.EXACT
    monkeypatch.setattr(plate_match, "EXACT_RATIO", ratio * 1.000001)
    assert match_plate(read, grants).kind is MatchKind.UNSURE


def test_a_lookalike_opens_at_its_bound_and_not_just_below(monkeypatch: pytest.MonkeyPatch) -> None:
    read, grants = a_read("粤E1O345", BLUE, p3=O_FOR_0), the_list("粤E10345")
    ratio = match_plate(read, grants).ratio
    assert LOOKALIKE_RATIO < ratio < MOST_RATIO
    monkeypatch.setattr(plate_match, "LOOKALIKE_RATIO", ratio)
    assert match_plate(read, grants).kind is MatchKind.LOOKALIKE
    monkeypatch.setattr(plate_match, "LOOKALIKE_RATIO", ratio * 1.000001)
    assert match_plate(read, grants).kind is MatchKind.UNSURE


def test_a_police_plate_opens_at_its_bound_and_not_just_below(monkeypatch: pytest.MonkeyPatch) -> None:
    read = a_read("粤E1234警", WHITE, p6=(("警", 0.9), ("5", 0.001)))
    rival, _text = plate_match._likeliest(likelihoods(read), lambda text: is_plate(text) and not is_emergency(text))
    bound = 1.0 / rival
    monkeypatch.setattr(plate_match, "_likelihood", lambda _text, _places: bound * rival)
    monkeypatch.setattr(plate_match, "EXACT_RATIO", bound)
    assert opens_by_class(read)
    monkeypatch.setattr(plate_match, "EXACT_RATIO", bound * 1.000001)
    assert not opens_by_class(read)


def test_a_listed_plate_that_is_out_of_the_question_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    read = a_read("粤E12365", BLUE, p5=(("6", 0.7), ("G", 0.25)))
    far = match_plate(read, the_list("粤E123G5"))
    assert far.candidates[0] == plate_key("粤E123G5")
    assert (far.kind, far.rival) == (MatchKind.UNSURE, "粤E12365")
    monkeypatch.setattr(plate_match, "EXACT_RATIO", 0.999999 / far.ratio)
    assert match_plate(read, the_list("粤E123G5")).kind is MatchKind.NONE
    monkeypatch.setattr(plate_match, "EXACT_RATIO", 1.5 / far.ratio)
    assert match_plate(read, the_list("粤E123G5")).kind is MatchKind.UNSURE


# --- a read that is not listed ---


def test_nothing_longer_than_twelve_characters_is_looked_up() -> None:
    for length, kind in ((12, MatchKind.EXACT), (13, MatchKind.NONE)):
        text = "X" * length
        assert match_plate(PlateRead(text, 0.999, None, 3), the_list(text)).kind is kind


def test_an_unlisted_read_names_the_likeliest_plate_that_it_is() -> None:
    match = match_plate(a_read("粤E12365"), the_list("京A88888"))
    assert (match.kind, match.ratio, match.candidates, match.rival) == (MatchKind.NONE, 0.0, (), "粤E12365")


STRAY = "粤E1京345"
"""A province's character stands in no serial."""


def test_a_twin_of_the_listed_plate_matters_though_the_read_looks_like_neither() -> None:
    read = a_read(STRAY, p3=(("京", 0.9), ("0", 0.0999)))
    alone = match_plate(read, the_list("粤E10345"))
    assert (alone.kind, alone.key) == (MatchKind.LOOKALIKE, plate_key("粤E10345"))
    twins = match_plate(read, the_list("粤E10345", "粤E1D345"))
    assert (twins.kind, twins.key) == (MatchKind.AMBIGUOUS, None)
    assert twins.candidates == (plate_key("粤E10345"), plate_key("粤E1D345"))


def test_two_listed_plates_that_are_as_likely_are_for_a_person_and_one_of_a_stranger_for_a_better_picture() -> None:
    read = a_read(STRAY, p3=(("京", 0.5), ("0", 0.25), ("8", 0.25)))
    both = match_plate(read, the_list("粤E10345", "粤E18345"))
    assert (both.kind, both.rival) == (MatchKind.AMBIGUOUS, "粤E10345")
    one = match_plate(read, the_list("粤E18345"))
    assert (one.kind, one.rival) == (MatchKind.UNSURE, "粤E10345")
    assert one.ratio == pytest.approx(1 / match_plate(read, the_list("粤E10345")).ratio)


def test_a_ratio_without_any_rival_is_bounded_by_the_last_string_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plate_match, "is_plate", lambda text: text == "粤E10345")
    read = a_read("粤E1O345", p3=O_FOR_0)
    match = match_plate(read, the_list("粤E10345"))
    *_, (last, _text) = plate_match._first(likelihoods(read))
    own = plate_match._likelihood("粤E10345", likelihoods(read))
    assert match.rival == ""
    assert match.ratio == pytest.approx(min(own / last, MOST_RATIO))


def test_a_listed_plate_of_a_length_that_its_colour_cannot_have_is_for_a_person() -> None:
    read = a_read("粤E1O345", GREEN, p3=O_FOR_0)
    assert match_plate(read, the_list("粤E10345", colour=GREEN)).kind is MatchKind.AMBIGUOUS


def test_a_listed_text_that_is_no_plate_is_for_a_person() -> None:
    for colour in (None, WHITE):
        read = a_read("ABO0099", colour, p2=O_FOR_0)
        assert match_plate(read, the_list("AB00099", colour=colour)).kind is MatchKind.AMBIGUOUS


def test_the_first_letter_of_an_army_plate_is_weighed_against_letters() -> None:
    read = a_read("QB12345", WHITE, p0=(("Q", 0.6), ("G", 0.39)))
    match = match_plate(read, the_list("QB12345", colour=WHITE))
    assert (match.kind, match.rival) == (MatchKind.UNSURE, "GB12345")


def test_every_character_that_the_reader_was_measured_on_is_one_of_a_plate() -> None:
    assert set(READ_AS) <= set(ALPHABET)
