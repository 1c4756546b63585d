"""The plate reader on rendered frames with known truth."""

import random
import time

import numpy as np
import pytest
from rendered_plates import a_plate

from gatectl.core.model import PlateColour
from gatectl.sim.platepics import Condition, render_frame
from gatectl.vision import Image, find_plates
from gatectl.vision.candidates import PlateCandidate
from gatectl.vision.locate import overlap

_SURE = 0.60
READABLE: tuple[Condition, ...] = ("day", "night", "blur", "rain")


def _looks(condition: Condition, seed: int, count: int) -> list[tuple[str, PlateColour, tuple[PlateCandidate, ...]]]:
    rng = random.Random(seed)
    seen = []
    for number in range(count):
        text, colour = a_plate(number, rng)
        frame, _ = render_frame(text, colour, rng, condition=condition)
        seen.append((text, colour, find_plates(frame)))
    return seen


@pytest.mark.parametrize("condition", READABLE)
def test_every_province_is_read_exactly_in_19_of_20_frames(condition: Condition) -> None:
    looks = _looks(condition, seed=READABLE.index(condition) + 100, count=62)
    missed = [(text, [x.text for x in plates]) for text, _, plates in looks if not plates or plates[0].text != text]
    assert len(missed) <= 3, missed


@pytest.mark.parametrize("condition", READABLE)
def test_a_wrong_read_is_never_a_sure_one(condition: Condition) -> None:
    looks = _looks(condition, seed=READABLE.index(condition) + 200, count=31)
    wrong = [(text, x.text, x.confidence) for text, _, plates in looks for x in plates if x.text != text]
    assert all(confidence < 0.85 for _, _, confidence in wrong), wrong


def test_at_most_one_car_in_twenty_would_be_held_without_cause() -> None:
    looks = [look for condition in READABLE for look in _looks(condition, seed=31, count=31)]
    held = [text for text, _, plates in looks if not plates or plates[0].confidence < _SURE]
    assert len(held) <= len(looks) // 20, held


def test_the_background_is_named() -> None:
    looks = [look for condition in READABLE for look in _looks(condition, seed=41, count=31)]
    wrong = [
        (text, colour, plates[0].colour) for text, colour, plates in looks if plates and plates[0].colour != colour
    ]
    assert len(wrong) <= len(looks) // 50, wrong


def test_a_muddy_plate_is_never_read_with_confidence() -> None:
    for text, _, plates in _looks("unreadable", seed=51, count=31):
        assert all(plate.confidence < _SURE for plate in plates), (text, plates)


def test_eight_characters_on_green_never_come_back_as_seven() -> None:
    rng = random.Random(61)
    for number in range(40):
        text = f"粤B{rng.choice('DF')}{rng.randrange(100000):05}"
        frame, _ = render_frame(text, PlateColour.GREEN, rng, condition=READABLE[number % 4])
        assert all(len(plate.text) == 8 for plate in find_plates(frame))


@pytest.mark.parametrize("text", ["京A66666", "粤B88888", "沪C11111", "苏E00000", "川A77777"])
def test_repeated_digits_are_not_lost(text: str) -> None:
    frame, _ = render_frame(text, PlateColour.BLUE, random.Random(71))
    assert [plate.text for plate in find_plates(frame)] == [text]


def test_corners_lie_on_the_plate_and_probabilities_match_the_text() -> None:
    frame, truth = render_frame("粤E12345", PlateColour.BLUE, random.Random(81))
    (plate,) = find_plates(frame)
    assert overlap(np.array(plate.corners, np.float32), np.array(truth.corners, np.float32)) > 0.6
    assert len(plate.probs) == len(plate.text)
    assert all(0.0 < p <= 1.0 for p in plate.probs)
    assert plate.kind == "ordinary"
    assert 80 < plate.width_px < 260


def test_the_same_picture_gives_the_same_answer() -> None:
    frame, _ = render_frame("湘A8K56Z", PlateColour.BLUE, random.Random(82), condition="night")
    assert find_plates(frame) == find_plates(frame)


def _noise() -> Image:
    return np.random.default_rng(1).integers(0, 255, (540, 960, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((540, 960, 3), np.uint8),
        np.full((540, 960, 3), 255, np.uint8),
        np.full((20, 1200, 3), 90, np.uint8),
        np.full((1200, 20, 3), 90, np.uint8),
        np.zeros((16, 16, 3), np.uint8),
        _noise(),
    ],
    ids=["black", "white", "flat strip", "tall strip", "tiny", "noise"],
)
def test_a_picture_without_a_plate_gives_no_plate(picture: Image) -> None:
    assert find_plates(picture, is_deep=True) == ()


def test_a_date_stamp_is_no_plate() -> None:
    import cv2

    frame = np.full((540, 960, 3), 70, np.uint8)
    cv2.putText(frame, "2016-05-11 17:46:32", (300, 300), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (255, 255, 255), 4)
    cv2.putText(frame, "GATE 04  FC628", (300, 420), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (255, 255, 255), 4)
    assert find_plates(frame, is_deep=True) == ()


def test_two_cars_give_two_plates() -> None:
    left, _ = render_frame("粤E12345", PlateColour.BLUE, random.Random(91), size=(720, 540))
    right, _ = render_frame("桂C7Q29M", PlateColour.BLUE, random.Random(93), size=(720, 540))
    plates = find_plates(np.hstack([left, right]))
    assert {plate.text for plate in plates} == {"粤E12345", "桂C7Q29M"}


def test_a_frame_is_read_within_its_share_of_two_cores() -> None:
    frames = [render_frame("粤E12345", PlateColour.BLUE, random.Random(seed))[0] for seed in range(12)]
    find_plates(frames[0])
    spent = []
    for frame in frames:
        start = time.process_time()
        find_plates(frame)
        spent.append(time.process_time() - start)
    # The goal is 60 ms of one core; a busy machine's caches cost up to half again.
    assert float(np.median(spent)) < 0.090, spent
