"""The nouns of gatectl, frozen: what the core decides on and what it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType, Protocol

from gatectl.core.reasons import Reason

SiteId = NewType("SiteId", str)
GateId = NewType("GateId", str)
LaneId = NewType("LaneId", str)
CredentialKey = NewType("CredentialKey", str)
"""Canonical credential: `em:0A1B2C3D4E`, `w26:12:34567`, `w34:89D41B81`, `h10304:100:12345`, `h10302:1234567890`,
`zk37a:…`, `uid:04A1B2C3D4E5F6`, `plate:粤E12345`, `code:<salted hash>` (a PIN or a visitor's six digits),
`pass:<nonce>`."""


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
    CODE = "code"
    """Digits on a keypad: a resident's PIN or a visitor's code, known only as a salted hash."""
    PASS = "pass"  # noqa: S105 - a kind of credential, not a word to sign in with
    """A signed visitor pass (QR), verified at the gate without a network."""


class Profile(StrEnum):
    """Who a cardholder is to the site; picks words, and who may pass a closed lane (DOMAIN 1)."""

    RESIDENT = "resident"
    TENANT = "tenant"
    FAMILY = "family"
    NANNY = "nanny"
    DECORATOR = "decorator"
    COURIER = "courier"
    VISITOR = "visitor"
    STAFF = "staff"


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


class LaneMode(StrEnum):
    """How a lane serves. Exits open and emergencies pass in every mode: no mode locks anybody in."""

    NORMAL = "normal"
    HELD_OPEN = "held_open"
    HELD_CLOSED = "held_closed"
    """Nobody enters."""
    EXIT_ONLY = "exit_only"
    """Only staff enter."""
    LOCKDOWN = "lockdown"
    """Only staff enter, and the lane says why."""


class Passback(StrEnum):
    """No second entry without an exit."""

    OFF = "off"
    SOFT = "soft"
    """Lets pass and says so."""
    HARD = "hard"
    TIMED = "timed"
    """Hard for `Area.passback_s` after the entry, then soft."""


class LinkPolicy(StrEnum):
    """What a rule that needs the other gates' passages does while the link to them is down."""

    LOCAL_ONLY = "local_only"
    """Judge by what this gate knows; the event says so."""
    SOFT = "soft"
    """Lets pass what it would refuse, and says so."""
    STRICT = "strict"
    """Holds what it cannot judge for the guard."""


class DayKind(StrEnum):
    """Days on which the weekday says the wrong thing (State Council's yearly notice)."""

    HOLIDAY = "holiday"
    WORKDAY = "workday"
    """A make-up workday (调休) on a weekend."""


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
    """One weekday's opening window (0 = Monday, 7 = holidays), minutes of site time; `start_min` <= t < `end_min`."""

    weekday: int
    start_min: int
    end_min: int


@dataclass(frozen=True, slots=True)
class DayException:
    """Dates with windows of their own, whatever the week and the calendar say; none = closed all day.

    Days count from 1970-01-01 in site time, both ends included; windows are (start_min, end_min).
    """

    first_day: int
    last_day: int
    windows: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """A weekly schedule with exceptions.

    One that follows the calendar is closed on holidays, unless it has windows for them (`Window.weekday` 7), and takes
    Monday's windows on a make-up workday.
    """

    id: str
    windows: tuple[Window, ...]
    follows_calendar: bool = False
    exceptions: tuple[DayException, ...] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """Holidays and make-up workdays of the days `first_day` to `last_day` (included); outside them nothing is known."""

    first_day: int = 0
    last_day: int = -1
    days: Mapping[int, DayKind] = field(default_factory=dict)
    """Only the days on which the weekday says the wrong thing."""


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
    profile: Profile = Profile.RESIDENT
    exit_until_s: int | None = None
    """After `valid_until_s` the holder may still leave on this credential until then (DOMAIN 5, 18)."""
    max_stay_s: int = 0
    """Expected to leave within, else a soft alarm (couriers, visitors); 0 = no limit."""
    uses: int | None = None
    """How often it may enter; None = any number. Each entry has its exit."""
    has_fixed_space: bool = False
    """A space of its own: never refused for a full car park (DOMAIN 19)."""
    asks_guard: bool = False
    """A person decides each time."""
    is_duress: bool = False
    """A PIN typed under threat: opens as always, and alarms in silence."""
    has_no_plate: bool = False
    """A card that stands for a car without plates (DOMAIN 16)."""


@dataclass(frozen=True, slots=True)
class Household:
    """What the lanes must know of a flat: its parking quota and its cars. No names, no room."""

    id: str
    quota: int | None = None
    """Cars that may be inside at once; None = any number."""
    unloading_s: int = 0
    """One car beyond the quota may come in for so long, to unload; 0 = none."""
    cars: tuple[CredentialKey, ...] = ()
    is_card_for_car: bool = True
    """Any card of the household opens the lane for its unread car (DOMAIN 14)."""


@dataclass(frozen=True, slots=True)
class Area:
    """Ground that lanes lead into or out of: what anti-passback and car-park counts are about. "" is the street."""

    id: str
    passback: Passback = Passback.OFF
    passback_s: int = 0
    """For `timed`: how long after an entry a second one is refused."""
    link_policy: LinkPolicy = LinkPolicy.LOCAL_ONLY
    capacity: int = 0
    """Vehicles that fit in; 0 = not counted."""


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How the office wants a lane to serve. Travels in the whitelist, so it holds without a network too."""

    lane: LaneId
    mode: LaneMode = LaneMode.NORMAL
    mode_until_s: int | None = None
    """The mode ends by itself then; None = until it is changed."""
    open_schedule: str | None = None
    """The lane stands open in these hours."""
    is_first_card_in: bool = False
    """…but only from the first granted card of each opening window on."""
    is_two_person: bool = False
    interlock: str = ""
    """Lanes of one gate with the same word never stand open together; "" = none."""
    area_from: str = ""
    area_to: str = ""
    short_stay_s: int = 0
    """An unknown car may come in for so long; 0 = never."""
    short_stay_schedule: str | None = None
    """…in these hours only; None = always."""
    is_fire_lane: bool = True
    """An emergency call that nobody answers opens after 10 s (DOMAIN 1.6)."""


@dataclass(frozen=True, slots=True)
class PassClaim:
    """What a visitor pass says, as `wire.passes` read it; `decide` judges it."""

    nonce: str
    site: SiteId
    lanes: tuple[str, ...]
    """Lane ids; () = every lane of the site."""
    valid_from_s: int
    valid_until_s: int
    uses: int
    profile: Profile = Profile.VISITOR
    is_genuine: bool = False
    """Its signature is that of an issuer which the whitelist names."""


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
    is_covered: bool = False
    """There is a plate, and something hides it."""


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
    """One presentation of one credential at one lane. Exactly one of `key`, `plate` and `claim` is set."""

    id: str
    lane: LaneId
    direction: Direction
    at: datetime
    reader: str
    key: CredentialKey | None = None
    plate: PlateRead | None = None
    claim: PassClaim | None = None


@dataclass(frozen=True, slots=True)
class Inside:
    """Where somebody is, as far as completed passages tell. `since_s` is UTC epoch seconds."""

    area: str
    since_s: int
    household: str = ""
    is_vehicle: bool = False
    max_stay_s: int = 0


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Who is inside, counted from completed passages here and, over the link, at the site's other gates.

    Frozen; `core.occupancy` makes the next one. The maps are never changed in place.
    """

    inside: Mapping[str, Inside] = field(default_factory=dict)
    """By subject: a cardholder's id, or a car's credential key."""
    cars: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By household: the subjects of its cars inside."""
    vehicles: Mapping[str, int] = field(default_factory=dict)
    """By area: how many vehicles are in it; never below 0."""
    uses: Mapping[str, int] = field(default_factory=dict)
    """By credential key or pass nonce: entries made on it."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A grant whose passage is not completed yet: it counts as inside, or one use would let two through."""

    key: str
    """The credential's key or the pass's nonce."""
    subject: str
    household: str = ""
    is_vehicle: bool = False


@dataclass(frozen=True, slots=True)
class LaneState:
    """What `decide` may know of the lane and the gate, besides the attempt and the whitelist."""

    lane: Lane
    is_present: bool | None
    """A vehicle stands on the presence loop; None where the lane has no such loop."""
    clock: ClockTrust
    clock_floor_s: int = 0
    """The latest UTC second that is certainly past: last persisted wall time, or the list's issue."""
    held_reason: Reason | None = None
    """Why the car at this lane is held, if one is."""
    held_read: str = ""
    """What was read of its plate."""
    occupancy: Occupancy = field(default_factory=Occupancy)
    pending: tuple[Pending, ...] = ()
    """Grants under way at this gate's lanes."""
    first_of_two: str | None = None
    """Two-person rule: the subject whose right was shown, while the second is awaited."""
    is_first_card_seen: bool = False
    """A card was granted since the open hours under way began."""
    is_link_up: bool = True
    """The other gates' passages arrive."""
    is_emergency: bool = False
    """Fire or an emergency release holds the lane open."""
    is_interlocked: bool = False
    """Another lane of the interlock stands open."""
    is_keypad_locked: bool = False
    """Too many wrong codes; see `core.lane`."""


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
    subject: str = ""
    """Who is counted as inside: a car's credential key on a vehicle lane, the cardholder's id on foot; "" = unknown."""
    uses_key: str = ""
    """The credential or pass nonce whose entries are counted; "" = none are."""
    max_stay_s: int = 0
    """Expected to leave within; 0 = no limit."""
    link_policy: LinkPolicy | None = None
    """The policy that was in force because the link was down; None when none was needed."""
    alarm: Reason | None = None
    """Something the guards must hear of and the lane must not show (duress)."""


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
    CALL = "call"
    """The call button on the post."""
    EMERGENCY_KEY = "emergency_key"
    """The key switch that opens the lane (DOMAIN 1.6)."""
    SAFETY_FAULT = "safety_fault"
    """The safety loop's own fault contact, or a supervised wire that reads neither open nor closed."""


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
class Crossing:
    """What a completed passage counts for, as its gate counted it: the rest of the site counts the same."""

    subject: str = ""
    """`Decision.subject`; "" = nobody known."""
    area_from: str = ""
    area_to: str = ""
    is_vehicle: bool = False
    max_stay_s: int = 0
    uses_key: str = ""
    """`Decision.uses_key` at an entry; "" at an exit."""


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
    link_policy: str = ""
    """The policy in force while the link was down, where a rule needed the link."""
    crossing: Crossing | None = None
    """On the passage event of somebody who went through."""
    gap: tuple[int, int, str] | None = None
    """Unconfirmed events that had to be given up: first and last seq, and the last one's hash."""


class Grants(Protocol):
    """The grants of one revision. Lookups never raise, and take microseconds at a million grants."""

    def __len__(self) -> int: ...

    def get(self, key: CredentialKey, /) -> Grant | None:
        """The grant of exactly this key."""

    def by_number(self, number: int, bits: int, /) -> Sequence[CredentialKey]:
        """Keys of the EM and 34-bit cards whose low 24 or 32 bits are `number`: what shorter readers see of them."""

    def alike(self, folded: str, /) -> Sequence[CredentialKey]:
        """Keys of the plates that are the same when folded (`core.plates.fold`)."""


@dataclass(frozen=True, slots=True)
class WhitelistView:
    """One immutable revision of the whitelist, as `decide` reads it. `core.whitelist` and `wire.packed` build it."""

    epoch: str
    version: int
    issued_s: int
    grants: Grants
    levels: Mapping[str, AccessLevel]
    schedules: Mapping[str, Schedule]
    site: SiteId = SiteId("")
    emergency_plates: frozenset[str] = frozenset()
    households: Callable[[str], Household | None] = lambda _id: None
    areas: Mapping[str, Area] = field(default_factory=dict)
    policies: Mapping[LaneId, LanePolicy] = field(default_factory=dict)
    calendar: Calendar = Calendar()
    issuers: Mapping[str, bytes] = field(default_factory=dict)
    """Pass issuers' Ed25519 public keys (32 bytes) by key id."""
    code_salt: bytes = b""
    """The site's salt for `core.codes`; b"" where the site has no codes."""

    @property
    def revision(self) -> tuple[str, int]:
        """(epoch, version)."""
        return (self.epoch, self.version)
