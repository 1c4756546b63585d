"""The two tables of `lane_table`: arms and doors. The first row of a phase and symbol whose guards hold is taken."""

from collections.abc import Mapping

from gatectl.core.lane_table import Always, Arm, Do, Motion, Phase, Right, Row, Safety, Symbol, Table, Timer, When
from gatectl.core.model import LaneKind

D, S, W = Do, Symbol, When
"""A row fits on a line."""

_IDLE, _OPENING, _OPEN, _PASSING = Phase.IDLE, Phase.OPENING, Phase.OPEN, Phase.PASSING
_WAITING, _CLOSING, _STANDING = Phase.WAITING, Phase.CLOSING, Phase.STANDING
_GRANTED = (S.GRANT, S.URGENT)
_WANTED = (S.GRANT, S.URGENT, S.ORDER)
_HOLDS_OPEN = (S.FIRE_ON, S.EMERGENCY, S.MODE_OPEN)


def _timers(state: Motion) -> Timer | None:
    if state.phase is _OPENING:
        return Timer.ARM
    if state.phase is _CLOSING:
        return Timer.STUCK
    if state.phase is _STANDING and state.arm is not Arm.UP:
        return Timer.ARM
    is_awaited = state.phase is _STANDING and state.right is Right.FRESH and state.safety is not Safety.OCCUPIED
    return Timer.PASSAGE if is_awaited or state.phase is _OPEN else None


