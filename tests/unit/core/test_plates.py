"""GA 36 plates and the vote over frames."""

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.model import PlateColour
from gatectl.core.plates import (
    ALPHABET,
    FrameRead,
    PlateVote,
    fold,
    is_emergency,
    is_legal,
    is_overlay_text,
    is_plate,
    length_fits_colour,
    near_plates,
    near_plates_why,
    normalise,
    parse_plate,
)

SURE = 0.98


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("苏A0CP56", PlateColour.BLUE),
        ("浙A13840", PlateColour.YELLOW),
        ("冀A1234挂", PlateColour.YELLOW),
        ("琼A6716学", PlateColour.YELLOW),
        ("鄂F8888警", PlateColour.WHITE),
        ("沪AF71017", PlateColour.GREEN),
        ("京A12345D", PlateColour.YELLOW_GREEN),
        ("粤ZR066港", PlateColour.BLACK),
        ("沪A1707领", PlateColour.BLACK),
        ("使123456", PlateColour.BLACK),
        ("琼X1234应急", PlateColour.WHITE),
        ("WJ粤1234X", PlateColour.WHITE),
        ("QB12345", PlateColour.WHITE),
        ("民航B0150", PlateColour.GREEN),
    ],
)
def test_every_type_of_the_standard_is_legal_in_its_colour(text: str, colour: PlateColour) -> None:
    parsed = parse_plate(text)
    assert parsed is not None
    assert colour in parsed.colours


@pytest.mark.parametrize(
    "text", ["", "FC628", "粤E1234", "粤E1O345", "粤EI2345", "A粤12345", "2026-11-23", "粤E123456"]
)
def test_a_partial_read_an_i_an_o_and_a_time_stamp_are_no_plates(text: str) -> None:
    assert not is_legal(text)


def test_separators_width_case_and_the_traditional_province_are_normalised() -> None:
    assert normalise(" 粵e·\uff11\uff12 3-45 ") == "粤E12345"


def test_a_green_plate_that_lost_its_last_character_does_not_fit() -> None:
    assert not length_fits_colour("沪AF7101", PlateColour.GREEN)
    assert length_fits_colour("沪AF71017", PlateColour.GREEN)
    assert not length_fits_colour("沪AF71017", PlateColour.BLUE)


def test_emergency_and_police_plates_are_known_by_their_class() -> None:
    assert is_emergency("琼X1234应急")
    assert is_emergency("鄂F8888警")
    assert not is_emergency("粤E12345")


def test_look_alikes_fold_together_and_provinces_never() -> None:
    assert fold("粤E1O8B5") == fold("粤E10885")
    assert fold("京A12345") != fold("津A12345")


@given(st.one_of(st.text(ALPHABET, max_size=9), st.text(max_size=9)))
def test_a_search_finds_those_texts_legal_that_are_and_the_channels_names(text: str) -> None:
    assert is_plate(normalise(text)) == (is_legal(text) or (is_overlay_text(text) and is_plate(normalise(text))))


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert len(fold(text)) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23",
        "2026-11-23 12:30:05",
        "2026/1/3",
        "26.11.23",
        "2026年11月23日",
        "12:30:05",
        "12：30",
        "CAM01",
        "Camera 3",
        "CH01",
        "CH-00012",
        "CH00012",
        "IPC 00012",
        "GATE 04",
        "gate_0004",
        "AB00099",
    ],
)
def test_what_a_camera_writes_into_its_picture_is_no_plate(text: str) -> None:
    assert is_overlay_text(text)
    assert not is_legal(text)


@pytest.mark.parametrize("text", ["QB12345", "CH12345", "AB00100", "粤E·12345", "粤E-12345", "京A.12-3.45", "使123456"])
def test_a_plate_is_no_camera_writing_whatever_stands_between_its_characters(text: str) -> None:
    assert not is_overlay_text(text)
    assert is_legal(text)


@given(st.dates(date(1970, 1, 1), date(2199, 12, 31)), st.times())
def test_no_time_stamp_is_a_plate(day: date, clock: time) -> None:
    for text in (f"{day:%Y-%m-%d}", f"{day:%y/%m/%d}", f"{clock:%H:%M:%S}", f"{day:%Y-%m-%d} {clock:%H:%M:%S}"):
        assert is_overlay_text(text)
        assert parse_plate(text) is None
    for text in (f"{day:%Y%m%d}", f"{day:%y%m%d}{clock:%H}", f"{clock:%H%M%S}"):
        assert parse_plate(text) is None


@pytest.mark.parametrize("colour", [PlateColour.BLUE, PlateColour.YELLOW, PlateColour.GREEN, PlateColour.BLACK])
@pytest.mark.parametrize("text", ["粤E1234警", "琼X1234应急", "QB12345", "WJ粤1234X"])
def test_a_plate_that_is_always_white_stands_on_no_other_ground(text: str, colour: PlateColour) -> None:
    assert not length_fits_colour(text, colour)
    assert length_fits_colour(text, PlateColour.WHITE)
    assert length_fits_colour(text, None)


