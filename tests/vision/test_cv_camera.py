"""The camera driver on files, folders, a real HTTP stream and sources that die."""

import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from gatectl.core.model import PlateColour
from gatectl.drivers.cv_camera import FolderCamera, StreamCamera, decode_frame, open_camera
from gatectl.drivers.ports import Camera, Frame
from gatectl.errors import LinkError
from gatectl.sim.platepics import encode_jpeg, render_frame

_SERVER = """
import socket, sys, time
picture = open(sys.argv[1], "rb").read()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    try:
        peer.recv(65536)
        peer.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Type: multipart/x-mixed-replace; boundary=cut\\r\\n\\r\\n")
        for number in range(int(sys.argv[2])):
            head = b"--cut\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(picture)
            peer.sendall(head + picture + b"\\r\\n")
            time.sleep(0.02)
        if sys.argv[3] == "hang":
            time.sleep(60)
    except OSError:
        pass
    peer.close()
"""


def _picture(shade: int) -> bytes:
    return encode_jpeg(np.full((54, 96, 3), shade, np.uint8))


def _put(folder: Path, name: str, data: bytes) -> None:
    """As the writer of a folder source must: under another name first, then renamed."""
    (folder / f".{name}.part").write_bytes(data)
    (folder / f".{name}.part").rename(folder / name)


def _shade(frame: Frame | None) -> int | None:
    return None if frame is None else round(float(frame.mean()))


def _until(camera: Camera, is_it: Callable[[Frame], bool], deadline_s: float = 5.0) -> Frame:
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        frame = camera.read()
        if frame is not None and is_it(frame):
            return frame
    raise AssertionError("no such frame in time")


def _read_for(camera: Camera, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        camera.read()


def _dies(camera: Camera, deadline_s: float = 8.0) -> str:
    with pytest.raises(LinkError) as caught:
        _read_for(camera, deadline_s)
    return str(caught.value)


def test_the_newest_picture_of_a_folder_is_given_once(tmp_path: Path) -> None:
    with closing(open_camera(f"folder:{tmp_path}", 30)) as camera:
        assert camera.read() is None
        _put(tmp_path, "0001.jpg", _picture(40))
        _put(tmp_path, "0002.jpg", _picture(90))
        assert _shade(camera.read()) == 90
        assert camera.read() is None
        _put(tmp_path, "0003.jpg", _picture(160))
        assert _shade(camera.read()) == 160
        assert sorted(path.name for path in tmp_path.iterdir()) == ["0001.jpg", "0002.jpg", "0003.jpg"]


def test_an_older_name_that_appears_late_is_never_given(tmp_path: Path) -> None:
    with closing(open_camera(f"folder:{tmp_path}", 30)) as camera:
        _put(tmp_path, "0005.jpg", _picture(90))
        assert _shade(camera.read()) == 90
        _put(tmp_path, "0004.jpg", _picture(40))
        assert camera.read() is None


def test_a_fresh_picture_that_lies_there_already_is_given(tmp_path: Path) -> None:
    _put(tmp_path, "0001.jpg", _picture(70))
    with closing(open_camera(f"folder:{tmp_path}", 30)) as camera:
        assert _shade(camera.read()) == 70
        assert camera.read() is None


def test_a_stale_picture_shows_no_car_of_now(tmp_path: Path) -> None:
    import os

    _put(tmp_path, "0001.jpg", _picture(70))
    os.utime(tmp_path / "0001.jpg", (time.time() - 60, time.time() - 60))
    with closing(open_camera(f"folder:{tmp_path}", 30)) as camera:
        assert camera.read() is None
        _put(tmp_path, "0002.jpg", _picture(90))
        assert _shade(camera.read()) == 90


@pytest.mark.parametrize("content", [b"", b"no picture at all", _picture(50)[:200], _picture(50)[:-40]])
def test_a_damaged_picture_is_skipped_and_counted(tmp_path: Path, content: bytes) -> None:
    camera = FolderCamera(tmp_path, 30)
    _put(tmp_path, "0001.jpg", content)
    assert camera.read() is None
    assert camera.skipped == 1
    _put(tmp_path, "0002.jpg", _picture(90))
    assert _shade(camera.read()) == 90


def test_a_half_written_name_is_not_looked_at(tmp_path: Path) -> None:
    camera = FolderCamera(tmp_path, 30)
    (tmp_path / ".0001.jpg").write_bytes(_picture(50))
    (tmp_path / "0001.jpg.part").write_bytes(_picture(50))
    assert camera.read() is None
    assert camera.skipped == 0


def test_a_folder_that_vanishes_is_a_dead_source(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    with closing(open_camera(f"folder:{folder}", 30)) as camera:
        folder.rmdir()
        assert "No such file" in _dies(camera)


@pytest.mark.parametrize(
    "source", ["folder:/nonexistent/frames", "/nonexistent.jpg", "/nonexistent.mp4", "http://127.0.0.1:9/x", "91"]
)
def test_a_source_that_is_not_there_raises_link_error(source: str) -> None:
    with pytest.raises(LinkError):
        open_camera(source, 8)


def test_a_picture_file_is_given_again_and_again(tmp_path: Path) -> None:
    frame, _ = render_frame("粤E12345", PlateColour.BLUE, random.Random(1))
    path = tmp_path / "still.jpg"
    path.write_bytes(encode_jpeg(frame))
    with closing(open_camera(str(path), 30)) as camera:
        first, second = camera.read(), camera.read()
    assert first is not None
    assert second is not None
    assert first.shape == (540, 960, 3)
    assert np.array_equal(first, second)


def test_a_text_file_named_as_a_picture_is_refused_with_words(tmp_path: Path) -> None:
    path = tmp_path / "still.jpg"
    path.write_text("hello, this is no picture")
    with pytest.raises(LinkError, match="no JPEG"):
        open_camera(str(path), 8)


def test_a_video_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 54))
    for shade in (40, 90, 140):
        writer.write(np.full((54, 96, 3), shade, np.uint8))
    writer.release()
    with closing(open_camera(str(path), 30)) as camera:
        for shade in (40, 90, 140):
            assert _shade(_until(camera, lambda _: True)) == pytest.approx(shade, abs=3)
        assert "over" in _dies(camera)


