"""The vision process of a camera: asked, killed, restarted; and a car that opens a gate by its plate."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gatectl.core.model import LaneId, PlateColour
from gatectl.drivers.ports import DeviceState
from gatectl.edge.clock import SystemClock
from gatectl.edge.inbox import InboxItem, PlateArrived
from gatectl.edge.lpr_parent import LprParent
from gatectl.edge.shelf import PictureShelf
from gatectl.sim.platepics import Condition, encode_jpeg, render_frame


def until(is_true: Callable[[], bool], seconds: float = 15.0, what: str = "the condition") -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"{what} did not come true in time"
        time.sleep(0.01)


class Eyes:
    """A vision process on a folder, and all that it told."""

    def __init__(self, folder: Path, source: str = "") -> None:
        self.folder = folder / "camera"
        self.folder.mkdir()
        self.told: list[InboxItem] = []
        self.shelf = PictureShelf(folder / "pictures", "north")
        self.rng = random.Random(7)
        source = source or f"folder:{self.folder}"
        self.parent = LprParent("cam", LaneId("car-in"), source, 8.0, self.told.append, self.shelf, SystemClock())
        self.parent.start()

    def photograph(self, text: str, condition: Condition = "day") -> None:
        frame, _truth = render_frame(text, PlateColour.BLUE, self.rng, condition=condition)
        name = f"{time.time_ns():020d}.jpg"
        hidden = self.folder / f".{name}"
        hidden.write_bytes(encode_jpeg(frame, 88))
        hidden.rename(self.folder / name)

    def plates(self) -> list[PlateArrived]:
        return [item for item in self.told if isinstance(item, PlateArrived)]

    def states(self) -> list[bool]:
        return [item.is_ok for item in self.told if isinstance(item, DeviceState)]

    def read(self, text: str, condition: Condition = "day") -> PlateArrived:
        """Order a vote and show two pictures of the car."""
        before = len(self.plates())
        self.parent.read()
        self.photograph(text, condition)
        seen = time.monotonic()
        until(lambda: len(self.plates()) > before or time.monotonic() - seen > 0.3)
        self.photograph(text, condition)
        until(lambda: len(self.plates()) > before, what="the vote")
        return self.plates()[-1]


@pytest.fixture
def eyes(tmp_path: Path) -> Iterator[Eyes]:
    made = Eyes(tmp_path)
    until(lambda: made.parent._has_beaten, what="the first beat")
    yield made
    made.parent.stop()


def test_a_car_is_read_and_its_picture_kept(eyes: Eyes) -> None:
    arrived = eyes.read("粤E12345")
    assert arrived.plate.text == "粤E12345"
    assert arrived.plate.frames >= 2
    payload = eyes.shelf.payload(arrived.plate.picture_sha256, "e", 1)
    assert payload is not None
    jpeg = payload.partition(b"\0")[2]
    assert jpeg.startswith(b"\xff\xd8")
    assert len(jpeg) <= 100_000


def test_the_last_cars_picture_is_not_read_for_the_next_one(eyes: Eyes) -> None:
    assert eyes.read("粤E12345").plate.text == "粤E12345"
    eyes.photograph("粤E12345")  # a straggler of the first car
    shown = time.monotonic()
    until(lambda: time.monotonic() - shown > 1.0)
    before = len(eyes.plates())
    eyes.parent.read()
    until(lambda: len(eyes.plates()) > before)
    assert eyes.plates()[-1].plate.text == ""


def test_a_killed_vision_process_is_told_restarted_and_reads_again(eyes: Eyes) -> None:
    child = eyes.parent._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: False in eyes.states(), what="the failure")
    until(lambda: eyes.parent.counters["lpr_starts"] == 2 and eyes.parent._has_beaten, what="the restart")
    assert eyes.read("粤E12345").plate.text == "粤E12345"
    assert eyes.states()[-1] is True


def test_a_stopped_vision_process_is_killed_and_the_lane_does_not_wait(
    eyes: Eyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatectl.edge.lpr_parent.SILENCE_S", 1.5)
    monkeypatch.setattr("gatectl.edge.lpr_parent.ANSWER_S", 0.5)
    child = eyes.parent._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    eyes.parent.read()
    until(lambda: len(eyes.plates()) == 1, what="an answer in place of the child's")
    assert eyes.plates()[0].plate.text == ""
    until(lambda: eyes.parent.counters["lpr_kills"] == 1, what="the kill")


def test_a_dead_camera_is_told_and_every_order_is_answered(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path, source=str(tmp_path / "none.mp4"))
    until(lambda: False in eyes.states(), what="the failure")
    eyes.parent.read()
    until(lambda: len(eyes.plates()) == 1, what="the answer")
    assert eyes.plates()[0].plate.text == ""
    eyes.parent.stop()
