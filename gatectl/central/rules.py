"""The office's rules: how lanes serve, what areas ask, when schedules are open; each goes into the site's list."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import mark_dirty, now_ms, write_audit
from gatectl.central.credentials import RESIDENTS, level_id
from gatectl.central.holidays import day_number
from gatectl.core.model import LaneMode, LinkPolicy, Passback
from gatectl.core.plates import parse_plate
from gatectl.core.schedule import HOLIDAY
from gatectl.errors import NotFoundError, RefusedError

LONG_HOLD_S = 300
"""Holding a lane open for longer needs a second person (DOMAIN 29)."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday")
_RANGE = re.compile(r"([a-z]+)(?:-([a-z]+))? +(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_DATES = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2}))? +(.+)")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_ZH_DAYS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日", "节假日")
_ZH_WORDS = {**dict(zip(_ZH_DAYS, _DAYS, strict=True)), "周天": "sun", "不开放": "closed"}
_ZH_SIGNS = str.maketrans({":": ":", ",": ",", "、": ",", "至": "-", "到": "-", "–": "-", "~": "-", "\u3000": " "})
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Affected:
    """Whom a change of a lane's rules concerns: credentials with a right there, and gates."""

    credentials: int
    gates: int

    def words(self, language: str) -> str:
        """`affects 312 credentials at 4 gates`."""
        if language == "zh":
            return f"影响 {self.gates} 个闸口的 {self.credentials} 个凭证"
        return f"affects {self.credentials} credentials at {self.gates} gates"


def affected(conn: Connection, lanes: tuple[str, ...]) -> Affected:
    """Count the active credentials that may use one of these lanes, and the lanes' gates."""
    given, members, cred = tables.credential_levels.c, tables.access_level_lanes.c, tables.credentials.c
    query = (
        select(func.count(cred.id.distinct()))
        .join(tables.credential_levels, given.credential_id == cred.id)
        .join(tables.access_level_lanes, members.level_id == given.level_id)
        .where(members.lane_id.in_(lanes), cred.state == "active")
    )
    gates = select(func.count(tables.lanes.c.gate_id.distinct())).where(tables.lanes.c.id.in_(lanes))
    return Affected(conn.execute(query).scalar_one(), conn.execute(gates).scalar_one())


def held_by(conn: Connection, level: str) -> int:
    """How many active credentials have an access level."""
    given, cred = tables.credential_levels.c, tables.credentials.c
    query = (
        select(func.count())
        .select_from(tables.credential_levels)
        .join(tables.credentials, cred.id == given.credential_id)
        .where(given.level_id == level, cred.state == "active")
    )
    return conn.execute(query).scalar_one()


def lanes_of(conn: Connection, gate_or_lane: str) -> tuple[str, ...]:
    """A gate's lanes, or the one lane. Raises NotFoundError."""
    lanes = tables.lanes.c
    query = select(lanes.id).where((lanes.gate_id == gate_or_lane) | (lanes.id == gate_or_lane)).order_by(lanes.id)
    found = tuple(str(lane) for lane in conn.execute(query).scalars())
    if not found:
        raise NotFoundError(f"no gate and no lane {gate_or_lane!r}", zh=f"没有闸口或通道 {gate_or_lane!r}")
    return found


def set_mode(
    conn: Connection,
    actor: str,
    lane: str,
    mode: LaneMode,
    *,
    until_s: int | None,
    reason: str,
    second: str = "",
) -> None:
    """Make a lane serve in a mode, until a UTC second or until it is changed. Raises NotFoundError, RefusedError."""
    if mode is not LaneMode.NORMAL and not reason.strip():
        raise RefusedError("a mode needs a reason", zh="切换模式必须填写原因")
    if until_s is not None and until_s * 1000 <= now_ms():
        raise RefusedError("that time is past", zh="结束时间已过")
    is_long = until_s is None or until_s * 1000 - now_ms() > LONG_HOLD_S * 1000
    if mode is LaneMode.HELD_OPEN and is_long:
        _check_second(conn, actor, second)
    values = {"mode": mode.value, "mode_until_s": until_s, "mode_reason": reason.strip()[:200], "mode_by": actor[:60]}
    _set_policy(
        conn, actor, lane, values, f"{mode} until {until_s or 'changed'}: {reason.strip()[:120]} {second}".strip()
    )


