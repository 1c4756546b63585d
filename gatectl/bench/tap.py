"""`gatectl bench tap`: from a card's last byte to the relay's order on the bridge's wire, through a whole daemon.

250,000 credentials are loaded, every answer is committed to the journal (WAL, FULL) before its opening, and the vision
process reads pictures all the while. The protocol's own time (a Wiegand frame's pulses, OSDP's poll) is not ours and
not in the figure of `rfid_serial` and `mcu_bridge`; OSDP's is all in, because the poll cannot be told apart.
"""

import contextlib
import json
import os
import pty
import random
import selectors
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gatectl.bench.process import percentiles
from gatectl.core.model import AccessLevel, CredentialKey, Grant, GrantState, InputName, LaneId, LaneKind, PlateColour
from gatectl.drivers.osdp_files import osdp_folder
from gatectl.drivers.osdp_keys import key_path, new_key, store_key
from gatectl.edge.replica_store import ReplicaStand, ReplicaStore
from gatectl.errors import LinkError
from gatectl.sim.devices import Pty, SimReader
from gatectl.sim.mcu import SimLane, SimMcu
from gatectl.sim.platepics import encode_jpeg, render_frame
from gatectl.sim.site import wiegand26_bits
from gatectl.wire.bridge_frames import Deframer
from gatectl.wire.bridge_ids import CardRead, Input, Pulse, Relay
from gatectl.wire.replica import SetHash
from gatectl.wire.rows import decode_row, encode_row, grant_row, row_key, ruling_row

CREDENTIALS = 250_000
TAPS = 60
BURST, BURST_EACH_S = 1000, 0.02
_FIRST = 0x100000
_LANES = frozenset({LaneId("walk"), LaneId("car")})
_FIRMWARE = Path(__file__).parents[2] / "firmware_bridge"
_FREE_LINE = 128
"""A supervised line at rest, by the bench's scale."""
_JPEG_QUALITY = 88

Say = Callable[[str], None]


def run(taps: int = TAPS, credentials: int = CREDENTIALS, say: Say = lambda _words: None) -> dict[str, Any]:
    """The figures of each kind of reader; one that cannot be tried here says why."""
    found: dict[str, Any] = {"credentials": credentials}
    with tempfile.TemporaryDirectory(prefix="gatectl-tap-") as name:
        folder = Path(name)
        say(f"making a list of {credentials} credentials")
        replica = folder / "acl.db"
        _fill(replica, credentials)
        for transport, made in _TRANSPORTS.items():
            say(transport)
            place = folder / transport
            (place / "data").mkdir(parents=True)
            shutil.copy(replica, place / "data" / "acl.db")
            try:
                with made(place) as stand:
                    found[transport] = percentiles_ms(_measure(stand, taps))
                    if transport == "rfid_serial":
                        say("burst")
                        found["burst"] = _burst(stand)
            except LinkError as error:
                found[transport] = {"not_tried": str(error)[:300]}
    return found


def percentiles_ms(samples: list[float]) -> dict[str, float]:
    """As the bench prints them."""
    figures = percentiles(samples, 2)
    return {"p50_ms": figures["p50"], "p99_ms": figures["p99"], "max_ms": figures["max"], "taps": len(samples)}


def card(index: int) -> CredentialKey:
    """A card of the list; its low 24 bits are its own, for Wiegand readers."""
    return CredentialKey(f"em:{_FIRST + index:010X}")


def _fill(path: Path, credentials: int) -> None:
    rows = [encode_row(ruling_row("level", AccessLevel("all", _LANES)))]
    rows += [
        encode_row(grant_row(Grant(card(number), GrantState.ACTIVE, ("all",), f"p{number}")))
        for number in range(credentials)
    ]
    total = SetHash()
    for row in rows:
        total.add(row)
    store = ReplicaStore(path)
    store.open()
    keyed = {row_key(decode_row(row)): row for row in rows}
    store.replace(keyed, ReplicaStand("bench", 1, total.hex(), len(rows), int(time.time()), 0))
    store.close()


