"""Cameras through OpenCV: a picture, a video, a folder of pictures, RTSP, MJPEG over HTTP, a V4L2 number.

A network camera that stalls is dropped, never trusted: OpenCV returns an old frame as a good one once or twice after
a stall, and an old handle never recovers. So any read over 1 s ends the source with LinkError, and the caller opens a
new one. Use one process per camera: OpenCV opens serialise within a process.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from gatectl.core.pictures import check_picture
from gatectl.drivers.ports import Camera, Frame
from gatectl.errors import LinkError

STALL_S = 1.0
"""A single read that took longer returns a stale frame or none."""
WAIT_S = 0.2
"""The longest that `read` waits for a new frame."""
_FRESH_S = 10.0
"""A picture that lay in the folder for longer than this before the source was opened shows no car of now."""
_OPEN_TIMEOUT_MS = 4000
_READ_TIMEOUT_MS = 1500
_HANG_S = 5.0
"""A read that has not come back after this long never will."""
_POLL_S = 0.02
_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_FFMPEG_OPTIONS = {
    "rtsp": "rtsp_transport;tcp|timeout;1500000|fflags;nobuffer|analyzeduration;200000|probesize;65536",
    "http": "timeout;1500000|fflags;nobuffer|analyzeduration;200000|probesize;1000000",
}


def open_camera(source: str, max_fps: float) -> Camera:
    """Open a source: a file, `folder:/path`, `rtsp://`, `http://`, or a V4L2 number. Blocks 4 s at most.

    Frames come no faster than `max_fps`. Raises LinkError when there is nothing to open.
    """
    cv2.setNumThreads(1)
    if source.startswith("folder:"):
        return FolderCamera(Path(source.removeprefix("folder:")), max_fps)
    scheme = source.partition("://")[0] if "://" in source else ""
    if scheme in {"rtsp", "rtsps", "http", "https"}:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = _FFMPEG_OPTIONS[scheme.removesuffix("s")]
        return StreamCamera(source, lambda: _open_network(source), max_fps)
    if source.isdigit():
        return StreamCamera(source, lambda: cv2.VideoCapture(int(source), cv2.CAP_V4L2), max_fps)
    path = Path(source.removeprefix("file:"))
    if not path.is_file():
        raise LinkError(f"camera {source}: no such file")
    if path.suffix.lower() in _PICTURES:
        return PictureCamera(path, max_fps)
    # What an earlier stream of this process asked for ("nobuffer") would lose a file's first frame.
    os.environ.pop("OPENCV_FFMPEG_CAPTURE_OPTIONS", None)
    return VideoCamera(path, max_fps)


def _open_network(source: str) -> cv2.VideoCapture:
    # The parameters count only with the backend named.
    return cv2.VideoCapture(
        source,
        cv2.CAP_FFMPEG,
        [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_TIMEOUT_MS),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_TIMEOUT_MS),
            *(cv2.CAP_PROP_N_THREADS, 1),
        ],
    )


def decode_frame(data: bytes) -> Frame:
    """A picture file's bytes as a frame; raises ValueError with words for anything that is no whole picture."""
    header = check_picture(data)
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f"the {header.format.upper()} file is damaged") from error
    if frame is None or frame.ndim != 3:
        raise ValueError(f"the {header.format.upper()} file is damaged")
    return np.asarray(frame, np.uint8)


class _Pace:
    """Keeps frames at least 1 / max_fps apart."""

    def __init__(self, max_fps: float) -> None:
        self._gap_s = 1.0 / max_fps
        self._next_s = 0.0

    def wait(self) -> bool:
        """Sleep until the next frame may be given; False when that is longer than a read may wait."""
        left_s = self._next_s - time.monotonic()
        if left_s > 0:
            time.sleep(min(left_s, WAIT_S))
        return left_s <= WAIT_S

    def given(self) -> None:
        """A frame was given just now."""
        self._next_s = time.monotonic() + self._gap_s


class PictureCamera:
    """One picture, given again and again: a still scene, for trying out."""

    def __init__(self, path: Path, max_fps: float) -> None:
        try:
            self._frame = decode_frame(path.read_bytes())
        except (OSError, ValueError) as error:
            raise LinkError(f"camera {path}: {error}") from error
        self._pace = _Pace(max_fps)

    def read(self) -> Frame | None:
        """The picture."""
        if not self._pace.wait():
            return None
        self._pace.given()
        return self._frame.copy()

    def close(self) -> None:
        """Nothing to release."""


class VideoCamera:
    """A recorded video, frame after frame; LinkError at its end."""

    def __init__(self, path: Path, max_fps: float) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise LinkError(f"camera {path}: is no video that can be read")
        self._pace = _Pace(max_fps)

    def read(self) -> Frame | None:
        """The next frame."""
        if not self._pace.wait():
            return None
        is_read, frame = self._capture.read()
        if not is_read:
            raise LinkError(f"camera {self._path}: the video is over")
        self._pace.given()
        return np.asarray(frame, np.uint8)

    def close(self) -> None:
        """Release the file."""
        self._capture.release()


