"""`gatectl holiday …`: the holidays and make-up workdays that schedules follow."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from gatectl.central import holiday_file, holidays
from gatectl.central.audit import write_audit
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, actor, central, central_settings
from gatectl.errors import ConfigError, NotFoundError

app = typer.Typer(help="Holidays and make-up workdays: list, import.", no_args_is_help=True)

_WEEKDAYS = (
    ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
    ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
)
_KIND_ZH = {"holiday": "休", "workday": "班", "plain": "平日"}
_YEARS = (1990, 2200)


def _weekday(day: date) -> str:
    return output.pick(_WEEKDAYS[0][day.weekday()], _WEEKDAYS[1][day.weekday()])


def _name(name: str) -> str:
    return holidays.name_words(name, output.language())


@app.command("list")
def list_days(
    year: Annotated[int | None, typer.Argument(min=_YEARS[0], max=_YEARS[1], help="[this year]")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """The days on which the weekday says the wrong thing. Exit 3 when nothing is known of the year."""
    file = holiday_file.written(central_settings(config).holidays_file)
    today = datetime.now(output.SITE_TIME).date()
    wanted = year or today.year
    days = holidays.named_days(wanted, wanted, file)
    span = holidays.known_span(file)
    if json:
        rows = [{"date": day.date.isoformat(), "kind": str(day.kind), "name": day.name} for day in days]
        known = None if span is None else [span[0].isoformat(), span[1].isoformat()]
        output.print_json({"year": wanted, "known": known, "file": str(file) if file else None, "days": rows})
    else:
        heads = output.pick("日期 星期 安排 节日", "date weekday kind name").split()
        rows_ = [
            [str(d.date), _weekday(d.date), output.pick(_KIND_ZH[d.kind], str(d.kind)), _name(d.name)] for d in days
        ]
        output.print_table(heads, rows_)
    missing = holidays.missing_warning(today, file, output.language())
    if missing:
        output.say(missing, missing)
    if not days:
        raise NotFoundError(
            f"nothing is known of {wanted}; `gatectl holiday import FILE` takes the State Council's notice",
            zh=f"没有 {wanted} 年的安排;用 gatectl holiday import FILE 导入国务院通知",
        )


@app.command("import")
def import_days(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="TOML as config/holidays.toml, or CSV: date,kind,name.")
    ],
    complete: Annotated[
        int | None, typer.Option("--complete", metavar="YEAR", help="It holds the whole notice of this year.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Put days over what is known: into central's holidays_file, and from there into every list within seconds."""
    file = holiday_file.need_file(central_settings(config).holidays_file)
    days = holiday_file.read_days(source)
    if complete is not None:
        if not _YEARS[0] <= complete <= _YEARS[1]:
            raise ConfigError(f"--complete: {complete} is no year", zh=f"--complete:{complete} 不是年份")
        year = holidays.Override(first=date(complete, 1, 1), last=date(complete, 12, 31), day=days.day)
        days = holiday_file.joined(days, year)
    changed = holiday_file.changes(holiday_file.written(file), days)
    if not dry_run:
        whole = holiday_file.merged(file, days)
        with central(config) as engine, writing(engine) as conn:
            write_audit(conn, actor(), "holiday.import", str(source)[:80], f"{len(changed)} days changed")
            holiday_file.put(file, whole)
    if json:
        rows = [{"date": str(c.date), "before": c.before, "after": c.after, "name": c.name} for c in changed]
        output.print_json({"file": str(file), "is_dry_run": dry_run, "changed": rows})
        return
    heads = output.pick("日期 星期 原为 改为 节日", "date weekday before after name").split()
    output.print_table(heads, [[str(c.date), _weekday(c.date), c.before, c.after, _name(c.name)] for c in changed])
    output.say(
        f"{len(changed)} 天{'将' if dry_run else '已'}更改({file})",
        f"{len(changed)} day(s) {'would change' if dry_run else 'changed'} in {file}",
    )