_ARM_ROWS = (
    # nobody is being let through
    Row(_IDLE, _WANTED, (), "", (D.START, D.OPEN), _OPENING),
    Row(_IDLE, (S.PRESENCE_ON,), (), "", (D.READ,), _IDLE),
    Row(_IDLE, (S.ARM_UP,), (W.FIRST,), "arm_up", (D.TELL_POWER_BACK,), _OPEN),
    Row(_IDLE, (S.ARM_UP,), (), "", (D.TELL_FORCED_OPEN,), _IDLE),
    Row(_IDLE, (S.SAFETY_OCCUPIED,), (W.LIFTED, W.KNOWN), "", (D.TELL_WRONG_WAY,), _IDLE),
    Row(_IDLE, (S.SAFETY_OCCUPIED,), (), "", (), _IDLE),
    Row(_IDLE, (S.SETTLE,), (W.STAND,), "", (D.OPEN,), _STANDING),
    # OPEN was given
    Row(_OPENING, (S.URGENT,), (W.HELD, W.FULL), "", (D.DISPLACE, D.QUEUE), _OPENING),
    Row(_OPENING, _WANTED, (W.HELD, W.FULL), "", (D.REFUSE,), _OPENING),
    Row(_OPENING, _WANTED, (W.HELD,), "", (D.QUEUE,), _OPENING),
    Row(_OPENING, _GRANTED, (), "granted_again", (D.MERGE,), _OPENING),
    Row(_OPENING, (S.ORDER,), (), "ordered_again", (D.MERGE,), _OPENING),
    Row(_OPENING, (S.REPEAT,), (), "plate_read_again", (), _OPENING),
    Row(_OPENING, (S.SAFETY_OCCUPIED,), (), "safety_occupied_early", (), _OPENING),
    Row(_OPENING, (S.TIMER,), (W.MOVING, W.NOT_TOLD), "", (D.TELL_STUCK,), _OPENING),
    Row(_OPENING, (S.TIMER,), (W.QUEUED,), "", (D.TELL_NO_EFFECT, D.FINISH, D.NEXT, D.OPEN), _OPENING),
    Row(_OPENING, (S.TIMER,), (W.UNREAD,), "", (D.TELL_NO_EFFECT, D.FINISH, D.READ), _IDLE),
    Row(_OPENING, (S.TIMER,), (), "", (D.TELL_NO_EFFECT, D.FINISH), _IDLE),
    Row(_OPENING, (S.SETTLE,), (W.STAND,), "held_open", (D.OPEN,), _STANDING),
    Row(_OPENING, (S.SETTLE,), (W.UP, W.OCCUPIED), "arm_up", (D.CONFIRM,), _PASSING),
    Row(_OPENING, (S.SETTLE,), (W.UP,), "arm_up", (D.CONFIRM,), _OPEN),
    # the arm is up; the car has not reached the safety loop
    Row(_OPEN, _WANTED, (W.NOBODYS,), "", (D.START, D.OPEN), _OPENING),
    Row(_OPEN, (S.URGENT,), (W.HELD, W.FULL), "", (D.DISPLACE, D.QUEUE), _OPEN),
    Row(_OPEN, _WANTED, (W.HELD, W.FULL), "", (D.REFUSE,), _OPEN),
    Row(_OPEN, _WANTED, (W.HELD,), "", (D.QUEUE,), _OPEN),
    Row(_OPEN, _GRANTED, (), "granted_again", (D.MERGE,), _OPEN),
    Row(_OPEN, (S.ORDER,), (W.UP,), "ordered_again", (D.MERGE, D.CONFIRM), _OPEN),
    Row(_OPEN, (S.ORDER,), (), "ordered_again", (D.MERGE, D.OPEN), _OPEN),
    Row(_OPEN, (S.REPEAT,), (), "plate_read_again", (), _OPEN),
    Row(_OPEN, (S.PRESENCE_ON,), (W.NOBODYS,), "", (D.READ,), _OPEN),
    Row(_OPEN, (S.PRESENCE_ON,), (), "", (), _OPEN),
    Row(_OPEN, (S.SAFETY_OCCUPIED,), (), "safety_occupied", (), _PASSING),
    Row(_OPEN, (S.ARM_UP,), (), "", (D.CONFIRM,), _OPEN),
    Row(_OPEN, (S.ARM_DOWN,), (W.QUEUED,), "arm_down", (D.FINISH, D.NEXT, D.OPEN), _OPENING),
    Row(_OPEN, (S.ARM_DOWN,), (W.UNREAD,), "arm_down", (D.FINISH, D.READ), _IDLE),
    Row(_OPEN, (S.ARM_DOWN,), (), "arm_down", (D.FINISH,), _IDLE),
    Row(_OPEN, (S.TIMER,), (W.QUEUED,), "nobody_passed", (D.FINISH, D.NEXT, D.OPEN), _OPENING),
    Row(_OPEN, (S.TIMER,), (), "nobody_passed", (), _WAITING),
    Row(_OPEN, (S.SETTLE,), (W.STAND,), "held_open", (D.OPEN,), _STANDING),
    # the safety loop is occupied
    Row(_PASSING, (S.URGENT,), (W.FULL,), "", (D.DISPLACE, D.QUEUE), _PASSING),
    Row(_PASSING, _GRANTED, (W.FULL,), "", (D.REFUSE,), _PASSING),
    Row(_PASSING, _GRANTED, (), "", (D.QUEUE,), _PASSING),
    Row(_PASSING, (S.ORDER,), (W.HELD, W.FULL), "", (D.REFUSE,), _PASSING),
    Row(_PASSING, (S.ORDER,), (W.HELD,), "", (D.QUEUE,), _PASSING),
    Row(_PASSING, (S.ORDER,), (W.UP,), "ordered_again", (D.MERGE, D.CONFIRM), _PASSING),
    Row(_PASSING, (S.ORDER,), (), "ordered_again", (D.MERGE, D.OPEN), _PASSING),
    Row(_PASSING, (S.REPEAT,), (), "plate_read_again", (), _PASSING),
    Row(_PASSING, (S.PRESENCE_ON,), (), "", (D.READ,), _PASSING),
    Row(_PASSING, (S.ARM_UP,), (), "", (D.CONFIRM,), _PASSING),
    Row(_PASSING, (S.ARM_MOVING,), (W.FELL,), "reopened", (D.OPEN,), _PASSING),
    Row(_PASSING, (S.ARM_MOVING,), (), "", (), _PASSING),
    Row(_PASSING, (S.ARM_DOWN,), (W.QUEUED,), "arm_down", (D.PASSED, D.FINISH, D.NEXT, D.OPEN), _OPENING),
    Row(_PASSING, (S.ARM_DOWN,), (W.UNREAD,), "arm_down", (D.PASSED, D.FINISH, D.READ), _IDLE),
    Row(_PASSING, (S.ARM_DOWN,), (), "arm_down", (D.PASSED, D.FINISH), _IDLE),
    Row(_PASSING, (S.SAFETY_CLEAR,), (W.QUEUED,), "safety_clear", (D.PASSED, D.FINISH, D.NEXT, D.OPEN), _OPENING),
    Row(_PASSING, (S.SAFETY_CLEAR,), (), "safety_clear", (D.PASSED,), _WAITING),
    Row(_PASSING, (S.SAFETY_FAULTED, S.SAFETY_UNKNOWN), (W.QUEUED,), "safety_faulted",
        (D.PASSED, D.FINISH, D.NEXT, D.OPEN), _OPENING),
    Row(_PASSING, (S.SAFETY_FAULTED, S.SAFETY_UNKNOWN), (), "safety_faulted", (D.PASSED,), _WAITING),
    Row(_PASSING, (S.SETTLE,), (W.STAND,), "held_open", (D.OPEN,), _STANDING),
    # over, and not yet safe to close
    Row(_WAITING, _WANTED, (), "", (D.FINISH, D.START, D.OPEN), _OPENING),
    Row(_WAITING, (S.PRESENCE_ON,), (), "", (D.READ,), _WAITING),
    Row(_WAITING, (S.SAFETY_OCCUPIED,), (W.FRESH,), "safety_occupied", (), _PASSING),
    Row(_WAITING, (S.SAFETY_OCCUPIED,), (W.WAS_FAULTED,), "safety_occupied", (), _PASSING),
    Row(_WAITING, (S.SAFETY_OCCUPIED,), (), "safety_occupied", (D.TELL_TAILGATE,), _PASSING),
    Row(_WAITING, (S.SETTLE,), (W.STAND,), "held_open", (D.FINISH, D.OPEN), _STANDING),
    Row(_WAITING, (S.SETTLE,), (W.DOWN, W.UNREAD), "arm_down", (D.FINISH, D.READ), _IDLE),
    Row(_WAITING, (S.SETTLE,), (W.DOWN,), "arm_down", (D.FINISH,), _IDLE),
    Row(_WAITING, (S.SETTLE,), (W.CLOSABLE,), "", (D.CLOSE,), _CLOSING),
    # CLOSE was given
    Row(_CLOSING, _WANTED, (), "", (D.FINISH, D.START, D.OPEN), _OPENING),
    Row(_CLOSING, (S.PRESENCE_ON,), (), "", (D.READ,), _CLOSING),
    Row(_CLOSING, (S.SAFETY_OCCUPIED,), (W.FRESH,), "reopened", (D.TELL_OBSTRUCTED, D.OPEN), _PASSING),
    Row(_CLOSING, (S.SAFETY_OCCUPIED,), (), "reopened", (D.TELL_TAILGATE, D.OPEN), _PASSING),
    Row(_CLOSING, (S.SAFETY_FAULTED, S.SAFETY_UNKNOWN), (), "reopened", (D.OPEN,), _WAITING),
    Row(_CLOSING, (S.ARM_DOWN,), (W.UNREAD,), "arm_down", (D.FINISH, D.READ), _IDLE),
    Row(_CLOSING, (S.ARM_DOWN,), (), "arm_down", (D.FINISH,), _IDLE),
    Row(_CLOSING, (S.TIMER,), (W.NOT_TOLD,), "", (D.TELL_STUCK, D.CLOSE), _CLOSING),
    Row(_CLOSING, (S.TIMER,), (), "", (D.CLOSE,), _CLOSING),
    Row(_CLOSING, (S.SETTLE,), (W.STAND,), "held_open", (D.FINISH, D.OPEN), _STANDING),
    # fire, an emergency or a mode holds the lane open
    Row(_STANDING, _WANTED, (W.NOBODYS, W.UP), "", (D.START, D.CONFIRM), _STANDING),
    Row(_STANDING, _WANTED, (W.NOBODYS,), "", (D.START, D.OPEN), _STANDING),
    Row(_STANDING, (S.URGENT,), (W.FULL,), "", (D.DISPLACE, D.QUEUE), _STANDING),
    Row(_STANDING, _GRANTED, (W.FULL,), "", (D.MERGE,), _STANDING),
    Row(_STANDING, _GRANTED, (), "", (D.QUEUE,), _STANDING),
    Row(_STANDING, (S.ORDER,), (W.UP,), "ordered_again", (D.MERGE, D.CONFIRM), _STANDING),
    Row(_STANDING, (S.ORDER,), (), "ordered_again", (D.MERGE, D.OPEN), _STANDING),
    Row(_STANDING, (S.REPEAT,), (), "plate_read_again", (), _STANDING),
    Row(_STANDING, (S.PRESENCE_ON,), (), "", (D.READ,), _STANDING),
    Row(_STANDING, (S.SAFETY_OCCUPIED,), (), "safety_occupied", (), _STANDING),
    Row(_STANDING, (S.SAFETY_CLEAR,), (W.WAS_OCCUPIED, W.LIFTED, W.QUEUED), "safety_clear",
        (D.PASSED, D.FINISH, D.NEXT), _STANDING),
    Row(_STANDING, (S.SAFETY_CLEAR,), (W.WAS_OCCUPIED, W.LIFTED), "safety_clear", (D.PASSED, D.FINISH), _STANDING),
    Row(_STANDING, (S.SAFETY_CLEAR,), (), "", (), _STANDING),
    Row(_STANDING, (S.ARM_UP,), (), "arm_up", (D.CONFIRM,), _STANDING),
    Row(_STANDING, (S.ARM_MOVING,), (W.FELL,), "reopened", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.ARM_MOVING,), (), "", (), _STANDING),
    Row(_STANDING, (S.ARM_DOWN,), (W.FIRST,), "", (), _STANDING),
    Row(_STANDING, (S.ARM_DOWN,), (), "reopened", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.TIMER,), (W.NOT_UP, W.NOT_TOLD), "", (D.TELL_NO_EFFECT, D.OPEN), _STANDING),
    Row(_STANDING, (S.TIMER,), (W.NOT_UP,), "", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.TIMER,), (W.QUEUED,), "nobody_passed", (D.FINISH, D.NEXT), _STANDING),
    Row(_STANDING, (S.TIMER,), (), "nobody_passed", (D.FINISH,), _STANDING),
    Row(_STANDING, (S.FIRE_ON, S.EMERGENCY), (), "held_open", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.MODE_OPEN,), (W.UP,), "", (), _STANDING),
    Row(_STANDING, (S.MODE_OPEN,), (), "", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.SETTLE,), (W.USED, W.NOT_OCCUPIED), "", (D.FINISH,), _STANDING),
    Row(_STANDING, (S.SETTLE,), (W.NOBODYS, W.QUEUED, W.NOT_OCCUPIED), "", (D.NEXT,), _STANDING),
    Row(_STANDING, (S.SETTLE,), (W.NO_STAND, W.OCCUPIED), "hold_over", (), _PASSING),
    Row(_STANDING, (S.SETTLE,), (W.NO_STAND, W.FRESH, W.UP), "hold_over", (), _OPEN),
    Row(_STANDING, (S.SETTLE,), (W.NO_STAND, W.FRESH), "hold_over", (D.OPEN,), _OPENING),
    Row(_STANDING, (S.SETTLE,), (W.NO_STAND,), "hold_over", (), _WAITING),
)  # fmt: skip

