"""The link's session: greeting, refusing, leases, silence. Both ends in memory, time as an argument."""

import pytest

from gatectl.errors import ContractError, LinkError
from gatectl.wire.bridge import DeviceLink, Link, LinkState
from gatectl.wire.bridge_frames import Deframer, encode_frame
from gatectl.wire.bridge_ids import (
    LEASE_MS,
    MAX_SENDS,
    QUEUE_FRAMES,
    SILENCE_MS,
    WINDOW,
    Alive,
    BridgeMessage,
    CardRead,
    Heartbeat,
    Hello,
    Indicate,
    Input,
    InputEdge,
    Lamp,
    OnHostLoss,
    Pulse,
    Relay,
    SnapshotRequest,
    Welcome,
)

MS = 1_000_000
CARD = CardRead(0, 26, b"\xb1\xf1\xc0\xc0", 1)


class Pair:
    """Host and bridge on a perfect wire."""

    def __init__(self, device: DeviceLink | None = None, first_session: int = 41) -> None:
        self.host = Link(first_session)
        self.device = device or DeviceLink("1.2.3", "bench", 0xB007)
        self.heard: list[BridgeMessage] = []
        self.orders: list[BridgeMessage] = []
        self.now_ns = 1000 * MS

    def exchange(self) -> None:
        for _ in range(30):
            down, up = self.host.to_write(), self.device.to_write()
            if not down and not up:
                return
            self.orders += self.device.receive(down)
            self.heard += self.host.receive(up)
        raise AssertionError("the ends never fall silent")

    def pass_ms(self, ms: int, step_ms: int = 10) -> None:
        for _ in range(0, ms, step_ms):
            self.now_ns += step_ms * MS
            self.host.tick(self.now_ns)
            self.device.tick(self.now_ns)
            self.exchange()

    def ready(self) -> "Pair":
        self.device.tick(self.now_ns)
        self.host.start(self.now_ns)
        self.exchange()
        return self

    def fed(self) -> "Pair":
        self.ready()
        self.host.heartbeat()
        self.exchange()
        return self


def test_greeting_makes_a_session_and_tells_who_answers() -> None:
    pair = Pair().ready()
    assert pair.host.state is LinkState.READY
    assert "bench" in pair.host.words
    assert "1.2.3" in pair.host.words
    assert pair.device.session == 42


def test_another_schema_is_refused_by_both_ends_with_both_numbers_in_words() -> None:
    pair = Pair(DeviceLink("9.9", "nano", 1, schema_hash=0xABCD1234)).ready()
    assert pair.host.state is LinkState.REFUSED
    assert "abcd1234" in pair.host.words
    assert "flash" in pair.host.words
    assert pair.device.session == 0
    with pytest.raises(LinkError, match="refused"):
        pair.host.pulse(0, Relay.OPEN, 500)
    assert not pair.device.tell(CARD)


def test_bridge_that_was_flashed_is_accepted_without_a_restart_of_the_host() -> None:
    pair = Pair(DeviceLink("9.9", "nano", 1, schema_hash=0xABCD1234)).ready()
    pair.device = DeviceLink("1.2.3", "nano", 2)
    pair.pass_ms(2500)
    assert pair.host.state.value == "ready"


def test_nothing_can_be_ordered_before_the_bridge_was_greeted() -> None:
    host = Link(1)
    for order in (
        host.heartbeat,
        host.request_snapshot,
        lambda: host.pulse(0, Relay.OPEN, 500),
        lambda: host.indicate(0, Lamp.GRANTED, 1),
        lambda: host.configure_lane(0, OnHostLoss.UNSET),
    ):
        with pytest.raises(LinkError):
            order()
    assert host.to_write() == b""


def test_orders_arrive_once_and_in_order() -> None:
    pair = Pair().fed()
    pair.host.pulse(0, Relay.OPEN, 500)
    pair.host.indicate(0, Lamp.GRANTED, 1)
    pair.host.request_snapshot()
    pair.exchange()
    pair.pass_ms(500)
    assert pair.orders == [Pulse(0, Relay.OPEN, 500), Indicate(0, Lamp.GRANTED, 1), SnapshotRequest()]


def test_pulse_is_on_the_wire_when_the_call_returns_while_the_window_has_room() -> None:
    pair = Pair().fed()
    for _ in range(WINDOW - 1):
        pair.host.indicate(0, Lamp.IDLE, 1)
    pair.host.pulse(0, Relay.OPEN, 500)
    frames = [message for message, _ in Deframer().feed(pair.host.to_write())]
    assert frames[-1] == Pulse(0, Relay.OPEN, 500)


def test_pulse_is_refused_when_the_lease_was_never_fed_or_ran_out() -> None:
    pair = Pair().ready()
    with pytest.raises(LinkError, match="lease"):
        pair.host.pulse(0, Relay.OPEN, 500)
    pair.host.heartbeat()
    pair.exchange()
    pair.pass_ms(LEASE_MS)
    pair.host.pulse(0, Relay.OPEN, 500)
    pair.pass_ms(20)
    with pytest.raises(LinkError, match="lease"):
        pair.host.pulse(0, Relay.OPEN, 500)


def test_lease_at_the_bridge_runs_out_after_a_second_without_heartbeat() -> None:
    pair = Pair().fed()
    held = []
    for step_ms in (0, LEASE_MS, 10):
        pair.pass_ms(step_ms)
        held.append(pair.device.is_lease_held)
    assert held == [True, True, False]
    assert any(isinstance(message, Alive) and not message.is_lease_held for message in pair.heard)


