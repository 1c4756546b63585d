"""Which listed car a read surely is."""

from string import printable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core import plate_match
from gatectl.core.model import CharVote, CredentialKey, Grant, GrantState, PlateColour, PlateRead
from gatectl.core.plate_match import (
    EXACT_RATIO,
    LEGAL_RATIO,
    LOOKALIKE_RATIO,
    MatchKind,
    confusion,
    grant_bound,
    likelihoods,
    match_plate,
    opens_by_class,
    tail,
)
from gatectl.core.plates import ALPHABET, DIGITS, LETTERS, PROVINCES, is_legal, plate_key
from gatectl.core.whitelist import DictGrants

OWN = "粤E12345"
SERIAL = LETTERS + DIGITS
BLUE = PlateColour.BLUE


def the_list(*plates: str, colour: PlateColour | None = BLUE) -> DictGrants:
    return DictGrants(Grant(plate_key(plate), GrantState.ACTIVE, ("all",), colour=colour) for plate in plates)


def a_sure_read(text: str, colour: PlateColour | None = BLUE, **doubts: Any) -> PlateRead:
    """Every character all but certain, but for the positions named: p0=((char, share), ...), p1=..."""
    chars = tuple(CharVote(doubts.get(f"p{i}", ((char, 0.999999),))) for i, char in enumerate(text))
    return PlateRead(text, min(vote.candidates[0][1] for vote in chars), colour, 3, chars)


ordinary = st.builds(
    lambda head, letter, serial: head + letter + "".join(serial),
    st.sampled_from(PROVINCES),
    st.sampled_from(LETTERS),
    st.lists(st.sampled_from(SERIAL), min_size=5, max_size=5),
)
shares = st.floats(0, 1)
votes = st.lists(st.tuples(st.sampled_from(ALPHABET), shares), max_size=5).map(lambda told: CharVote(tuple(told)))


@given(ordinary)
def test_a_sure_read_of_a_listed_plate_opens(text: str) -> None:
    match = match_plate(a_sure_read(text), the_list(text, OWN))
    assert (match.kind, match.key) == (MatchKind.EXACT, plate_key(text))
    assert match.ratio >= EXACT_RATIO
    assert match.candidates[0] == plate_key(text)


@given(ordinary, ordinary)
def test_a_sure_read_of_an_unlisted_plate_never_opens(text: str, other: str) -> None:
    grants = the_list(*({other} - {text}))
    match = match_plate(a_sure_read(text), grants)
    assert match.key is None
    assert match.kind in (MatchKind.NONE, MatchKind.AMBIGUOUS)


@given(ordinary, st.integers(2, 6), st.sampled_from(SERIAL), st.floats(0.01, 1), st.floats(0, 1))
def test_a_legal_read_never_opens_as_another_plate_while_it_is_likely_itself(
    text: str, place: int, char: str, own: float, rest: float
) -> None:
    listed = text[:place] + char + text[place + 1 :]
    if listed == text:
        return
    told = tuple(sorted(((text[place], own), (char, min(own, 1 - own) * rest)), key=lambda x: -x[1]))
    doubts: dict[str, Any] = {f"p{place}": told}
    match = match_plate(a_sure_read(text, **doubts), the_list(listed))
    assert match.key is None


@given(st.text(ALPHABET, max_size=9), st.lists(votes, max_size=9), st.lists(ordinary, max_size=4))
def test_what_opens_has_the_ratio_that_it_needs(text: str, chars: list[CharVote], listed: list[str]) -> None:
    match = match_plate(PlateRead(text, 0.9, BLUE, 2, tuple(chars)), the_list(*listed))
    assert (match.key is not None) == (match.kind in (MatchKind.EXACT, MatchKind.LOOKALIKE))
    if match.key is None:
        return
    assert match.key in {plate_key(plate) for plate in listed}
    assert len(match.key) == len(plate_key(text))
    least = EXACT_RATIO if match.key == plate_key(text) else LEGAL_RATIO if is_legal(text) else LOOKALIKE_RATIO
    assert match.ratio >= least == match.bound


@given(
    st.text(ALPHABET + printable, max_size=30),
    st.one_of(st.floats(), st.floats(0, 1)),
    st.lists(st.lists(st.tuples(st.text(max_size=2), st.floats()), max_size=7), max_size=30),
    st.sampled_from([None, *PlateColour]),
)
def test_no_read_whatever_raises(
    text: str, confidence: float, told: list[list[tuple[str, float]]], colour: PlateColour | None
) -> None:
    chars = tuple(CharVote(tuple(place)) for place in told)
    grants = the_list(OWN, text)
    for length in (len(chars), len(text)):
        read = PlateRead(text, confidence, colour, 1, chars[:length])
        assert match_plate(read, grants).ratio >= 0
        assert opens_by_class(read) in (True, False)