_NOTED = frozenset({S.HOLD_BEGAN, S.HOLD_ENDED, S.PRESENCE_OFF, S.FIRE_OFF, S.RELEASED, S.MODE_END, S.UP_LONG})
"""What a phase of its own needs no row for: the state changes, and the settling rows and `Always` look at it."""
_UNSAFE = frozenset({S.SAFETY_FAULTED, S.SAFETY_UNKNOWN})
_ARM_STAYS: Mapping[Phase, frozenset[Symbol]] = {
    _IDLE: _NOTED | _UNSAFE | {*_HOLDS_OPEN, S.REPEAT, S.SAFETY_CLEAR, S.ARM_MOVING, S.ARM_DOWN, S.TIMER},
    _OPENING: _NOTED | _UNSAFE | {*_HOLDS_OPEN, S.PRESENCE_ON, S.SAFETY_CLEAR, S.ARM_UP, S.ARM_MOVING, S.ARM_DOWN},
    _OPEN: _NOTED | _UNSAFE | {*_HOLDS_OPEN, S.SAFETY_CLEAR, S.ARM_MOVING},
    _PASSING: _NOTED | {*_HOLDS_OPEN, S.SAFETY_OCCUPIED, S.TIMER},
    _WAITING: _NOTED | _UNSAFE | {*_HOLDS_OPEN, S.REPEAT, S.SAFETY_CLEAR, S.ARM_UP, S.ARM_MOVING, S.ARM_DOWN, S.TIMER},
    _CLOSING: _NOTED | {*_HOLDS_OPEN, S.REPEAT, S.SAFETY_CLEAR, S.ARM_UP, S.ARM_MOVING},
    _STANDING: _NOTED | _UNSAFE,
}

