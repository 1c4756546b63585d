"""`gatectl events`, `gatectl event show`, `gatectl follow`: the log, searched and live."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from sqlalchemy import Connection, Engine

from gatectl.central import eventlog
from gatectl.central.credentials import mask_name
from gatectl.central.database import writing
from gatectl.central.disclosures import Disclosure, counted, register
from gatectl.central.eventlog import EventDetail, EventQuery, EventRow
from gatectl.cli import output
from gatectl.cli.event_line import line_of, masked
from gatectl.cli.office import ConfigOption, JsonOption, RevealOption, actor, central, log_reveal
from gatectl.core.model import CredentialKey
from gatectl.core.trace_words import step_words
from gatectl.errors import ConfigError

event_app = typer.Typer(help="One event in full.", no_args_is_help=True)

POLL_S = 0.3
MAX_BACKLOG = 1000

SinceOption = Annotated[
    str, typer.Option("--since", help="2h, today, yesterday, 2026-05-01 or 2026-05-01T08:30 (site time).")
]
UntilOption = Annotated[str, typer.Option("--until", help="As --since; a bare date means its end.")]
SiteText = Annotated[str, typer.Option("--site")]
GateText = Annotated[str, typer.Option("--gate")]
DirectionText = Annotated[str, typer.Option("--direction", "--dir", help="in or out")]
PersonText = Annotated[str, typer.Option("--person", help="Part of a name.")]
PlateText = Annotated[str, typer.Option("--plate", help="Part of a plate; * and ? are wildcards: '粤E1?345'.")]
VerdictText = Annotated[str, typer.Option("--verdict", "--decision", help="granted, denied or held")]
ReasonText = Annotated[str, typer.Option("--reason", help="A name such as CARD_LOST, or its number.")]
KindText = Annotated[
    str, typer.Option("--kind", help="all, or some of access,passage,hold_end,command,alarm,system,anchor.")
]
JsonlOption = Annotated[bool, typer.Option("--jsonl", help="One JSON object a line.")]
_MARKS = {"pass": "✓", "fail": "✗", "skip": "–"}


def _query(**params: str) -> EventQuery:
    try:
        return eventlog.parse_query(params)
    except eventlog.QueryError as error:
        raise ConfigError(str(error), zh=error.zh) from error


def document(row: EventRow) -> dict[str, Any]:
    """A row as JSON: its columns, site time and the reason's name."""
    fields: dict[str, Any] = {name: getattr(row, name) for name in EventRow.__slots__}
    return {"at": row.at, **fields, "reason_name": row.reason_name}


def _rows(conn: Connection, query: EventQuery, limit: int) -> Iterator[EventRow]:
    """Newest first, page by page, at most `limit`."""
    left = limit
    page_query = replace(query, limit=min(eventlog.MAX_LIMIT, limit))
    while left > 0:
        page = eventlog.search(conn, page_query)
        yield from page.rows[:left]
        left -= len(page.rows)
        if page.next_cursor is None:
            return
        page_query = replace(page_query, before=page.next_cursor)