def _check_second(conn: Connection, actor: str, second: str) -> None:
    """Another member of staff than the one who orders. Raises RefusedError."""
    staff = tables.staff.c
    known = conn.execute(select(staff.login).where(staff.login == second, staff.disabled_at.is_(None))).scalar()
    if known is None or second == actor or actor == f"cli:{second}":
        minutes = LONG_HOLD_S // 60
        raise RefusedError(
            f"holding open for more than {minutes} minutes needs a second member of staff",
            zh=f"常开超过 {minutes} 分钟需要第二名工作人员确认",
        )


def set_lane(conn: Connection, actor: str, lane: str, **changes: Any) -> None:
    """Change a lane's standing rules (columns of `lane_policies`, the mode left alone). Raises NotFoundError."""
    site = site_of_lane(conn, lane)
    for name in ("area_from", "area_to"):
        if changes.get(name):
            _need(conn, tables.areas, site, changes[name], "area", "区域")
    for name in ("open_schedule_id", "short_stay_schedule_id"):
        if changes.get(name):
            _need(conn, tables.schedules, site, changes[name], "schedule", "时段")
    _set_policy(conn, actor, lane, changes, ", ".join(f"{name}={value}" for name, value in sorted(changes.items())))


def _set_policy(conn: Connection, actor: str, lane: str, values: dict[str, Any], words: str) -> None:
    site = site_of_lane(conn, lane)
    policies = tables.lane_policies
    if conn.execute(select(policies.c.lane_id).where(policies.c.lane_id == lane)).first() is None:
        conn.execute(insert(policies).values(lane_id=lane, **values))
    else:
        conn.execute(update(policies).where(policies.c.lane_id == lane).values(**values))
    mark_dirty(conn, site, urgent="mode" in values)
    write_audit(conn, actor, "rule.mode" if "mode" in values else "rule.lane", lane, words)


def set_area(
    conn: Connection,
    actor: str,
    site: str,
    area: str,
    *,
    passback: Passback | None = None,
    passback_s: int | None = None,
    link_policy: LinkPolicy | None = None,
    capacity: int | None = None,
    name: str = "",
) -> None:
    """Make or change an area; what is None or "" stays. Raises RefusedError."""
    if not _ID.fullmatch(area):
        raise RefusedError(f"{area!r} is no id: small letters, digits, - and _", zh=f"{area!r} 不是有效编号")
    found = conn.execute(select(tables.areas).where(tables.areas.c.id == area)).first()
    if found is not None and found.site_id != site:
        raise RefusedError(f"area {area} is of site {found.site_id}", zh=f"区域 {area} 属于小区 {found.site_id}")
    values: dict[str, Any] = {
        "passback": passback.value if passback else None,
        "passback_s": passback_s,
        "link_policy": link_policy.value if link_policy else None,
        "capacity": capacity,
    }
    values = {name: value for name, value in values.items() if value is not None}
    ending = passback or (Passback(found.passback) if found is not None else Passback.OFF)
    seconds = passback_s if passback_s is not None else found.passback_s if found is not None else 0
    if ending is Passback.TIMED and not seconds:
        raise RefusedError("timed anti-passback needs its minutes", zh="限时防重复进入必须给出分钟数")
    if name.strip():
        values |= {"name_zh": name.strip()[:80], "name_en": name.strip()[:80]}
    if found is None:
        names = {"name_zh": area, "name_en": area}
        conn.execute(insert(tables.areas).values(id=area, site_id=site, **(names | values)))
    elif values:
        conn.execute(update(tables.areas).where(tables.areas.c.id == area).values(**values))
    mark_dirty(conn, site)
    write_audit(conn, actor, "rule.area", area, ", ".join(f"{name}={value}" for name, value in sorted(values.items())))