VEHICLE = Table(
    name="vehicle",
    alphabet=tuple(symbol for symbol in S if symbol is not S.SETTLE),
    always=(
        Always((S.SAFETY_FAULTED,), (), (D.TELL_FAULT,)),
        Always((S.SAFETY_CLEAR, S.SAFETY_OCCUPIED, S.SAFETY_UNKNOWN), (W.WAS_FAULTED,), (D.TELL_FAULT_OVER,)),
        Always((S.PRESENCE_OFF,), (W.HELD,), (D.END_HOLD,)),
        Always((S.UP_LONG,), (W.NO_STAND,), (D.TELL_HELD_OPEN,)),
    ),
    rows=_ARM_ROWS,
    stays=_ARM_STAYS,
    timers=_timers,
)
"""An arm over a road, with loops."""


_DOOR_ROWS = (
    # nobody is being let through
    Row(_IDLE, _WANTED, (), "", (D.START, D.OPEN), _OPENING),
    Row(_IDLE, (S.ARM_UP,), (W.FIRST,), "door_open", (D.TELL_POWER_BACK,), _OPEN),
    Row(_IDLE, (S.ARM_UP,), (), "", (D.TELL_FORCED_OPEN,), _IDLE),
    Row(_IDLE, (S.SETTLE,), (W.STAND,), "", (D.OPEN,), _STANDING),
    Row(_IDLE, (S.SETTLE,), (W.QUEUED,), "", (D.NEXT, D.PASSED, D.FINISH), _IDLE),
    # the lock is released
    Row(_OPENING, _GRANTED, (W.FULL,), "", (D.FINISH, D.NEXT, D.QUEUE, D.OPEN), _OPENING),
    Row(_OPENING, _GRANTED, (), "", (D.QUEUE, D.OPEN), _OPENING),
    Row(_OPENING, (S.ORDER,), (), "ordered_again", (D.MERGE, D.OPEN), _OPENING),
    Row(_OPENING, (S.REPEAT,), (), "granted_again", (D.OPEN,), _OPENING),
    Row(_OPENING, (S.TIMER,), (W.QUEUED,), "", (D.FINISH, D.NEXT), _OPENING),
    Row(_OPENING, (S.TIMER,), (), "", (D.FINISH,), _IDLE),
    Row(_OPENING, (S.SETTLE,), (W.STAND,), "held_open", (D.OPEN,), _STANDING),
    Row(_OPENING, (S.SETTLE,), (W.UP,), "door_open", (D.CONFIRM,), _OPEN),
    # the door is open; whoever taps now follows the one before
    Row(_OPEN, _WANTED, (W.NOBODYS,), "", (D.START, D.OPEN), _OPENING),
    Row(_OPEN, _GRANTED, (W.QUEUED,), "", (D.PASSED, D.FINISH, D.NEXT, D.QUEUE, D.OPEN), _OPEN),
    Row(_OPEN, _GRANTED, (), "", (D.PASSED, D.FINISH, D.START, D.OPEN), _OPENING),
    Row(_OPEN, (S.ORDER,), (), "ordered_again", (D.MERGE, D.CONFIRM), _OPEN),
    Row(_OPEN, (S.ARM_DOWN,), (W.NOBODYS,), "door_closed", (), _IDLE),
    Row(_OPEN, (S.ARM_DOWN,), (), "door_closed", (D.PASSED, D.FINISH), _IDLE),
    Row(_OPEN, (S.SETTLE,), (W.STAND,), "held_open", (D.OPEN,), _STANDING),
    # fire, an emergency or a mode holds the lane open
    Row(_STANDING, _WANTED, (W.NOBODYS, W.UP), "", (D.START, D.CONFIRM), _STANDING),
    Row(_STANDING, _WANTED, (W.NOBODYS,), "", (D.START, D.OPEN), _STANDING),
    Row(_STANDING, _GRANTED, (W.UP, W.QUEUED), "", (D.PASSED, D.FINISH, D.NEXT, D.QUEUE), _STANDING),
    Row(_STANDING, _GRANTED, (W.UP,), "", (D.PASSED, D.FINISH, D.START), _STANDING),
    Row(_STANDING, _GRANTED, (W.FULL,), "", (D.FINISH, D.NEXT, D.QUEUE, D.OPEN), _STANDING),
    Row(_STANDING, _GRANTED, (), "", (D.QUEUE, D.OPEN), _STANDING),
    Row(_STANDING, (S.ORDER,), (W.UP,), "ordered_again", (D.MERGE, D.CONFIRM), _STANDING),
    Row(_STANDING, (S.ORDER,), (), "ordered_again", (D.MERGE, D.OPEN), _STANDING),
    Row(_STANDING, (S.REPEAT,), (W.UP,), "granted_again", (), _STANDING),
    Row(_STANDING, (S.REPEAT,), (), "granted_again", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.ARM_UP,), (), "door_open", (D.CONFIRM,), _STANDING),
    Row(_STANDING, (S.ARM_DOWN,), (W.FIRST,), "", (), _STANDING),
    Row(_STANDING, (S.ARM_DOWN,), (W.QUEUED,), "door_closed", (D.PASSED, D.FINISH, D.NEXT, D.OPEN), _STANDING),
    Row(_STANDING, (S.ARM_DOWN,), (W.FRESH,), "door_closed", (D.PASSED, D.FINISH, D.OPEN), _STANDING),
    Row(_STANDING, (S.ARM_DOWN,), (), "", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.TIMER,), (W.UP, W.QUEUED), "", (D.PASSED, D.FINISH, D.NEXT), _STANDING),
    Row(_STANDING, (S.TIMER,), (W.UP,), "", (D.PASSED, D.FINISH), _STANDING),
    Row(_STANDING, (S.TIMER,), (W.QUEUED,), "", (D.FINISH, D.NEXT, D.OPEN), _STANDING),
    Row(_STANDING, (S.TIMER,), (W.FRESH,), "", (D.FINISH, D.OPEN), _STANDING),
    Row(_STANDING, (S.TIMER,), (), "", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.FIRE_ON, S.EMERGENCY), (), "held_open", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.MODE_OPEN,), (W.UP,), "", (), _STANDING),
    Row(_STANDING, (S.MODE_OPEN,), (), "", (D.OPEN,), _STANDING),
    Row(_STANDING, (S.SETTLE,), (W.NO_STAND, W.UP), "hold_over", (), _OPEN),
    Row(_STANDING, (S.SETTLE,), (W.NO_STAND, W.FRESH), "hold_over", (D.OPEN,), _OPENING),
    Row(_STANDING, (S.SETTLE,), (W.NO_STAND,), "hold_over", (), _IDLE),
)

