"""The nouns of gatectl, frozen: what the core decides on and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from gatectl.core.reasons import Reason

SiteId = NewType("SiteId", str)
GateId = NewType("GateId", str)
LaneId = NewType("LaneId", str)
CredentialKey = NewType("CredentialKey", str)
"""Canonical credential: `em:0A1B2C3D4E`, `w26:12:34567`, `w34:89D41B81`, `plate:粤E12345`."""


class Verdict(StrEnum):
    """The three answers to an attempt."""

    GRANTED = "granted"
    DENIED = "denied"
    HELD = "held"


class Direction(StrEnum):
    """Into the site, or out of it."""

    IN = "in"
    OUT = "out"


class LaneKind(StrEnum):
    """`vehicle` has an arm and loops; `pedestrian` a lock or turnstile and a door contact."""

    VEHICLE = "vehicle"
    PEDESTRIAN = "pedestrian"


class CredentialKind(StrEnum):
    """What was presented."""

    CARD = "card"
    PLATE = "plate"


class GrantState(StrEnum):
    """What the office says of a credential; validity in time stands beside it."""

    ACTIVE = "active"
    LOST = "lost"
    REVOKED = "revoked"
    BLOCKED = "blocked"


class ClockTrust(StrEnum):
    """How far the gate believes its own wall clock (PROTOCOLS 10)."""

    UNTRUSTED = "untrusted"
    HOLDOVER = "holdover"
    SYNCED = "synced"


class PlateColour(StrEnum):
    """GA 36-2018 plate backgrounds."""

    BLUE = "blue"
    YELLOW = "yellow"
    GREEN = "green"
    YELLOW_GREEN = "yellow_green"
    WHITE = "white"
    BLACK = "black"


@dataclass(frozen=True, slots=True)
class Window:
    """An opening window on one weekday (0 = Monday), minutes of site time; `start_min` <= t < `end_min`."""

    weekday: int
    start_min: int
    end_min: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A weekly schedule; `holidays_closed` makes calendar holidays count as closed."""

    id: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class AccessLevel:
    """A set of lanes and the schedule in which they may be used; `schedule` None = always."""

    id: str
    lanes: frozenset[LaneId]
    schedule: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """One credential's compiled right. Times are whole UTC epoch seconds: valid_from <= t < valid_until."""

    key: CredentialKey
    state: GrantState
    levels: tuple[str, ...]
    subject: str = ""
    household: str = ""
    valid_from_s: int | None = None
    valid_until_s: int | None = None
    colour: PlateColour | None = None
    extended_open: bool = False


@dataclass(frozen=True, slots=True)
class CharVote:
    """One position of a voted plate: candidates with their share of the votes (0-1), best first."""

    candidates: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class PlateRead:
    """What the vision process says after voting over a car's frames.

    `confidence` is the minimum over the characters (0-1), never the mean. `candidates` are whole strings
    with their confidence, best first, at most three. `text` is "" when no plate was found.
    """

    text: str
    confidence: float
    colour: PlateColour | None
    frames: int
    chars: tuple[CharVote, ...] = ()
    candidates: tuple[tuple[str, float], ...] = ()
    picture_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One way through a gate, as the gate's own config declares it."""

    id: LaneId
    kind: LaneKind
    direction: Direction
    require_presence: bool = True
    pulse_ms: int = 500
    """Relay pulse, 50-2000 ms (PROTOCOLS 5: 500 ms by default, always ended by the MCU)."""
    arm_up_timeout_s: float = 6.0
    passage_timeout_s: float = 20.0
    hold_timeout_s: float = 60.0
    held_open_after_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One presentation of one credential at one lane. Exactly one of `key` and `plate` is set."""

    id: str
    lane: LaneId
    direction: Direction
    at: datetime
    reader: str
    key: CredentialKey | None = None
    plate: PlateRead | None = None


@dataclass(frozen=True, slots=True)
class LaneState:
    """What `decide` may know of the lane and the gate, besides the attempt and the whitelist."""

    lane: Lane
    is_present: bool | None
    """A vehicle stands on the presence loop; None where the lane has no such loop."""
    clock: ClockTrust
    clock_floor_s: int = 0
    """The latest UTC second that is certainly past: last persisted wall time, or the list's issue."""
    held_attempt: str | None = None
    """The attempt id of the car held at this lane, if one is."""