# --- a gate and its wires ---


class Stand:
    """A daemon, what is wired to it, and the moments on its wires (monotonic ns)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[int] = []
        """The last byte of a card's frame, where it comes over the bridge."""
        self.ordered: list[int] = []
        """An OPEN order for the walk lane."""
        self.tap: Callable[[int], int] = lambda _index: 0
        """Hold card `index` to the reader; the ns of its last byte, 0 = see `heard`."""


def _measure(stand: Stand, taps: int) -> list[float]:
    """Milliseconds a tap, one every 300 ms."""
    found = []
    for number in range(taps):
        ordered, heard = len(stand.ordered), len(stand.heard)
        tick_ns = stand.tap(number * 7)
        _until(lambda count=ordered: len(stand.ordered) > count, "an order to open")  # type: ignore[misc]
        began_ns = tick_ns or stand.heard[heard]
        found.append((stand.ordered[ordered] - began_ns) / 1e6)
        time.sleep(0.3)
    return found


def _burst(stand: Stand) -> dict[str, Any]:
    """1,000 cards, one each 20 ms: every one of them must be answered."""
    before = _answers(stand)
    next_s = time.monotonic()
    for number in range(BURST):
        stand.tap(1000 + number)
        next_s += BURST_EACH_S
        time.sleep(max(0.0, next_s - time.monotonic()))
    deadline_s = time.monotonic() + 30
    while _answers(stand) - before < BURST and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return {"taps": BURST, "each_ms": BURST_EACH_S * 1000, "lost": BURST - (_answers(stand) - before)}


def _answers(stand: Stand) -> int:
    path = stand.folder / "data" / "edge.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as journal:
        query = 'SELECT count(*) FROM journal WHERE body LIKE \'%"kind":"access"%"lane":"walk"%\''
        return int(journal.execute(query).fetchone()[0])


