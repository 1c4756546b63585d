"""Reason codes: append-only integers, each with its verdict, severity, words and voice line."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


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
    HOUSEHOLD_CARD = 21
    NO_PLATE_OK = 22
    UNLOADING = 23
    PASSBACK_SOFT = 24
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
    NO_VEHICLE = 57
    PIN_INVALID = 58
    LANE_CLOSED = 59
    LANE_EXIT_ONLY = 60
    LOCKDOWN = 61
    INTERLOCK = 62
    KEYPAD_LOCKED = 63
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
    PLATE_NOT_YET_VALID = 80
    LINK_DOWN = 81
    TWO_PERSON = 82
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
    LOOP_FAULT = 112
    EMERGENCY_RELEASED = 113
    MODE_BEGAN = 114
    MODE_ENDED = 115
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
    POWER_BACK = 138
    DURESS = 139
    TIME_ANCHOR = 140
    LATE_RECORD = 141


Answer = Literal["granted", "denied", "held"]
Severity = Literal["none", "info", "minor", "major"]


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """What a reason means: its verdict (None for lane and system events), how grave it is, and its words.

    `zh` and `en` stand on screens; `voice_zh` is spoken, eight syllables at most; "" = nothing is said.
    """

    verdict: Answer | None
    severity: Severity
    zh: str
    en: str
    voice_zh: str


def _granted(zh: str, en: str, voice_zh: str = "请通行", severity: Severity = "none") -> ReasonInfo:
    return ReasonInfo("granted", severity, zh, en, voice_zh)


def _denied(zh: str, en: str, voice_zh: str = "", severity: Severity = "none") -> ReasonInfo:
    return ReasonInfo("denied", severity, zh, en, voice_zh or zh)


def _held(zh: str, en: str, voice_zh: str = "", severity: Severity = "none") -> ReasonInfo:
    return ReasonInfo("held", severity, zh, en, voice_zh or zh)


def _lane(zh: str, en: str, severity: Severity, voice_zh: str = "") -> ReasonInfo:
    return ReasonInfo(None, severity, zh, en, voice_zh)


_EMERGENCY = "应急车辆,请通行"

REASONS: Mapping[Reason, ReasonInfo] = {
    Reason.CARD_OK: _granted("请通行", "Please pass"),
    Reason.PIN_OK: _granted("密码通行", "PIN accepted"),
    Reason.QR_OK: _granted("扫码通行", "QR code accepted"),
    Reason.VISITOR_OK: _granted("访客请通行", "Visitor, please pass", "访客请通行"),
    Reason.RIDER_OK: _granted("骑手请通行", "Courier, please pass", "骑手请通行"),
    Reason.PLATE_OK: _granted("欢迎回家", "Welcome home", "欢迎回家"),
    Reason.PLATE_LOOKALIKE: _granted("请通行(同形字)", "Allowed, look-alike character", severity="info"),
    Reason.PLATE_VISITOR: _granted("访客车辆,请通行", "Visitor's car, please pass", "访客请通行"),
    Reason.PLATE_SHORT_STAY: _granted("临停15分钟", "Short stay 15 min", "临停十五分钟"),
    Reason.EMERGENCY_LIST: _granted(_EMERGENCY, "Emergency list, pass", _EMERGENCY, "info"),
    Reason.EMERGENCY_PLATE: _granted(_EMERGENCY, "Emergency plate, pass", _EMERGENCY, "info"),
    Reason.EMERGENCY_INPUT: _granted("消防联动,已开闸", "Fire alarm: gate is open", "消防联动,请通行", "info"),
    Reason.EMERGENCY_MANUAL: _granted("紧急放行", "Emergency release", "紧急放行", "info"),
    Reason.REMOTE_OPEN: _granted("远程开闸", "Opened by staff"),
    Reason.GUARD_OPEN: _granted("值班放行", "Opened by the guard"),
    Reason.BUTTON_EXIT: _granted("按钮开门", "Exit button"),
    Reason.MODE_HOLD_OPEN: _granted("常开模式", "Gate held open"),
    Reason.SCHEDULE_OPEN: _granted("定时常开", "Open by schedule"),
    Reason.EXIT_FREE: _granted("一路平安", "Safe trip", "一路平安"),
    Reason.CLOCK_UNTRUSTED: _granted("请通行(时钟未校准)", "Allowed, clock not trusted", severity="minor"),
    Reason.HOUSEHOLD_CARD: _granted("本户卡开闸", "Opened by a card of the car's household"),
    Reason.NO_PLATE_OK: _granted("无牌车请通行", "Car without plates, please pass", "请通行"),
    Reason.UNLOADING: _granted("卸货临停,请按时驶离", "Unloading: the household's quota is used", "临停卸货"),
    Reason.PASSBACK_SOFT: _granted("重复进入,已放行", "Already inside, let pass", severity="minor"),
    Reason.CARD_UNKNOWN: _denied("未登记,请联系物业", "Not registered"),
    Reason.CARD_LOST: _denied("卡已挂失", "Card reported lost", "卡已挂失", "major"),
    Reason.CARD_REVOKED: _denied("卡已注销", "Card cancelled", "卡已注销", "major"),
    Reason.CARD_EXPIRED: _denied("卡已过期", "Card expired"),
    Reason.NOT_YET_VALID: _denied("卡未生效", "Not yet valid"),
    Reason.NO_PERMISSION_GATE: _denied("请走其他门", "Not valid at this gate"),
    Reason.OUT_OF_SCHEDULE: _denied("非通行时段", "Outside hours"),
    Reason.PASSBACK: _denied("重复进入", "Already inside", severity="minor"),
    Reason.CODE_INVALID: _denied("访客码无效", "Visitor code not valid"),
    Reason.CODE_EXPIRED: _denied("访客码已过期", "Visitor code expired"),
    Reason.CODE_USED: _denied("访客码已使用", "Visitor code already used"),
    Reason.CODE_WRONG_GATE: _denied("访客码不适用此门", "Visitor code is for another gate", "请走其他门"),
    Reason.CODE_EARLY: _denied("未到访客时间", "Before the visit's time"),
    Reason.HOUSEHOLD_QUOTA: _denied("本户车位已满", "Household quota used"),
    Reason.LOT_FULL: _denied("车位已满", "Car park full"),
    Reason.SPOOF_SUSPECT: _denied("请驶近重试", "Plate without a vehicle: drive closer", "请驶近重试", "major"),
    Reason.GUARD_DENIED: _denied("值班拒绝,请联系物业", "Refused by staff", "请联系物业"),
    Reason.NO_VEHICLE: _denied("请驶近刷卡", "No vehicle at the barrier: drive closer"),
    Reason.PIN_INVALID: _denied("密码无效", "Code not valid"),
    Reason.LANE_CLOSED: _denied("此门已关闭,请走其他门", "This lane is closed", "此门已关闭"),
    Reason.LANE_EXIT_ONLY: _denied("此门只出不进", "Exit only", "此门只出不进"),
    Reason.LOCKDOWN: _denied("临时管控,请联系物业", "Lockdown: see the office", "临时管控"),
    Reason.INTERLOCK: _denied("请等另一门关闭", "Wait until the other lane has closed", "请稍候"),
    Reason.KEYPAD_LOCKED: _denied("输错过多,请稍后再试", "Too many wrong codes: wait a minute", "请稍后再试"),
    Reason.PLATE_UNKNOWN: _held("未登记,请稍候", "Not registered, please wait"),
    Reason.PLATE_LOW_CONF: _held("看不清车牌,请倒车重试", "Plate not clear: reverse and retry", "请倒车重试"),
    Reason.PLATE_AMBIGUOUS: _held("车牌不确定,请倒车重试", "Plate ambiguous: reverse and retry", "请倒车重试"),
    Reason.PLATE_NONE: _held("未识别车牌", "No plate read"),
    Reason.PLATE_COVERED: _held("车牌被遮挡", "Plate covered", "未识别车牌", "minor"),
    Reason.PLATE_EXPIRED: _held("车辆授权到期", "Vehicle permit expired"),
    Reason.PLATE_BLOCKED: _held("车辆已停用,请联系物业", "Vehicle blocked: see the office", "请联系物业", "major"),
    Reason.WAIT_GUARD: _held("请稍候", "Please wait"),
    Reason.PLATE_WRONG_GATE: _held("车辆请走其他门", "Vehicle not valid at this gate", "请走其他门"),
    Reason.PLATE_OUT_OF_SCHEDULE: _held("车辆非通行时段", "Vehicle outside its hours", "非通行时段"),
    Reason.PLATE_NOT_YET_VALID: _held("车辆授权未生效", "Vehicle permit not yet valid"),
    Reason.LINK_DOWN: _held("网络中断,请稍候", "Link down: the guard decides", "请稍候"),
    Reason.TWO_PERSON: _held("请第二人验证", "Second person, please", "请第二人验证"),
    Reason.PASSED: _lane("已通过", "Passed through", "none"),
    Reason.NOT_ENTERED: _lane("开闸后未通过", "Opened, nobody passed", "none"),
    Reason.TAILGATE: _lane("尾随通过", "Tailgating", "minor", "请逐一通行"),
    Reason.WRONG_WAY: _lane("逆行", "Wrong way", "minor", "请勿逆行"),
    Reason.FORCED_OPEN: _lane("未授权开启", "Opened without a grant", "major"),
    Reason.HELD_OPEN: _lane("长时间未关", "Open too long", "minor"),
    Reason.BAR_STUCK: _lane("道闸卡住", "Barrier stuck", "major"),
    Reason.BAR_HIT: _lane("道闸被撞", "Barrier hit", "major"),
    Reason.OBSTRUCTED: _lane("杆下有物", "Something under the arm", "minor", "请勿停留"),
    Reason.RELAY_NO_EFFECT: _lane("开闸指令无动作", "Open relay had no effect", "major"),
    Reason.UNEXPLAINED_OPENING: _lane("无记录的开闸", "Opening without a record", "major"),
    Reason.HOLD_ENDED: _lane("等候结束", "Hold ended", "none"),
    Reason.LOOP_FAULT: _lane("安全地感故障", "Safety loop faulted", "major"),
    Reason.EMERGENCY_RELEASED: _lane("应急解除", "Emergency released", "info"),
    Reason.MODE_BEGAN: _lane("通行模式开始", "Lane mode began", "none"),
    Reason.MODE_ENDED: _lane("通行模式结束", "Lane mode ended", "none"),
    Reason.TAMPER: _lane("设备被拆动", "Tamper contact", "major"),
    Reason.READER_FAIL: _lane("读卡器故障", "Card reader failed", "major"),
    Reason.CAMERA_FAIL: _lane("摄像机故障", "Camera failed", "major"),
    Reason.CAMERA_BLIND: _lane("摄像机画面异常", "Camera sees nothing", "minor"),
    Reason.BRIDGE_FAIL: _lane("控制板故障", "Control board failed", "major"),
    Reason.GATE_OFFLINE: _lane("闸口离线", "Gate offline", "major"),
    Reason.LIST_STALE: _lane("名单过旧", "Whitelist too old", "minor"),
    Reason.CLOCK_DRIFT: _lane("时钟偏差", "Clock drift", "minor"),
    Reason.DISK_LOW: _lane("磁盘空间不足", "Disk space low", "major"),
    Reason.POWER_LOSS: _lane("断电", "Power lost", "major"),
    Reason.OUTBOX_FULL: _lane("待上传记录已满", "Too many events waiting", "major"),
    Reason.CREDENTIAL_HAMMER: _lane("频繁尝试", "Repeated attempts", "minor"),
    Reason.OVERSTAY: _lane("超时停留", "Overstay", "info"),
    Reason.EMERGENCY_CALL: _lane("紧急呼叫", "Emergency call", "major", "正在呼叫值班"),
    Reason.EVENT_CONFLICT: _lane("记录冲突", "Conflicting event record", "major"),
    Reason.COMMAND_REFUSED: _lane("指令被拒绝", "Command refused", "minor"),
    Reason.STARTED: _lane("已启动", "Started", "none"),
    Reason.RECOVERED: _lane("已恢复", "Recovered", "none"),
    Reason.POWER_BACK: _lane("恢复供电", "Power is back", "info"),
    Reason.DURESS: _lane("胁迫密码", "PIN typed under duress", "major"),
    Reason.TIME_ANCHOR: _lane("对时", "Time anchor", "none"),
    Reason.LATE_RECORD: _lane("先开闸后记录", "Opened before the record was written", "minor"),
}
"""Every reason of `Reason`, as DOMAIN 2.2 words it; a number that a newer gate sends has no entry."""


def words(reason: Reason, language: Literal["zh", "en"] = "zh") -> str:
    """The reason as a screen shows it."""
    return REASONS[reason].zh if language == "zh" else REASONS[reason].en
