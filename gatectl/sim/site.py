"""The simulated hardware of a whole town, and the two threads that keep it moving.

Everything a gate can sense is here: bridges with arms, loops and locks, card readers, cameras. Traffic is played by
actors: generators that act on a lane and yield an `Until`, so that hundreds of people wait without a thread each.
"""

import random
import selectors
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

from gatectl.core.model import CredentialKey, InputName, LaneKind, PlateColour
from gatectl.sim.devices import Pty, SimReader
from gatectl.sim.mcu import SimLane, SimMcu
from gatectl.sim.plan import GatePlan, GatePorts, LanePlan
from gatectl.sim.platepics import Condition, encode_jpeg, render_frame

_TURN_S = 0.01
_JPEG_QUALITY = 88
_KEPT_PICTURES = 4


@dataclass(frozen=True, slots=True)
class Until:
    """What an actor waits for; it is sent True when it came, False when `timeout_s` went by first."""

    condition: Callable[[], bool]
    timeout_s: float


def pause(seconds: float) -> Until:
    """Wait for time alone."""
    return Until(lambda: False, seconds)


Actor = Generator[Until, bool, None]


class LaneStage:
    """One lane as the street sees it: what can be done to it, and what it was seen to do."""

    def __init__(self, plan: LanePlan, mcu: SimMcu, reader: SimReader | None, pictures: Path | None) -> None:
        self.plan = plan
        self.opened_ticks: list[int] = []
        """Monotonic ns of each closing of the OPEN relay, as seen at the relay."""
        self._mcu = mcu
        self.reader = reader
        """The reader on a serial port of its own; None where it is wired to the bridge."""
        self._pictures = pictures
        self._picture_number = 0

    def tap(self, key: CredentialKey) -> int:
        """Hold a card (`em:…`) to the lane's reader; returns the monotonic ns just before its bytes are written."""
        raw = key.removeprefix("em:")
        tick_ns = time.monotonic_ns()
        if self.reader is not None:
            self.reader.tap(raw)
        else:
            self._mcu.tap(self.plan.channel, wiegand26_bits(int(raw, 16)))
        return tick_ns

    def sense(self, name: InputName, is_active: bool) -> None:
        """A loop, a door contact or a button changes."""
        self._mcu.set_input(self.plan.channel, name, is_active)

    @property
    def is_arm_up(self) -> bool:
        """The arm's upper switch."""
        return self._mcu.lane(self.plan.channel).arm_is_up

    @property
    def is_arm_down(self) -> bool:
        """The arm's lower switch."""
        return self._mcu.lane(self.plan.channel).arm_is_down

    def photograph(self, text: str, colour: PlateColour, rng: random.Random, condition: Condition) -> int:
        """The camera takes a picture of the waiting car; returns the monotonic ns at which it can be read."""
        if self._pictures is None:
            raise ValueError(f"{self.plan.id} has no camera")
        frame, _ = render_frame(text, colour, rng, condition=condition)
        self._picture_number += 1
        name = f"{time.time_ns():020d}.jpg"
        hidden = self._pictures / f".{name}"
        hidden.write_bytes(encode_jpeg(frame, _JPEG_QUALITY))
        hidden.rename(self._pictures / name)
        tick_ns = time.monotonic_ns()
        for old in sorted(self._pictures.glob("[0-9]*.jpg"))[:-_KEPT_PICTURES]:
            old.unlink(missing_ok=True)
        return tick_ns


def wiegand26_bits(number: int) -> str:
    """The low 24 bits of a card number as a reader sends them: even parity, 24 bits, odd parity (PROTOCOLS 2)."""
    data = f"{number & 0xFFFFFF:024b}"
    even = data[:12].count("1") % 2
    odd = 1 - data[12:].count("1") % 2
    return f"{even}{data}{odd}"


@dataclass(slots=True)
class GateStage:
    """One gate's hardware."""

    plan: GatePlan
    ports: GatePorts
    lanes: dict[str, LaneStage]
    mcu: SimMcu
    ptys: list[Pty] = field(default_factory=list)

    def close(self) -> None:
        """Release every pty."""
        self.mcu.close()
        for pty in self.ptys:
            pty.close()