def test_bridge_that_hears_no_heartbeats_makes_the_host_refuse_at_once() -> None:
    pair = Pair().fed()
    pair.pass_ms(LEASE_MS + 10)
    pair.host.heartbeat()
    pair.host.to_write()  # lost on its way
    pair.pass_ms(600)
    with pytest.raises(LinkError, match="heartbeats"):
        pair.host.pulse(0, Relay.OPEN, 500)


def test_heartbeat_of_a_host_without_a_session_feeds_nothing() -> None:
    device = DeviceLink("1", "b", 1)
    device.tick(0)
    device.receive(encode_frame(Hello(1, 9, "x"), 0) + encode_frame(Heartbeat(), 0))
    assert device.session == 0
    assert not device.is_lease_held


def test_order_of_a_session_that_is_over_is_never_carried_out() -> None:
    """A host that restarts must not find its predecessor's opening still on the way."""
    pair = Pair().fed()
    pair.host.pulse(0, Relay.OPEN, 500)
    late = pair.host.to_write()
    pair.host.start(pair.now_ns)
    pair.exchange()
    restarted = DeviceLink("1.2.3", "bench", 3)
    restarted.tick(pair.now_ns)
    assert restarted.receive(late) == []


def test_card_queued_for_a_lost_host_is_not_delivered_to_the_next_one() -> None:
    pair = Pair().ready()
    assert pair.device.tell(CARD)
    pair.device.to_write()  # the cable is out
    pair.host.start(pair.now_ns)
    pair.exchange()
    pair.pass_ms(1000)
    assert not [message for message in pair.heard if isinstance(message, CardRead)]
    assert pair.host.state is LinkState.READY


def test_bridge_that_started_anew_is_greeted_again() -> None:
    pair = Pair().fed()
    pair.device = DeviceLink("1.2.4", "bench", 4)
    pair.pass_ms(50)
    assert pair.host.state is LinkState.READY
    assert "1.2.4" in pair.host.words
    with pytest.raises(LinkError, match="lease"):
        pair.host.pulse(0, Relay.OPEN, 500)


def test_silence_ends_the_session_after_its_limit() -> None:
    pair = Pair().fed()
    for after_ms, state in ((SILENCE_MS, LinkState.READY), (SILENCE_MS + 1, LinkState.GREETING)):
        pair.host.tick(pair.now_ns + after_ms * MS)
        assert pair.host.state is state
    assert "silent" in pair.host.words


def test_resending_is_bounded_and_its_end_is_told() -> None:
    pair = Pair().fed()
    pair.host.to_write()
    pair.host.pulse(0, Relay.OPEN, 500)
    sent = 0
    for _ in range(300):
        sent += pair.host.to_write().count(encode_frame(Pulse(0, Relay.OPEN, 500), 1))
        if pair.host.state is not LinkState.READY:
            break
        pair.now_ns += 10 * MS
        pair.host.receive(encode_frame(Alive(42, True, 1), 0))  # it lives, but acknowledges nothing
        pair.host.tick(pair.now_ns)
    assert sent == MAX_SENDS
    assert "acknowledge" in pair.host.words


def test_bridge_that_cannot_keep_up_ends_the_session_and_is_greeted_again() -> None:
    pair = Pair().fed()
    for _ in range(QUEUE_FRAMES + WINDOW):
        assert pair.device.tell(CARD)
    assert not pair.device.tell(CARD)
    assert pair.device.overflows == 1
    assert pair.device.session == 0
    pair.pass_ms(100)
    assert pair.host.state is LinkState.READY
    assert pair.device.session == 43


def test_full_queue_of_the_host_is_a_link_error() -> None:
    pair = Pair().fed()
    for _ in range(QUEUE_FRAMES + WINDOW):
        pair.host.indicate(0, Lamp.IDLE, 1)
    with pytest.raises(LinkError, match="full"):
        pair.host.indicate(0, Lamp.IDLE, 1)


def test_sequence_numbers_wrap_without_losing_or_doubling_anything() -> None:
    pair = Pair().fed()
    edges = [InputEdge(0, Input.PRESENCE, bool(turn % 2), turn) for turn in range(600)]
    for edge in edges:
        assert pair.device.tell(edge)
        pair.exchange()
    assert [message for message in pair.heard if isinstance(message, InputEdge)] == edges


@pytest.mark.parametrize(("channel", "pulse_ms"), [(0, 49), (0, 2001), (4, 500), (-1, 500)])
def test_pulse_out_of_range_is_our_own_bug(channel: int, pulse_ms: int) -> None:
    with pytest.raises(ContractError):
        Pair().fed().host.pulse(channel, Relay.OPEN, pulse_ms)


def test_welcome_of_another_session_changes_nothing() -> None:
    pair = Pair()
    pair.host.start(pair.now_ns)
    pair.host.receive(encode_frame(Welcome(0, 7, 1, "f", "b"), 0))
    assert pair.host.state is LinkState.GREETING


def test_session_numbers_wrap_and_are_never_zero() -> None:
    host = Link(0xFFFF)
    sessions = []
    for turn in range(3):
        host.start(turn)
        sessions += [message.session for message, _ in Deframer().feed(host.to_write()) if isinstance(message, Hello)]
    assert sessions == [1, 2, 3]