@dataclass(frozen=True, slots=True)
class RuleStep:
    """One line of a decision's trace: the rule, the value it saw, and what it said (`pass`, `fail`, `skip`)."""

    rule: str
    value: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to an attempt, with its reason and every rule that was asked."""

    verdict: Verdict
    reason: Reason
    trace: tuple[RuleStep, ...]
    grant: Grant | None = None
    revision: tuple[str, int] = ("", 0)
    """(epoch, version) of the whitelist it was decided on."""


class InputName(StrEnum):
    """The inputs of a lane, debounced by the bridge; True means active (occupied, up, pressed, alarmed)."""

    PRESENCE = "presence"
    SAFETY = "safety"
    EXIT = "exit"
    ARM_UP = "arm_up"
    ARM_DOWN = "arm_down"
    DOOR_OPEN = "door_open"
    REX = "rex"
    FIRE = "fire"
    TAMPER = "tamper"


class EventKind(StrEnum):
    """What a recorded event is about."""

    ACCESS = "access"
    """An attempt and its decision."""
    PASSAGE = "passage"
    """How an opening ended, with its lane trace; `ref` names the access or command event."""
    HOLD_END = "hold_end"
    """How a hold ended; `ref` names the held access event; `outcome` is staff, card, backed_off, timeout or retry."""
    COMMAND = "command"
    """A remote order that was carried out or refused."""
    ALARM = "alarm"
    """Something a person should look at."""
    SYSTEM = "system"
    """Start, recovery and the like."""
    ANCHOR = "anchor"
    """A time anchor (PROTOCOLS 10)."""


@dataclass(frozen=True, slots=True)
class LaneMoment:
    """One line of a lane trace: what happened, and when, in ms after the attempt."""

    what: str
    ms: int


@dataclass(frozen=True, slots=True)
class AccessEvent:
    """One immutable record, made at the gate. `(gate, epoch, seq)` is given to it by the store."""

    id: str
    kind: EventKind
    gate: GateId
    lane: LaneId | None
    at: datetime
    boot_id: str
    mono_ns: int
    clock: ClockTrust
    reason: Reason
    verdict: Verdict | None = None
    direction: Direction | None = None
    credential: CredentialKey | None = None
    subject: str = ""
    household: str = ""
    plate: PlateRead | None = None
    trace: tuple[RuleStep, ...] = ()
    lane_trace: tuple[LaneMoment, ...] = ()
    revision: tuple[str, int] = ("", 0)
    is_offline: bool = False
    is_late_record: bool = False
    reader: str = ""
    actor: str = ""
    note: str = ""
    outcome: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class WhitelistView:
    """One immutable revision of the whitelist, as `decide` reads it. Build it with `whitelist_view`."""

    epoch: str
    version: int
    issued_s: int
    grants: Mapping[CredentialKey, Grant]
    levels: Mapping[str, AccessLevel]
    schedules: Mapping[str, Schedule]
    emergency_plates: frozenset[str] = frozenset()
    aliases: Mapping[CredentialKey, tuple[CredentialKey, ...]] = field(default_factory=dict)
    """Derived card forms (an EM card as a Wiegand 26 reader prints it) -> the grants' own keys."""
    lookalikes: Mapping[str, tuple[CredentialKey, ...]] = field(default_factory=dict)
    """Plate text folded by confusable classes -> plate keys."""

    @property
    def revision(self) -> tuple[str, int]:
        """(epoch, version)."""
        return (self.epoch, self.version)


# --- what the lane machine hears ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttemptMade:
    """A credential was presented."""

    attempt: Attempt
    tick_ns: int


@dataclass(frozen=True, slots=True)
class InputChanged:
    """A debounced input of this lane changed."""

    input: InputName
    is_active: bool
    at: datetime
    tick_ns: int


@dataclass(frozen=True, slots=True)
class OpenOrdered:
    """A verified command to open, from a named person (`actor`), for a stated reason."""

    command_id: str
    actor: str
    reason: Reason
    note: str
    at: datetime
    tick_ns: int


@dataclass(frozen=True, slots=True)
class RefuseOrdered:
    """Staff refuse the held car."""

    command_id: str
    actor: str
    note: str
    at: datetime
    tick_ns: int


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time went by; drives every timeout. Sent a few times a second."""

    at: datetime
    tick_ns: int


LaneEvent = AttemptMade | InputChanged | OpenOrdered | RefuseOrdered | Ticked


# --- what the lane machine wants done, in this order ---------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """Write this event to the journal. An `OpenBarrier` that follows waits for it, 150 ms at most."""

    event: AccessEvent


@dataclass(frozen=True, slots=True)
class OpenBarrier:
    """Pulse the OPEN relay (the lock, on a pedestrian lane). `cause` is the event id that explains it."""

    lane: LaneId
    pulse_ms: int
    cause: str


@dataclass(frozen=True, slots=True)
class CloseBarrier:
    """Pulse the CLOSE relay. Never asked for while the safety loop is occupied or faulted, or under fire."""

    lane: LaneId
    pulse_ms: int


class Signal(StrEnum):
    """What the lane's light and buzzer show."""

    GRANTED = "granted"
    DENIED = "denied"
    HELD = "held"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Indicate:
    """Tell the person at the lane; `reason` picks words and voice."""

    lane: LaneId
    signal: Signal
    reason: Reason


@dataclass(frozen=True, slots=True)
class ReadPlate:
    """Ask the vision process for a fresh vote on this lane (car arrived, or a second chance)."""

    lane: LaneId


@dataclass(frozen=True, slots=True)
class CommandAnswered:
    """A command came to an end: `confirmed` by the arm's sensor, `unconfirmed`, or `refused` with words."""

    command_id: str
    state: str
    words: str
    event_id: str


Effect = Record | OpenBarrier | CloseBarrier | Indicate | ReadPlate | CommandAnswered
