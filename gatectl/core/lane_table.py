"""How a lane moves, as data: `step` takes a state and a symbol to the next state and what to do.

Two tables, one for arms and one for doors (`lane_rows`), and above them the rules that no row can break:
* CLOSE only while the safety loop is known to be clear, and not under fire, an emergency or a mode that holds open.
* OPEN before CLOSE when both fall together, and one OPEN a step.
The state is finite, so that `gatectl.bench.lane_walk` can visit all of it. docs/lane.md shows the tables as a page.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

QUEUE_MAX = 2
"""Cars granted behind the one that passes; more do not fit between the presence loop and the arm."""
SETTLE_MAX = 2 * QUEUE_MAX + 4
"""Settling rows in one step, at most; the walk over all states shows that fewer are ever needed."""


class Phase(StrEnum):
    """Where an opening stands."""

    IDLE = "idle"
    OPENING = "opening"
    """OPEN was given; the arm's upper switch (the door contact) has not answered yet."""
    OPEN = "open"
    PASSING = "passing"
    """The safety loop is occupied."""
    WAITING = "waiting"
    """The opening is over; CLOSE follows as soon as it is safe."""
    CLOSING = "closing"
    """CLOSE was given; the arm is not down yet."""
    STANDING = "standing"
    """Fire, an emergency or a mode holds the lane open."""


class Arm(StrEnum):
    """Where the arm (the door) is, as its own switches say."""

    UNKNOWN = "unknown"
    DOWN = "down"
    MOVING = "moving"
    UP = "up"


class Safety(StrEnum):
    """What stands under the arm, as the safety loop and its fault contact say."""

    UNKNOWN = "unknown"
    CLEAR = "clear"
    OCCUPIED = "occupied"
    FAULTED = "faulted"


class Right(StrEnum):
    """Whose opening it is."""

    NOBODYS = "nobodys"
    FRESH = "fresh"
    """Granted, not yet used."""
    USED = "used"
    """Somebody went through on it."""


class Symbol(StrEnum):
    """What a lane hears."""

    GRANT = "grant"
    """Somebody may pass."""
    URGENT = "urgent"
    """Somebody may pass whom no queue may keep waiting: at an exit, or in an emergency."""
    ORDER = "order"
    """Staff open."""
    REPEAT = "repeat"
    """The one who is being dealt with is read again."""
    PRESENCE_ON = "presence_on"
    PRESENCE_OFF = "presence_off"
    HOLD_BEGAN = "hold_began"
    HOLD_ENDED = "hold_ended"
    SAFETY_CLEAR = "safety_clear"
    SAFETY_OCCUPIED = "safety_occupied"
    SAFETY_FAULTED = "safety_faulted"
    SAFETY_UNKNOWN = "safety_unknown"
    ARM_UP = "arm_up"
    ARM_MOVING = "arm_moving"
    ARM_DOWN = "arm_down"
    FIRE_ON = "fire_on"
    FIRE_OFF = "fire_off"
    EMERGENCY = "emergency"
    """A named person, or the key switch, opens and holds open."""
    RELEASED = "released"
    """A named person ends fire's hold and the emergency's; fire's only once its input is quiet."""
    MODE_OPEN = "mode_open"
    MODE_END = "mode_end"
    TIMER = "timer"
    """The timer that `timer_of` names ran out."""
    UP_LONG = "up_long"
    """The arm has been up for `Lane.held_open_after_s`."""
    SETTLE = "settle"
    """Nothing happened: rows for this symbol are taken after every step until none fits."""


