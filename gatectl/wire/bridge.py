"""The MCU link, sans-I/O: `Link` is the host's end, `DeviceLink` the bridge's. They open nothing and know no clock."""

from collections import deque
from enum import StrEnum

from gatectl import __version__
from gatectl.errors import ContractError, LinkError
from gatectl.wire.bridge_frames import Deframer, encode_frame
from gatectl.wire.bridge_ids import (
    ALIVE_MS,
    CHANNELS,
    HELLO_MS,
    LEASE_MS,
    MAX_SENDS,
    PULSE_MAX_MS,
    PULSE_MIN_MS,
    QUEUE_FRAMES,
    RESEND_MAX_MS,
    RESEND_MS,
    SCHEMA_HASH,
    SILENCE_MS,
    WINDOW,
    Ack,
    Alive,
    BridgeMessage,
    Heartbeat,
    Hello,
    Indicate,
    Lamp,
    LaneConfig,
    OnHostLoss,
    Pulse,
    Relay,
    ReleaseFire,
    SnapshotRequest,
    Welcome,
)

_MS_NS = 1_000_000
_REFUSED_HELLO_MS = 2000
_MAX_SEQ = 255
_MAX_SESSION = 0xFFFF
_ONCE = (Ack, Hello, Heartbeat, Welcome, Alive)
"""Sent with seq 0 and never repeated by the window: what renews itself, or makes the session."""


def _next_seq(seq: int) -> int:
    return seq % _MAX_SEQ + 1


class ReliableEnd:
    """Go-back-N over frames: what is sent arrives once and in order, or `is_exhausted` says that it did not."""

    def __init__(self) -> None:
        self.counters = {"bad_frames": 0, "resent": 0, "not_in_order": 0}
        self.is_exhausted = False
        self.is_open = False
        """While closed, sequenced frames and acks are ignored: they belong to a session that is over."""
        self._deframer = Deframer()
        self._written = bytearray()
        self._now_ns = 0
        self._clear()

    def _clear(self) -> None:
        self._queue: deque[BridgeMessage] = deque()
        self._unacked: deque[tuple[int, bytes]] = deque()
        self._last_sent = 0
        self._last_received = 0
        self._sends = 0
        self._due_ns = 0

    def reset(self, *, is_open: bool) -> None:
        """Forget what was under way; both sequences start again at 1."""
        self._clear()
        self.is_exhausted = False
        self.is_open = is_open

    def send(self, message: BridgeMessage) -> None:
        """Send once and in order. Raises LinkError when the queue is full."""
        if len(self._queue) >= QUEUE_FRAMES:
            raise LinkError("the bridge takes nothing more: its queue is full")
        self._queue.append(message)
        self._fill_window()

    def send_once(self, message: BridgeMessage, seq: int = 0) -> None:
        """Send without acknowledgement."""
        self._written += encode_frame(message, seq)

    def _fill_window(self) -> None:
        while self._queue and len(self._unacked) < WINDOW:
            self._last_sent = _next_seq(self._last_sent)
            frame = encode_frame(self._queue.popleft(), self._last_sent)
            if not self._unacked:
                self._restart_timer()
            self._unacked.append((self._last_sent, frame))
            self._written += frame

    def _restart_timer(self) -> None:
        self._sends = 1
        self._due_ns = self._now_ns + RESEND_MS * _MS_NS

    def receive(self, data: bytes) -> list[BridgeMessage]:
        """Messages that these bytes complete, acknowledged; never raises."""
        heard: list[BridgeMessage] = []
        for message, seq in self._deframer.feed(data):
            if isinstance(message, Ack):
                self._acked(seq)
            elif isinstance(message, _ONCE):
                heard.append(message)
                if isinstance(message, Hello | Welcome):
                    # Whoever reads this may start a new session: what follows belongs to it.
                    self._greeted(message)
            elif self.is_open and self._is_in_order(seq):
                heard.append(message)
        self.counters["bad_frames"] = self._deframer.bad_frames
        return heard

    def _greeted(self, message: Hello | Welcome) -> None:
        """A session may begin here, in the middle of a read; the ends override it."""

    def _is_in_order(self, seq: int) -> bool:
        is_next = seq == _next_seq(self._last_received)
        if is_next:
            self._last_received = seq
        else:
            self.counters["not_in_order"] += 1
        self.send_once(Ack(), self._last_received)
        return is_next

    def _acked(self, seq: int) -> None:
        if not self.is_open or all(sent != seq for sent, _ in self._unacked):
            return
        while self._unacked and self._unacked.popleft()[0] != seq:
            pass
        self._restart_timer()
        self._fill_window()

    def tick_end(self, now_ns: int) -> None:
        """Let time be `now_ns`: resends what stayed unacknowledged, at most `max_sends` times."""
        self._now_ns = now_ns
        if not self._unacked or now_ns < self._due_ns or self.is_exhausted:
            return
        if self._sends >= MAX_SENDS:
            self.is_exhausted = True
            return
        wait_ms = min(RESEND_MS << self._sends, RESEND_MAX_MS)
        self._sends += 1
        self._due_ns = now_ns + wait_ms * _MS_NS
        self.counters["resent"] += len(self._unacked)
        for _, frame in self._unacked:
            self._written += frame

    def to_write(self) -> bytes:
        """The bytes that are to go out now; they are handed out once."""
        out, self._written = bytes(self._written), bytearray()
        return out


