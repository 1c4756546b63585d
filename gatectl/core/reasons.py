"""Reason codes: append-only integers, each with its verdict, severity, words and voice line."""

from enum import IntEnum


class Reason(IntEnum):
    """Why a decision fell, or what a system event reports. A number is never reused or renumbered."""

    # granted
    CARD_OK = 1
    PIN_OK = 2
    QR_OK = 3
    VISITOR_OK = 4
    RIDER_OK = 5
    PLATE_OK = 6
    PLATE_LOOKALIKE = 7
    PLATE_VISITOR = 8
    PLATE_SHORT_STAY = 9
    EMERGENCY_LIST = 10
    EMERGENCY_PLATE = 11
    EMERGENCY_INPUT = 12
    EMERGENCY_MANUAL = 13
    REMOTE_OPEN = 14
    GUARD_OPEN = 15
    BUTTON_EXIT = 16
    MODE_HOLD_OPEN = 17
    SCHEDULE_OPEN = 18
    EXIT_FREE = 19
    CLOCK_UNTRUSTED = 20
    # denied
    CARD_UNKNOWN = 40
    CARD_LOST = 41
    CARD_REVOKED = 42
    CARD_EXPIRED = 43
    NOT_YET_VALID = 44
    NO_PERMISSION_GATE = 45
    OUT_OF_SCHEDULE = 46
    PASSBACK = 47
    CODE_INVALID = 48
    CODE_EXPIRED = 49
    CODE_USED = 50
    CODE_WRONG_GATE = 51
    CODE_EARLY = 52
    HOUSEHOLD_QUOTA = 53
    LOT_FULL = 54
    SPOOF_SUSPECT = 55
    GUARD_DENIED = 56
    # held
    PLATE_UNKNOWN = 70
    PLATE_LOW_CONF = 71
    PLATE_AMBIGUOUS = 72
    PLATE_NONE = 73
    PLATE_COVERED = 74
    PLATE_EXPIRED = 75
    PLATE_BLOCKED = 76
    WAIT_GUARD = 77
    PLATE_WRONG_GATE = 78
    PLATE_OUT_OF_SCHEDULE = 79
    # the lane and the machine ("system" events and alarms)
    PASSED = 100
    NOT_ENTERED = 101
    TAILGATE = 102
    WRONG_WAY = 103
    FORCED_OPEN = 104
    HELD_OPEN = 105
    BAR_STUCK = 106
    BAR_HIT = 107
    OBSTRUCTED = 108
    RELAY_NO_EFFECT = 109
    UNEXPLAINED_OPENING = 110
    HOLD_ENDED = 111
    TAMPER = 120
    READER_FAIL = 121
    CAMERA_FAIL = 122
    CAMERA_BLIND = 123
    BRIDGE_FAIL = 124
    GATE_OFFLINE = 125
    LIST_STALE = 126
    CLOCK_DRIFT = 127
    DISK_LOW = 128
    POWER_LOSS = 129
    OUTBOX_FULL = 130
    CREDENTIAL_HAMMER = 131
    OVERSTAY = 132
    EMERGENCY_CALL = 133
    EVENT_CONFLICT = 134
    COMMAND_REFUSED = 135
    STARTED = 136
    RECOVERED = 137
