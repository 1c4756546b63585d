"""The event log as people ask for it: filters that are a URL, keyset pages, one event in full, CSV."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from gatectl.central import tables
from gatectl.core.model import AccessEvent, Direction, EventKind, Verdict
from gatectl.core.plates import normalise
from gatectl.core.reasons import Reason, words
from gatectl.errors import GatectlError, NotFoundError, PayloadError
from gatectl.wire.events import parse_event

SITE_TIME = timezone(timedelta(hours=8), "Asia/Shanghai")
DEFAULT_KINDS = (EventKind.ACCESS, EventKind.ALARM)
DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_CSV_ROWS = 200_000
_AGO = re.compile(r"(\d{1,6})(s|m|min|h|d)")
_AGO_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_ESCAPE = "\\"
_UNLISTED = {"body", "personal", "epoch", "seq", "prev", "hash", "boot_id", "mono_ns"}
"""Columns that a line of the log does not need."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong parameter of a query, in both languages."""

    field: str
    value: str
    zh: str
    en: str


class QueryError(GatectlError):
    """A query that cannot be understood; `mistakes` names every wrong parameter at once."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__(
            "; ".join(f"{m.field}={m.value!r}: {m.en}" for m in mistakes),
            zh=";".join(f"{m.field}={m.value!r}:{m.zh}" for m in mistakes),
        )
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What is asked of the log. `since` <= at < `until`; empty text and None ask nothing."""

    since: datetime | None = None
    until: datetime | None = None
    site: str = ""
    gate: str = ""
    direction: Direction | None = None
    person: str = ""
    plate: str = ""
    """A part of a plate; `*` and `?` are wildcards and then the whole plate is meant."""
    verdict: Verdict | None = None
    reason: Reason | None = None
    kinds: tuple[EventKind, ...] = DEFAULT_KINDS
    """Empty: every kind."""
    before: str = ""
    """Cursor `at:id`: only older rows."""
    after: str = ""
    """Cursor `at:id`: only newer rows."""
    limit: int = DEFAULT_LIMIT
    household: str = ""

    def params(self) -> dict[str, str]:
        """The query as URL parameters, without the cursors; what is not asked is left out."""
        found = {
            "since": _site_time(self.since),
            "until": _site_time(self.until),
            "site": self.site,
            "gate": self.gate,
            "direction": self.direction or "",
            "person": self.person,
            "plate": self.plate,
            "verdict": self.verdict or "",
            "reason": self.reason.name if self.reason is not None else "",
            "kind": "" if self.kinds == DEFAULT_KINDS else ",".join(self.kinds) or "all",
            "household": self.household,
            "limit": "" if self.limit == DEFAULT_LIMIT else str(self.limit),
        }
        return {name: str(value) for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class EventRow:
    """One line of the log. `id` is central's own number; times are UTC epoch ms."""

    id: int
    event_id: str
    at_ms: int
    received_at_ms: int
    kind: str
    site_id: str
    gate_id: str
    gate_zh: str
    gate_en: str
    lane_id: str
    lane_zh: str
    lane_en: str
    direction: str
    verdict: str
    reason: int
    credential: str
    cardholder_id: str
    household_id: str
    person: str
    plate: str
    plate_colour: str
    ref: str
    outcome: str
    actor: str
    picture_sha256: str

    @property
    def cursor(self) -> str:
        """This row's place in the log: `at:id`."""
        return f"{self.at_ms}:{self.id}"

    @property
    def at(self) -> datetime:
        """When it happened, in site time."""
        return datetime.fromtimestamp(self.at_ms / 1000, SITE_TIME)

    @property
    def reason_name(self) -> str:
        """The reason's code; its number where this version knows no name."""
        return reason_name(self.reason)

    def reason_words(self, language: Literal["zh", "en"]) -> str:
        """The reason in words; its number where this version knows none."""
        return words(Reason(self.reason), language) if self.reason in set(Reason) else str(self.reason)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Rows newest first; `next_cursor` leads to older rows (`before`), `prev_cursor` to newer ones (`after`)."""

    rows: tuple[EventRow, ...]
    next_cursor: str | None
    prev_cursor: str | None


@dataclass(frozen=True, slots=True)
class EventDetail:
    """One event in full. `event` is None when its body cannot be read by this version."""

    row: EventRow
    event: AccessEvent | None
    body: str
    hash: str
    related: tuple[tuple[EventRow, AccessEvent | None], ...]
    """Passage, hold_end and the like that refer to it, and what it refers to; in order of time."""


def reason_name(number: int) -> str:
    """`PLATE_OK` for 6; the number itself where this version knows no name."""
    return Reason(number).name if number in set(Reason) else str(number)


def _site_time(at: datetime | None) -> str:
    if at is None:
        return ""
    return at.astimezone(SITE_TIME).replace(tzinfo=None).isoformat(timespec="seconds")


def parse_time(text: str, now: datetime, *, is_end: bool = False) -> datetime:
    """`2h` ago, `today`, `yesterday`, a date or a date and time (site time unless it has a zone). Raises ValueError.

    A bare date as an end means the end of that day.
    """
    text = text.strip()
    ago = _AGO.fullmatch(text)
    if ago:
        return now.astimezone(UTC) - timedelta(seconds=int(ago[1]) * _AGO_S[ago[2]])
    midnight = now.astimezone(SITE_TIME).replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"today": 0, "yesterday": -1}
    if text in days:
        return (midnight + timedelta(days=days[text] + is_end)).astimezone(UTC)
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        at = at.replace(tzinfo=SITE_TIME)
    if is_end and re.fullmatch(r"\d{4}-?\d\d-?\d\d", text):
        at += timedelta(days=1)
    return at.astimezone(UTC)


def _cursor(text: str) -> tuple[int, int]:
    at_ms, _, row_id = text.partition(":")
    return int(at_ms), int(row_id)


def _reason(text: str) -> Reason:
    return Reason(int(text)) if text.isdecimal() else Reason[text.upper().replace("-", "_")]


def _kinds(text: str) -> tuple[EventKind, ...]:
    if text == "all":
        return ()
    return tuple(dict.fromkeys(EventKind(part.strip()) for part in text.split(",") if part.strip()))


def _limit(text: str) -> int:
    limit = int(text)
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(text)
    return limit


_TIME_WORDS = (
    "不是时间;例:2026-05-01、2026-05-01T08:30、2h、today",
    "no time; e.g. 2026-05-01, 2026-05-01T08:30, 2h, today",
)


def parse_query(params: Mapping[str, str], now: datetime | None = None) -> EventQuery:
    """The query in URL parameters; unknown names are ignored. Raises QueryError that names every mistake."""
    at = now or datetime.now(UTC)
    parsers: dict[str, tuple[str, Any, tuple[str, str]]] = {
        "since": ("since", lambda text: parse_time(text, at), _TIME_WORDS),
        "until": ("until", lambda text: parse_time(text, at, is_end=True), _TIME_WORDS),
        "site": ("site", str, ("", "")),
        "gate": ("gate", str, ("", "")),
        "direction": ("direction", Direction, ("只能是 in 或 out", "either in or out")),
        "person": ("person", str, ("", "")),
        "plate": ("plate", str, ("", "")),
        "household": ("household", str, ("", "")),
        "verdict": ("verdict", Verdict, ("只能是 granted、denied、held", "one of granted, denied, held")),
        "reason": ("reason", _reason, ("没有这个原因代码", "no such reason; a name such as CARD_LOST or its number")),
        "kind": ("kinds", _kinds, ("没有这种记录", f"one of all, {', '.join(EventKind)}")),
        "before": ("before", lambda text: text if _cursor(text) else "", ("翻页标记无效", "no page cursor")),
        "after": ("after", lambda text: text if _cursor(text) else "", ("翻页标记无效", "no page cursor")),
        "limit": ("limit", _limit, (f"1 到 {MAX_LIMIT}", f"from 1 to {MAX_LIMIT}")),
    }
    found: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for name, (field, parse, (zh, en)) in parsers.items():
        text = params.get(name, "").strip()
        if not text:
            continue
        try:
            found[field] = parse(text)
        except (ValueError, KeyError, OverflowError):
            mistakes.append(Mistake(name, text[:60], zh, en))
    if mistakes:
        raise QueryError(tuple(mistakes))
    return EventQuery(**found)


def _escaped(text: str) -> str:
    return text.replace(_ESCAPE, _ESCAPE * 2).replace("%", _ESCAPE + "%").replace("_", _ESCAPE + "_")


def plate_pattern(part: str) -> str:
    """The LIKE pattern of a plate part: wildcards make it the whole plate, else it is contained. Escape is `\\`."""
    pieces = re.split(r"([*?])", part.replace("*", "*").replace("?", "?"))
    marks = {"*": "%", "?": "_"}
    pattern = "".join(marks.get(piece) or _escaped(normalise(piece)) for piece in pieces)
    return pattern if len(pieces) > 1 else f"%{pattern}%"


def conditions(query: EventQuery) -> list[ColumnElement[bool]]:
    """The filter as SQL conditions on `events`, without paging."""
    """The WHERE terms of a query, without its cursors."""
    events = tables.events.c
    found: list[ColumnElement[bool]] = []
    if query.since is not None:
        found.append(events.at >= int(query.since.timestamp() * 1000))
    if query.until is not None:
        found.append(events.at < int(query.until.timestamp() * 1000))
    for column, value in (
        (events.site_id, query.site),
        (events.gate_id, query.gate),
        (events.household_id, query.household),
        (events.direction, query.direction),
        (events.verdict, query.verdict),
    ):
        if value:
            found.append(column == str(value))
    if query.reason is not None:
        found.append(events.reason == int(query.reason))
    if query.person:
        found.append(events.person.like(f"%{_escaped(query.person)}%", escape=_ESCAPE))
    if query.plate:
        found.append(events.plate != "")
        found.append(events.plate.like(plate_pattern(query.plate), escape=_ESCAPE))
    if query.kinds:
        found.append(events.kind.in_([str(kind) for kind in query.kinds]))
    return found


def _select() -> Select[Any]:
    events, gates, lanes = tables.events, tables.gates, tables.lanes
    return (
        select(
            *(column for column in events.c if column.name not in _UNLISTED),
            gates.c.name_zh.label("gate_zh"),
            gates.c.name_en.label("gate_en"),
            lanes.c.name_zh.label("lane_zh"),
            lanes.c.name_en.label("lane_en"),
        )
        .join(gates, gates.c.id == events.c.gate_id, isouter=True)
        .join(lanes, lanes.c.id == events.c.lane_id, isouter=True)
    )


def _event_row(row: Row[Any]) -> EventRow:
    return EventRow(
        id=row.id,
        event_id=row.event_id,
        at_ms=row.at,
        received_at_ms=row.received_at,
        kind=row.kind,
        site_id=row.site_id,
        gate_id=row.gate_id,
        gate_zh=row.gate_zh or row.gate_id,
        gate_en=row.gate_en or row.gate_id,
        lane_id=row.lane_id,
        lane_zh=row.lane_zh or row.lane_id,
        lane_en=row.lane_en or row.lane_id,
        direction=row.direction,
        verdict=row.verdict,
        reason=row.reason,
        credential=row.credential,
        cardholder_id=row.cardholder_id,
        household_id=row.household_id,
        person=row.person,
        plate=row.plate,
        plate_colour=row.plate_colour,
        ref=row.ref,
        outcome=row.outcome,
        actor=row.actor,
        picture_sha256=row.picture_sha256,
    )


def page_statement(query: EventQuery) -> Select[Any]:
    """One page and one row more: newest first, but oldest first when `after` is given."""
    events = tables.events.c
    statement = _select().where(*conditions(query)).limit(query.limit + 1)
    if query.after:
        at_ms, row_id = _cursor(query.after)
        return statement.where(_beyond(at_ms, row_id, is_newer=True)).order_by(events.at, events.id)
    if query.before:
        at_ms, row_id = _cursor(query.before)
        statement = statement.where(_beyond(at_ms, row_id, is_newer=False))
    return statement.order_by(events.at.desc(), events.id.desc())


def search(conn: Connection, query: EventQuery) -> EventPage:
    """One page of the log, newest first; keyset paging, so that new rows never shift a page."""
    rows = [_event_row(row) for row in conn.execute(page_statement(query))]
    has_more = len(rows) > query.limit
    rows = rows[: query.limit]
    if query.after:
        rows.reverse()
        return EventPage(
            tuple(rows),
            next_cursor=rows[-1].cursor if rows else None,
            prev_cursor=rows[0].cursor if has_more else None,
        )
    return EventPage(
        tuple(rows),
        next_cursor=rows[-1].cursor if has_more else None,
        prev_cursor=rows[0].cursor if query.before and rows else None,
    )


def _beyond(at_ms: int, row_id: int, *, is_newer: bool) -> ColumnElement[bool]:
    events = tables.events.c
    if is_newer:
        return and_(events.at >= at_ms, or_(events.at > at_ms, events.id > row_id))
    return and_(events.at <= at_ms, or_(events.at < at_ms, events.id < row_id))


def _parsed(body: str, personal: str) -> AccessEvent | None:
    try:
        return parse_event(body, personal)
    except PayloadError:
        return None  # another version's event: its columns and raw body are still shown


def event(conn: Connection, event_id: str) -> EventDetail | None:
    """One event by the id that its gate gave it, with what belongs to it."""
    events = tables.events.c
    full = _select().add_columns(events.body, events.hash, events.personal)
    row = conn.execute(full.where(events.event_id == event_id).order_by(events.id)).first()
    if row is None:
        return None
    belongs = or_(events.ref == event_id, events.event_id == row.ref) if row.ref else events.ref == event_id
    related = conn.execute(full.where(belongs, events.id != row.id).order_by(events.at, events.id).limit(50)).all()
    return EventDetail(
        row=_event_row(row),
        event=_parsed(row.body, row.personal),
        body=row.body,
        hash=row.hash,
        related=tuple((_event_row(other), _parsed(other.body, other.personal)) for other in related),
    )


def need_event(conn: Connection, event_id: str) -> EventDetail:
    """One event. Raises NotFoundError."""
    found = event(conn, event_id)
    if found is None:
        raise NotFoundError(f"no event {event_id!r}", zh="没有这条记录")
    return found


def latest_id(conn: Connection) -> int:
    """The newest row's number; 0 in an empty log."""
    found = conn.execute(select(tables.events.c.id).order_by(tables.events.c.id.desc()).limit(1)).scalar()
    return int(found or 0)


def newer_than(conn: Connection, row_id: int, query: EventQuery) -> list[EventRow]:
    """Rows that came in after `row_id` and match, oldest first; at most `query.limit`. Cursors are ignored."""
    events = tables.events.c
    statement = _select().where(events.id > row_id, *conditions(query)).order_by(events.id).limit(query.limit)
    return [_event_row(row) for row in conn.execute(statement)]


CSV_HEADS: Mapping[str, tuple[str, str]] = {
    "time": ("时间", "time"),
    "gate": ("闸口", "gate"),
    "lane": ("通道", "lane"),
    "direction": ("方向", "direction"),
    "kind": ("类别", "kind"),
    "verdict": ("结果", "verdict"),
    "reason": ("原因", "reason"),
    "words": ("说明", "words"),
    "person": ("人员", "person"),
    "plate": ("车牌", "plate"),
    "colour": ("颜色", "colour"),
    "outcome": ("收尾", "outcome"),
    "actor": ("操作员", "actor"),
    "event_id": ("事件编号", "event_id"),
}


def _safe_cell(text: str) -> str:
    """A spreadsheet must never take a cell for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _csv_line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_safe_cell(cell) for cell in cells])
    return out.getvalue()


def csv_rows(
    conn: Connection,
    query: EventQuery,
    language: Literal["zh", "en"] = "zh",
    *,
    bom: bool = True,
    show_name: Callable[[str], str] = str,
) -> Iterator[str]:
    """The filter's rows as CSV lines, newest first, at most 200,000. `bom`: for Excel; `show_name` may mask names."""
    zh = 0 if language == "zh" else 1
    yield ("\ufeff" if bom else "") + _csv_line([heads[zh] for heads in CSV_HEADS.values()])
    page_query = replace(query, before="", after="", limit=MAX_LIMIT)
    left = MAX_CSV_ROWS
    while left > 0:
        page = search(conn, page_query)
        for row in page.rows[:left]:
            yield _csv_line(_csv_cells(replace(row, person=show_name(row.person)), language))
        left -= len(page.rows)
        if page.next_cursor is None:
            return
        page_query = replace(page_query, before=page.next_cursor)


def _csv_cells(row: EventRow, language: Literal["zh", "en"]) -> list[str]:
    is_zh = language == "zh"
    return [
        row.at.strftime("%Y-%m-%d %H:%M:%S"),
        row.gate_zh if is_zh else row.gate_en,
        row.lane_zh if is_zh else row.lane_en,
        row.direction,
        row.kind,
        row.verdict,
        row.reason_name,
        row.reason_words(language),
        row.person,
        row.plate,
        row.plate_colour,
        row.outcome,
        row.actor,
        row.event_id,
    ]
