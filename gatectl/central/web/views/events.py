"""通行记录: the live log, its CSV, one event in full, pictures."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode

import anyio
from sqlalchemy import Engine, select
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse

from gatectl.central import desk, eventlog, gates, staff, tables
from gatectl.central.credentials import mask_name
from gatectl.central.disclosures import Disclosure, counted, register
from gatectl.central.eventlog import EventQuery, EventRow, QueryError
from gatectl.central.web import present
from gatectl.central.web.charts import Bar, bars
from gatectl.central.web.forms import Field, FormPage
from gatectl.central.web.guard import SESSION_COOKIE, Visit
from gatectl.central.web.pages import render
from gatectl.core.model import Verdict
from gatectl.core.reasons import REASONS
from gatectl.errors import RefusedError

FILTERS: Final = (
    "time",
    "since",
    "until",
    "site",
    "gate",
    "direction",
    "verdict",
    "reason",
    "person",
    "plate",
    "kind",
    "household",
)
TIMES: Final = ("all", "today", "night", "hour", "custom")
POLL_S: Final = 0.7
STREAM_S: Final = 120.0
"""A stream ends after this; the browser comes back by itself and shows its session again."""
BEAT_S: Final = 10.0
MAX_STREAMS: Final = 64
MAX_NEWS: Final = 100


def parse(params: QueryParams | Mapping[str, str]) -> EventQuery:
    """The query in the URL, with the console's `time` presets. Raises QueryError."""
    found = {name: value for name, value in params.items() if value.strip()}
    midnight = present.local(present.now_ms()).replace(hour=0, minute=0, second=0, microsecond=0)
    preset = found.pop("time", "")
    if preset == "today":
        found |= {"since": midnight.isoformat(), "until": (midnight + timedelta(days=1)).isoformat()}
    elif preset == "night":
        found |= {"since": midnight.isoformat(), "until": (midnight + timedelta(hours=6)).isoformat()}
    elif preset == "hour":
        found["since"] = "1h"
        found.pop("until", None)
    elif preset in {"", "custom"}:
        pass
    elif preset == "all":
        found.pop("since", None)
        found.pop("until", None)
    else:
        words = ("只能是 " + "、".join(TIMES), "one of " + ", ".join(TIMES))
        raise QueryError((eventlog.Mistake("time", preset[:60], *words),))
    return eventlog.parse_query(found)


def _kept(params: QueryParams) -> dict[str, str]:
    """The filters of the URL as they stand, without cursors and empties."""
    return {name: params[name].strip() for name in FILTERS if params.get(name, "").strip()}


def url(path: str, filters: Mapping[str, str], **changes: str) -> str:
    """A link with these filters; an empty change leaves one out."""
    merged = {name: value for name, value in {**filters, **changes}.items() if value}
    return f"{path}?{urlencode(merged)}" if merged else path


@dataclass(frozen=True, slots=True)
class _Choices:
    sites: list[Any]
    gates: list[Any]


def _choices(visit: Visit) -> _Choices:
    return _Choices(
        list(visit.conn.execute(select(tables.sites).order_by(tables.sites.c.id))),
        list(visit.conn.execute(select(tables.gates).order_by(tables.gates.c.site_id, tables.gates.c.id))),
    )


def _bars(visit: Visit, query: EventQuery, filters: Mapping[str, str]) -> tuple[list[Bar], dict[str, int]]:
    hours = desk.hourly(visit.conn, query)
    totals = {
        "in": sum(hour.entered for hour in hours),
        "out": sum(hour.left for hour in hours),
        "denied": sum(hour.denied for hour in hours),
        "held": sum(hour.held for hour in hours),
    }

    def link(hour: desk.Hour) -> str:
        start, end = present.local(hour.start_ms), present.local(hour.start_ms + desk.HOUR_MS)
        return url(
            "/events",
            filters,
            time="custom",
            since=start.strftime("%Y-%m-%dT%H:%M"),
            until=end.strftime("%Y-%m-%dT%H:%M"),
        )

    return bars(visit.words, hours, link), totals