_DOOR_ALPHABET = (
    *(S.GRANT, S.URGENT, S.ORDER, S.REPEAT, S.ARM_UP, S.ARM_DOWN, S.FIRE_ON, S.FIRE_OFF),
    *(S.EMERGENCY, S.RELEASED, S.MODE_OPEN, S.MODE_END, S.TIMER, S.UP_LONG),
)
_DOOR_NOTED = frozenset({S.FIRE_OFF, S.RELEASED, S.MODE_END, S.UP_LONG})
_DOOR_STAYS: Mapping[Phase, frozenset[Symbol]] = {
    _IDLE: _DOOR_NOTED | {*_HOLDS_OPEN, S.REPEAT, S.ARM_DOWN, S.TIMER},
    _OPENING: _DOOR_NOTED | {*_HOLDS_OPEN, S.ARM_UP, S.ARM_DOWN},
    _OPEN: _DOOR_NOTED | {*_HOLDS_OPEN, S.REPEAT, S.ARM_UP, S.TIMER},
    _STANDING: _DOOR_NOTED,
}


def _door_timers(state: Motion) -> Timer | None:
    if state.phase is _OPENING:
        return Timer.ARM
    if state.phase is not _STANDING:
        return None
    return Timer.ARM if state.arm is not Arm.UP else Timer.PASSAGE if state.right is Right.FRESH else None


PEDESTRIAN = Table(
    name="pedestrian",
    alphabet=_DOOR_ALPHABET,
    always=(Always((S.UP_LONG,), (W.NO_STAND,), (D.TELL_HELD_OPEN,)),),
    rows=_DOOR_ROWS,
    stays=_DOOR_STAYS,
    timers=_door_timers,
)
"""A door or a turnstile with a lock: nothing to close, only a contact that says whether it is open."""

TABLES = {LaneKind.VEHICLE: VEHICLE, LaneKind.PEDESTRIAN: PEDESTRIAN}
