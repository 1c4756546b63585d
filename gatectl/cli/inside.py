"""`gatectl inside …`: who is inside, and its correction by hand."""

import time
from typing import Annotated

import typer

from gatectl.central import inside
from gatectl.central.credentials import mask_name
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, RevealOption, SiteOption, actor, central, log_reveal, the_site
from gatectl.errors import ConfigError

app = typer.Typer(help="Who is inside: list, correct.", no_args_is_help=True)

ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in words; it stands in the audit log.")]


@app.command("list")
def list_inside(
    area: Annotated[str, typer.Option("--area", help="Only those in this area.")] = "",
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those that have stayed longer than agreed.")] = False,
    reveal: RevealOption = None,
    site: SiteOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Who is inside a site, counted by area from completed passages; the longest first."""
    at_ms = time.time_ns() // 1_000_000
    with central(config) as engine:
        is_open = log_reveal(engine, reveal, "inside.list")
        with engine.connect() as conn:
            found = inside.stand(conn, the_site(conn, site), area)
    rows = [
        inside.as_row(one, at_ms, one.name if is_open else mask_name(one.name))
        for one in found.present
        if not overdue or one.is_overdue(at_ms)
    ]
    if json:
        output.print_json({"areas": found.areas, "inside": rows})
        return
    for count in found.areas:
        cars = count.vehicles + count.strangers
        limit = f"/{count.capacity}" if count.capacity else ""
        output.say(
            f"{count.id}:{count.people} 人,{cars}{limit} 辆车(其中 {count.strangers} 辆未知)",
            f"{count.id}: {count.people} people, {cars}{limit} vehicles ({count.strangers} of them unknown)",
        )
    heads = output.pick("谁 区域 进入时间 房号 姓名 超时", "who area since door name overdue").split()
    output.print_table(
        heads,
        [
            [
                row["plate"] or row["subject"],
                row["area"],
                output.clock_words(row["since_ms"]),
                row["door"] or "-",
                row["name"] or "-",
                "!" if row["is_overdue"] else "",
            ]
            for row in rows
        ],
    )


@app.command()
def correct(
    reason: ReasonOption,
    who: Annotated[str, typer.Argument(help="A plate, a person's id, or a subject as `inside list` shows it.")] = "",
    gone: Annotated[bool, typer.Option("--gone", help="It is not inside.")] = False,
    area: Annotated[str, typer.Option("--area", help="It is in this area.")] = "",
    unknown: Annotated[
        int | None, typer.Option("--unknown", min=0, help="With --area alone: so many vehicles there are unknown.")
    ] = None,
    site: SiteOption = None,
    config: ConfigOption = None,
) -> None:
    """Correct the count by hand; every gate of the site hears of it, and the audit log keeps who and why."""
    is_strangers = unknown is not None and area and not who and not gone
    is_one = who and gone != bool(area) and unknown is None
    if not is_strangers and not is_one:
        raise ConfigError(
            "write `WHO --gone`, `WHO --area garage`, or `--area garage --unknown 3`",
            zh="请写 WHO --gone、WHO --area garage 或 --area garage --unknown 3",
        )
    with central(config) as engine, writing(engine) as conn:
        where = the_site(conn, site)
        if unknown is not None:
            inside.correct_strangers(conn, actor(), where, area, unknown, reason)
        else:
            inside.correct(conn, actor(), where, who, area, reason)
    output.say("已更正,正在通知各闸口", "corrected; the gates are being told")