class FolderCamera:
    """The newest picture by name in a folder; each is given once, older ones never, and nothing is deleted.

    The writer puts a file under another name first and renames it (`mv`), with names that sort by time. A damaged
    picture is skipped and counted in `skipped`.
    """

    def __init__(self, folder: Path, max_fps: float) -> None:
        self._folder = folder
        self._pace = _Pace(max_fps)
        self._last_name = ""
        self._seen_mtime_ns = -1
        self._seen_name: str | None = None
        self.skipped = 0
        newest = self._newest()
        if newest is not None and time.time() - self._age_base(newest) > _FRESH_S:
            self._last_name = newest

    def read(self) -> Frame | None:
        """The newest picture that was not given yet, or None after 0.2 s."""
        deadline_s = time.monotonic() + WAIT_S
        if not self._pace.wait():
            return None
        while True:
            frame = self._next()
            if frame is not None:
                self._pace.given()
                return frame
            if time.monotonic() >= deadline_s:
                return None
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Nothing to release."""

    def _next(self) -> Frame | None:
        name = self._newest()
        if name is None or name <= self._last_name:
            return None
        self._last_name = name
        try:
            return decode_frame((self._folder / name).read_bytes())
        except FileNotFoundError:  # the writer took it away in between
            return None
        except (OSError, ValueError):
            self.skipped += 1
            return None

    def _newest(self) -> str | None:
        try:
            mtime_ns = self._folder.stat().st_mtime_ns
            # The clock of a file system is coarse: a folder that changed just now may change again unseen.
            if mtime_ns == self._seen_mtime_ns and time.time_ns() - mtime_ns > 100_000_000:
                return self._seen_name
            with os.scandir(self._folder) as entries:
                names = [entry.name for entry in entries if _is_picture(entry.name)]
        except OSError as error:
            raise LinkError(f"camera folder {self._folder}: {error.strerror}") from error
        self._seen_mtime_ns, self._seen_name = mtime_ns, max(names, default=None)
        return self._seen_name

    def _age_base(self, name: str) -> float:
        try:
            return (self._folder / name).stat().st_mtime
        except OSError:
            return 0.0


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in _PICTURES


class StreamCamera:
    """A live stream, read by a thread of its own so that the latest frame wins and a hung read is seen."""

    def __init__(self, source: str, opener: Callable[[], cv2.VideoCapture], max_fps: float) -> None:
        self._source = source
        self._pace = _Pace(max_fps)
        self._fresh = threading.Condition()
        self._frame: Frame | None = None
        self._dead_words = ""
        self._is_closed = False
        self._read_since_s = time.monotonic()
        self._capture = opener()
        if not self._capture.isOpened():
            self._capture.release()
            raise LinkError(f"camera {source}: does not answer")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._read_since_s = time.monotonic()
        self._thread = threading.Thread(target=self._grab, name="camera", daemon=True)
        self._thread.start()

    def read(self) -> Frame | None:
        """The newest frame, or None after 0.2 s. Raises LinkError once the stream stalled or ended."""
        if not self._pace.wait():
            return None
        with self._fresh:
            self._fresh.wait_for(lambda: self._frame is not None or self._dead_words, timeout=WAIT_S)
            if self._dead_words:
                raise LinkError(self._dead_words)
            frame, self._frame = self._frame, None
            if frame is None and time.monotonic() - self._read_since_s > _HANG_S:
                raise LinkError(f"camera {self._source}: no frame for {_HANG_S:.0f} s")
        if frame is not None:
            self._pace.given()
        return frame

    def close(self) -> None:
        """Let the thread end and release the stream; a thread that hangs in a read is left behind as a daemon."""
        self._is_closed = True
        self._thread.join(timeout=2.0)

    def _grab(self) -> None:
        is_flowing = False
        while not self._is_closed:
            self._read_since_s = start_s = time.monotonic()
            is_read, frame = self._capture.read()
            spent_s = time.monotonic() - start_s
            # The first frame waits for the stream's next key frame.
            if not is_read or spent_s > (STALL_S if is_flowing else STALL_S * 4):
                words = "the stream ended" if spent_s <= STALL_S else f"stalled for {spent_s:.1f} s"
                with self._fresh:
                    self._frame = None
                    self._dead_words = f"camera {self._source}: {words}"
                    self._fresh.notify_all()
                break
            is_flowing = True
            with self._fresh:
                self._frame = np.asarray(frame, np.uint8)
                self._fresh.notify_all()
        self._capture.release()