def set_schedule(
    conn: Connection,
    actor: str,
    site: str,
    schedule: str,
    *,
    windows: str,
    exceptions: tuple[str, ...] = (),
    follows_calendar: bool = False,
    name: str = "",
) -> None:
    """Make or replace a schedule from words. Raises RefusedError that names the part it cannot read."""
    if not _ID.fullmatch(schedule):
        raise RefusedError(f"{schedule!r} is no id: small letters, digits, - and _", zh=f"{schedule!r} 不是有效编号")
    found = conn.execute(select(tables.schedules.c.site_id).where(tables.schedules.c.id == schedule)).scalar()
    if found not in (None, site):
        raise RefusedError(f"schedule {schedule} is of site {found}", zh=f"时段 {schedule} 属于小区 {found}")
    values: dict[str, Any] = {
        "windows": json.dumps(parse_windows(windows)),
        "exceptions": json.dumps([parse_exception(text) for text in exceptions]),
        "follows_calendar": follows_calendar,
    }
    if name.strip():
        values |= {"name_zh": name.strip()[:80], "name_en": name.strip()[:80]}
    if found is None:
        names = {"name_zh": schedule, "name_en": schedule}
        conn.execute(insert(tables.schedules).values(id=schedule, site_id=site, **(names | values)))
    else:
        conn.execute(update(tables.schedules).where(tables.schedules.c.id == schedule).values(**values))
    mark_dirty(conn, site)
    write_audit(conn, actor, "rule.schedule", schedule, f"{windows}; {'; '.join(exceptions)}")


def set_level(
    conn: Connection,
    actor: str,
    site: str,
    level: str,
    *,
    lanes: Sequence[str] | None = None,
    schedule: str | None = None,
    name: str = "",
) -> None:
    """Make or change an access level: the lanes that it opens and when ("" = always); what is None stays.

    Raises NotFoundError, RefusedError.
    """
    if not _ID.fullmatch(level):
        raise RefusedError(f"{level!r} is no id: small letters, digits, - and _", zh=f"{level!r} 不是有效编号")
    found = conn.execute(select(tables.access_levels).where(tables.access_levels.c.id == level)).first()
    if found is not None and found.site_id != site:
        raise RefusedError(f"level {level} is of site {found.site_id}", zh=f"权限组 {level} 属于小区 {found.site_id}")
    if schedule:
        _need(conn, tables.schedules, site, schedule, "schedule", "时段")
    for lane in lanes or ():
        if site_of_lane(conn, lane) != site:
            raise RefusedError(f"lane {lane} is not of site {site}", zh=f"通道 {lane} 不属于小区 {site}")
    values: dict[str, Any] = {} if schedule is None else {"schedule_id": schedule or None}
    if name:
        values |= {"name_zh": name[:80], "name_en": name[:80]}
    if found is None:
        names = {"name_zh": level, "name_en": level}
        conn.execute(insert(tables.access_levels).values(id=level, site_id=site, **(names | values)))
    elif values:
        conn.execute(update(tables.access_levels).where(tables.access_levels.c.id == level).values(**values))
    if lanes is not None:
        members = tables.access_level_lanes
        conn.execute(delete(members).where(members.c.level_id == level))
        if lanes:
            conn.execute(insert(members), [{"level_id": level, "lane_id": lane} for lane in dict.fromkeys(lanes)])
    mark_dirty(conn, site)
    lane_words = "kept" if lanes is None else ", ".join(lanes)
    words = f"lanes {lane_words}; schedule {'kept' if schedule is None else schedule or 'always'}"
    write_audit(conn, actor, "rule.level", level, words)


def level_for_hours(conn: Connection, actor: str, site: str, hours: str) -> str:
    """The access level that opens the residents' lanes in these hours (as `parse_windows` reads them); its id.

    The same hours give the same level. Raises RefusedError.
    """
    windows = parse_windows(hours)
    if not windows:
        raise _unread(hours, "mon-fri 08:00-18:00")
    digest = hashlib.sha256(json.dumps(sorted(windows)).encode()).hexdigest()[:8]
    level = f"{site[:40]}-hours-{digest}"
    if conn.execute(select(tables.access_levels.c.id).where(tables.access_levels.c.id == level)).first() is None:
        members = tables.access_level_lanes.c
        base = level_id(conn, site, RESIDENTS)
        lanes = tuple(conn.execute(select(members.lane_id).where(members.level_id == base)).scalars())
        set_schedule(conn, actor, site, level, windows=hours)
        set_level(conn, actor, site, level, lanes=lanes, schedule=level)
        stored = json.dumps(windows)
        names = {"name_zh": windows_words(stored, "zh")[:80], "name_en": windows_words(stored)[:80]}
        for table in (tables.schedules, tables.access_levels):
            conn.execute(update(table).where(table.c.id == level).values(**names))
    return level