class Do(StrEnum):
    """What a row asks for."""

    OPEN = "open"
    CLOSE = "close"
    START = "start"
    """This grant's opening begins."""
    QUEUE = "queue"
    """This grant waits for the car before it."""
    NEXT = "next"
    """The longest waiting grant's opening begins."""
    REFUSE = "refuse"
    """The queue is full: no grant is taken, the car waits and is asked again."""
    DISPLACE = "displace"
    """The longest waiting grant ends, because its car must be under the arm by now."""
    MERGE = "merge"
    """This grant is for the one who is let through already."""
    CONFIRM = "confirm"
    """The sensor says open: orders that wait are confirmed."""
    PASSED = "passed"
    """Whoever was under the arm is through: on the grant under way, or, where it is nobody's, as somebody unknown."""
    FINISH = "finish"
    """Record how the opening under way ended."""
    READ = "read"
    """Ask the camera."""
    END_HOLD = "end_hold"
    """The held car backed off."""
    TELL_TAILGATE = "tell_tailgate"
    TELL_OBSTRUCTED = "tell_obstructed"
    TELL_WRONG_WAY = "tell_wrong_way"
    TELL_FORCED_OPEN = "tell_forced_open"
    TELL_POWER_BACK = "tell_power_back"
    TELL_HELD_OPEN = "tell_held_open"
    TELL_STUCK = "tell_stuck"
    TELL_NO_EFFECT = "tell_no_effect"
    TELL_FAULT = "tell_fault"
    TELL_FAULT_OVER = "tell_fault_over"


class Timer(StrEnum):
    """The one timer that a phase has."""

    ARM = "arm"
    """`Lane.arm_up_timeout_s`."""
    PASSAGE = "passage"
    """`Lane.passage_timeout_s`, longer for those who are slow."""
    STUCK = "stuck"
    """CLOSE was given so long ago that the arm should be down."""


@dataclass(frozen=True, slots=True)
class Motion:
    """All that a lane's next move depends on."""

    phase: Phase = Phase.IDLE
    arm: Arm = Arm.UNKNOWN
    safety: Safety = Safety.UNKNOWN
    right: Right = Right.NOBODYS
    queue: int = 0
    is_present: bool = False
    is_held: bool = False
    is_fire_input: bool = False
    is_fire: bool = False
    """Latched: outlasts its input until a named person releases it."""
    is_emergency: bool = False
    is_mode_open: bool = False
    is_told: bool = False
    """An alarm about this phase was raised already."""

    @property
    def must_stand(self) -> bool:
        """Something holds the lane open."""
        return self.is_fire or self.is_fire_input or self.is_emergency or self.is_mode_open

    @property
    def may_close(self) -> bool:
        """The one condition of CLOSE, whatever a table says."""
        return self.safety is Safety.CLEAR and not self.must_stand


class When(StrEnum):
    """Guards of rows, over the state before the symbol and the state with it."""

    FRESH = "the grant is unused"
    USED = "the grant is used"
    NOBODYS = "no grant is under way"
    QUEUED = "a grant waits"
    FULL = "the queue is full"
    HELD = "a car is held"
    UNREAD = "a car stands there and is not held"
    UP = "the arm is up"
    NOT_UP = "the arm is not up"
    DOWN = "the arm is down"
    MOVING = "the arm moves"
    LIFTED = "the arm is up or moving"
    FELL = "the arm was up before"
    FIRST = "the arm's first report"
    KNOWN = "the safety loop was known before"
    OCCUPIED = "safety is occupied"
    NOT_OCCUPIED = "safety is not occupied"
    WAS_OCCUPIED = "safety was occupied before"
    WAS_FAULTED = "safety was faulted before"
    NOT_TOLD = "not told yet"
    STAND = "must stand open"
    NO_STAND = "need not stand open"
    CLOSABLE = "CLOSE is safe"