def test_frames_come_no_faster_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    ok, data = cv2.imencode(".png", np.full((54, 96, 3), 90, np.uint8))
    assert ok
    path.write_bytes(data.tobytes())
    with closing(open_camera(str(path), 20)) as camera:
        start_s = time.monotonic()
        for _ in range(5):
            _until(camera, lambda _: True)
        assert time.monotonic() - start_s >= 4 / 20


def test_a_cut_off_picture_never_becomes_a_frame() -> None:
    data = encode_jpeg(render_frame("粤E12345", PlateColour.BLUE, random.Random(1))[0])
    for share in (0.05, 0.5, 0.95):
        with pytest.raises(ValueError, match="cut off"):
            decode_frame(data[: int(len(data) * share)])


@contextmanager
def _http_stream(picture: Path, frames: int, end: str) -> Iterator[str]:
    command = [sys.executable, "-c", _SERVER, str(picture), str(frames), end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/video"
        finally:
            server.kill()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "frame.jpg"
    path.write_bytes(encode_jpeg(render_frame("粤E12345", PlateColour.BLUE, random.Random(1))[0]))
    return path


def test_an_mjpeg_stream_over_http_is_read(picture: Path) -> None:
    with _http_stream(picture, 2000, "close") as url, closing(open_camera(url, 8)) as camera:
        frame = _until(camera, lambda _: True)
        assert frame.shape == (540, 960, 3)


def test_a_stream_that_ends_is_a_dead_source(picture: Path) -> None:
    with _http_stream(picture, 60, "close") as url, closing(open_camera(url, 30)) as camera:
        _until(camera, lambda _: True)
        assert _dies(camera).startswith(f"camera {url}")


def test_a_stream_that_stalls_is_a_dead_source_within_seconds(picture: Path) -> None:
    with _http_stream(picture, 60, "hang") as url, closing(open_camera(url, 30)) as camera:
        _until(camera, lambda _: True)
        start_s = time.monotonic()
        _dies(camera, deadline_s=12)
        assert time.monotonic() - start_s < 10


def test_a_black_hole_is_given_up_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start_s = time.monotonic()
        with pytest.raises(LinkError):
            open_camera(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/", 8)
        assert time.monotonic() - start_s < 12


class _SlowCapture:
    """An OpenCV capture that hands out an old frame as a good one after a stall, as the real one does."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._count = 0

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def set(self, *_: object) -> bool:
        return True

    def release(self) -> None:
        pass

    def read(self) -> tuple[bool, Frame]:
        self._count += 1
        if self._count == 3:
            time.sleep(self._stall_s)  # the stall itself is what is tested
        return True, np.full((54, 96, 3), 90, np.uint8)


def test_the_old_frame_after_a_stall_is_dropped() -> None:
    camera = StreamCamera("fake", lambda: _SlowCapture(1.2), 30)  # type: ignore[arg-type,return-value]  # a fake capture
    assert "stalled" in _dies(camera)
    camera.close()
