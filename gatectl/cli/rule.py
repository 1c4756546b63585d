"""`gatectl rule …`: what lanes, areas and schedules ask, and what a gate would say."""

from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from gatectl.central import rules
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, SiteOption, WaitOption, actor, central, report_effect, the_site
from gatectl.cli.rule_test import rule_test
from gatectl.core.model import LinkPolicy, Passback
from gatectl.errors import RefusedError

app = typer.Typer(
    help="Rules: list, lane, area, schedule, level, test.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.command("test")(rule_test)

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_rules(site: SiteOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show a site's areas, schedules and the lanes whose rules differ from the default."""
    with central(config) as engine, engine.connect() as conn:
        found = rules.overview(conn, the_site(conn, site))
    if json:
        output.print_json(found)
        return
    for name, rows in found.items():
        typer.secho(name, bold=True)
        for row in rows:
            shown = (f"{key}={value}" for key, value in row.items() if value not in (None, "", 0, False, "[]"))
            typer.echo("  " + "  ".join(shown))


def _affects(conn: Connection, lanes: tuple[str, ...], *, is_yes: bool) -> None:
    """Say whom a change concerns, and ask. Raises RefusedError when the answer is no."""
    found = rules.affected(conn, lanes)
    output.say(found.words("zh"), found.words("en"))
    if not is_yes and not typer.confirm(output.pick("保存?", "save?"), err=True):
        raise RefusedError("nothing was changed", zh="未作更改")


@app.command("lane")
def set_lane(
    lane: Annotated[str, typer.Argument(help="The lane's id.")],
    area_from: Annotated[str | None, typer.Option("--area-from", help="'' = the street.")] = None,
    area_to: Annotated[str | None, typer.Option("--area-to")] = None,
    two_person: Annotated[bool | None, typer.Option("--two-person/--no-two-person")] = None,
    interlock: Annotated[
        str | None, typer.Option("--interlock", help="Lanes of a gate with one word never stand open together.")
    ] = None,
    open_schedule: Annotated[str | None, typer.Option("--open-schedule", help="Stands open in these hours.")] = None,
    first_card: Annotated[
        bool | None, typer.Option("--first-card/--no-first-card", help="…from the first granted card on.")
    ] = None,
    short_stay: Annotated[int | None, typer.Option("--short-stay", min=0, help="Minutes for unknown cars.")] = None,
    short_stay_schedule: Annotated[str | None, typer.Option("--short-stay-schedule")] = None,
    fire_lane: Annotated[
        bool | None, typer.Option("--fire-lane/--no-fire-lane", help="An unanswered emergency call opens after 10 s.")
    ] = None,
    yes: YesOption = False,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Change what a lane asks; says first how many credentials that concerns."""
    given: dict[str, Any] = {
        "area_from": area_from,
        "area_to": area_to,
        "is_two_person": two_person,
        "interlock": interlock,
        "open_schedule_id": open_schedule,
        "is_first_card_in": first_card,
        "short_stay_s": None if short_stay is None else short_stay * 60,
        "short_stay_schedule_id": short_stay_schedule,
        "is_fire_lane": fire_lane,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    for name in ("open_schedule_id", "short_stay_schedule_id"):
        if changes.get(name) == "":
            changes[name] = None
    with central(config) as engine:
        with writing(engine) as conn:
            rules.lanes_of(conn, lane)
            _affects(conn, (lane,), is_yes=yes)
            rules.set_lane(conn, actor(), lane, **changes)
            site = rules.site_of_lane(conn, lane)
        report_effect(engine, site, is_wait=wait)


@app.command("area")
def set_area(
    area: Annotated[str, typer.Argument(help="Its id, e.g. garage.")],
    passback: Annotated[Passback | None, typer.Option("--passback", help="No second entry without an exit.")] = None,
    minutes: Annotated[int | None, typer.Option("--minutes", min=1, help="For timed anti-passback.")] = None,
    link: Annotated[LinkPolicy | None, typer.Option("--link", help="While the other gates cannot be heard.")] = None,
    capacity: Annotated[int | None, typer.Option("--capacity", min=0, help="Vehicles that fit in; 0 = any.")] = None,
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Make or change an area that lanes lead to: anti-passback, capacity."""
    with central(config) as engine:
        with writing(engine) as conn:
            where = the_site(conn, site)
            seconds = None if minutes is None else minutes * 60
            rules.set_area(
                conn, actor(), where, area, passback=passback, passback_s=seconds, link_policy=link, capacity=capacity
            )
        report_effect(engine, where, is_wait=wait)


@app.command("schedule")
def set_schedule(
    schedule: Annotated[str, typer.Argument(help="Its id, e.g. office-hours.")],
    windows: Annotated[str, typer.Argument(help="mon-fri 07:00-20:00, sat 08:00-12:00, holiday 09:00-11:00")],
    exception: Annotated[
        list[str] | None, typer.Option("--except", help="2026-02-16..2026-02-18 closed; may be given again.")
    ] = None,
    calendar: Annotated[bool, typer.Option("--calendar/--no-calendar", help="Follow holidays and 调休.")] = True,
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Make or replace a schedule."""
    with central(config) as engine:
        with writing(engine) as conn:
            where = the_site(conn, site)
            rules.set_schedule(
                conn,
                actor(),
                where,
                schedule,
                windows=windows,
                exceptions=tuple(exception or ()),
                follows_calendar=calendar,
            )
        report_effect(engine, where, is_wait=wait)


@app.command("level")
def set_level(
    level: Annotated[str, typer.Argument(help="Its id, e.g. cleaners.")],
    lanes: Annotated[
        list[str] | None, typer.Option("--lane", help="A lane that it opens; may be given again. All at once.")
    ] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="When; '' = always.")] = None,
    name: Annotated[str, typer.Option("--name")] = "",
    yes: YesOption = False,
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Make or change an access level: lanes × a schedule. `people profile --level` gives it to somebody."""
    with central(config) as engine:
        with writing(engine) as conn:
            where = the_site(conn, site)
            _affects_level(conn, level, is_yes=yes)
            rules.set_level(conn, actor(), where, level, lanes=lanes, schedule=schedule, name=name)
        report_effect(engine, where, is_wait=wait)


def _affects_level(conn: Connection, level: str, *, is_yes: bool) -> None:
    count = rules.held_by(conn, level)
    output.say(f"影响 {count} 个凭证", f"affects {count} credentials")
    if count and not is_yes and not typer.confirm(output.pick("保存?", "save?"), err=True):
        raise RefusedError("nothing was changed", zh="未作更改")
