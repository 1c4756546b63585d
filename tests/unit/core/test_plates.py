"""GA 36 plates and the vote over frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.model import PlateColour
from gatectl.core.plates import (
    FrameRead,
    PlateVote,
    fold,
    is_emergency,
    is_legal,
    length_fits_colour,
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


@given(st.lists(st.builds(FrameRead, st.text(max_size=9), st.lists(st.floats(0, 1), max_size=9).map(tuple), st.none())))
def test_no_frame_can_break_the_vote(reads: list[FrameRead]) -> None:
    vote = PlateVote()
    for read in reads:
        vote.add(read)
    result = vote.result()
    assert 0.0 <= result.confidence <= 1.0
    assert len(result.chars) == len(result.text)
    assert len(result.candidates) <= 3
