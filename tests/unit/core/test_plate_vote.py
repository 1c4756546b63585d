"""The vote over a car's frames, to the last digit, and what of plates the grammar's own tests leave open."""

import pytest

from gatectl.core.model import PlateColour
from gatectl.core.plates import FrameRead, PlateVote, fold, length_fits_colour, near_plates

BLUE, GREEN = PlateColour.BLUE, PlateColour.GREEN
OWN = "粤E12345"


def a_frame(text: str = OWN, probability: float = 0.9, colour: PlateColour | None = BLUE) -> FrameRead:
    return FrameRead(text, (probability,) * len(text), colour)


def voted(*frames: FrameRead) -> PlateVote:
    vote = PlateVote()
    for frame in frames:
        vote.add(frame)
    return vote


def told(*shares: tuple[tuple[str, float], ...]) -> PlateVote:
    """One frame for each distribution of the last character, whose text is always 5."""
    sure = tuple(((char, 0.9),) for char in OWN[:-1])
    return voted(*(FrameRead(OWN, (0.9,) * 7, BLUE, (*sure, last)) for last in shares))


def test_folding_keeps_the_province_and_every_place() -> None:
    assert fold("粤E1O8B5") == "粤E10885"
    assert fold("粤D0QIL1") == "粤000111"
    assert fold("Z") == "Z"
    assert fold("") == ""


def test_a_black_ground_takes_any_length() -> None:
    assert length_fits_colour("粤ZR066港", PlateColour.BLACK)
    assert length_fits_colour("粤E1234", PlateColour.BLACK)


def test_a_near_plate_is_found_behind_plates_of_another_length_and_behind_itself() -> None:
    assert near_plates(OWN, ("粤E123456", OWN, "京A00000", "粤E12346")) == ("粤E12346",)


@pytest.mark.parametrize(
    ("frame", "frames"),
    [
        (a_frame("123456"), 1),
        (a_frame("12345"), 0),
        (FrameRead("123456", (0.9,) * 5, BLUE), 0),
        (FrameRead("12345", (0.9,) * 6, BLUE), 0),
        (FrameRead("", (), BLUE), 0),
    ],
)
def test_a_frame_votes_from_six_characters_on_and_with_a_probability_for_each(frame: FrameRead, frames: int) -> None:
    vote = voted(frame)
    assert vote.frames == vote.result().frames == frames
    assert vote.result().text == (frame.text if frames else "")


def test_a_vote_names_its_picture_and_none_unless_it_is_told() -> None:
    for vote in (voted(), voted(a_frame())):
        assert vote.result().picture_sha256 == ""
        assert vote.result("ab12").picture_sha256 == "ab12"


def test_the_length_with_the_most_certainty_in_all_wins_and_the_longer_one_between_equals() -> None:
    seven, eight = a_frame(OWN, 0.5), a_frame("粤BD12345", 0.75)
    assert voted(seven, eight).result().text == "粤BD12345"
    assert voted(eight, seven, seven).result().text == OWN
    assert voted(a_frame(OWN, 0.75), eight).result().text == "粤BD12345"
    assert voted(eight, a_frame(OWN, 0.75)).result().text == "粤BD12345"


def test_a_length_is_as_certain_as_its_least_certain_characters() -> None:
    weak = FrameRead(OWN, (0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1), BLUE)
    assert voted(weak, a_frame("粤BD12345", 0.2)).result().text == "粤BD12345"


def test_the_character_with_the_most_probability_in_all_wins_and_the_first_of_the_alphabet_between_equals() -> None:
    eight, three = a_frame("粤E12845", 0.5), a_frame(OWN, 0.75)
    assert voted(eight, three).result().text == OWN
    assert voted(three, eight, eight).result().text == "粤E12845"
    assert voted(a_frame("粤E12845", 0.75), three).result().text == OWN
    assert voted(three, a_frame("粤E12845", 0.75)).result().text == OWN


def test_shares_are_ranked_by_their_size_then_by_their_character_and_told_to_six_digits() -> None:
    vote = told((("9", 0.25), ("7", 0.25), ("5", 0.5)), (("5", 0.5), ("7", 0.25), ("9", 0.25)))
    assert vote.result().chars[6].candidates == (("5", 0.5), ("7", 0.25), ("9", 0.25))
    vote = told((("5", 1 / 3), ("6", 1 / 7)), (("5", 1 / 3), ("6", 1 / 7)))
    assert vote.result().chars[6].candidates == (("5", 0.333333), ("6", 0.142857))


def test_five_shares_of_a_character_are_told() -> None:
    shares = tuple((char, 0.3 - i / 20) for i, char in enumerate("567890"))
    assert [char for char, _share in told(shares).result().chars[6].candidates] == list("56789")


def test_confidence_is_the_least_mean_to_four_digits_and_another_character_counts_nothing() -> None:
    assert voted(a_frame(OWN, 1 / 3)).result().confidence == 0.3333
    frames = (a_frame(OWN, 0.9), a_frame(OWN, 0.6), a_frame("粤E12845", 0.9))
    assert voted(*frames).result().confidence == pytest.approx(0.5)


def test_the_commonest_colour_that_was_seen_wins() -> None:
    none = a_frame(colour=None)
    assert voted(none, none, a_frame(colour=GREEN)).result().colour is GREEN
    assert voted(a_frame(colour=GREEN), a_frame(), a_frame()).result().colour is BLUE
    assert voted(none).result().colour is None


def test_the_three_likeliest_texts_are_told_each_at_its_best_to_four_digits() -> None:
    frames = (
        a_frame("粤E00001", 0.5),
        a_frame("粤E00002", 0.25),
        a_frame("粤E00001", 2 / 3),
        a_frame("粤E00001", 0.125),
        a_frame("粤E00004", 0.75),
        a_frame("粤E00003", 0.75),
    )
    assert voted(*frames).result().candidates == (("粤E00003", 0.75), ("粤E00004", 0.75), ("粤E00001", 0.6667))


def test_a_text_is_as_certain_as_its_least_certain_character() -> None:
    weak = FrameRead(OWN, (0.9, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9), BLUE)
    assert voted(weak).result().candidates == ((OWN, 0.2),)
