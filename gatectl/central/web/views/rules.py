"""规则: lanes and their modes, areas, schedules, access levels."""

import re

from starlette.responses import RedirectResponse, Response

from gatectl.central import rule_view, rules, staff
from gatectl.central.rule_view import AreaRules, LaneRules, LevelRules, ScheduleRules
from gatectl.central.web import present
from gatectl.central.web.forms import Choice, Field, FormPage, at_field, minute_value, site_seconds, whole
from gatectl.central.web.guard import Visit
from gatectl.central.web.pages import render
from gatectl.central.web.views import forms, sites
from gatectl.core.model import LaneMode, LinkPolicy, Passback
from gatectl.errors import NotFoundError, RefusedError

NEW = "new"
_ID_LENGTH = 63


def overview(visit: Visit) -> Response:
    """Everything that a site's lanes ask, in four tables."""
    site, all_sites = sites.chosen(visit)
    lanes = rule_view.lane_rules(visit.conn, site.id) if site else []
    query = visit.request.query_params
    return render(
        visit,
        "rules.html",
        site=site,
        sites=all_sites,
        lanes=lanes,
        areas=rule_view.area_rules(visit.conn, site.id) if site else [],
        schedules=rule_view.schedule_rules(visit.conn, site.id) if site else [],
        levels=rule_view.level_rules(visit.conn, site.id) if site else [],
        windows_words=rules.windows_words,
        exceptions_words=rules.exceptions_words,
        now_s=present.now_ms() // 1000,
        done=query.get("done", ""),
        done_lane=next((lane for lane in lanes if lane.id == query.get("lane")), None),
    )


def _back(site: str, done: str, extra: str = "") -> Response:
    return RedirectResponse(f"/rules?site={site}&done={done}{extra}", status_code=303)


def _new_id(visit: Visit, known: list[AreaRules] | list[ScheduleRules] | list[LevelRules]) -> str:
    """The id of a new thing as it was typed. Raises RefusedError when there is one already."""
    wanted = visit.form.get("id", "")
    if any(row.id == wanted for row in known):
        raise RefusedError(f"{wanted} exists already", zh=f"{wanted} 已存在")
    return wanted


# --- lanes -----------------------------------------------------------------------------------------


def _lane(visit: Visit) -> tuple[str, LaneRules]:
    """The site and the lane in the path. Raises NotFoundError."""
    site = rules.site_of_lane(visit.conn, visit.param("lane"))
    for lane in rule_view.lane_rules(visit.conn, site):
        if lane.id == visit.param("lane"):
            return site, lane
    raise NotFoundError("no such lane", zh="没有这条通道")


def _title(visit: Visit, lane: LaneRules) -> str:
    return f"{visit.words.name_of(lane.gate_zh, lane.gate_en)} {visit.words.name(lane)}"


def _affects(visit: Visit, lane: LaneRules) -> str:
    return rules.affected(visit.conn, (lane.id,)).words(visit.words.language)


def _named(visit: Visit, rows: list[AreaRules] | list[ScheduleRules], nothing: str) -> tuple[Choice, ...]:
    names = [Choice(row.id, _name_and_id(visit, row)) for row in rows]
    return (Choice("", visit.words(nothing)), *names)


def _name_and_id(visit: Visit, row: AreaRules | ScheduleRules | LevelRules) -> str:
    name = visit.words.name(row)
    return name if name == row.id or not name else f"{name} ({row.id})"


