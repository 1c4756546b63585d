"""The daemon's side of one vision process: starts it, asks it, kills it when it hangs, and takes what it saw."""

import os
import select
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, monotonic_ns
from typing import Any

from gatectl.core.model import CharVote, LaneId, PlateColour, PlateRead
from gatectl.drivers.ports import Clock, DeviceState
from gatectl.edge.inbox import InboxItem, PlateArrived
from gatectl.edge.pipe import Unpacker, pack
from gatectl.edge.shelf import PictureShelf
from gatectl.errors import FrameError
from gatectl.logs import get_logger

SILENCE_S = 10.0
"""A child that sends nothing for so long hangs: it is killed."""
START_S = 30.0
"""Loading a model on a busy Pi may take this long before the first beat."""
ANSWER_S = 5.0
STARTS_A_MINUTE = 5
_BACK_OFF_S = 30.0
_POLL_S = 0.2

_log = get_logger(__name__)
NOTHING = PlateRead(text="", confidence=0.0, colour=None, frames=0)


def read_from_json(fields: dict[str, Any], picture_sha256: str) -> PlateRead:
    """The child's PlateRead. Raises ValueError, KeyError or TypeError for anything else."""
    colour = fields["colour"]
    return PlateRead(
        text=str(fields["text"]),
        confidence=float(fields["confidence"]),
        colour=PlateColour(colour) if colour is not None else None,
        frames=int(fields["frames"]),
        chars=tuple(CharVote(tuple((str(text), float(share)) for text, share in vote)) for vote in fields["chars"]),
        candidates=tuple((str(text), float(share)) for text, share in fields["candidates"]),
        picture_sha256=picture_sha256,
    )


class LprParent:
    """One camera's child and the thread that listens to it."""

    def __init__(
        self,
        name: str,
        lane: LaneId,
        source: str,
        max_fps: float,
        put: Callable[[InboxItem], None],
        shelf: PictureShelf,
        clock: Clock,
    ) -> None:
        self.name = name
        self._lane = lane
        self._command = [
            sys.executable,
            "-m",
            "gatectl.edge.lpr",
            f"--source={source}",
            f"--max-fps={max_fps}",
        ]
        self._put = put
        self._shelf = shelf
        self._clock = clock
        self._child: subprocess.Popen[bytes] | None = None
        self._unpacker = Unpacker()
        self._lock = threading.Lock()
        self._order_id = 0
        self._asked_s: float | None = None
        self._starts_s: deque[float] = deque()
        self._not_before_s = 0.0
        self._heard_s = 0.0
        self._has_beaten = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lpr-{name}", daemon=True)
        self._beat_ns = monotonic_ns()
        self.counters = {"lpr_starts": 0, "lpr_kills": 0, "lpr_reads": 0, "lpr_late": 0}

    def start(self) -> None:
        """Start the thread, which starts the child."""
        self._thread.start()

    def stop(self) -> None:
        """End the child and the thread within 2 s. Safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
        self._end_child()

    def beat_ns(self) -> int:
        """Monotonic ns of the pump thread's last turn."""
        return self._beat_ns

    def read(self) -> None:
        """Ask for a fresh vote; an older order that is still open ends with the newer one's answer."""
        with self._lock:
            self._order_id += 1
            self._asked_s = monotonic()
            order_id, child = self._order_id, self._child
        if child is not None:
            self._order(child, order_id)

    def _order(self, child: subprocess.Popen[bytes], order_id: int) -> None:
        if child.stdin is None:
            return
        try:
            os.write(child.stdin.fileno(), pack({"cmd": "read", "id": order_id}))
        except (OSError, ValueError) as error:
            _log.warning("lpr.not_asked", camera=self.name, words=str(error))

    # --- the pump thread ---

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._beat_ns = monotonic_ns()
            if self._child is None and not self._start_child():
                self._answer_late()
                self._stopping.wait(_POLL_S)
                continue
            self._listen()
            self._answer_late()
        self._end_child()

    def _start_child(self) -> bool:
        now_s = monotonic()
        while self._starts_s and now_s - self._starts_s[0] > 60:
            self._starts_s.popleft()
        if now_s < self._not_before_s:
            return False
        if len(self._starts_s) >= STARTS_A_MINUTE:
            self._not_before_s = now_s + _BACK_OFF_S
            self._state(is_ok=False, words=f"{STARTS_A_MINUTE} restarts in a minute: waiting {_BACK_OFF_S:.0f} s")
            return False
        self._starts_s.append(now_s)
        try:
            child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            self._state(is_ok=False, words=f"cannot be started: {error.strerror}")
            return False
        self.counters["lpr_starts"] += 1
        self._unpacker, self._heard_s, self._has_beaten = Unpacker(), now_s, False
        with self._lock:
            self._child = child
            open_order = self._order_id if self._asked_s is not None else 0
        if open_order:
            self._order(child, open_order)
        return True

    def _listen(self) -> None:
        child = self._child
        if child is None or child.stdout is None:
            return
        descriptor = child.stdout.fileno()
        readable, _, _ = select.select([descriptor], [], [], _POLL_S)
        if not readable:
            if monotonic() - self._heard_s > (SILENCE_S if self._has_beaten else START_S):
                self._lost(f"silent for {monotonic() - self._heard_s:.0f} s: killed")
            return
        data = os.read(descriptor, 65536)
        if not data:
            self._lost(f"ended with code {child.wait(1.0) if child.poll() is None else child.returncode}")
            return
        self._heard_s = monotonic()
        try:
            for header, blob in self._unpacker.feed(data):
                self._take(header, blob)
        except (FrameError, KeyError, TypeError, ValueError) as error:
            self._lost(f"spoke nonsense: {error}")

    def _take(self, header: dict[str, Any], blob: bytes) -> None:
        kind = header["type"]
        if kind == "beat":
            self._has_beaten = True
        elif kind == "camera":
            self._state(is_ok=bool(header["is_ok"]), words=str(header["words"]))
        elif kind == "plate":
            with self._lock:
                if self._asked_s is None or int(header["id"]) != self._order_id:
                    return
                self._asked_s = None
            self.counters["lpr_reads"] += 1
            sha256 = self._shelf.keep(blob) if blob else ""
            read = read_from_json(header["read"], sha256)
            self._put(PlateArrived(self._lane, self.name, read, int(header["frame_tick_ns"])))

    def _answer_late(self) -> None:
        """A lane is never left waiting: a child that does not answer counts as a plate that was not read."""
        with self._lock:
            if self._asked_s is None or monotonic() - self._asked_s < ANSWER_S:
                return
            self._asked_s = None
        self.counters["lpr_late"] += 1
        self._put(PlateArrived(self._lane, self.name, replace(NOTHING), self._clock.tick_ns()))

    def _lost(self, words: str) -> None:
        self.counters["lpr_kills"] += 1
        self._end_child()
        if not self._stopping.is_set():
            self._state(is_ok=False, words=f"vision process {words}")

    def _end_child(self) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
        try:
            child.wait(1.0)
        except subprocess.TimeoutExpired:  # in an uninterruptible camera driver; nothing more can be done
            _log.error("lpr.unkillable", camera=self.name, pid=child.pid)

    def _state(self, *, is_ok: bool, words: str) -> None:
        self._put(DeviceState(self.name, is_ok, words, self._clock.tick_ns()))
