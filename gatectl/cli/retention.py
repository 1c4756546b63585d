"""`gatectl retention …`: what is deleted when, what is held, and the proofs."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from gatectl.central import retention
from gatectl.central.audit import now_ms
from gatectl.central.database import writing
from gatectl.central.eventlog import parse_time
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, SiteOption, actor, central, central_settings, the_site
from gatectl.errors import RefusedError

app = typer.Typer(help="What is deleted when: due, purge, proofs; legal holds.", no_args_is_help=True)


@app.command("due")
def show_due(config: ConfigOption = None, json: JsonOption = False) -> None:
    """How many rows of each class have outlived their days; deletes nothing."""
    keep = central_settings(config).retention
    with central(config) as engine, writing(engine) as conn:
        counts = retention.due(conn, keep, now_ms())
    if json:
        output.print_json(counts)
        return
    days = keep.model_dump()
    rows = [(subject, str(days[f"{subject}_d"]), f"{count:,}") for subject, count in counts.items()]
    heads = ("类别", "保留天数", "到期") if output.language() == "zh" else ("class", "days", "due")
    output.print_table(heads, rows)


@app.command("purge")
def purge(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Delete what is due now; the server does the same each night at three."""
    keep = central_settings(config).retention
    question = output.pick("删除到期的个人信息?", "delete the personal data that is due?")
    if not yes and not typer.confirm(question, err=True):
        raise RefusedError("nothing was deleted", zh="未删除")
    counts: dict[str, int] = {}
    at_ms = now_ms()
    with central(config) as engine:
        is_done = False
        while not is_done:
            with writing(engine) as conn:
                purged = retention.purge_step(conn, keep, at_ms)
            for one in purged:
                counts[one.subject] = counts.get(one.subject, 0) + one.count
            is_done = not purged
    if json:
        output.print_json(counts)
        return
    words = ", ".join(f"{subject} {count}" for subject, count in counts.items())
    output.say(f"已删除:{words or '无'}", f"deleted: {words or 'nothing'}")


@app.command("proofs")
def show_proofs(config: ConfigOption = None, json: JsonOption = False) -> None:
    """What was deleted, when, and the digest of it."""
    with central(config) as engine, engine.connect() as conn:
        found = [dict(row) for row in retention.proofs(conn)]
    if json:
        output.print_json(found)
        return
    zh = ("时间", "类别", "早于", "条数", "摘要")
    heads = zh if output.language() == "zh" else ("at", "class", "before", "rows", "digest")
    clock = output.clock_words
    output.print_table(
        heads, [(clock(x["at"]), x["subject"], clock(x["before"]), str(x["count"]), x["digest"]) for x in found]
    )


@app.command("hold")
def hold(
    since: Annotated[str, typer.Option("--since", help="From when: 2026-05-01, 2h, yesterday.")],
    why: Annotated[str, typer.Option("--why", help="The case: a letter's number.")],
    until: Annotated[str, typer.Option("--until")] = "0s",
    site: SiteOption = None,
    config: ConfigOption = None,
) -> None:
    """Keep a site's personal data and pictures of a time whatever their days say, until `retention release`."""
    now = datetime.now(UTC)
    try:
        first, last = parse_time(since, now), parse_time(until, now, is_end=True)
    except ValueError as error:
        raise RefusedError(f"no time: {error}", zh=f"不是时间:{error}") from error
    with central(config) as engine, writing(engine) as conn:
        found = the_site(conn, site)
        span = (int(first.timestamp() * 1000), int(last.timestamp() * 1000))
        hold_id = retention.hold(conn, found, *span, why, actor())
    output.say(f"已保全 {found},编号 {hold_id}", f"{found} is held, number {hold_id}")


@app.command("holds")
def holds(config: ConfigOption = None, json: JsonOption = False) -> None:
    """The holds in force."""
    with central(config) as engine, engine.connect() as conn:
        found = [dict(row) for row in retention.holds_now(conn)]
    if json:
        output.print_json(found)
        return
    for row in found:
        span = f"{output.clock_words(row['since_ms'])} – {output.clock_words(row['until_ms'])}"
        typer.echo(f"{row['id']}  {row['site_id']}  {span}  {row['why']}")


@app.command("release")
def release(hold_id: Annotated[str, typer.Argument(metavar="HOLD")], config: ConfigOption = None) -> None:
    """End a hold: what its days are over for goes with the next purge."""
    with central(config) as engine, writing(engine) as conn:
        retention.release(conn, hold_id, actor())
    output.say("保全已解除", "the hold has ended")
