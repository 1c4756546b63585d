"""What a lane machine hears, and what it wants done, in this order."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gatectl.core.model import AccessEvent, Attempt, InputName, LaneId
from gatectl.core.reasons import Reason

# --- heard ---


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


@dataclass(frozen=True, slots=True)
class EmergencyOrdered:
    """A named person opens every lane and keeps it open, or releases an emergency, fire's included (DOMAIN 1.6)."""

    command_id: str
    actor: str
    is_release: bool
    note: str
    at: datetime
    tick_ns: int


LaneEvent = AttemptMade | InputChanged | OpenOrdered | RefuseOrdered | EmergencyOrdered | Ticked


# --- wanted ---


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


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep a fact over a restart: the lane machine gets it back by name; "" forgets it."""

    name: str
    value: str


Effect = Record | OpenBarrier | CloseBarrier | Indicate | ReadPlate | CommandAnswered | Keep