def _latin(text: str) -> str:
    """`周一至周五 7:00-20:00` as `mon-fri 7:00-20:00`."""
    text = text.translate(_ZH_SIGNS)
    for zh, en in _ZH_WORDS.items():
        text = text.replace(zh, en)
    return re.sub(r"([a-z])(\d)", r"\1 \2", re.sub(r"\s+", " ", text.strip().lower()))


def windows_words(windows: str, language: str = "en") -> str:
    """A schedule's stored windows as `parse_windows` reads them: days with the same hours stand together."""
    by_hours: dict[tuple[int, int], list[int]] = {}
    for day, start, end in json.loads(windows):
        by_hours.setdefault((start, end), []).append(day)
    parts = []
    for (start, end), days in by_hours.items():
        clock = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
        names, to = (_ZH_DAYS, "至") if language == "zh" else (_DAYS, "-")
        parts += [f"{to.join(names[day] for day in span)} {clock}" for span in _day_spans(sorted(set(days)))]
    return ", ".join(parts)


def _day_spans(days: list[int]) -> list[tuple[int, ...]]:
    """First and last day of each run; one alone where they are the same."""
    spans: list[list[int]] = []
    for day in days:
        if spans and day == spans[-1][-1] + 1 and day != HOLIDAY:
            spans[-1].append(day)
        else:
            spans.append([day])
    return [(span[0],) if len(span) == 1 else (span[0], span[-1]) for span in spans]


def exceptions_words(exceptions: str, language: str = "en") -> tuple[str, ...]:
    """A schedule's stored exceptions, each as `parse_exception` reads it."""
    return tuple(
        f"{_date(first)}{'' if first == last else f'..{_date(last)}'} "
        + (
            ", ".join(f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in hours)
            or ("不开放" if language == "zh" else "closed")
        )
        for first, last, hours in json.loads(exceptions)
    )


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def parse_windows(text: str) -> list[list[int]]:
    """`mon-fri 07:00-20:00, sat 08:00-12:00, holiday 09:00-11:00` as [[weekday, start_min, end_min], …].

    Hours that pass midnight become two windows. Raises RefusedError.
    """
    windows: list[list[int]] = []
    for part in filter(None, (part.strip() for part in _latin(text).split(","))):
        match = _RANGE.fullmatch(part)
        if match is None or match[1] not in _DAYS or (match[2] or match[1]) not in _DAYS:
            raise _unread(part, "mon-fri 07:00-20:00, sat 08:00-12:00, holiday 09:00-11:00")
        first, last = _DAYS.index(match[1]), _DAYS.index(match[2] or match[1])
        days = range(first, last + 1) if first <= last else (*range(first, HOLIDAY), *range(last + 1))
        start, end = _minutes(match[3], match[4], part), _minutes(match[5], match[6], part)
        for day in days:
            windows += _through_midnight(day, start, end)
    return windows


def _through_midnight(day: int, start: int, end: int) -> list[list[int]]:
    if start < end:
        return [[day, start, end]]
    next_day = day if day == HOLIDAY else (day + 1) % 7
    return [[day, start, 1440]] + ([[next_day, 0, end]] if end else [])


def parse_exception(text: str) -> list[Any]:
    """`2026-02-16..2026-02-18 closed`, or `2026-12-31 08:00-12:00, 14:00-18:00`. Raises RefusedError."""
    example = "2026-02-16..2026-02-18 closed, or 2026-12-31 08:00-12:00"
    match = _DATES.fullmatch(_latin(text))
    if match is None:
        raise _unread(text, example)
    try:
        first, last = date.fromisoformat(match[1]), date.fromisoformat(match[2] or match[1])
    except ValueError as error:
        raise _unread(text, example) from error
    hours: list[list[int]] = []
    if match[3].strip().lower() != "closed":
        for part in match[3].split(","):
            clock = _CLOCK.fullmatch(part.strip())
            if clock is None:
                raise _unread(text, example)
            hours.append([_minutes(clock[1], clock[2], text), _minutes(clock[3], clock[4], text)])
    if last < first or any(end <= start for start, end in hours):
        raise _unread(text, example)
    return [day_number(first), day_number(last), hours]