def events(
    since: SinceOption = "",
    until: UntilOption = "",
    site: SiteText = "",
    gate: GateText = "",
    direction: DirectionText = "",
    person: PersonText = "",
    plate: PlateText = "",
    verdict: VerdictText = "",
    reason: ReasonText = "",
    kind: KindText = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000)] = 50,
    csv: Annotated[bool, typer.Option("--csv", help="Every matching row as CSV (UTF-8 with a BOM for Excel).")] = False,
    unit: Annotated[str, typer.Option("--unit", help="With --csv: the organisation that asks (调阅单位).")] = "",
    asker: Annotated[str, typer.Option("--asker", help="With --csv: who asks (调阅人).")] = "",
    why: Annotated[str, typer.Option("--why", help="With --csv: why (事由).")] = "",
    paper: Annotated[str, typer.Option("--document", help="With --csv: the document's number.")] = "",
    no_bom: Annotated[bool, typer.Option("--no-bom", help="CSV without the byte order mark.")] = False,
    jsonl: JsonlOption = False,
    reveal: RevealOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Search the event log, newest first: attempts and alarms, unless --kind says otherwise."""
    query = _query(
        since=since,
        until=until,
        site=site,
        gate=gate,
        direction=direction,
        person=person,
        plate=plate,
        verdict=verdict,
        reason=reason,
        kind=kind,
    )
    with central(config) as engine:
        is_open = log_reveal(engine, reveal, "events")
        if csv:
            asked = Disclosure(unit, asker, why, paper)
            _print_csv(engine, query, asked, str if is_open else mask_name, has_bom=not no_bom)
            return
        with engine.connect() as conn:
            found = _rows(conn, query, limit)
            rows = found if is_open else (masked(row) for row in found)
            if json:
                output.print_json([document(row) for row in rows])
            elif jsonl:
                for row in rows:
                    output.print_json(document(row), is_line=True)
            else:
                _print_lines(rows)


def _print_csv(
    engine: Engine, query: EventQuery, asked: Disclosure, show_name: Callable[[str], str], *, has_bom: bool
) -> None:
    """Every matching row; the register first. Raises RefusedError."""
    with writing(engine) as conn:
        entry = register(conn, actor(), asked, urlencode(query.params()))
    with engine.connect() as conn:
        rows = eventlog.csv_rows(conn, query, output.language(), bom=has_bom, show_name=show_name)
        for line in counted(engine, entry, rows):
            typer.echo(line, nl=False)


def _print_lines(rows: Iterator[EventRow]) -> None:
    is_terminal = sys.stdout.isatty()
    count = 0
    for row in rows:
        typer.echo(line_of(row, output.language(), is_coloured=is_terminal, is_dated=True))
        count += 1
    if count == 0:
        output.say("没有记录;可放宽时间,或用 --kind all", "no records; widen the time, or ask for --kind all")


def _masked_detail(found: EventDetail) -> EventDetail:
    row, event = masked(found.row), found.event
    if event is not None and row.credential:
        event = replace(event, credential=CredentialKey(row.credential))
    related = tuple((masked(other), parsed) for other, parsed in found.related)
    return replace(found, row=row, event=event, related=related)


@event_app.command("show")
def show_event(
    event_id: Annotated[str, typer.Argument(help="The event's id, as `events --json` prints it.")],
    reveal: RevealOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one event: decision, rule trace, votes, lane trace."""
    with central(config) as engine:
        is_open = log_reveal(engine, reveal, event_id)
        with engine.connect() as conn:
            found = eventlog.need_event(conn, event_id)
    if not is_open:
        found = _masked_detail(found)
    if json:
        output.print_json(
            {
                **document(found.row),
                "hash": found.hash,
                "event": found.event,
                "related": [document(row) for row, _ in found.related],
            }
        )
        return
    language = output.language()
    typer.echo(line_of(found.row, language, is_coloured=sys.stdout.isatty(), is_dated=True))
    if found.event is None:
        output.say("此记录的版本无法解析,原文见 --json", "its version cannot be read; --json has the columns")
        return
    for step in found.event.trace:
        rule, value, outcome = step_words(step, language)
        typer.echo(f"  {_MARKS.get(step.outcome, '?')} {rule}: {value} ({outcome})")
    if found.event.plate is not None:
        for text, confidence in found.event.plate.candidates:
            typer.echo(f"  {text}  {confidence:.2f}")
    for row, event in found.related:
        typer.echo(line_of(row, language, is_coloured=sys.stdout.isatty(), is_dated=True))
        for moment in event.lane_trace if event is not None else ():
            typer.echo(f"  {moment.ms:+7d} ms  {moment.what}")


def follow(
    gate: GateText = "",
    site: SiteText = "",
    kind: KindText = "",
    since: Annotated[str, typer.Option("--since", help="First print what came in since: 10m, 2h, today.")] = "",
    for_s: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="Stop after so many seconds.")
    ] = None,
    jsonl: JsonlOption = False,
    reveal: RevealOption = None,
    config: ConfigOption = None,
) -> None:
    """Watch events as they come in, one line each. Ctrl-C ends it."""
    query = _query(gate=gate, site=site, kind=kind, since=since)
    with central(config) as engine:
        show: Callable[[EventRow], EventRow] = _as_it_is if log_reveal(engine, reveal, "follow") else masked
        try:
            for row in _live_rows(engine, query, has_backlog=bool(since), for_s=for_s):
                _print_live(show(row), jsonl=jsonl)
        except KeyboardInterrupt:
            raise typer.Exit from None


def _as_it_is(row: EventRow) -> EventRow:
    return row


def _live_rows(engine: Engine, query: EventQuery, *, has_backlog: bool, for_s: float | None) -> Iterator[EventRow]:
    """What matched since the query's `since`, then each row as it comes in, until the time is over."""
    deadline = None if for_s is None else time.monotonic() + for_s
    with engine.connect() as conn:
        last = eventlog.latest_id(conn)
        backlog = list(_rows(conn, query, MAX_BACKLOG)) if has_backlog else []
    yield from (row for row in reversed(backlog) if row.id <= last)
    live = replace(query, since=None, limit=eventlog.MAX_LIMIT)
    while True:
        with engine.connect() as conn:
            rows = eventlog.newer_than(conn, last, live)
        yield from rows
        if rows:
            last = rows[-1].id
        if len(rows) == live.limit:
            continue
        left_s = POLL_S if deadline is None else min(POLL_S, deadline - time.monotonic())
        if left_s <= 0:
            return
        time.sleep(left_s)


def _print_live(row: EventRow, *, jsonl: bool) -> None:
    if jsonl:
        output.print_json(document(row), is_line=True)
    else:
        typer.echo(line_of(row, output.language(), is_coloured=sys.stdout.isatty(), is_dated=False))
    sys.stdout.flush()