_HOLDS: Mapping[When, Callable[[Motion, Motion], bool]] = {
    When.FRESH: lambda _before, now: now.right is Right.FRESH,
    When.USED: lambda _before, now: now.right is Right.USED,
    When.NOBODYS: lambda _before, now: now.right is Right.NOBODYS,
    When.QUEUED: lambda _before, now: now.queue > 0,
    When.FULL: lambda _before, now: now.queue >= QUEUE_MAX,
    When.HELD: lambda _before, now: now.is_held,
    When.UNREAD: lambda _before, now: now.is_present and not now.is_held,
    When.UP: lambda _before, now: now.arm is Arm.UP,
    When.NOT_UP: lambda _before, now: now.arm is not Arm.UP,
    When.DOWN: lambda _before, now: now.arm is Arm.DOWN,
    When.MOVING: lambda _before, now: now.arm is Arm.MOVING,
    When.LIFTED: lambda _before, now: now.arm in (Arm.UP, Arm.MOVING),
    When.FELL: lambda before, _now: before.arm is Arm.UP,
    When.FIRST: lambda before, _now: before.arm is Arm.UNKNOWN,
    When.KNOWN: lambda before, _now: before.safety is not Safety.UNKNOWN,
    When.OCCUPIED: lambda _before, now: now.safety is Safety.OCCUPIED,
    When.NOT_OCCUPIED: lambda _before, now: now.safety is not Safety.OCCUPIED,
    When.WAS_OCCUPIED: lambda before, _now: before.safety is Safety.OCCUPIED,
    When.WAS_FAULTED: lambda before, _now: before.safety is Safety.FAULTED,
    When.NOT_TOLD: lambda _before, now: not now.is_told,
    When.STAND: lambda _before, now: now.must_stand,
    When.NO_STAND: lambda _before, now: not now.must_stand,
    When.CLOSABLE: lambda _before, now: now.may_close,
}


@dataclass(frozen=True, slots=True)
class Row:
    """In this phase, on one of these symbols, when all of this holds: note it, do it, go on in phase `then`."""

    phase: Phase
    symbols: tuple[Symbol, ...]
    when: tuple[When, ...]
    note: str
    """The line of the lane trace; "" = none."""
    do: tuple[Do, ...]
    then: Phase

    def fits(self, before: Motion, now: Motion) -> bool:
        """Whether every guard holds."""
        return all(_HOLDS[guard](before, now) for guard in self.when)


