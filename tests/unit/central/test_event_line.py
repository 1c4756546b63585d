"""One event as one line of `gatectl follow`."""

from collections.abc import Callable

from rich.cells import cell_len
from sqlalchemy import Connection

from gatectl.central import eventlog
from gatectl.central.eventlog import EventQuery, EventRow
from gatectl.cli.event_line import line_of, masked
from gatectl.core.reasons import Reason, words

AddEvent = Callable[..., int]


def _rows(conn: Connection) -> list[EventRow]:
    return eventlog.newer_than(conn, 0, EventQuery(kinds=()))


def test_columns_stay_aligned_whatever_the_script(conn: Connection, add_event: AddEvent) -> None:
    add_event(plate="粤E12345")
    add_event(verdict="denied", reason=Reason.CARD_LOST, person="王小明", gate_id="north")
    add_event(verdict="", kind="alarm", reason=Reason.FORCED_OPEN, direction="")
    for language in ("zh", "en"):
        rows = _rows(conn)
        lines = [line_of(row, language, is_coloured=False, is_dated=False) for row in rows]
        starts = {
            cell_len(line[: line.rindex(words(Reason(row.reason), language))])
            for line, row in zip(lines, rows, strict=True)
        }
        assert len(starts) == 1, lines


def test_a_line_carries_time_place_verdict_who_and_words(conn: Connection, add_event: AddEvent) -> None:
    add_event(verdict="denied", reason=Reason.CARD_LOST, person="王小明", credential="em:0A1B2C3D4E")
    row = _rows(conn)[0]
    line = line_of(masked(row), "zh", is_coloured=False, is_dated=True)
    for part in (
        "2026-05-01 08:00:01",
        "south门 south-in",
        "进",
        "拒绝",
        "王*明 em:…3D4E",
        words(Reason.CARD_LOST, "zh"),
    ):
        assert part in line
    assert "\x1b[31m" in line_of(row, "en", is_coloured=True, is_dated=True)


def test_an_event_that_came_late_says_so(conn: Connection, add_event: AddEvent) -> None:
    add_event(at=1_777_000_000_000, received_at=1_777_000_000_000 + 12 * 60_000)
    assert "补传 12 分钟" in line_of(_rows(conn)[0], "zh", is_coloured=False, is_dated=False)
    assert "12 min late" in line_of(_rows(conn)[0], "en", is_coloured=False, is_dated=False)