@given(ordinary, st.lists(votes, min_size=7, max_size=7))
def test_a_match_says_the_same_twice(text: str, chars: list[CharVote]) -> None:
    read = PlateRead(text, 0.9, BLUE, 2, tuple(chars))
    assert match_plate(read, the_list(text)) == match_plate(read, the_list(text))


def test_a_listed_plate_waits_when_a_strangers_is_nearly_as_likely() -> None:
    read = a_sure_read("粤E12365", p5=(("6", 0.62), ("G", 0.37)))
    match = match_plate(read, the_list("粤E12365"))
    assert (match.kind, match.key, match.rival) == (MatchKind.UNSURE, None, "粤E123G5")
    assert 0 < match.ratio < EXACT_RATIO == match.bound
    assert match.candidates == (plate_key("粤E12365"),)


def test_a_listed_plate_waits_for_a_person_when_its_listed_twin_is_nearly_as_likely() -> None:
    read = a_sure_read("粤E12365", p5=(("6", 0.62), ("G", 0.37)))
    match = match_plate(read, the_list("粤E12365", "粤E123G5"))
    assert (match.kind, match.key) == (MatchKind.AMBIGUOUS, None)
    assert match.candidates == (plate_key("粤E12365"), plate_key("粤E123G5"))


def test_a_listed_twin_does_not_matter_when_the_read_is_sure() -> None:
    assert match_plate(a_sure_read("粤E12365"), the_list("粤E12365", "粤E123G5")).key == plate_key("粤E12365")


def test_a_doubt_about_what_no_plate_can_show_holds_nobody() -> None:
    read = a_sure_read("粤BD12365", PlateColour.GREEN, p6=(("6", 0.55), ("G", 0.44)))
    assert match_plate(read, the_list("粤BD12365", colour=PlateColour.GREEN)).kind is MatchKind.EXACT


def test_a_province_seen_through_dirt_is_judged_against_the_other_provinces() -> None:
    read = a_sure_read("藏E12345", p0=(("藏", 0.6), ("蒙", 0.0001)))
    assert match_plate(read, the_list("藏E12345")).kind is MatchKind.EXACT
    read = a_sure_read("藏E12345", p0=(("藏", 0.5), ("蒙", 0.45)))
    assert match_plate(read, the_list("藏E12345")).kind is MatchKind.UNSURE


O_FOR_0 = (("O", 0.9), ("0", 0.099999), ("D", 1e-7))


def test_an_illegal_read_opens_as_the_one_listed_plate_that_it_looks_like() -> None:
    match = match_plate(a_sure_read("粤E1O345", p3=O_FOR_0), the_list("粤E10345", OWN))
    assert (match.kind, match.key) == (MatchKind.LOOKALIKE, plate_key("粤E10345"))
    assert match.ratio >= LOOKALIKE_RATIO
    assert match.ratio_log10 > 4
    assert match.grant is not None
    assert match.grant.key == match.key


def test_an_illegal_read_stays_out_when_a_strangers_plate_looks_like_it_too() -> None:
    read = a_sure_read("粤E1O345", p3=(("O", 0.6), ("0", 0.2), ("D", 0.2)))
    match = match_plate(read, the_list("粤E10345"))
    assert (match.kind, match.key) == (MatchKind.UNSURE, None)


def test_two_listed_plates_that_look_alike_open_for_no_illegal_read() -> None:
    match = match_plate(a_sure_read("粤E1O345", p3=O_FOR_0), the_list("粤E10345", "粤E1D345"))
    assert (match.kind, match.key) == (MatchKind.AMBIGUOUS, None)
    assert set(match.candidates) == {plate_key("粤E10345"), plate_key("粤E1D345")}


@pytest.mark.parametrize(
    ("seen", "listed"),
    [(PlateColour.YELLOW, BLUE), (None, BLUE), (PlateColour.GREEN, BLUE), (PlateColour.GREEN, None)],
)
def test_a_lookalike_of_another_colour_or_of_none_is_for_a_person(
    seen: PlateColour | None, listed: PlateColour | None
) -> None:
    match = match_plate(a_sure_read("粤E1O345", seen, p3=O_FOR_0), the_list("粤E10345", colour=listed))
    assert (match.kind, match.key) == (MatchKind.AMBIGUOUS, None)