@dataclass(frozen=True, slots=True)
class Always:
    """In every phase, beside the phase's own row: what to do on a symbol."""

    symbols: tuple[Symbol, ...]
    when: tuple[When, ...]
    do: tuple[Do, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """One kind of lane: its rows, in order (the first that fits is taken), and what leaves a phase as it is."""

    name: str
    alphabet: tuple[Symbol, ...]
    always: tuple[Always, ...]
    rows: tuple[Row, ...]
    stays: Mapping[Phase, frozenset[Symbol]]
    """Symbols that a phase takes note of (arm, safety, fire …) and does nothing about."""
    timers: Callable[[Motion], Timer | None]
    index: dict[tuple[Phase, Symbol], tuple[Row, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found: dict[tuple[Phase, Symbol], tuple[Row, ...]] = {}
        for row in self.rows:
            for symbol in row.symbols:
                found[row.phase, symbol] = (*found.get((row.phase, symbol), ()), row)
        object.__setattr__(self, "index", found)

    def first(self, symbol: Symbol, before: Motion, now: Motion) -> Row | None:
        """The row to take, if one fits."""
        return next((row for row in self.index.get((now.phase, symbol), ()) if row.fits(before, now)), None)

    def handles(self, phase: Phase, symbol: Symbol) -> bool:
        """Whether the phase says what to do about the symbol, whatever else holds."""
        rows = self.index.get((phase, symbol), ())
        return symbol in self.stays.get(phase, ()) or bool(rows and not rows[-1].when)


@dataclass(frozen=True, slots=True)
class Taken:
    """One row that was taken, and what the safety rules left of its actions."""

    row: Row | Always
    do: tuple[Do, ...]

    @property
    def note(self) -> str:
        """The line of the lane trace; "" = none."""
        return self.row.note if isinstance(self.row, Row) else ""


@dataclass(frozen=True, slots=True)
class Step:
    """The next state, and what is to be done in order."""

    state: Motion
    taken: tuple[Taken, ...]
    is_vetoed: bool = False
    """A safety rule struck out what a row asked for. The shipped tables never come to that."""

    @property
    def actions(self) -> tuple[Do, ...]:
        """All that is to be done, in order."""
        return tuple(do for taken in self.taken for do in taken.do)


def sensed(state: Motion, symbol: Symbol) -> Motion:
    """The state with what the symbol says of the world."""
    changes = _SENSED.get(symbol)
    if changes is None:
        return state
    if symbol is Symbol.RELEASED and state.is_fire_input:
        return replace(state, is_emergency=False)
    return replace(state, **changes)


_SENSED: Mapping[Symbol, Mapping[str, Any]] = {
    Symbol.PRESENCE_ON: {"is_present": True},
    Symbol.PRESENCE_OFF: {"is_present": False},
    Symbol.HOLD_BEGAN: {"is_held": True},
    Symbol.HOLD_ENDED: {"is_held": False},
    Symbol.SAFETY_CLEAR: {"safety": Safety.CLEAR},
    Symbol.SAFETY_OCCUPIED: {"safety": Safety.OCCUPIED},
    Symbol.SAFETY_FAULTED: {"safety": Safety.FAULTED},
    Symbol.SAFETY_UNKNOWN: {"safety": Safety.UNKNOWN},
    Symbol.ARM_UP: {"arm": Arm.UP, "is_told": False},
    Symbol.ARM_MOVING: {"arm": Arm.MOVING},
    Symbol.ARM_DOWN: {"arm": Arm.DOWN},
    Symbol.FIRE_ON: {"is_fire_input": True, "is_fire": True},
    Symbol.FIRE_OFF: {"is_fire_input": False},
    Symbol.EMERGENCY: {"is_emergency": True},
    Symbol.RELEASED: {"is_fire": False, "is_emergency": False},
    Symbol.MODE_OPEN: {"is_mode_open": True},
    Symbol.MODE_END: {"is_mode_open": False},
}


def _booked(state: Motion, do: Do) -> Motion:
    """The state after an action that changes whose opening it is."""
    if do is Do.START:
        return replace(state, right=Right.FRESH)
    if do is Do.NEXT:
        return replace(state, right=Right.FRESH, queue=max(0, state.queue - 1))
    if do is Do.QUEUE:
        return replace(state, queue=min(QUEUE_MAX, state.queue + 1))
    if do is Do.DISPLACE:
        return replace(state, queue=max(0, state.queue - 1))
    if do is Do.PASSED and state.right is Right.FRESH:
        return replace(state, right=Right.USED)
    if do is Do.FINISH:
        return replace(state, right=Right.NOBODYS)
    if do is Do.TELL_TAILGATE:
        return replace(state, right=Right.USED)
    if do is Do.END_HOLD:
        return replace(state, is_held=False)
    if do in (Do.TELL_STUCK, Do.TELL_NO_EFFECT):
        return replace(state, is_told=True)
    return state


def step(table: Table, state: Motion, symbol: Symbol) -> Step:
    """Take one symbol. Pure and total: a symbol that no row is for changes only what is sensed."""
    run = _Run(sensed(state, symbol))
    for always in table.always:
        if symbol in always.symbols and all(_HOLDS[guard](state, run.now) for guard in always.when):
            run.take(always, always.do)
    row = table.first(symbol, state, run.now)
    if row is not None:
        run.follow(row)
    for _ in range(SETTLE_MAX):
        row = table.first(Symbol.SETTLE, run.now, run.now)
        if row is None:
            break
        run.follow(row)
    return Step(run.now, tuple(run.taken), run.is_vetoed)


@dataclass(slots=True)
class _Run:
    """One step under way."""

    now: Motion
    taken: list[Taken] = field(default_factory=list)
    is_vetoed: bool = False

    def take(self, row: Row | Always, do: tuple[Do, ...]) -> None:
        """Do this, and book it."""
        self.taken.append(Taken(row, do))
        for action in do:
            self.now = _booked(self.now, action)

    def follow(self, row: Row) -> None:
        """Take a row, as far as the safety rules let it."""
        has_opened = any(Do.OPEN in taken.do for taken in self.taken)
        is_vetoed = Do.CLOSE in row.do and (has_opened or Do.OPEN in row.do or not self.now.may_close)
        self.is_vetoed = self.is_vetoed or is_vetoed
        then = Phase.WAITING if is_vetoed and row.then is Phase.CLOSING else row.then
        if then is not self.now.phase:
            self.now = replace(self.now, phase=then, is_told=False)
        struck = {Do.CLOSE: is_vetoed, Do.OPEN: has_opened}
        self.take(row, tuple(do for do in row.do if not struck.get(do, False)))