class LinkState(StrEnum):
    """How the host stands with its bridge."""

    CLOSED = "closed"
    GREETING = "greeting"
    READY = "ready"
    REFUSED = "refused"


class Link(ReliableEnd):
    """The host's end. Call `tick` with monotonic ns before anything else, and at least each 50 ms."""

    def __init__(self, first_session: int) -> None:
        super().__init__()
        self.state = LinkState.CLOSED
        self.words = "the bridge was not greeted yet"
        """Why the link is not ready, or what it is talking to."""
        self._session = first_session % _MAX_SESSION
        self._hello_due_ns = 0
        self._heard_ns = 0
        self._fed_ns: int | None = None
        self._lease_lost_ns: int | None = None

    # --- the session ---

    def start(self, now_ns: int) -> None:
        """The port is open: greet the bridge."""
        self._now_ns = now_ns
        self._greet("the bridge does not answer")

    def _greet(self, words: str) -> None:
        self.reset(is_open=False)
        self.state = LinkState.GREETING
        self.words = words
        self._session = self._session % _MAX_SESSION + 1
        self._fed_ns = self._lease_lost_ns = None
        self._say_hello(HELLO_MS)

    def _say_hello(self, again_in_ms: int) -> None:
        self._hello_due_ns = self._now_ns + again_in_ms * _MS_NS
        self.send_once(Hello(SCHEMA_HASH, self._session, __version__[:16]))

    def _greeted(self, message: Hello | Welcome) -> None:
        if not isinstance(message, Welcome) or message.session != self._session:
            return
        self._heard_ns = self._now_ns
        if message.schema_hash != SCHEMA_HASH:
            self.reset(is_open=False)
            self.state = LinkState.REFUSED
            self.words = (
                f"refused: the bridge ({message.board}, firmware {message.firmware}) speaks schema "
                f"{message.schema_hash:08x}, this host {SCHEMA_HASH:08x}: flash the firmware of this release"
            )
        elif self.state is not LinkState.READY:
            self.reset(is_open=True)
            self.state = LinkState.READY
            self.words = f"{message.board}, firmware {message.firmware}"

    def receive(self, data: bytes) -> list[BridgeMessage]:
        """What the bridge said."""
        heard = super().receive(data)
        for message in heard:
            self._heard_ns = self._now_ns
            if isinstance(message, Alive) and self.state is LinkState.READY:
                self._alive(message)
        return heard

    def _alive(self, message: Alive) -> None:
        if message.session != self._session:
            self._greet("the bridge ended the session: it started anew, or could not keep up")
        elif message.is_lease_held:
            self._lease_lost_ns = None
        else:
            self._lease_lost_ns = self._now_ns

    def tick(self, now_ns: int) -> None:
        """Let time be `now_ns` (monotonic): greets, resends, notices silence."""
        self.tick_end(now_ns)
        if self.state is LinkState.READY:
            if self.is_exhausted:
                self._greet("the bridge does not acknowledge what it is told")
            elif now_ns - self._heard_ns > SILENCE_MS * _MS_NS:
                self._greet(f"the bridge has been silent for {SILENCE_MS / 1000:g} s")
        elif self.state is not LinkState.CLOSED and now_ns >= self._hello_due_ns:
            self._say_hello(HELLO_MS if self.state is LinkState.GREETING else _REFUSED_HELLO_MS)

    # --- what the host says ---

    def require_lease(self) -> None:
        """Raises LinkError, with the cause in words, when a pulse would move nothing."""
        self._require_ready()
        if self._fed_ns is None or self._now_ns - self._fed_ns > LEASE_MS * _MS_NS:
            raise LinkError("the bridge's lease has run out: the controller did not feed it")
        if self._lease_lost_ns is not None and self._lease_lost_ns > self._fed_ns:
            raise LinkError("the bridge refuses: it has not heard our heartbeats")

    def _require_ready(self) -> None:
        if self.state is not LinkState.READY:
            raise LinkError(self.words)

    def pulse(self, channel: int, relay: Relay, pulse_ms: int) -> None:
        """Close a relay for 50-2000 ms. Raises LinkError when the bridge would not obey now."""
        if not PULSE_MIN_MS <= pulse_ms <= PULSE_MAX_MS or not 0 <= channel < CHANNELS:
            raise ContractError(f"no such pulse: channel {channel}, {pulse_ms} ms")
        self.require_lease()
        self.send(Pulse(channel, relay, pulse_ms))

    def indicate(self, channel: int, lamp: Lamp, reason: int) -> None:
        """Show a signal. Raises LinkError when the bridge is away."""
        self._require_ready()
        self.send(Indicate(channel, lamp, reason))

    def configure_lane(self, channel: int, on_host_loss: OnHostLoss) -> None:
        """Declare what the lane does without a host. Raises LinkError when the bridge is away."""
        self._require_ready()
        self.send(LaneConfig(channel, on_host_loss))

    def release_fire(self, channel: int) -> None:
        """A named person ended the hold that fire began. Raises LinkError when the bridge would not obey now."""
        self.require_lease()
        self.send(ReleaseFire(channel))

    def request_snapshot(self) -> None:
        """Ask for all inputs and relay counters. Raises LinkError when the bridge is away."""
        self._require_ready()
        self.send(SnapshotRequest())

    def heartbeat(self) -> None:
        """Feed the lease. Raises LinkError when the bridge is away."""
        self._require_ready()
        self._fed_ns = self._now_ns
        self.send_once(Heartbeat())


