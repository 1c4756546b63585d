"""Link and DeviceLink over wires that misbehave: everything arrives once and in order, or the loss is told."""

import random
from collections import deque
from collections.abc import Callable

import pytest

from gatectl.errors import LinkError
from gatectl.wire.bridge import DeviceLink, Link, LinkState
from gatectl.wire.bridge_ids import BridgeMessage, CardRead, Indicate, Lamp, Pulse, Relay

MS = 1_000_000
STEP_MS = 5
ORDERS = 60


class Wire:
    """One direction: what is put in at one time comes out, changed by `harm`, `delay_ms` later."""

    def __init__(self, harm: Callable[[bytes], list[bytes]], delay_ms: int = 0) -> None:
        self._harm = harm
        self._delay_ms = delay_ms
        self._way: deque[tuple[int, bytes]] = deque()

    def put(self, data: bytes, now_ms: int) -> None:
        if data:
            self._way.extend((now_ms + self._delay_ms, piece) for piece in self._harm(data))

    def take(self, now_ms: int) -> list[bytes]:
        out = []
        while self._way and self._way[0][0] <= now_ms:
            out.append(self._way.popleft()[1])
        return out


def whole(data: bytes) -> list[bytes]:
    return [data]


def nothing(data: bytes) -> list[bytes]:
    return []


def by_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def losing_frames(rng: random.Random) -> Callable[[bytes], list[bytes]]:
    """A fifth of all frames vanishes."""
    return lambda data: [b"\x00" + piece + b"\x00" for piece in data.split(b"\x00") if piece and rng.random() >= 0.2]


def flipping_bits(rng: random.Random) -> Callable[[bytes], list[bytes]]:
    """One byte in a hundred comes out as another."""
    return lambda data: [bytes(byte ^ (1 << rng.randrange(8)) if rng.random() < 0.01 else byte for byte in data)]


def halving(rng: random.Random) -> Callable[[bytes], list[bytes]]:
    """One write in ten is cut off in the middle."""
    return lambda data: [data[: len(data) // 2] if rng.random() < 0.1 else data]


def make_wires(kind: str) -> tuple[Wire, Wire]:
    rng = random.Random(20260501)
    harms: dict[str, tuple[Callable[[bytes], list[bytes]], int]] = {
        "clean": (whole, 0),
        "byte_at_a_time": (by_bytes, 0),
        "lossy": (losing_frames(rng), 2),
        "noisy": (flipping_bits(rng), 2),
        "cut": (halving(rng), 0),
        "delayed": (whole, 150),
    }
    harm, delay_ms = harms[kind]
    return Wire(harm, delay_ms), Wire(harm, delay_ms)


class Bench:
    """Both ends, two wires, and time."""

    def __init__(self, kind: str) -> None:
        self.down, self.up = make_wires(kind)
        self.host = Link(1)
        self.device = DeviceLink("1", "bench", 1)
        self.now_ms = 0
        self.orders: list[BridgeMessage] = []
        self.heard: list[BridgeMessage] = []
        self.sessions_lost = 0
        self.device.tick(0)
        self.host.start(0)

    def step(self) -> None:
        self.now_ms += STEP_MS
        was_ready = self.host.state is LinkState.READY
        self.host.tick(self.now_ms * MS)
        self.device.tick(self.now_ms * MS)
        if self.now_ms % 250 == 0 and self.host.state is LinkState.READY:
            self.host.heartbeat()
        self.down.put(self.host.to_write(), self.now_ms)
        self.up.put(self.device.to_write(), self.now_ms)
        for piece in self.down.take(self.now_ms):
            self.orders += self.device.receive(piece)
        for piece in self.up.take(self.now_ms):
            self.heard += self.host.receive(piece)
        self.sessions_lost += was_ready and self.host.state is not LinkState.READY

    def until(self, condition: Callable[[], bool], limit_ms: int = 60_000) -> None:
        ends_ms = self.now_ms + limit_ms
        while not condition():
            assert self.now_ms < ends_ms, "never happened"
            self.step()


KINDS = ["clean", "byte_at_a_time", "lossy", "noisy", "cut", "delayed"]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_arrives_once_and_in_order_both_ways(kind: str) -> None:
    bench = Bench(kind)
    bench.until(lambda: bench.host.state is LinkState.READY and bench.device.session != 0)
    orders = [Indicate(number % 4, Lamp.GRANTED, number) for number in range(ORDERS)]
    cards = [CardRead(0, 26, bytes((number, 0, 0, 0)), number) for number in range(ORDERS)]
    for order, card in zip(orders, cards, strict=True):
        bench.host.indicate(order.channel, order.lamp, order.reason)
        assert bench.device.tell(card)
        for _ in range(20):
            bench.step()
    bench.until(lambda: len(bench.orders) >= ORDERS)
    bench.until(lambda: sum(isinstance(message, CardRead) for message in bench.heard) >= ORDERS)
    for _ in range(400):
        bench.step()
    assert bench.orders == orders
    assert [message for message in bench.heard if isinstance(message, CardRead)] == cards
    assert bench.sessions_lost == 0


@pytest.mark.parametrize("kind", KINDS)
def test_one_order_is_one_pulse_however_often_it_is_resent(kind: str) -> None:
    bench = Bench(kind)
    bench.until(lambda: bench.host.state is LinkState.READY)
    for number in range(1, 21):
        while True:
            bench.until(lambda: bench.now_ms % 250 == 0)  # just fed
            try:
                bench.host.pulse(0, Relay.OPEN, 500)
                break
            except LinkError:  # a lost heartbeat: the host rightly refuses, and may try again
                assert bench.host.state is LinkState.READY
                bench.step()
        wanted = number
        bench.until(lambda: sum(isinstance(order, Pulse) for order in bench.orders) >= wanted)  # noqa: B023 - run at once
    for _ in range(400):
        bench.step()
    assert sum(isinstance(order, Pulse) for order in bench.orders) == 20


def test_dead_wire_is_told_and_a_mended_one_is_used_again() -> None:
    bench = Bench("clean")
    bench.until(lambda: bench.host.state is LinkState.READY)
    mended = bench.down
    bench.down = Wire(nothing)
    bench.host.indicate(0, Lamp.GRANTED, 1)
    bench.until(lambda: bench.host.state is not LinkState.READY)
    bench.down = mended
    bench.until(lambda: bench.host.state is LinkState.READY)
    bench.host.indicate(0, Lamp.DENIED, 2)
    bench.until(lambda: bool(bench.orders))
    assert bench.orders == [Indicate(0, Lamp.DENIED, 2)]
