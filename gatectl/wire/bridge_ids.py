"""GENERATED from firmware_bridge/protocol.toml by scripts/gen_protocol.py: do not edit."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

SCHEMA_HASH = 0xE801B46E
VERSION = 1
BAUD = 115200
MAX_FIELDS_BYTES = 64
WINDOW = 4
QUEUE_FRAMES = 32
RESEND_MS = 40
RESEND_MAX_MS = 200
MAX_SENDS = 9
HELLO_MS = 250
ALIVE_MS = 500
SILENCE_MS = 2000
CHANNELS = 4
PULSE_MIN_MS = 50
PULSE_MAX_MS = 2000
LEASE_MS = 1000
LANE_RELEASE_MS = 10000
INPUT_DEBOUNCE_MS = 10
LOOP_CLEAR_MS = 400
LOCAL_PULSE_MS = 500


class MessageId(IntEnum):
    """Numbers of `MessageId` on the wire."""

    ACK = 127
    HELLO = 1
    HEARTBEAT = 2
    LANE_CONFIG = 16
    PULSE = 17
    INDICATE = 18
    SNAPSHOT_REQUEST = 19
    RELEASE_FIRE = 20
    WELCOME = 129
    ALIVE = 130
    CARD_READ = 144
    KEY_PRESSED = 145
    INPUT_EDGE = 146
    INPUT_SNAPSHOT = 147
    PULSE_RESULT = 148
    RELAY_COUNT = 149
    FAULT = 150


class Relay(IntEnum):
    """Numbers of `Relay` on the wire."""

    OPEN = 1
    CLOSE = 2
    STOP = 3


class Lamp(IntEnum):
    """Numbers of `Lamp` on the wire."""

    IDLE = 0
    GRANTED = 1
    DENIED = 2
    HELD = 3


class Outcome(IntEnum):
    """Numbers of `Outcome` on the wire."""

    STARTED = 0
    REFUSED_NO_LEASE = 1
    REFUSED_SAFETY_OCCUPIED = 2
    REFUSED_FIRE = 3
    REFUSED_RANGE = 4
    REFUSED_OPENING = 5
    REFUSED_STOPPING = 6


class OnHostLoss(IntEnum):
    """Numbers of `OnHostLoss` on the wire."""

    UNSET = 0
    FAIL_SAFE = 1
    FAIL_SECURE = 2


class Input(IntEnum):
    """Numbers of `Input` on the wire."""

    PRESENCE = 0
    SAFETY = 1
    EXIT = 2
    ARM_UP = 3
    ARM_DOWN = 4
    DOOR_OPEN = 5
    REX = 6
    FIRE = 7
    TAMPER = 8
    CALL = 9
    EMERGENCY_KEY = 10
    SAFETY_FAULT = 11


class FaultCode(IntEnum):
    """Numbers of `FaultCode` on the wire."""

    SAFETY_LOOP_BROKEN = 1
    RELAY_STUCK = 2
    WATCHDOG_RESET = 3
    BROWN_OUT_RESET = 4
    STORE_BROKEN = 5
    FIRE_LINE_BROKEN = 6


@dataclass(frozen=True, slots=True)
class Ack:
    """Carries in its seq the last frame that was received in order (0 = none yet)."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First words of the host; fields never change their place, so that any two versions can refuse each other."""

    schema_hash: int
    session: int
    version: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Feeds the lease: sent only on behalf of the controller, never by the link itself."""


@dataclass(frozen=True, slots=True)
class LaneConfig:
    """What a lane does when its host is gone."""

    channel: int
    on_host_loss: OnHostLoss


@dataclass(frozen=True, slots=True)
class Pulse:
    """Close a relay for pulse_ms; the bridge ends it. STOP goes before OPEN, OPEN before CLOSE; no STOP under fire."""

    channel: int
    relay: Relay
    pulse_ms: int


@dataclass(frozen=True, slots=True)
class Indicate:
    """Lamp and buzzer of a lane; `reason` lets a display or a voice choose its words."""

    channel: int
    lamp: Lamp
    reason: int


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """Ask for an input_snapshot and a relay_count of every channel, and for all faults that are active."""


@dataclass(frozen=True, slots=True)
class ReleaseFire:
    """A named person ended the hold that fire began; heeded while the lease is held and the fire line is quiet."""

    channel: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """Answer to hello, also when the schema does not match; fields never change their place."""

    schema_hash: int
    session: int
    boot_id: int
    firmware: str
    board: str


@dataclass(frozen=True, slots=True)
class Alive:
    """Each alive_ms and whenever the lease is gained or lost; session 0 = no host."""

    session: int
    is_lease_held: bool
    uptime_ms: int


@dataclass(frozen=True, slots=True)
class CardRead:
    """One frame of a reader: `bits` bits, left-aligned in `data`. Which format they are is the host's to know."""

    reader: int
    bits: int
    data: bytes
    tick_us: int


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """One key of a keypad, as ASCII."""

    reader: int
    key: int
    tick_us: int