def test_eight_characters_on_yellow_and_seven_on_yellow_green_do_not_fit() -> None:
    assert not length_fits_colour("京A12345D", PlateColour.YELLOW)
    assert not length_fits_colour("京A12345", PlateColour.YELLOW_GREEN)
    assert length_fits_colour("京A12345", PlateColour.YELLOW)
    assert length_fits_colour("民航B0150", PlateColour.GREEN)


def test_near_plates_are_named_with_the_reason() -> None:
    others = ("粤E12845", "粤E1Z345", "粤EI2345", "粤ELZ345", "粤E12345", "粤E54321", "粤E123456")
    assert [(near.text, near.is_lookalike, near.places) for near in near_plates_why("粤E12345", others)] == [
        ("粤E12845", False, (4,)),
        ("粤E1Z345", True, (3,)),
        ("粤EI2345", True, (2,)),
        ("粤ELZ345", True, (2, 3)),
    ]
    assert near_plates("粤E12345", others) == ("粤E12845", "粤E1Z345", "粤EI2345", "粤ELZ345")


def voted(*texts: str, probability: float = SURE, colour: PlateColour | None = PlateColour.BLUE) -> PlateVote:
    vote = PlateVote()
    for text in texts:
        vote.add(FrameRead(text, (probability,) * len(text), colour))
    return vote


def test_frames_that_agree_are_a_sure_read() -> None:
    read = voted("粤E12345", "粤E12345", "粤E12345").result()
    assert (read.text, read.frames, read.colour) == ("粤E12345", 3, PlateColour.BLUE)
    assert read.confidence == pytest.approx(SURE, abs=0.01)


def test_the_majority_wins_a_character_and_its_doubt_is_the_reads_confidence() -> None:
    read = voted("粤E12345", "粤E12345", "粤E12845").result()
    assert read.text == "粤E12345"
    assert read.confidence < 0.75
    assert [char for char, _ in read.chars[4].candidates][:2] == ["3", "8"]


def test_one_weak_character_makes_the_whole_read_weak() -> None:
    vote = PlateVote()
    vote.add(FrameRead("粤E12345", (0.3, *(SURE,) * 6), PlateColour.BLUE))
    assert vote.result().confidence == pytest.approx(0.3)


def test_a_car_without_any_plate_is_an_empty_read() -> None:
    read = PlateVote().result()
    assert (read.text, read.confidence, read.frames) == ("", 0.0, 0)


def test_a_votes_distribution_is_the_mean_of_its_frames() -> None:
    vote = PlateVote()
    for six, other in ((0.9, 0.08), (0.5, 0.48)):
        sure = tuple(((char, 0.98),) for char in "粤E1234")
        shares = (*sure, (("6", six), ("G", other)))
        vote.add(FrameRead("粤E12346", (*(SURE,) * 6, six), PlateColour.BLUE, shares))
    read = vote.result()
    assert [char for char, _ in read.chars[6].candidates] == ["6", "G"]
    assert [share for _, share in read.chars[6].candidates] == pytest.approx([0.7, 0.28])
    assert read.confidence == pytest.approx(0.7)


def test_a_frame_that_tells_no_distribution_counts_with_its_probability() -> None:
    vote = voted("粤E12346")
    vote.add(FrameRead("粤E12346", (0.6,) * 7, PlateColour.BLUE, ((("粤", 0.6),),)))
    ((char, share),) = vote.result().chars[0].candidates
    assert char == "粤"
    assert share == pytest.approx((SURE + 0.6) / 2)


def test_another_lengths_frames_tell_nothing_of_a_character() -> None:
    vote = voted("粤E12346", "粤E12346")
    vote.add(FrameRead("粤ED12346", (0.5,) * 8, PlateColour.GREEN))
    assert len(vote.result().chars) == 7


characters = st.sampled_from(ALPHABET)
distribution = st.dictionaries(characters, st.floats(0, 1), max_size=7).map(
    lambda told: tuple((char, share / max(1.0, sum(told.values()))) for char, share in told.items())
)


@given(st.data(), st.integers(1, 6))
def test_a_votes_shares_sum_to_one_at_most_and_are_ranked(data: st.DataObject, frames: int) -> None:
    vote = PlateVote()
    for _ in range(frames):
        text = data.draw(st.text(ALPHABET, min_size=7, max_size=8))
        chars = data.draw(st.lists(distribution, min_size=len(text), max_size=len(text)))
        vote.add(FrameRead(text, (0.9,) * len(text), None, tuple(chars)))
    for place in vote.result().chars:
        shares = [share for _, share in place.candidates]
        assert len(shares) <= 5
        assert sum(shares) <= 1.0001
        assert shares == sorted(shares, reverse=True)


@given(st.lists(st.builds(FrameRead, st.text(max_size=9), st.lists(st.floats(0, 1), max_size=9).map(tuple), st.none())))
def test_no_frame_can_break_the_vote(reads: list[FrameRead]) -> None:
    vote = PlateVote()
    for read in reads:
        vote.add(read)
    result = vote.result()
    assert 0.0 <= result.confidence <= 1.0
    assert len(result.chars) == len(result.text)
    assert len(result.candidates) <= 3