def log(visit: Visit) -> Response:
    """The list; a query that cannot be understood is named, and the newest rows are shown instead."""
    params = visit.request.query_params
    filters = _kept(params)
    mistake, status = "", 200
    try:
        query = parse(params)
    except QueryError as error:
        query, mistake, status = EventQuery(), error.words(visit.words.language), 400
    last_id = eventlog.latest_id(visit.conn)
    page = eventlog.search(visit.conn, query)
    chart, totals = _bars(visit, query, filters)
    tiles = gates.gate_tiles(visit.conn)
    time = filters.get("time") or ("custom" if filters.keys() & {"since", "until"} else "all")
    return render(
        visit,
        "events.html",
        status=status,
        page=page,
        rooms=desk.rooms(visit.conn, {row.household_id for row in page.rows}),
        filters=filters,
        query=query,
        time=time,
        times=TIMES,
        mistake=mistake,
        link=partial(url, "/events", filters),
        csv_link=url("/events.csv", filters),
        stream_link=url("/events/stream", filters, last=str(last_id)),
        news_link=url("/events/news", filters, last=str(last_id)),
        chart=chart,
        totals=totals,
        choices=_choices(visit),
        reasons=_reasons(),
        offline=[tile for tile in tiles if not tile.is_online],
        cars=desk.held_cars(visit.conn, tiles),
        is_empty_log=last_id == 0,
        is_first_page=not query.before and not query.after,
    )


def _reasons() -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for reason, info in REASONS.items():
        groups.setdefault(str(info.verdict or "alarm"), []).append(reason)
    return {name: groups[name] for name in (*Verdict, "alarm") if name in groups}


def _newer(engine: Engine, last_id: int, query: EventQuery) -> list[EventRow]:
    with engine.connect() as conn:
        return eventlog.newer_than(conn, last_id, replace(query, limit=MAX_NEWS))


def _news_query(visit: Visit) -> tuple[EventQuery, int]:
    try:
        query = parse({name: value for name, value in visit.request.query_params.items() if name in FILTERS})
    except QueryError:
        query = EventQuery()
    last = visit.request.query_params.get("last", "")
    return query, int(last) if last.isdecimal() and len(last) < 19 else eventlog.latest_id(visit.conn)


def news(visit: Visit) -> Response:
    """How many rows came in since: for browsers whose stream does not hold."""
    query, last_id = _news_query(visit)
    found = eventlog.newer_than(visit.conn, last_id, replace(query, limit=MAX_NEWS))
    return JSONResponse({"n": len(found), "at": present.clock(present.now_ms())})


