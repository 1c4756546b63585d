"""The event log: filters, keyset pages, the URL, CSV."""

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from gatectl.central import eventlog
from gatectl.central.eventlog import EventQuery, QueryError, parse_query
from gatectl.core.model import Direction, EventKind, Verdict
from gatectl.core.reasons import Reason
from gatectl.errors import NotFoundError

AddEvent = Callable[..., int]
NOW = datetime(2026, 5, 2, 4, 0, tzinfo=UTC)  # noon, site time


def _plates(conn: Connection, part: str) -> set[str]:
    return {row.plate for row in eventlog.search(conn, EventQuery(plate=part)).rows}


def test_pages_walk_the_whole_log_once_and_back_even_when_times_are_equal(
    conn: Connection, add_event: AddEvent
) -> None:
    same_ms = 1_777_000_000_000
    ids = [add_event(at=same_ms + (n // 5)) for n in range(23)]
    query = EventQuery(limit=4)
    pages = [eventlog.search(conn, query)]
    while pages[-1].next_cursor:
        pages.append(eventlog.search(conn, replace(query, before=pages[-1].next_cursor)))
    assert [row.id for page in pages for row in page.rows] == ids[::-1]
    assert pages[0].prev_cursor is None
    back = [pages[-1]]
    while back[-1].prev_cursor:
        back.append(eventlog.search(conn, replace(query, after=back[-1].prev_cursor)))
    assert sorted(row.id for page in back for row in page.rows) == ids
    assert all(page.next_cursor for page in back[1:])


def test_a_row_that_comes_in_between_shifts_no_page(conn: Connection, add_event: AddEvent) -> None:
    ids = [add_event() for _ in range(6)]
    first = eventlog.search(conn, EventQuery(limit=3))
    add_event()
    assert first.next_cursor is not None
    second = eventlog.search(conn, EventQuery(limit=3, before=first.next_cursor))
    assert [row.id for row in second.rows] == ids[2::-1]
    assert second.next_cursor is None


def test_only_attempts_and_alarms_are_shown_unless_other_kinds_are_asked_for(
    conn: Connection, add_event: AddEvent
) -> None:
    for kind in EventKind:
        add_event(kind=str(kind))
    assert {row.kind for row in eventlog.search(conn, EventQuery()).rows} == {"access", "alarm"}
    assert {row.kind for row in eventlog.search(conn, parse_query({"kind": "all"})).rows} == set(EventKind)
    assert {row.kind for row in eventlog.search(conn, parse_query({"kind": "passage,hold_end"})).rows} == {
        "passage",
        "hold_end",
    }


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"site": "xianhu"}, {3}),
        ({"gate": "north"}, {2}),
        ({"direction": "out"}, {2}),
        ({"verdict": "denied"}, {1}),
        ({"reason": "CARD_LOST"}, {1}),
        ({"reason": "card-lost"}, {1}),
        ({"reason": "41"}, {1}),
        ({"person": "小"}, {1}),
        ({"plate": "E123"}, {2, 3}),
        ({"plate": "E123", "site": "xianhu"}, {3}),
        ({"person": "%"}, set()),
    ],
)
def test_each_filter_keeps_exactly_its_rows(
    conn: Connection, add_event: AddEvent, params: dict[str, str], expected: set[int]
) -> None:
    add_event(verdict="denied", reason=Reason.CARD_LOST, person="王小明")
    add_event(gate_id="north", direction="out", plate="粤E12345")
    add_event(gate_id="lake", site_id="xianhu", plate="粤E12399", lane_id="lake-in")
    assert {row.id for row in eventlog.search(conn, parse_query(params)).rows} == expected


def test_a_plate_part_is_contained_and_wildcards_mean_the_whole_plate(conn: Connection, add_event: AddEvent) -> None:
    for plate in ("粤E12345", "粤E1A345", "苏A0CP56", ""):
        add_event(plate=plate)
    assert _plates(conn, "345") == {"粤E12345", "粤E1A345"}
    assert _plates(conn, "粤·e12345") == {"粤E12345"}
    assert _plates(conn, "粤E1?345") == {"粤E12345", "粤E1A345"}
    assert _plates(conn, "粤E*5") == {"粤E12345", "粤E1A345"}
    assert _plates(conn, "*345*") == {"粤E12345", "粤E1A345"}
    assert _plates(conn, "E1?345") == set()
    assert _plates(conn, "*") == {"粤E12345", "粤E1A345", "苏A0CP56"}


def test_percent_and_underscore_in_a_plate_part_are_no_wildcards(conn: Connection, add_event: AddEvent) -> None:
    add_event(plate="粤E12345")
    assert _plates(conn, "%") == set()
    assert _plates(conn, "粤E_2345") == set()
    assert eventlog.plate_pattern("a%b*") == "A\\%B%"


def test_since_is_included_and_until_is_not(conn: Connection, add_event: AddEvent) -> None:
    at = datetime(2026, 5, 1, 1, 0, tzinfo=UTC)
    for seconds in (-1, 0, 59, 60):
        add_event(at=int((at + timedelta(seconds=seconds)).timestamp() * 1000))
    rows = eventlog.search(conn, EventQuery(since=at, until=at + timedelta(minutes=1))).rows
    assert [row.id for row in rows] == [3, 2]