def build_gate(plan: GatePlan, folder: Path) -> GateStage:
    """Ptys, bridge, readers and camera folders of one gate."""
    bridge_pty = Pty()
    mcu = SimMcu(bridge_pty, tuple(SimLane(kind=lane.kind) for lane in plan.lanes))
    ptys = [bridge_pty]
    readers: dict[str, str] = {}
    cameras: dict[str, Path] = {}
    lanes: dict[str, LaneStage] = {}
    for lane in plan.lanes:
        reader = None
        if lane.reader == "rfid_serial":
            pty = Pty()
            ptys.append(pty)
            readers[lane.id] = pty.path
            reader = SimReader(pty)
        pictures = None
        if lane.kind is LaneKind.VEHICLE:
            pictures = cameras[lane.id] = folder / f"{lane.id}-camera"
            pictures.mkdir(parents=True, exist_ok=True)
            for old in pictures.glob("*.jpg"):
                old.unlink()
        lanes[lane.id] = LaneStage(lane, mcu, reader, pictures)
    stage = GateStage(plan, GatePorts(bridge_pty.path, readers, cameras), lanes, mcu, ptys)
    by_channel = {lane.plan.channel: lane for lane in lanes.values()}
    mcu.on_open = lambda channel, tick_ns: by_channel[channel].opened_ticks.append(tick_ns)
    return stage


@dataclass(slots=True)
class _Waiting:
    actor: Actor
    until: Until
    deadline: float


class Town:
    """All gates' hardware on one thread, and everybody who uses it on another."""

    def __init__(self, gates: tuple[GateStage, ...]) -> None:
        self.gates = gates
        self.lanes = {lane_id: lane for gate in gates for lane_id, lane in gate.lanes.items()}
        self.failure: BaseException | None = None
        self.is_frozen = False
        """The bridges stand still: they neither hear nor say anything."""
        self._waiting: list[_Waiting] = []
        self._arriving: list[Actor] = []
        self._playing = 0
        self._lock = threading.Lock()
        self._is_stopping = threading.Event()
        self._threads = (
            threading.Thread(target=self._run, args=(self._move_hardware,), name="town-hardware", daemon=True),
            threading.Thread(target=self._run, args=(self._play_actors,), name="town-actors", daemon=True),
        )

    def start(self) -> None:
        """Let time run."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads and release the ptys."""
        self._is_stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5.0)
        for gate in self.gates:
            gate.close()

    def send_in(self, actor: Actor) -> None:
        """Let an actor begin; callable from any thread."""
        with self._lock:
            self._arriving.append(actor)
            self._playing += 1

    @property
    def is_quiet(self) -> bool:
        """Every actor has ended."""
        with self._lock:
            return self._playing == 0

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - top of the thread: kept, and the demo ends with it
            self.failure = error

    def _move_hardware(self) -> None:
        """Bridges, apart from the actors: a picture that takes 30 ms to draw must not hold up a relay's time stamp."""
        with selectors.DefaultSelector() as selector:
            for gate in self.gates:
                selector.register(gate.mcu.fileno(), selectors.EVENT_READ)
            while not self._is_stopping.is_set():
                selector.select(_TURN_S)
                now_ns = time.monotonic_ns()
                for gate in () if self.is_frozen else self.gates:
                    gate.mcu.poll(now_ns)

    def _play_actors(self) -> None:
        while not self._is_stopping.wait(_TURN_S):
            self._step_actors()

    def _step_actors(self) -> None:
        with self._lock:
            arriving, self._arriving = self._arriving, []
        now = time.monotonic()
        still: list[_Waiting] = []
        for actor in arriving:
            self._advance(actor, None, still)
        for waiting in self._waiting:
            if waiting.until.condition():
                self._advance(waiting.actor, True, still)
            elif now >= waiting.deadline:
                self._advance(waiting.actor, False, still)
            else:
                still.append(waiting)
        self._waiting = still

    def _advance(self, actor: Actor, came: bool | None, still: list[_Waiting]) -> None:
        try:
            until = next(actor) if came is None else actor.send(came)
        except StopIteration:
            with self._lock:
                self._playing -= 1
            return
        still.append(_Waiting(actor, until, time.monotonic() + until.timeout_s))
