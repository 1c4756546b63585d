"""节假日: a year with its holidays and make-up workdays, and the office's own word on a day."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import get_args

from starlette.responses import RedirectResponse, Response

from gatectl.central import holiday_file, holidays
from gatectl.central.audit import write_audit
from gatectl.central.holidays import DayWord, NamedDay
from gatectl.central.web.forms import Choice, Field, FormPage, at_field
from gatectl.central.web.guard import Visit
from gatectl.central.web.pages import render
from gatectl.central.web.present import SITE_ZONE
from gatectl.central.web.views import forms
from gatectl.errors import ConfigError, RefusedError

_YEARS_AROUND = 2


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the calendar. `kind` is holiday, workday, or plain for what the weekday says."""

    date: date
    kind: str
    name: str
    is_today: bool
    is_weekend: bool


def overview(visit: Visit) -> Response:
    """Twelve months, the list of what differs from the weekday, and what is missing."""
    today = _today()
    asked = visit.request.query_params.get("year", "")
    year = int(asked) if asked.isdecimal() and abs(int(asked) - today.year) <= _YEARS_AROUND else today.year
    file, problem = visit.settings.holidays_file, ""
    try:
        there = holiday_file.written(file)
        days, span = holidays.named_days(year, year, there), holidays.known_span(there)
        missing = holidays.missing_warning(today, there, visit.words.language) or ""
    except ConfigError as error:  # lists go on with the last good calendar; the page says what is wrong
        problem, missing = error.words(visit.words.language), ""
        days, span = holidays.named_days(year, year), holidays.known_span()
    words = visit.words.language
    days = tuple(replace(day, name=holidays.name_words(day.name, words)) for day in days)
    by_date = {day.date: day for day in days}
    return render(
        visit,
        "holidays.html",
        year=year,
        years=[today.year + step for step in range(-1, _YEARS_AROUND + 1)],
        months=[_month(year, month, by_date, today) for month in range(1, 13)],
        days=days,
        is_known=span is not None and span[0] <= date(year, 1, 1) and date(year, 12, 31) <= span[1],
        span=span,
        file=file,
        problem=problem,
        missing=missing,
        done=visit.request.query_params.get("done", ""),
    )


def _today() -> date:
    return datetime.now(SITE_ZONE).date()


def _month(year: int, month: int, known: Mapping[date, NamedDay], today: date) -> list[list[Day | None]]:
    """The month's weeks from Monday; None before its first day and after its last."""
    return [
        [_day(on, known.get(on), today) if on.month == month else None for on in week]
        for week in calendar.Calendar().monthdatescalendar(year, month)
    ]


def _day(on: date, named: NamedDay | None, today: date) -> Day:
    kind = "plain" if named is None else str(named.kind)
    return Day(on, kind, named.name if named else "", on == today, on.weekday() >= 5)


def _page(visit: Visit, on: str) -> FormPage:
    t, file = visit.words, holiday_file.written(visit.settings.holidays_file)
    kind, name = "plain", ""
    try:
        day = date.fromisoformat(on)
        for known in holidays.named_days(day.year, day.year, file):
            if known.date == day:
                kind, name = str(known.kind), holidays.name_words(known.name, t.language)
    except ConfigError:
        kind = "plain"  # the overview says what is wrong with the file
    except ValueError:
        on = ""
    return FormPage(
        title=t("holidays.edit"),
        note=t("holidays.edit_note"),
        action="/holidays/day",
        back="/holidays",
        fields=(
            Field("date", t("holidays.date"), on, kind="date"),
            Field(
                "kind",
                t("holidays.kind"),
                kind,
                choices=tuple(Choice(word, t(f"holidays.kind_{word}")) for word in get_args(DayWord)),
            ),
            Field("name", t("holidays.name"), name, is_required=False, max_length=40),
        ),
    )


def edit_day(visit: Visit) -> Response:
    """The form for one day."""
    return forms.show(visit, _page(visit, visit.request.query_params.get("date", "")))


def save_day(visit: Visit) -> Response:
    """Write the office's word on a day into its file; the lists follow within seconds."""
    form = visit.form

    def act() -> Response:
        with at_field("date"):
            file = holiday_file.need_file(visit.settings.holidays_file)
            try:
                on = date.fromisoformat(form.get("date", ""))
            except ValueError as error:
                raise RefusedError("write a date, e.g. 2026-10-01", zh="请填写日期,例:2026-10-01") from error
            words: dict[str, DayWord] = {"holiday": "holiday", "workday": "workday", "plain": "plain"}
            kind = words.get(form.get("kind", ""))
            if kind is None:
                raise RefusedError("choose from the list", zh="请从列表中选择")
            whole = holiday_file.merged(file, holiday_file.one_day(on, kind, form.get("name", "")))
            holiday_file.put(file, whole)
        write_audit(visit.conn, visit.actor, "holiday.day", on.isoformat(), f"{kind} {form.get('name', '')[:40]}")
        return RedirectResponse(f"/holidays?year={on.year}&done=saved", status_code=303)

    return forms.attempt(visit, _page(visit, form.get("date", "")), act)
