"""What is deleted when its time is over, and what stays."""

from collections.abc import Sequence
from typing import Any

import pytest
from conftest import AddEvent
from sqlalchemy import Connection, func, insert, select

from gatectl.central import retention, tables
from gatectl.central.audit import write_audit
from gatectl.central.disclosures import Disclosure, register
from gatectl.central.retention import DAY_MS
from gatectl.central.verify import verify
from gatectl.errors import NotFoundError, RefusedError
from gatectl.settings import RetentionSettings

KEEP = RetentionSettings()
NOW_MS = 1_790_000_000_000


def purge(conn: Connection, at_ms: int = NOW_MS) -> dict[str, int]:
    counts: dict[str, int] = {}
    while purged := retention.purge_step(conn, KEEP, at_ms):
        for one in purged:
            counts[one.subject] = counts.get(one.subject, 0) + one.count
    return counts


def plates(conn: Connection) -> list[str]:
    return list(conn.scalars(select(tables.events.c.plate).order_by(tables.events.c.id)))


def a_resident(days: float) -> dict[str, Any]:
    return {
        "at": NOW_MS - int(days * DAY_MS),
        "plate": "粤E12345",
        "person": "王小明",
        "cardholder_id": "p1",
        "household_id": "h1",
        "credential": "plate:粤E12345",
        "personal": '{"salt":"1"}',
    }


def a_stranger(days: float) -> dict[str, Any]:
    return {"at": NOW_MS - int(days * DAY_MS), "plate": "粤E99999", "verdict": "denied", "personal": '{"salt":"2"}'}


def test_residents_are_forgotten_after_ninety_days_and_strangers_after_thirty(
    conn: Connection, add_event: AddEvent
) -> None:
    for values in (a_resident(91), a_resident(89), a_stranger(31), a_stranger(29)):
        add_event(**values)
    assert purge(conn) == {"events": 1, "strangers": 1}
    assert plates(conn) == ["", "粤E12345", "", "粤E99999"]
    row = conn.execute(select(tables.events).order_by(tables.events.c.id)).first()
    assert row is not None
    assert (row.person, row.cardholder_id, row.credential, row.personal, row.lane_id) == ("", "", "", "", "south-in")
    assert purge(conn) == {}


def test_the_chain_still_verifies_after_a_purge(conn: Connection, add_event: AddEvent) -> None:
    add_event(**a_resident(100))
    before = [finding.what for report in verify(conn) for finding in report.findings]
    purge(conn)
    after = [finding.what for report in verify(conn) for finding in report.findings]
    assert set(after) <= set(before)


def test_pictures_go_after_thirty_days(conn: Connection) -> None:
    for name, days in (("old", 31), ("new", 29)):
        values = {"sha256": name, "gate_id": "south", "bytes": b"jpeg", "received_at": NOW_MS - days * DAY_MS}
        conn.execute(insert(tables.pictures), values)
    assert purge(conn) == {"pictures": 1}
    assert list(conn.scalars(select(tables.pictures.c.sha256))) == ["new"]


def test_a_legal_hold_keeps_a_sites_data_and_pictures_of_its_time_until_it_ends(
    conn: Connection, add_event: AddEvent
) -> None:
    values = a_resident(100)
    add_event(**values, picture_sha256="shot")
    add_event(**values, site_id="xianhu", gate_id="lake", lane_id="lake-in")
    picture = {"sha256": "shot", "gate_id": "south", "bytes": b"jpeg", "received_at": values["at"]}
    conn.execute(insert(tables.pictures), picture)
    hold_id = retention.hold(conn, "danzao", values["at"] - DAY_MS, values["at"] + DAY_MS, "案件 7", "li")
    assert [row["why"] for row in retention.holds_now(conn)] == ["案件 7"]
    assert purge(conn) == {"events": 1}
    assert plates(conn) == ["粤E12345", ""]
    retention.release(conn, hold_id, "li")
    assert purge(conn) == {"events": 1, "pictures": 1}


@pytest.mark.parametrize(("site", "since", "until", "why"), [("danzao", 5, 5, "case"), ("danzao", 1, 2, " ")])
def test_a_hold_needs_a_time_and_a_reason(conn: Connection, site: str, since: int, until: int, why: str) -> None:
    with pytest.raises(RefusedError):
        retention.hold(conn, site, since, until, why, "li")


def test_holds_of_nobody_are_not_found(conn: Connection) -> None:
    with pytest.raises(NotFoundError):
        retention.hold(conn, "nowhere", 1, 2, "case", "li")
    with pytest.raises(NotFoundError):
        retention.release(conn, "none", "li")


def test_every_deletion_leaves_a_proof(conn: Connection, add_event: AddEvent) -> None:
    add_event(**a_resident(91))
    purge(conn)
    (proof,) = retention.proofs(conn)
    assert (proof["subject"], proof["count"], proof["before"]) == ("events", 1, NOW_MS - 90 * DAY_MS)
    assert len(proof["digest"]) == 64


def test_what_is_due_is_counted_and_nothing_is_deleted(conn: Connection, add_event: AddEvent) -> None:
    add_event(**a_resident(91))
    counts = retention.due(conn, KEEP, NOW_MS)
    assert (counts["events"], counts["pictures"]) == (1, 0)
    assert plates(conn) == ["粤E12345"]
    assert retention.proofs(conn) == []


def test_visitors_are_forgotten_a_week_after_their_visit(conn: Connection) -> None:
    conn.execute(insert(tables.households).values(id="h1", site_id="danzao", building="3", room="501", created_at=0))
    for name, days in (("old", 8), ("new", 6)):
        conn.execute(
            insert(tables.visits).values(
                id=name,
                site_id="danzao",
                household_id="h1",
                visitor_name="陈",
                plate="粤E11111",
                valid_from_s=0,
                valid_until_s=NOW_MS // 1000 - days * 86_400,
                created_at=0,
            )
        )
    assert purge(conn) == {"visitors": 1}
    names: Sequence[str] = conn.scalars(select(tables.visits.c.visitor_name).order_by(tables.visits.c.id)).all()
    assert list(names) == ["陈", ""]


def test_the_audit_trail_stays_three_years(conn: Connection) -> None:
    write_audit(conn, "li", "card.lost")
    assert purge(conn, NOW_MS) == {}
    count = select(func.count()).select_from(tables.audit)
    made_ms = conn.scalar(select(tables.audit.c.at))
    assert made_ms is not None
    assert purge(conn, made_ms + 1097 * DAY_MS) == {"audit": 1}
    assert conn.scalar(count) == 0


@pytest.mark.parametrize("asked", [("", "李", "案件"), ("派出所", " ", "案件"), ("派出所", "李警官", "")])
def test_nothing_is_exported_without_who_and_why(conn: Connection, asked: tuple[str, str, str]) -> None:
    with pytest.raises(RefusedError):
        register(conn, "wang", Disclosure(*asked), "plate=E1")