def test_a_lookalike_whose_colour_the_office_did_not_note_needs_one_that_its_kind_has() -> None:
    match = match_plate(a_sure_read("粤E1O345", PlateColour.YELLOW, p3=O_FOR_0), the_list("粤E10345", colour=None))
    assert match.kind is MatchKind.LOOKALIKE


def test_a_read_that_lost_its_last_character_is_nobody() -> None:
    grants = the_list("粤BD12345", colour=PlateColour.GREEN)
    assert match_plate(a_sure_read("粤BD1234", PlateColour.GREEN), grants).kind is MatchKind.NONE


def test_a_legal_read_opens_as_another_plate_only_from_a_million_to_one() -> None:
    # Text and distribution contradict each other: only then can a legal read be less likely than another plate.
    told = (("8", 0.999999), ("B", 1e-6))
    match = match_plate(a_sure_read("粤E12B45", p4=told), the_list("粤E12845"))
    assert match.bound == LEGAL_RATIO
    assert (match.kind is MatchKind.LOOKALIKE) == (match.ratio >= LEGAL_RATIO)
    weaker = match_plate(a_sure_read("粤E12B45", p4=(("8", 0.7), ("B", 0.3))), the_list("粤E12845"))
    assert (weaker.key, weaker.bound) == (None, LEGAL_RATIO)
    assert weaker.ratio < LEGAL_RATIO


def test_an_unlisted_plate_with_a_listed_twin_is_a_stranger_and_the_twin_is_named() -> None:
    match = match_plate(a_sure_read("粤E12B45"), the_list("粤E12845"))
    assert (match.kind, match.key) == (MatchKind.NONE, None)
    assert match.candidates == (plate_key("粤E12845"),)


def test_nothing_read_is_nobody() -> None:
    assert match_plate(PlateRead("", 0.0, None, 0), the_list(OWN)).kind is MatchKind.NONE


def test_a_read_without_distributions_is_judged_by_its_confidence() -> None:
    assert match_plate(PlateRead(OWN, 0.97, BLUE, 3), the_list(OWN)).kind is MatchKind.EXACT
    assert match_plate(PlateRead(OWN, 0.05, BLUE, 3), the_list(OWN)).kind is MatchKind.UNSURE


def test_a_doubtful_police_sign_opens_for_nobody() -> None:
    assert opens_by_class(a_sure_read("粤E1234警", PlateColour.WHITE))
    assert opens_by_class(a_sure_read("粤X1234应急", PlateColour.WHITE))
    doubt = (("警", 0.5), ("5", 0.45))
    assert not opens_by_class(a_sure_read("粤E1234警", PlateColour.WHITE, p6=doubt))
    assert not opens_by_class(a_sure_read("粤E1234警", BLUE))
    assert not opens_by_class(a_sure_read(OWN))


@given(ordinary, st.lists(votes, min_size=7, max_size=7), st.booleans())
def test_the_quick_search_for_a_rival_finds_what_the_whole_one_finds(
    text: str, chars: list[CharVote], is_sure: bool
) -> None:
    if is_sure:  # the read's own characters are the likeliest: what the quick search is for
        chars = [CharVote(((char, 1.0), *vote.candidates[1:])) for char, vote in zip(text, chars, strict=True)]
    places = likelihoods(PlateRead(text, 0.9, BLUE, 2, tuple(chars)))
    whole = plate_match._likeliest(places, lambda other: other != text and is_legal(other))
    assert plate_match._against_another(text, places)[1][0] == pytest.approx(whole[0], rel=1e-9)


def test_likelihoods_start_with_the_reads_own_character() -> None:
    places = likelihoods(a_sure_read(OWN, p6=(("5", 0.7), ("S", 0.3))))
    assert "".join(options[0][1] for options in places) == OWN
    assert all(options[0][0] == 1.0 for options in places)
    assert all(list(options[1:]) == sorted(options[1:], reverse=True) for options in places)
    assert 0 < {char: p for p, char in places[6]}["S"] <= confusion("S", "5")


@given(st.sampled_from(ALPHABET), st.sampled_from(ALPHABET))
def test_every_confusion_is_possible_and_its_bound_is_below_its_rate(true: str, read: str) -> None:
    if true == read:
        return
    assert 0 < grant_bound(true, read) <= confusion(true, read) < 0.2
    assert tail(true, read) > 0


def test_the_keys_of_the_candidates_are_plate_keys() -> None:
    match = match_plate(a_sure_read(OWN), the_list(OWN))
    assert match.candidates == (CredentialKey(f"plate:{OWN}"),)