def _minutes(hour: str, minute: str, part: str) -> int:
    value = int(hour) * 60 + int(minute)
    if int(minute) > 59 or value > 1440:
        raise _unread(part, "07:00-20:00")
    return value


def _unread(part: str, example: str) -> RefusedError:
    return RefusedError(f"cannot read {part!r}; write e.g. {example}", zh=f"无法理解“{part}”;例:{example}")


def site_of_lane(conn: Connection, lane: str) -> str:
    """The site of a lane. Raises NotFoundError."""
    query = (
        select(tables.gates.c.site_id)
        .join(tables.lanes, tables.lanes.c.gate_id == tables.gates.c.id)
        .where(tables.lanes.c.id == lane)
    )
    site = conn.execute(query).scalar()
    if site is None:
        raise NotFoundError(f"no lane {lane!r}", zh=f"没有通道 {lane!r}")
    return str(site)


def _need(conn: Connection, table: Any, site: str, row_id: str, en: str, zh: str) -> None:
    if conn.execute(select(table.c.id).where(table.c.id == row_id, table.c.site_id == site)).first() is None:
        raise NotFoundError(f"site {site} has no {en} {row_id!r}", zh=f"小区 {site} 没有{zh} {row_id!r}")


def import_emergency(conn: Connection, actor: str, lines: list[str]) -> int:
    """Add plates (`粤E00120, ambulance`) to the emergency list; how many were new. RefusedError names the lines."""
    plates: dict[str, str] = {}
    wrong: list[str] = []
    for number, line in enumerate(lines, 1):
        text, _, note = line.replace(",", ",").partition(",")
        if not text.strip():
            continue
        parsed = parse_plate(text)
        if parsed is None:
            wrong.append(f"{number}: {text.strip()!r}")
        else:
            plates[parsed.text] = note.strip()[:200]
    if wrong:
        raise RefusedError(f"no plates in lines {'; '.join(wrong)}", zh=f"这些行不是车牌:{';'.join(wrong)}")
    table = tables.emergency_plates
    known = set(conn.execute(select(table.c.plate)).scalars())
    fresh = [{"plate": plate, "note": note} for plate, note in plates.items() if plate not in known]
    if fresh:
        conn.execute(insert(table), fresh)
        for site in conn.execute(select(tables.sites.c.id)).scalars().all():
            mark_dirty(conn, site, urgent=True)
        write_audit(conn, actor, "emergency.import", "", f"{len(fresh)} plates")
    return len(fresh)


def overview(conn: Connection, site: str) -> dict[str, list[dict[str, Any]]]:
    """A site's areas, schedules and the lanes whose rules differ from the default, for people to read."""

    def rows(query: Any) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in conn.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name

    lanes = (
        select(tables.lane_policies)
        .join(tables.lanes, tables.lanes.c.id == tables.lane_policies.c.lane_id)
        .join(tables.gates, tables.gates.c.id == tables.lanes.c.gate_id)
        .where(tables.gates.c.site_id == site)
        .order_by(tables.lane_policies.c.lane_id)
    )
    members = tables.access_level_lanes.c
    levels = rows(select(tables.access_levels).where(tables.access_levels.c.site_id == site))
    given: dict[str, list[str]] = {}
    joined = select(members.level_id, members.lane_id).order_by(members.lane_id)
    for row in conn.execute(joined.where(members.level_id.in_([level["id"] for level in levels]))):
        given.setdefault(row.level_id, []).append(row.lane_id)
    return {
        "levels": [level | {"lanes": given.get(level["id"], [])} for level in levels],
        "areas": rows(select(tables.areas).where(tables.areas.c.site_id == site)),
        "schedules": rows(select(tables.schedules).where(tables.schedules.c.site_id == site)),
        "lanes": rows(lanes),
    }


def policy_of(conn: Connection, lane: str) -> Row[Any] | None:
    """A lane's rules as they stand; None = the default."""
    return conn.execute(select(tables.lane_policies).where(tables.lane_policies.c.lane_id == lane)).first()
