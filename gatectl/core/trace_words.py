"""A decision's trace in words: what `decide` wrote as codes, for the console, the command line and the installer."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from gatectl.core.model import RuleStep
from gatectl.core.reasons import Reason, words
from gatectl.core.schedule import SITE_OFFSET_S

JOIN = " · "
"""Between the parts of a value; each part is put into words by itself."""

RULES: Mapping[str, tuple[str, str]] = {
    "emergency": ("应急常开", "Emergency holds the lane open"),
    "vehicle_present": ("车辆在位", "Vehicle present"),
    "plate_found": ("找到车牌", "Plate found"),
    "length_fits_colour": ("位数与颜色相符", "Length fits colour"),
    "plate_confidence": ("识别置信度", "Read confidence"),
    "emergency_list": ("应急名单", "Emergency list"),
    "emergency_plate": ("应急号牌", "Emergency plate"),
    "registered": ("已登记", "Registered"),
    "lookalike": ("形近字唯一", "Unique look-alike"),
    "likelihood": ("与其他车牌的似然比", "Likelihood against any other plate"),
    "colour": ("颜色与登记相符", "Colour as registered"),
    "keypad": ("键盘", "Keypad"),
    "signature": ("通行码签名", "Pass signature"),
    "no_plate_card": ("无牌车卡", "Card of a car without plates"),
    "state": ("凭证有效", "Not lost or cancelled"),
    "mode": ("通行模式", "Lane mode"),
    "open_hours": ("定时常开", "Open hours"),
    "valid_from": ("生效时间", "Valid from"),
    "valid_until": ("有效期至", "Valid until"),
    "exit_grace": ("到期后只出", "Exit only after the end, until"),
    "lane": ("本通道权限", "Right on this lane"),
    "schedule": ("通行时段", "Schedule"),
    "household_card": ("本户车辆可由此进", "Household's cars with a right here"),
    "uses": ("已用次数", "Entries made"),
    "passback": ("防重复进入", "Anti-passback"),
    "link": ("断网策略", "Policy while the link is down"),
    "quota": ("本户在场车辆", "Household's cars inside"),
    "unloading": ("卸货宽限", "Time to unload"),
    "capacity": ("在场车辆", "Vehicles inside"),
    "short_stay": ("临停", "Short stay"),
    "interlock": ("互锁", "Interlock"),
    "queue": ("等候车辆", "Cars waiting"),
    "guard": ("值班确认", "Guard confirms"),
    "two_person": ("双人验证", "Two-person rule"),
    "exit_open": ("出口自由", "Exit is free"),
}
_VALUES: Mapping[str, tuple[str, str]] = {
    "true": ("有", "yes"),
    "false": ("无", "no"),
    "no_presence_loop": ("无车检地感", "no presence loop"),
    "always": ("全天", "always"),
    "active": ("有效", "active"),
    "lost": ("已挂失", "lost"),
    "revoked": ("已注销", "cancelled"),
    "blocked": ("已停用", "blocked"),
    "clock_untrusted": ("时钟未校准,不因此拒绝", "clock not trusted: refuses nobody"),
    "unknown": ("未知", "unknown"),
    "covered": ("被遮挡", "covered"),
    "locked": ("已锁定", "locked"),
    "free": ("可用", "free"),
    "known_issuer": ("签发者可信", "known issuer"),
    "not_ours": ("非本系统签发", "not issued here"),
    "no_plate_read": ("未读到车牌", "no plate read"),
    "first_card_awaited": ("待首卡", "awaits the first card"),
    "first": ("第一人", "first person"),
    "second": ("第二人", "second person"),
    "fixed_space": ("固定车位", "space of its own"),
    "no_schedule": ("无此时段", "no such schedule"),
    "other_lane_open": ("另一通道未关", "another lane stands open"),
    "asked_each_time": ("每次询问", "asked each time"),
    "held_open": ("常开", "held open"),
    "held_closed": ("常闭", "held closed"),
    "exit_only": ("仅出", "exit only"),
    "lockdown": ("临时管控", "lockdown"),
    "exception": ("特定日期", "date of its own"),
    "holiday": ("法定假日", "holiday"),
    "make_up": ("调休上班日", "make-up workday"),
    "weekday": ("按星期", "by weekday"),
    "beyond_calendar": ("超出节假日表,按星期", "beyond the holiday table: by weekday"),
    "off": ("关", "off"),
    "soft": ("放行并提示", "soft"),
    "hard": ("禁止", "hard"),
    "timed": ("限时", "timed"),
    "local_only": ("断网:仅凭本闸", "link down: this gate's knowledge only"),
    "link_soft": ("断网:放行并提示", "link down: let pass"),
    "strict": ("断网:由值班决定", "link down: the guard decides"),
}
_OUTCOMES: Mapping[str, tuple[str, str]] = {
    "pass": ("通过", "Pass"),
    "fail": ("不通过", "Fail"),
    "skip": ("不适用", "Skipped"),
}
_TIMES = frozenset({"valid_from", "valid_until", "exit_grace"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_S = 253_402_300_799
"""The last second of the year 9999."""


def step_words(step: RuleStep, language: Literal["zh", "en"] = "zh") -> tuple[str, str, str]:
    """Rule, value and outcome of one line. What a newer gate writes and this version does not know stays as it is."""
    column = 0 if language == "zh" else 1
    rule = RULES[step.rule][column] if step.rule in RULES else step.rule
    outcome = _OUTCOMES[step.outcome][column] if step.outcome in _OUTCOMES else step.outcome
    if step.rule in _TIMES and step.value.isdecimal() and int(step.value) <= _MAX_S:
        return rule, _site_time(int(step.value)), outcome
    if step.rule == "exit_open" and step.value in Reason.__members__:
        return rule, words(Reason[step.value], language), outcome
    parts = (_VALUES[part][column] if part in _VALUES else part for part in step.value.split(JOIN))
    return rule, JOIN.join(parts), outcome


def _site_time(epoch_s: int) -> str:
    at = _EPOCH + timedelta(seconds=min(epoch_s + SITE_OFFSET_S, _MAX_S))
    return at.strftime("%Y-%m-%d %H:%M:%S")