def _until(is_true: Callable[[], bool], what: str, patience_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + patience_s
    while not is_true():
        if time.monotonic() > deadline_s:
            raise LinkError(f"{what} did not come")
        time.sleep(0.0005)


@contextmanager
def _gate(stand: Stand, bridge: str, reader: str) -> Iterator[None]:
    """The daemon, with a camera that has always something to read."""
    pictures = stand.folder / "camera"
    pictures.mkdir()
    (stand.folder / "edge.toml").write_text(
        f'gate = "bench"\nsite = "bench"\ndata_dir = "{stand.folder / "data"}"\nsite_key = "{"A" * 43}="\n'
        "[broker]\nport = 1\n"
        f'[[devices]]\nname = "bridge"\ndriver = "mcu"\nport = "{bridge}"\n'
        '[[lanes]]\nid = "walk"\nkind = "pedestrian"\ndirection = "in"\nbarrier = "bridge"\nchannel = 0\n'
        'on_power_loss = "fail_safe"\n'
        '[[lanes]]\nid = "car"\nkind = "vehicle"\ndirection = "in"\nbarrier = "bridge"\nchannel = 1\n'
        'on_power_loss = "fail_safe"\n'
        f'[[readers]]\nname = "post"\nlane = "walk"\nrepeat_s = 0.0\n{reader}\n'
        f'[[cameras]]\nname = "eye"\nlane = "car"\nsource = "folder:{pictures}"\n',
        encoding="utf-8",
    )
    log = (stand.folder / "edge.log").open("ab")
    command = [sys.executable, "-m", "gatectl.edge.daemon", "--config", str(stand.folder / "edge.toml")]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    is_over = threading.Event()
    shooter = threading.Thread(target=_photograph, args=(pictures, is_over), daemon=True)
    shooter.start()
    try:
        ready = stand.folder / "data" / "ready"
        _until(lambda: ready.exists() or process.poll() is not None, "the daemon", 60)
        if process.poll() is not None:
            raise LinkError((stand.folder / "edge.log").read_text(encoding="utf-8", errors="replace")[-300:])
        time.sleep(2.0)  # the vision process loads its reader
        yield
    finally:
        is_over.set()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
        log.close()
        shooter.join(5)


def _photograph(pictures: Path, is_over: threading.Event) -> None:
    """Eight pictures a second of a car that nobody knows."""
    rng = random.Random(1)  # noqa: S311 - a repeatable picture
    plates = [f"粤B{number}2345" for number in range(4)]
    frames = [
        encode_jpeg(render_frame(plate, PlateColour.BLUE, rng, condition="day")[0], _JPEG_QUALITY) for plate in plates
    ]
    number = 0
    while not is_over.wait(0.125):
        number += 1
        hidden = pictures / f".{number:08d}.jpg"
        hidden.write_bytes(frames[number % len(frames)])
        hidden.rename(pictures / f"{number:08d}.jpg")
        if number > 8:
            (pictures / f"{number - 8:08d}.jpg").unlink(missing_ok=True)


@contextmanager
def _sim_bridge(stand: Stand) -> Iterator[str]:
    """A simulated bridge; its OPEN order is noted when its frame is there."""
    line = Pty()

    def opened(channel: int, tick_ns: int) -> None:
        if channel == 0:
            stand.ordered.append(tick_ns)

    mcu = SimMcu(line, (SimLane(LaneKind.PEDESTRIAN), SimLane(LaneKind.VEHICLE)), on_open=opened)
    is_over = threading.Event()

    def move() -> None:
        while not is_over.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(mcu.fileno(), selectors.EVENT_READ)
                selector.select(0.005)
            mcu.poll(time.monotonic_ns())

    thread = threading.Thread(target=move, daemon=True)
    thread.start()
    mcu.set_input(1, InputName.PRESENCE, True)  # a car stands there, so that the camera is looked at
    try:
        yield line.path
    finally:
        is_over.set()
        thread.join(2)
        mcu.close()


@contextmanager
def _rfid(folder: Path) -> Iterator[Stand]:
    stand = Stand(folder)
    with _sim_bridge(stand) as bridge, Pty() as line:
        reader = SimReader(line, 1)

        def tap(index: int) -> int:
            reader.tap(card(index).removeprefix("em:"))
            return time.monotonic_ns()

        stand.tap = tap
        with _gate(stand, bridge, f'driver = "rfid_serial"\nport = "{line.path}"'):
            yield stand


@contextmanager
def _osdp(folder: Path) -> Iterator[Stand]:
    """libosdp's own reader role on the other end of the line, over a secure channel."""
    stand = Stand(folder)
    key = new_key()
    store_key(key_path(osdp_folder(folder / "data"), "post"), key)
    with _sim_bridge(stand) as bridge, _joined() as (near, far):
        command = [sys.executable, "-m", "gatectl.sim.osdp_pd", far, "--address", "1", "--key", key.hex()]
        reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        secure = threading.Event()
        threading.Thread(target=_watch_secure, args=(reader.stdout, secure), daemon=True).start()

        def tap(index: int) -> int:
            bits = wiegand26_bits(_FIRST + index)
            data = int(bits.ljust(32, "0"), 2).to_bytes(4, "big").hex()
            if reader.stdin is not None:
                reader.stdin.write(f"card 26 {data}\n")
                reader.stdin.flush()
            return time.monotonic_ns()

        stand.tap = tap
        try:
            with _gate(stand, bridge, f'driver = "osdp"\nport = "{near}"\naddress = 1\nformat = "w26"'):
                if not secure.wait(30):
                    raise LinkError("the secure channel did not come up")
                time.sleep(1)
                yield stand
        finally:
            reader.kill()
            reader.wait()


def _watch_secure(lines: IO[str] | None, secure: threading.Event) -> None:
    for line in lines or ():
        with contextlib.suppress(ValueError):
            if json.loads(line).get("secure"):
                secure.set()


Heard = Callable[[bytes], object]


def _nothing(_data: bytes) -> None:
    """Nobody listens."""


@contextmanager
def _joined(on_near: Heard = _nothing, on_far: Heard = _nothing, far_path: str = "") -> Iterator[tuple[str, str]]:
    """Two ports joined by a thread, which hands on what passes: (the gate's, the other's)."""
    near_master, near_slave = pty.openpty()
    tty.setraw(near_slave)
    if far_path:
        far_master, far_slave = os.open(far_path, os.O_RDWR | os.O_NOCTTY), -1
        tty.setraw(far_master)
    else:
        far_master, far_slave = pty.openpty()
        tty.setraw(far_slave)
    is_over = threading.Event()

    def carry() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(near_master, selectors.EVENT_READ)
            selector.register(far_master, selectors.EVENT_READ)
            while not is_over.is_set():
                for found, _ in selector.select(0.05):
                    data = os.read(found.fd, 4096)
                    is_near = found.fd == near_master
                    (on_near if is_near else on_far)(data)
                    os.write(far_master if is_near else near_master, data)

    thread = threading.Thread(target=carry, daemon=True)
    thread.start()
    try:
        yield os.ttyname(near_slave), os.ttyname(far_slave) if far_slave >= 0 else far_path
    finally:
        is_over.set()
        thread.join(2)
        for descriptor in (near_master, near_slave, far_master, far_slave):
            if descriptor >= 0:
                os.close(descriptor)


@contextmanager
def _firmware(folder: Path) -> Iterator[Stand]:
    """The released image in simavr; both directions of its line are watched."""
    bench, image = _FIRMWARE / "build" / "bench_avr", _FIRMWARE / "release" / "gatectl-bridge-atmega328p.hex"
    if not bench.exists() and shutil.which("avr-gcc") and (_FIRMWARE / "Makefile").exists():
        subprocess.run(["make", "-C", str(_FIRMWARE), "bench"], check=False, capture_output=True)
    if not bench.exists():
        raise LinkError("no emulator here: `make -C firmware_bridge bench` needs libsimavr-dev and gcc-avr")
    stand = Stand(folder)
    up, down = Deframer(), Deframer()

    def from_bridge(data: bytes) -> None:
        stand.heard += [time.monotonic_ns() for message, _ in up.feed(data) if isinstance(message, CardRead)]

    def to_bridge(data: bytes) -> None:
        for message, _ in down.feed(data):
            if isinstance(message, Pulse) and message.relay is Relay.OPEN and message.channel == 0:
                stand.ordered.append(time.monotonic_ns())

    board = subprocess.Popen(
        [str(bench), str(image), "--pty"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    if board.stdin is None or board.stdout is None:
        raise LinkError("the emulator has no pipes")
    orders = board.stdin
    port = board.stdout.readline().split()[-1]
    threading.Thread(target=lambda: [None for _ in board.stdout or ()], daemon=True).start()

    def do(command: str) -> None:
        orders.write(command + "\n")
        orders.flush()

    for number in (Input.SAFETY, Input.FIRE):
        do(f"line {int(number)} {_FREE_LINE}")
    do(f"contact 0 {int(Input.TAMPER)} 1")
    do(f"contact 1 {int(Input.PRESENCE)} 1")

    def tap(index: int) -> int:
        do(f"card 0 {wiegand26_bits(_FIRST + index)} 50 1000")
        return 0

    stand.tap = tap
    try:
        reader = 'driver = "mcu"\ndevice = "bridge"\nchannel = 0\nformat = "w26"'
        with _joined(to_bridge, from_bridge, port) as (near, _far), _gate(stand, near, reader):
            yield stand
    finally:
        board.kill()
        board.wait()


_TRANSPORTS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Stand]]] = {
    "rfid_serial": _rfid,
    "mcu_bridge": _firmware,
    "osdp": _osdp,
}
