"""The vision process of one camera: `python -m gatectl.edge.lpr --source … --max-fps …`.

Orders come on stdin, reads and a beat a second go to stdout (`pipe`). It is a process of its own so that a hung
camera, a codec's crash or a leak can be killed without touching a barrier; it imports as little as it can.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from gatectl.core.model import PlateRead
from gatectl.core.plates import FrameRead, PlateVote
from gatectl.drivers.cv_camera import open_camera
from gatectl.drivers.ports import Camera, Frame
from gatectl.edge.pipe import Unpacker, pack
from gatectl.errors import FrameError, LinkError
from gatectl.vision import find_plates
from gatectl.vision.candidates import PlateCandidate
from gatectl.vision.overlay import picture_jpeg

VOTE_S = 2.5
"""A car waits no longer than this for its plate."""
GRACE_NS = 600_000_000
"""A frame taken this shortly before the order shows the same car: its presence was seen a moment after it."""
SURE = 0.90
SURE_FRAMES = 2
DEEP_AFTER_FRAMES = 3
"""Quick looks that found nothing before the slow one (0.5 s) is worth its time."""
_BEAT_S = 1.0
_REOPEN_S = 1.0
_IDLE_S = 0.05
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Taken:
    """A frame and the boot-time tick at which it came."""

    frame: Frame
    tick_ns: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A vote's end: the read, the best frame with its candidate, and when the last frame was taken."""

    read: PlateRead
    best: tuple[Frame, PlateCandidate | None] | None
    frame_tick_ns: int
    spent_ms: int


def tick_ns() -> int:
    """The daemon's own ticks: CLOCK_BOOTTIME is one for all processes."""
    return time.clock_gettime_ns(_BOOTTIME)


class Eye:
    """Camera, vision and vote. `take` is asked for frames and may raise LinkError."""

    def __init__(self, camera: Camera, now_ns: Callable[[], int] = tick_ns) -> None:
        self._camera = camera
        self._now_ns = now_ns
        self._newest: Taken | None = None

    def look(self) -> bool:
        """Take one frame and keep it as the newest; False when none came. Raises LinkError."""
        taken = self._take()
        if taken is not None:
            self._newest = taken
        return taken is not None

    def _take(self) -> Taken | None:
        frame = self._camera.read()
        return None if frame is None else Taken(frame, self._now_ns())

    def _kept(self, ordered_ns: int) -> Taken | None:
        """The idle look's last frame, once, when it is young enough to show the car of this order."""
        kept, self._newest = self._newest, None
        return kept if kept is not None and ordered_ns - kept.tick_ns <= GRACE_NS else None

    def vote(self, ordered_ns: int, beat: Callable[[], None]) -> Outcome:
        """Read frames no older than the order until the vote is sure or its time is over. Raises LinkError."""
        vote, start_ns = PlateVote(), self._now_ns()
        best: tuple[Frame, PlateCandidate | None] | None = None
        best_probability, last_ns, frames = -1.0, 0, 0
        waiting = self._kept(ordered_ns)
        while self._now_ns() - start_ns < VOTE_S * 1e9:
            beat()
            taken, waiting = waiting or self._take(), None
            if taken is None:
                continue
            frames += 1
            is_deep = frames > DEEP_AFTER_FRAMES and best_probability < 0
            candidates = find_plates(taken.frame, is_deep=is_deep)
            if not candidates:
                best = best or (taken.frame, None)
                continue
            plate, last_ns = candidates[0], taken.tick_ns
            vote.add(FrameRead(plate.text, plate.probs, plate.colour, plate.chars))
            if plate.confidence > best_probability:
                best, best_probability = (taken.frame, plate), plate.confidence
            read = vote.result()
            if read.frames >= SURE_FRAMES and read.confidence >= SURE:
                break
        spent_ms = (self._now_ns() - start_ns) // 1_000_000
        return Outcome(vote.result(), best, last_ns or self._now_ns(), spent_ms)


def read_to_json(read: PlateRead) -> dict[str, Any]:
    """A PlateRead for the pipe."""
    return {
        "text": read.text,
        "confidence": read.confidence,
        "colour": read.colour.value if read.colour is not None else None,
        "frames": read.frames,
        "chars": [[list(candidate) for candidate in vote.candidates] for vote in read.chars],
        "candidates": [list(candidate) for candidate in read.candidates],
    }