def test_times_without_a_zone_are_site_time_and_a_bare_end_date_means_its_end() -> None:
    query = parse_query({"since": "2026-05-01", "until": "2026-05-01"}, NOW)
    assert query.since == datetime(2026, 4, 30, 16, 0, tzinfo=UTC)
    assert query.until == datetime(2026, 5, 1, 16, 0, tzinfo=UTC)
    assert parse_query({"since": "2026-05-01T08:30"}, NOW).since == datetime(2026, 5, 1, 0, 30, tzinfo=UTC)
    assert parse_query({"since": "2026-05-01T08:30+00:00"}, NOW).since == datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
    assert parse_query({"since": "90m"}, NOW).since == NOW - timedelta(minutes=90)
    assert parse_query({"since": "today"}, NOW).since == datetime(2026, 5, 1, 16, 0, tzinfo=UTC)
    assert parse_query({"until": "yesterday"}, NOW).until == datetime(2026, 5, 1, 16, 0, tzinfo=UTC)


def test_every_mistake_of_a_query_is_named_at_once_in_both_languages() -> None:
    wrong = {
        "since": "soon",
        "direction": "up",
        "verdict": "maybe",
        "reason": "NOPE",
        "kind": "x",
        "limit": "0",
        "before": "7",
        "until": "999999999d",
    }
    with pytest.raises(QueryError) as caught:
        parse_query(wrong, NOW)
    assert {mistake.field for mistake in caught.value.mistakes} == set(wrong)
    assert "2026-05-01" in str(caught.value)
    assert "没有这个原因代码" in caught.value.words("zh")


@given(
    since=st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 - given its zone below
    plate=st.text("粤E12*?%_", max_size=8),
    person=st.text(max_size=5).map(str.strip),
    direction=st.none() | st.sampled_from(Direction),
    verdict=st.none() | st.sampled_from(Verdict),
    reason=st.none() | st.sampled_from(Reason),
    kinds=st.lists(st.sampled_from(EventKind), unique=True).map(tuple),
    limit=st.integers(1, 500),
)
def test_a_query_is_its_url_parameters(since: datetime | None, **fields: Any) -> None:
    exact = since.replace(microsecond=0, tzinfo=UTC) if since else None
    query = EventQuery(since=exact, **fields)
    assert parse_query(query.params(), NOW) == query


def test_an_event_comes_with_its_passage_its_end_of_hold_and_what_it_refers_to(
    conn: Connection, add_event: AddEvent
) -> None:
    add_event(event_id="held", verdict="held", reason=Reason.PLATE_UNKNOWN)
    add_event(event_id="end", kind="hold_end", ref="held", outcome="staff", reason=Reason.HOLD_ENDED, verdict="")
    add_event(event_id="pass", kind="passage", ref="held", reason=Reason.PASSED, verdict="")
    add_event(event_id="other")
    detail = eventlog.event(conn, "held")
    assert detail is not None
    assert detail.event is not None
    assert detail.event.id == "held"
    assert [row.event_id for row, _ in detail.related] == ["end", "pass"]
    end = eventlog.event(conn, "end")
    assert end is not None
    assert [row.event_id for row, _ in end.related] == ["held"]
    assert eventlog.event(conn, "none") is None
    with pytest.raises(NotFoundError):
        eventlog.need_event(conn, "none")


def test_an_event_of_another_version_is_shown_with_its_columns(conn: Connection, add_event: AddEvent) -> None:
    add_event(event_id="odd", body='{"v":9}', reason=999)
    detail = eventlog.event(conn, "odd")
    assert detail is not None
    assert detail.event is None
    assert (detail.row.reason_name, detail.row.reason_words("zh")) == ("999", "999")


def test_newer_rows_come_in_the_order_of_arrival_even_when_they_happened_long_ago(
    conn: Connection, add_event: AddEvent
) -> None:
    assert eventlog.latest_id(conn) == 0
    add_event()
    last = eventlog.latest_id(conn)
    late, fresh = add_event(at=1000), add_event()
    add_event(gate_id="north")
    assert [row.id for row in eventlog.newer_than(conn, last, EventQuery(gate="south"))] == [late, fresh]


def test_csv_holds_every_matching_row_and_no_formula(conn: Connection, add_event: AddEvent) -> None:
    add_event(person='=HYPERLINK("x")', plate="粤E12345")
    for _ in range(eventlog.MAX_LIMIT + 3):
        add_event(person="@x")
    add_event(gate_id="north", actor="-1+1")
    text = "".join(eventlog.csv_rows(conn, EventQuery(), "zh"))
    assert text.startswith("\ufeff时间,")
    rows = list(csv.DictReader(text.removeprefix("\ufeff").splitlines()))
    assert len(rows) == eventlog.MAX_LIMIT + 5
    assert rows[-1]["人员"] == '\'=HYPERLINK("x")'
    assert rows[-1]["时间"] == "2026-05-01 08:00:01"
    assert rows[0]["操作员"] == "'-1+1"
    plain = "".join(eventlog.csv_rows(conn, EventQuery(gate="north"), "en", bom=False, show_name=lambda _: "x"))
    assert plain.startswith("time,gate")
    assert ",PLATE_OK," in plain


def test_filters_and_pages_use_an_index_and_no_sort(conn: Connection) -> None:
    if conn.dialect.name != "sqlite":
        pytest.skip("PostgreSQL scans a table of a few rows, rightly")
    for query in (
        EventQuery(),
        EventQuery(before="5:5"),
        EventQuery(gate="south"),
        EventQuery(site="danzao", verdict=Verdict.DENIED),
    ):
        statement = eventlog.page_statement(query).compile(conn.engine, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
        assert "INDEX ix_events" in plan[0], plan
        assert not any("events" in line and line.startswith("SCAN") and "INDEX" not in line for line in plan)