def stream(visit: Visit) -> Response:
    """Server-sent events: the number of new rows, whenever it changes."""
    query, last_id = _news_query(visit)
    state = visit.request.app.state
    if getattr(state, "streams", 0) >= MAX_STREAMS:
        raise HTTPException(503)
    token = visit.request.cookies.get(SESSION_COOKIE, "")
    return StreamingResponse(
        _feed(state, visit.engine, query, last_id, token),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


def _is_signed_in(engine: Engine, token: str) -> bool:
    with engine.connect() as conn:
        return staff.staff_of(conn, token) is not None


async def _feed(state: Any, engine: Engine, query: EventQuery, last_id: int, token: str) -> AsyncIterator[str]:
    """Polls in the thread pool and waits outside of it, so that no thread is held by an idle console."""
    state.streams = getattr(state, "streams", 0) + 1
    try:
        yield "retry: 3000\n\n"
        sent, beat_at, end_at = -1, 0.0, monotonic() + STREAM_S
        while monotonic() < end_at:
            count = len(await run_in_threadpool(_newer, engine, last_id, query))
            is_due = monotonic() >= beat_at
            if is_due and not await run_in_threadpool(_is_signed_in, engine, token):
                return
            if count != sent or is_due:
                sent, beat_at = count, monotonic() + BEAT_S
                data = json.dumps({"n": count, "at": present.clock(present.now_ms())})
                yield f"event: news\ndata: {data}\n\n"
            await anyio.sleep(POLL_S)
    finally:
        state.streams -= 1


def _export_page(visit: Visit) -> FormPage:
    """The register's form (调阅登记): nothing leaves the house without it."""
    query = visit.request.url.query
    words = visit.words
    return FormPage(
        title=words("export.title"),
        action=f"/events.csv?{query}" if query else "/events.csv",
        back=f"/events?{query}" if query else "/events",
        fields=(
            Field("unit", words("export.unit"), hint=words("export.unit_hint")),
            Field("person", words("export.person")),
            Field("why", words("export.why")),
            Field("document", words("export.document"), is_required=False),
        ),
        subtitle=words("export.subtitle"),
        submit=words("export.go"),
        is_download=True,
    )


def ask_csv(visit: Visit) -> Response:
    """The form before an export."""
    return render(visit, "form.html", page=_export_page(visit), form={}, mistake="", wrong="")


def as_csv(visit: Visit) -> Response:
    """The filter's rows for a spreadsheet: what the list shows, names masked; the export stands in the register."""
    form = visit.form
    asked = Disclosure(*(form.get(name, "") for name in ("unit", "person", "why", "document")))
    try:
        query = parse(visit.request.query_params)
        entry = register(visit.conn, visit.actor, asked, visit.request.url.query)
    except QueryError as error:
        raise HTTPException(400, error.words(visit.words.language)) from error
    except RefusedError as error:
        mistake = error.words(visit.words.language)
        return render(visit, "form.html", status=422, page=_export_page(visit), form=form, mistake=mistake, wrong="")
    name = f"gatectl-events-{present.local(present.now_ms()):%Y%m%d-%H%M%S}.csv"

    def lines() -> Iterator[str]:
        with visit.engine.connect() as conn:
            rows = eventlog.csv_rows(conn, query, visit.words.language, show_name=mask_name)
            yield from counted(visit.engine, entry, rows)

    return StreamingResponse(
        lines(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def detail(visit: Visit) -> Response:
    """One event in full."""
    found = eventlog.need_event(visit.conn, visit.param("event_id"))
    row = found.row
    events = tables.events.c
    chain = visit.conn.execute(select(events.epoch, events.seq, events.prev).where(events.id == row.id)).one()
    newer = eventlog.search(visit.conn, EventQuery(after=row.cursor, limit=1)).rows
    older = eventlog.search(visit.conn, EventQuery(before=row.cursor, limit=1)).rows
    has_picture = bool(row.picture_sha256) and (
        visit.conn.execute(
            select(tables.pictures.c.sha256).where(tables.pictures.c.sha256 == row.picture_sha256)
        ).first()
        is not None
    )
    lane_trace = list(found.event.lane_trace) if found.event else []
    for _other, event in found.related:
        if event is not None and event.lane_trace and not lane_trace:
            lane_trace = list(event.lane_trace)
    return render(
        visit,
        "event.html",
        found=found,
        row=row,
        event=found.event,
        chain=chain,
        room=desk.rooms(visit.conn, {row.household_id}).get(row.household_id, ""),
        newer=newer[0] if newer else None,
        older=older[0] if older else None,
        has_picture=has_picture,
        lane_trace=lane_trace,
        delay_ms=max(0, row.received_at_ms - row.at_ms),
        back=url("/events", _kept(visit.request.query_params)),
    )


def picture(visit: Visit) -> Response:
    """A plate picture by its hash; it never changes, so the browser may keep it."""
    sha256 = visit.param("sha256")
    found = visit.conn.execute(select(tables.pictures.c.bytes).where(tables.pictures.c.sha256 == sha256)).scalar()
    if found is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    return Response(bytes(found), media_type="image/jpeg", headers=headers)