class DeviceLink(ReliableEnd):
    """The bridge's end: answers hello, keeps the lease, says that it is alive. The firmware does the same in C."""

    def __init__(self, firmware: str, board: str, boot_id: int, schema_hash: int = SCHEMA_HASH) -> None:
        super().__init__()
        self.session = 0
        """The host's session; 0 = no host."""
        self.is_lease_held = False
        self.overflows = 0
        """How often the queue was full, which ends the session."""
        self._firmware = firmware
        self._board = board
        self._boot_id = boot_id
        self._schema_hash = schema_hash
        self._fed_ns = 0
        self._alive_due_ns = 0
        self._start_ns: int | None = None

    def receive(self, data: bytes) -> list[BridgeMessage]:
        """Orders of the host: pulse, indicate, lane_config, … Hello and heartbeat are dealt with."""
        orders: list[BridgeMessage] = []
        for message in super().receive(data):
            if isinstance(message, Heartbeat):
                self._fed()
            elif not isinstance(message, Hello | Welcome | Alive):
                orders.append(message)
        return orders

    def _greeted(self, message: Hello | Welcome) -> None:
        if not isinstance(message, Hello):
            return
        is_ours = message.schema_hash == self._schema_hash
        if not is_ours or message.session != self.session:
            self._end_session()
        if is_ours and not self.session:
            self.session = message.session
            self.reset(is_open=True)
        self.send_once(Welcome(self._schema_hash, message.session, self._boot_id, self._firmware, self._board))

    def _end_session(self) -> None:
        self.session = 0
        self.is_lease_held = False
        self.reset(is_open=False)

    def _fed(self) -> None:
        if not self.session:
            return
        self._fed_ns = self._now_ns
        if not self.is_lease_held:
            self.is_lease_held = True
            self._say_alive()

    def _say_alive(self) -> None:
        self._alive_due_ns = self._now_ns + ALIVE_MS * _MS_NS
        uptime_ms = (self._now_ns - (self._start_ns or self._now_ns)) // _MS_NS
        self.send_once(Alive(self.session, self.is_lease_held, uptime_ms & 0xFFFF_FFFF))

    def host_spoke(self) -> None:
        """A host declares its lanes: it is there, though its controller has not fed the lease yet."""
        if not self.is_lease_held:
            self._fed_ns = self._now_ns

    def unfed_ms(self) -> int:
        """How long ago the controller last fed the lease (or the bridge started)."""
        return (self._now_ns - max(self._fed_ns, self._start_ns or 0)) // _MS_NS

    def tick(self, now_ns: int) -> None:
        """Let time be `now_ns` (monotonic): the lease runs out, a host that does not acknowledge is given up."""
        if self._start_ns is None:
            self._start_ns = self._alive_due_ns = now_ns
        self.tick_end(now_ns)
        if self.is_exhausted:
            self._end_session()
            self._say_alive()
        if self.is_lease_held and now_ns - self._fed_ns > LEASE_MS * _MS_NS:
            self.is_lease_held = False
            self._say_alive()
        elif now_ns >= self._alive_due_ns:
            self._say_alive()

    def tell(self, message: BridgeMessage) -> bool:
        """Tell the host; False when it cannot be told now: no host, or the queue is full."""
        if not self.session:
            return False
        try:
            self.send(message)
        except LinkError:  # an edge is lost: the host must learn anew how everything stands
            self.overflows += 1
            self._end_session()
            self._say_alive()
            return False
        return True