class Process:
    """The child's main loop."""

    def __init__(self, source: str, max_fps: float, orders: BinaryIO, out: BinaryIO) -> None:
        self._source = source
        self._max_fps = max_fps
        self._orders_in = orders
        self._out = out
        self._ordered_ns: int | None = None
        self._order_id = 0
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self._called = threading.Event()
        self._next_beat_s = 0.0
        self._camera_words: str | None = None

    def run(self) -> int:
        """Serve until stdin closes."""
        threading.Thread(target=self._hear, name="orders", daemon=True).start()
        while not self._gone.is_set():
            self._beat()
            try:
                camera = open_camera(self._source, self._max_fps)
            except LinkError as error:
                self._camera_state(is_ok=False, words=str(error))
                self._end_order_blind()
                self._called.wait(_REOPEN_S)
                self._called.clear()
                continue
            try:
                self._watch(Eye(camera))
            except LinkError as error:
                self._camera_state(is_ok=False, words=str(error))
                self._end_order_blind()
                self._gone.wait(_REOPEN_S)
            finally:
                camera.close()
        return 0

    def _hear(self) -> None:
        """The orders' thread: stdin blocks."""
        unpacker = Unpacker()
        descriptor = self._orders_in.fileno()
        try:
            while data := os.read(descriptor, 4096):
                for header, _blob in unpacker.feed(data):
                    if header.get("cmd") == "read":
                        with self._lock:
                            self._ordered_ns, self._order_id = tick_ns(), int(header.get("id", 0))
                        self._called.set()
        except (OSError, FrameError, ValueError) as error:
            print(f"lpr: orders: {error}", file=sys.stderr)
        self._gone.set()
        self._called.set()

    def _watch(self, eye: Eye) -> None:
        """Idle frames are taken and dropped, so that no earlier car's picture is left for the next one."""
        while not self._gone.is_set():
            self._beat()
            with self._lock:
                ordered_ns, order_id = self._ordered_ns, self._order_id
            if ordered_ns is None:
                if eye.look():
                    self._camera_state(is_ok=True, words="frames arrive")
                else:
                    self._called.wait(_IDLE_S)
                self._called.clear()
                continue
            outcome = eye.vote(ordered_ns, self._beat)
            with self._lock:
                if self._order_id == order_id:
                    self._ordered_ns = None
            self._send_outcome(order_id, outcome)

    def _end_order_blind(self) -> None:
        """No camera, no plate: the lane hears so at once and calls a person."""
        with self._lock:
            ordered_ns, order_id, self._ordered_ns = self._ordered_ns, self._order_id, None
        if ordered_ns is not None:
            nothing = PlateRead(text="", confidence=0.0, colour=None, frames=0)
            self._send_outcome(order_id, Outcome(nothing, None, tick_ns(), 0))

    def _send_outcome(self, order_id: int, outcome: Outcome) -> None:
        jpeg = picture_jpeg(*outcome.best) if outcome.best is not None else b""
        header = {
            "type": "plate",
            "id": order_id,
            "read": read_to_json(outcome.read),
            "frame_tick_ns": outcome.frame_tick_ns,
            "spent_ms": outcome.spent_ms,
        }
        self._send(header, jpeg)

    def _camera_state(self, *, is_ok: bool, words: str) -> None:
        if words != self._camera_words:
            self._camera_words = words
            self._send({"type": "camera", "is_ok": is_ok, "words": words[:300]})

    def _beat(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_beat_s:
            self._next_beat_s = now_s + _BEAT_S
            self._send({"type": "beat"})

    def _send(self, header: dict[str, Any], blob: bytes = b"") -> None:
        try:
            self._out.write(pack(header, blob))
            self._out.flush()
        except OSError:  # the daemon is gone
            self._gone.set()


def main(arguments: list[str] | None = None) -> int:
    """Run the child on its own stdin and stdout; whatever a library prints goes to stderr."""
    parser = argparse.ArgumentParser(prog="gatectl.edge.lpr")
    parser.add_argument("--source", required=True)
    parser.add_argument("--max-fps", type=float, default=8.0)
    options = parser.parse_args(arguments)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return Process(options.source, options.max_fps, sys.stdin.buffer, out).run()


if __name__ == "__main__":
    raise SystemExit(main())
