"""The renderer of the demo's cameras."""

import random
import time

import cv2
import numpy as np
import pytest

from gatectl.core.model import PlateColour
from gatectl.errors import ConfigError, ContractError
from gatectl.sim import platepics
from gatectl.sim.platepics import CONDITIONS, Condition, draw_plate, encode_jpeg, render_frame


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_same_seed_gives_the_same_pixels(condition: Condition) -> None:
    one, truth = render_frame("粤E12345", PlateColour.BLUE, random.Random(7), condition=condition)
    two, again = render_frame("粤E12345", PlateColour.BLUE, random.Random(7), condition=condition)
    assert np.array_equal(one, two)
    assert truth == again
    other, _ = render_frame("粤E12345", PlateColour.BLUE, random.Random(8), condition=condition)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("size", [(960, 540), (1280, 720), (640, 480), (720, 540)])
def test_the_truth_lies_inside_the_frame(size: tuple[int, int]) -> None:
    for seed in range(20):
        frame, truth = render_frame("粤BD12345", PlateColour.GREEN, random.Random(seed), size=size)
        assert frame.shape == (size[1], size[0], 3)
        assert frame.dtype == np.uint8
        for x, y in truth.corners:
            assert 0 < x < size[0]
            assert 0 < y < size[1]


def test_a_plate_has_the_proportions_of_ga_36() -> None:
    assert draw_plate("粤E12345", PlateColour.BLUE).shape == (140, 440, 3)
    assert draw_plate("粤BD12345", PlateColour.GREEN).shape == (140, 480, 3)


def test_only_the_muddy_condition_says_that_it_cannot_be_read() -> None:
    for condition in CONDITIONS:
        _, truth = render_frame("粤E12345", PlateColour.BLUE, random.Random(1), condition=condition)
        assert truth.is_readable == (condition != "unreadable")


def test_night_is_darker_than_day() -> None:
    day, _ = render_frame("粤E12345", PlateColour.BLUE, random.Random(3))
    night, _ = render_frame("粤E12345", PlateColour.BLUE, random.Random(3), condition="night")
    assert night.mean() < day.mean() * 0.6


def test_an_unknown_condition_is_our_own_bug() -> None:
    with pytest.raises(ContractError, match="fog"):
        render_frame("粤E12345", PlateColour.BLUE, random.Random(1), condition="fog")  # type: ignore[arg-type]


def test_jpeg_bytes_decode_to_the_same_size() -> None:
    frame, _ = render_frame("粤E12345", PlateColour.BLUE, random.Random(1))
    data = encode_jpeg(frame, 80)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == frame.shape


def test_a_machine_without_chinese_fonts_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platepics, "_CJK_FONTS", ("/nonexistent.ttc",))
    monkeypatch.setattr(platepics, "_FONT_ROOTS", ("/nonexistent",))
    platepics._font_path.cache_clear()
    platepics._glyph.cache_clear()
    platepics._drawn.cache_clear()
    try:
        with pytest.raises(ConfigError, match="fonts-noto-cjk"):
            draw_plate("粤E12345", PlateColour.BLUE)
    finally:
        platepics._font_path.cache_clear()


def test_a_frame_takes_less_than_30_ms_of_one_core() -> None:
    render_frame("粤E12345", PlateColour.BLUE, random.Random(1), condition="night")
    start = time.process_time()
    for seed in range(10):
        render_frame("粤E12345", PlateColour.BLUE, random.Random(seed), condition="night")
    assert (time.process_time() - start) / 10 < 0.030