@dataclass(frozen=True, slots=True)
class InputEdge:
    """A debounced input changed. True = occupied, up, open, pressed, alarmed; a cut safety or fire wire reads True."""

    channel: int
    input: Input
    is_active: bool
    tick_us: int


@dataclass(frozen=True, slots=True)
class InputSnapshot:
    """All inputs of a channel; bit n is Input n. Only inputs in `wired` exist."""

    channel: int
    wired: int
    active: int


@dataclass(frozen=True, slots=True)
class PulseResult:
    """What became of a pulse."""

    channel: int
    relay: Relay
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RelayCount:
    """OPEN closings since the bridge was made: by the host's orders, and by the bridge (fire, exit, lost host)."""

    channel: int
    opens: int
    local_opens: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault began or ended."""

    channel: int
    code: FaultCode
    is_active: bool


BridgeMessage = (
    Ack
    | Hello
    | Heartbeat
    | LaneConfig
    | Pulse
    | Indicate
    | SnapshotRequest
    | ReleaseFire
    | Welcome
    | Alive
    | CardRead
    | KeyPressed
    | InputEdge
    | InputSnapshot
    | PulseResult
    | RelayCount
    | Fault
)

LAYOUTS: Mapping[int, tuple[type[BridgeMessage], tuple[str, ...]]] = {
    0x7F: (Ack, ()),
    0x01: (Hello, ("u32", "u16", "text")),
    0x02: (Heartbeat, ()),
    0x10: (LaneConfig, ("u8", "OnHostLoss")),
    0x11: (Pulse, ("u8", "Relay", "u16")),
    0x12: (Indicate, ("u8", "Lamp", "u16")),
    0x13: (SnapshotRequest, ()),
    0x14: (ReleaseFire, ("u8",)),
    0x81: (Welcome, ("u32", "u16", "u16", "text", "text")),
    0x82: (Alive, ("u16", "bool", "u32")),
    0x90: (CardRead, ("u8", "u8", "bytes", "u32")),
    0x91: (KeyPressed, ("u8", "u8", "u32")),
    0x92: (InputEdge, ("u8", "Input", "bool", "u32")),
    0x93: (InputSnapshot, ("u8", "u16", "u16")),
    0x94: (PulseResult, ("u8", "Relay", "Outcome")),
    0x95: (RelayCount, ("u8", "u32", "u32")),
    0x96: (Fault, ("u8", "FaultCode", "bool")),
}
"""id -> (message, wire types of its fields)."""

ENUMS: Mapping[str, type[IntEnum]] = {
    "Relay": Relay,
    "Lamp": Lamp,
    "Outcome": Outcome,
    "OnHostLoss": OnHostLoss,
    "Input": Input,
    "FaultCode": FaultCode,
}