def _lane_page(visit: Visit, site: str, lane: LaneRules) -> FormPage:
    t = visit.words
    areas = _named(visit, rule_view.area_rules(visit.conn, site), "rules.street")
    schedules = _named(visit, rule_view.schedule_rules(visit.conn, site), "rules.never")

    def flag(name: str, label: str, hint: str, *, is_on: bool) -> Field:
        return Field(name, label, "1" if is_on else "", kind="checkbox", is_required=False, hint=hint)

    return FormPage(
        title=t("rules.edit_lane"),
        subtitle=_title(visit, lane),
        note=_affects(visit, lane),
        action=f"/rules/lanes/{lane.id}",
        back=f"/rules?site={site}",
        fields=(
            Field("area_from", t("rules.area_from"), lane.area_from, choices=areas),
            Field("area_to", t("rules.area_to"), lane.area_to, choices=areas),
            Field("open_schedule", t("rules.open_schedule"), lane.open_schedule_id, choices=schedules),
            flag("first_card", t("rules.first_card"), t("rules.first_card_hint"), is_on=lane.is_first_card_in),
            flag("two_person", t("rules.two_person"), t("rules.two_person_hint"), is_on=lane.is_two_person),
            flag("fire_lane", t("rules.fire_lane"), t("rules.fire_lane_hint"), is_on=lane.is_fire_lane),
            Field(
                "interlock",
                t("rules.interlock"),
                lane.interlock,
                is_required=False,
                hint=t("rules.interlock_hint"),
                max_length=40,
            ),
            Field(
                "short_stay",
                t("rules.short_stay"),
                str(lane.short_stay_s // 60),
                kind="number",
                hint=t("rules.short_stay_hint"),
            ),
            Field(
                "short_stay_schedule",
                t("rules.short_stay_schedule"),
                lane.short_stay_schedule_id,
                choices=(Choice("", t("rules.always")), *schedules[1:]),
            ),
        ),
    )


def edit_lane(visit: Visit) -> Response:
    """The form with a lane's rules, and whom a change concerns."""
    site, lane = _lane(visit)
    return forms.show(visit, _lane_page(visit, site, lane))


def save_lane(visit: Visit) -> Response:
    """Change a lane's standing rules."""
    site, lane = _lane(visit)
    form = visit.form

    def act() -> Response:
        with at_field("short_stay"):
            minutes = whole(form.get("short_stay", ""), 1440) or 0
        with at_field("interlock"):
            if not re.fullmatch(r"[\w-]{0,40}", form.get("interlock", "")):
                raise RefusedError("one word of letters and digits", zh="请用一个由字母、汉字或数字组成的词")
        rules.set_lane(
            visit.conn,
            visit.actor,
            lane.id,
            area_from=form.get("area_from", ""),
            area_to=form.get("area_to", ""),
            open_schedule_id=form.get("open_schedule") or None,
            is_first_card_in=bool(form.get("first_card")),
            is_two_person=bool(form.get("two_person")),
            is_fire_lane=bool(form.get("fire_lane")),
            interlock=form.get("interlock", ""),
            short_stay_s=minutes * 60,
            short_stay_schedule_id=form.get("short_stay_schedule") or None,
        )
        return _back(site, "lane", f"&lane={lane.id}")

    return forms.attempt(visit, _lane_page(visit, site, lane), act)


def _mode_page(visit: Visit, site: str, lane: LaneRules) -> FormPage:
    t = visit.words
    now_s = present.now_ms() // 1000
    modes = tuple(Choice(mode.value, t.code("mode", mode)) for mode in LaneMode)
    minutes = rules.LONG_HOLD_S // 60
    return FormPage(
        title=t("rules.set_mode"),
        subtitle=_title(visit, lane),
        note=f"{_affects(visit, lane)} · {t('rules.mode_note')}",
        action=f"/rules/lanes/{lane.id}/mode",
        back=f"/rules?site={site}",
        fields=(
            Field("mode", t("rules.mode"), lane.mode_at(now_s), choices=modes),
            Field(
                "until",
                t("rules.until"),
                minute_value(lane.mode_until_s) if lane.mode_at(now_s) != LaneMode.NORMAL else "",
                kind="datetime-local",
                is_required=False,
                hint=t("rules.until_hint"),
            ),
            Field("reason", t("rules.reason"), is_required=False, hint=t("rules.reason_hint"), max_length=200),
            Field(
                "second", t("rules.second"), is_required=False, hint=t("rules.second_hint", n=minutes), max_length=60
            ),
            Field("second_password", t("rules.second_password"), kind="password", is_required=False, max_length=200),
        ),
    )


def edit_mode(visit: Visit) -> Response:
    """The form for a mode with its end."""
    site, lane = _lane(visit)
    return forms.show(visit, _mode_page(visit, site, lane))


def save_mode(visit: Visit) -> Response:
    """Make a lane serve in a mode. A second person signs with a password; what is wrong with it is counted."""
    site, lane = _lane(visit)
    form, page = visit.form, _mode_page(visit, site, lane)
    second = form.get("second", "")
    if second:
        mistake = _check_second(visit, second, form.get("second_password", ""))
        if mistake:
            return forms.show(visit, page, mistake, "second_password")

    def act() -> Response:
        with at_field("mode"):
            if form.get("mode") not in set(LaneMode):
                raise RefusedError("choose a mode", zh="请选择模式")
        mode = LaneMode(form["mode"])
        with at_field("until"):
            until_s = site_seconds(form.get("until", ""))
            if until_s is not None and until_s <= present.now_ms() // 1000:
                raise RefusedError("that time is past", zh="结束时间已过")
        with at_field("reason"):
            if mode is not LaneMode.NORMAL and not form.get("reason"):
                raise RefusedError("a mode needs a reason", zh="切换模式必须填写原因")
        with at_field("second"):
            rules.set_mode(
                visit.conn,
                visit.actor,
                lane.id,
                mode,
                until_s=None if mode is LaneMode.NORMAL else until_s,
                reason=form.get("reason", ""),
                second=second,
            )
        return _back(site, "mode" if mode is not LaneMode.NORMAL else "mode_normal", f"&lane={lane.id}")

    return forms.attempt(visit, page, act)


def _check_second(visit: Visit, login: str, password: str) -> str:
    """What is wrong with the second person's signature; "" when it is right."""
    try:
        token = staff.sign_in(visit.conn, login, password)
    except RefusedError as error:
        return error.words(visit.words.language)
    if token is None:
        return visit.words("signin.wrong")
    staff.sign_out(visit.conn, token)
    return ""


# --- areas -----------------------------------------------------------------------------------------


def _area_page(visit: Visit, site: str, area: AreaRules | None) -> FormPage:
    t = visit.words
    passbacks = tuple(Choice(value.value, t.code("passback", value)) for value in Passback)
    policies = tuple(Choice(value.value, t.code("link_policy", value)) for value in LinkPolicy)
    identity = () if area else (Field("id", t("rules.id"), hint=t("rules.id_hint"), max_length=_ID_LENGTH),)
    return FormPage(
        title=t("rules.edit_area") if area else t("rules.new_area"),
        subtitle=_name_and_id(visit, area) if area else "",
        action=f"/rules/{site}/areas/{area.id if area else NEW}",
        back=f"/rules?site={site}",
        fields=(
            *identity,
            Field("name", t("rules.name"), t.name(area) if area else "", is_required=False, max_length=80),
            Field("passback", t("rules.passback"), area.passback if area else "off", choices=passbacks),
            Field(
                "minutes",
                t("rules.passback_minutes"),
                str(area.passback_s // 60) if area and area.passback_s else "",
                kind="number",
                is_required=False,
                hint=t("rules.passback_minutes_hint"),
            ),
            Field(
                "link",
                t("rules.link_policy"),
                area.link_policy if area else "local_only",
                choices=policies,
                hint=t("rules.link_policy_hint"),
            ),
            Field(
                "capacity",
                t("rules.capacity"),
                str(area.capacity) if area else "0",
                kind="number",
                hint=t("rules.capacity_hint"),
            ),
        ),
    )


def _area(visit: Visit) -> AreaRules | None:
    """The area in the path, None for a new one. Raises NotFoundError."""
    wanted = visit.request.path_params.get("area", NEW)
    if wanted == NEW:
        return None
    for area in rule_view.area_rules(visit.conn, sites.in_path(visit).id):
        if area.id == wanted:
            return area
    raise NotFoundError("no such area", zh="没有这个区域")


def edit_area(visit: Visit) -> Response:
    """The form for an area, new or as it is."""
    return forms.show(visit, _area_page(visit, sites.in_path(visit).id, _area(visit)))


def save_area(visit: Visit) -> Response:
    """Make or change an area."""
    site, area, form = sites.in_path(visit).id, _area(visit), visit.form

    def act() -> Response:
        with at_field("passback"):
            if form.get("passback") not in set(Passback) or form.get("link") not in set(LinkPolicy):
                raise RefusedError("choose from the list", zh="请从列表中选择")
        with at_field("minutes"):
            minutes = whole(form.get("minutes", ""), 1440)
            if form["passback"] == Passback.TIMED and not minutes:
                raise RefusedError("timed anti-passback needs its minutes", zh="限时防重复进入必须给出分钟数")
        with at_field("capacity"):
            capacity = whole(form.get("capacity", ""), 100_000) or 0
        with at_field("id"):
            rules.set_area(
                visit.conn,
                visit.actor,
                site,
                area.id if area else _new_id(visit, rule_view.area_rules(visit.conn, site)),
                passback=Passback(form["passback"]),
                passback_s=(minutes or 0) * 60,
                link_policy=LinkPolicy(form["link"]),
                capacity=capacity,
                name=form.get("name", ""),
            )
        return _back(site, "area")

    return forms.attempt(visit, _area_page(visit, site, area), act)


# --- schedules -------------------------------------------------------------------------------------


def _schedule_page(visit: Visit, site: str, schedule: ScheduleRules | None) -> FormPage:
    t = visit.words
    identity = () if schedule else (Field("id", t("rules.id"), hint=t("rules.id_hint"), max_length=_ID_LENGTH),)
    exceptions = rules.exceptions_words(schedule.exceptions, t.language) if schedule else ()
    return FormPage(
        title=t("rules.edit_schedule") if schedule else t("rules.new_schedule"),
        subtitle=_name_and_id(visit, schedule) if schedule else "",
        note=t("rules.used_by", n=schedule.used_by) if schedule else "",
        action=f"/rules/{site}/schedules/{schedule.id if schedule else NEW}",
        back=f"/rules?site={site}",
        fields=(
            *identity,
            Field("name", t("rules.name"), t.name(schedule) if schedule else "", is_required=False, max_length=80),
            Field(
                "windows",
                t("rules.windows"),
                rules.windows_words(schedule.windows, t.language) if schedule else "",
                kind="textarea",
                hint=t("rules.windows_hint"),
                max_length=600,
            ),
            Field(
                "exceptions",
                t("rules.exceptions"),
                "\n".join(exceptions),
                kind="textarea",
                is_required=False,
                hint=t("rules.exceptions_hint"),
                max_length=2000,
            ),
            Field(
                "calendar",
                t("rules.calendar"),
                "1" if schedule is None or schedule.follows_calendar else "",
                kind="checkbox",
                is_required=False,
                hint=t("rules.calendar_hint"),
            ),
        ),
    )


def _schedule(visit: Visit) -> ScheduleRules | None:
    """The schedule in the path, None for a new one. Raises NotFoundError."""
    wanted = visit.request.path_params.get("schedule", NEW)
    if wanted == NEW:
        return None
    for schedule in rule_view.schedule_rules(visit.conn, sites.in_path(visit).id):
        if schedule.id == wanted:
            return schedule
    raise NotFoundError("no such schedule", zh="没有这个时段")


def edit_schedule(visit: Visit) -> Response:
    """The form for a schedule, new or as it is."""
    return forms.show(visit, _schedule_page(visit, sites.in_path(visit).id, _schedule(visit)))


def save_schedule(visit: Visit) -> Response:
    """Make or change a schedule from words."""
    site, schedule, form = sites.in_path(visit).id, _schedule(visit), visit.form

    def act() -> Response:
        windows = form.get("windows", "")
        with at_field("windows"):
            rules.parse_windows(windows)
        exceptions = tuple(line for line in map(str.strip, form.get("exceptions", "").splitlines()) if line)
        with at_field("exceptions"):
            for line in exceptions:
                rules.parse_exception(line)
        with at_field("id"):
            rules.set_schedule(
                visit.conn,
                visit.actor,
                site,
                schedule.id if schedule else _new_id(visit, rule_view.schedule_rules(visit.conn, site)),
                windows=windows,
                exceptions=exceptions,
                follows_calendar=bool(form.get("calendar")),
                name=form.get("name", ""),
            )
        return _back(site, "schedule")

    return forms.attempt(visit, _schedule_page(visit, site, schedule), act)


# --- access levels ---------------------------------------------------------------------------------


def _level_page(visit: Visit, site: str, level: LevelRules | None) -> FormPage:
    t = visit.words
    identity = () if level else (Field("id", t("rules.id"), hint=t("rules.id_hint"), max_length=_ID_LENGTH),)
    lanes = rule_view.lane_rules(visit.conn, site)
    schedules = _named(visit, rule_view.schedule_rules(visit.conn, site), "rules.always")
    return FormPage(
        title=t("rules.edit_level") if level else t("rules.new_level"),
        subtitle=_name_and_id(visit, level) if level else "",
        note=t("rules.level_affects", n=level.credentials) if level else "",
        action=f"/rules/{site}/levels/{level.id if level else NEW}",
        back=f"/rules?site={site}",
        fields=(
            *identity,
            Field("name", t("rules.name"), t.name(level) if level else "", is_required=False, max_length=80),
            Field("schedule", t("rules.when"), level.schedule_id if level else "", choices=schedules),
            Field(
                "lane",
                t("rules.lanes"),
                " ".join(sorted(level.lanes)) if level else "",
                kind="checks",
                choices=tuple(Choice(lane.id, _title(visit, lane)) for lane in lanes),
            ),
        ),
    )


def _level(visit: Visit) -> LevelRules | None:
    """The access level in the path, None for a new one. Raises NotFoundError."""
    wanted = visit.request.path_params.get("level", NEW)
    if wanted == NEW:
        return None
    for level in rule_view.level_rules(visit.conn, sites.in_path(visit).id):
        if level.id == wanted:
            return level
    raise NotFoundError("no such access level", zh="没有这个权限组")


def edit_level(visit: Visit) -> Response:
    """The form for an access level, new or as it is."""
    return forms.show(visit, _level_page(visit, sites.in_path(visit).id, _level(visit)))


def save_level(visit: Visit) -> Response:
    """Make or change an access level."""
    site, level, form = sites.in_path(visit).id, _level(visit), visit.form
    lanes = tuple(sorted(name.removeprefix("lane.") for name in form if name.startswith("lane.")))

    def act() -> Response:
        with at_field("lane"):
            if not lanes:
                raise RefusedError("choose one lane at least", zh="请至少选择一条通道")
        with at_field("id"):
            rules.set_level(
                visit.conn,
                visit.actor,
                site,
                level.id if level else _new_id(visit, rule_view.level_rules(visit.conn, site)),
                lanes=lanes,
                schedule=form.get("schedule", ""),
                name=form.get("name", ""),
            )
        return _back(site, "level")

    return forms.attempt(visit, _level_page(visit, site, level), act)
