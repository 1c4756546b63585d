"""`audit verify` at central: what was changed, taken away or slipped in is found and named."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, delete, insert, select, update

from gatectl.central import tables
from gatectl.central.event_columns import NOBODY
from gatectl.central.intake import Arrival, Quarantine, Taken, ingest_batch
from gatectl.central.signed_heads import accept_key, take_head
from gatectl.central.verify import ChainReport, verify
from gatectl.core.model import AccessEvent, ClockTrust, CredentialKey, EventKind, GateId, LaneId, Verdict
from gatectl.core.reasons import Reason
from gatectl.wire.events import GENESIS, EventRow, event_row, event_text, sign_head

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def conn(conn: Connection) -> Connection:
    """The office, and one more gate."""
    conn.execute(insert(tables.sites), {"id": "site", "name_zh": "苑", "name_en": "Court"})
    conn.execute(insert(tables.gates), {"id": "east", "site_id": "site", "name_zh": "东", "name_en": "East"})
    return conn


def an_event(number: int, **changes: object) -> AccessEvent:
    fields: dict[str, object] = {
        "id": f"e{number}",
        "kind": EventKind.ACCESS,
        "gate": GateId("east"),
        "lane": LaneId("east-walk"),
        "at": NOW + timedelta(seconds=number),
        "boot_id": "b",
        "mono_ns": number * 1_000_000_000,
        "clock": ClockTrust.SYNCED,
        "reason": Reason.CARD_OK,
        "verdict": Verdict.GRANTED,
        "credential": CredentialKey("em:0A1B2C3D4E"),
        "subject": "p1",
    }
    return AccessEvent(**{**fields, **changes})  # type: ignore[arg-type]  # a builder's changes


def chained(*events: AccessEvent) -> list[EventRow]:
    rows, previous = [], GENESIS
    for seq, event in enumerate(events, 1):
        rows.append(event_row("ep", seq, previous, event_text(event, f"{seq:032x}")))
        previous = rows[-1].hash
    return rows


def take(conn: Connection, *rows: EventRow) -> Taken:
    return ingest_batch(conn, [Arrival("east", row) for row in rows], {"east": "site"}, Quarantine(), NOW_MS)


def a_log(conn: Connection, count: int = 6) -> list[EventRow]:
    rows = chained(*(an_event(number) for number in range(1, count + 1)))
    take(conn, *rows)
    return rows


def the_report(conn: Connection) -> ChainReport:
    (report,) = verify(conn)
    return report


def found(conn: Connection) -> list[tuple[int, str]]:
    return [(finding.seq, finding.what) for finding in the_report(conn).findings]


def test_a_whole_log_is_whole(conn: Connection) -> None:
    a_log(conn)
    report = the_report(conn)
    assert (report.gate, report.rows, report.head, report.findings) == ("east", 6, 6, ())


@pytest.mark.parametrize("column", ["body", "personal", "prev", "hash"])
def test_one_changed_letter_is_found_at_its_event(conn: Connection, column: str) -> None:
    a_log(conn)
    (text,) = conn.execute(select(tables.events.c[column]).where(tables.events.c.seq == 3)).one()
    changed = text[:-3] + chr(ord(text[-3]) ^ 1) + text[-2:]
    conn.execute(update(tables.events).where(tables.events.c.seq == 3).values({column: changed}))
    assert 3 in {seq for seq, _ in found(conn)}


@pytest.mark.parametrize(
    "change", [{"verdict": "denied"}, {"at": 5}, {"cardholder_id": "p2"}, {"gate_id": "west"}, {"reason": 5}]
)
def test_a_changed_column_is_found_because_it_is_what_staff_see(conn: Connection, change: dict[str, object]) -> None:
    a_log(conn)
    conn.execute(update(tables.events).where(tables.events.c.seq == 3).values(change))
    assert any(report.findings for report in verify(conn))


def test_a_missing_event_is_named_in_the_middle_and_at_the_end(conn: Connection) -> None:
    a_log(conn)
    conn.execute(delete(tables.events).where(tables.events.c.seq == 3))
    assert found(conn) == [(3, "missing")]
    conn.execute(delete(tables.events).where(tables.events.c.seq > 4))
    assert found(conn) == [(3, "missing"), (5, "missing")]


def test_a_log_that_was_emptied_is_missed(conn: Connection) -> None:
    a_log(conn)
    conn.execute(delete(tables.events))
    assert found(conn) == [(1, "missing")]


def test_an_inserted_event_is_named(conn: Connection) -> None:
    rows = a_log(conn)
    conn.execute(update(tables.events).where(tables.events.c.seq > 3).values(seq=tables.events.c.seq + 100))
    conn.execute(update(tables.events).where(tables.events.c.seq > 100).values(seq=tables.events.c.seq - 99))
    forged = event_row("ep", 4, rows[2].hash, event_text(an_event(99), "99" * 16))
    take(conn, forged)
    assert (5, "inserted") in found(conn)


def test_a_rewritten_end_is_found_by_the_head_that_the_gate_signed(conn: Connection) -> None:
    """Whoever holds central's database can make every hash fit again, but cannot sign for the gate."""
    rows = a_log(conn)
    assert take_head(conn, "east", sign_head("east", "ep", 6, rows[-1].hash, KEY), NOW_MS) == ""
    assert the_report(conn).signed_upto == 6
    conn.execute(delete(tables.events))
    conn.execute(delete(tables.watermarks))
    events = [an_event(number) for number in range(1, 7)]
    events[3] = an_event(4, verdict=Verdict.DENIED, reason=Reason.CARD_LOST)
    take(conn, *chained(*events))
    assert found(conn) == [(6, "head")]


def test_a_cut_end_is_found_by_the_head_that_the_gate_signed(conn: Connection) -> None:
    rows = a_log(conn)
    take_head(conn, "east", sign_head("east", "ep", 6, rows[-1].hash, KEY), NOW_MS)
    conn.execute(delete(tables.events).where(tables.events.c.seq > 4))
    conn.execute(update(tables.watermarks).values(hwm=4, chain_hash=rows[3].hash))
    assert found(conn) == [(5, "missing")]


def test_a_head_of_another_key_is_refused_and_told_once_until_somebody_vouches_for_it(conn: Connection) -> None:
    rows = a_log(conn)
    take_head(conn, "east", sign_head("east", "ep", 5, rows[4].hash, KEY), NOW_MS)
    other = Ed25519PrivateKey.generate()
    head = sign_head("east", "ep", 6, rows[5].hash, other)
    for _ in range(2):
        assert "another key" in take_head(conn, "east", head, NOW_MS)
    told = select(tables.audit).where(tables.audit.c.action == "gate.other_journal_key")
    assert len(conn.execute(told).all()) == 1
    accept_key(conn, "east", head.key, "li")
    assert take_head(conn, "east", head, NOW_MS) == ""
    assert "does not fit" in take_head(conn, "west", head, NOW_MS)


def test_personal_fields_that_were_purged_leave_the_log_whole(conn: Connection) -> None:
    a_log(conn)
    conn.execute(update(tables.events).where(tables.events.c.seq <= 4).values(NOBODY))
    report = the_report(conn)
    assert (report.findings, report.purged, report.rows) == ((), 4, 6)


def test_only_personal_fields_can_be_purged(conn: Connection) -> None:
    a_log(conn)
    conn.execute(update(tables.events).where(tables.events.c.seq == 2).values(**NOBODY, lane_id=""))
    assert found(conn) == [(2, "column")]


def test_a_gap_that_the_gate_told_of_lets_the_watermark_pass_and_is_shown(conn: Connection) -> None:
    whole = chained(*(an_event(number) for number in range(1, 6)))
    told = an_event(9, kind=EventKind.ALARM, reason=Reason.OUTBOX_FULL, gap=(3, 4, whole[3].hash))
    rows = [*whole, event_row("ep", 6, whole[4].hash, event_text(told, "66" * 16))]
    (ack,) = take(conn, rows[0], rows[1], rows[4]).acks
    assert (ack.hwm, ack.missing) == (2, ((3, 4),))
    (ack,) = take(conn, rows[5]).acks
    assert (ack.hwm, ack.missing) == (6, ())
    report = the_report(conn)
    assert (report.findings, report.given_up, report.rows) == ((), 2, 4)


def test_a_row_whose_personal_fields_are_not_the_ones_it_was_chained_with_is_not_taken(conn: Connection) -> None:
    (row,) = chained(an_event(1))
    for personal in ("", row.personal.replace("p1", "p2")):
        (ack,) = take(conn, row.model_copy(update={"personal": personal})).acks
        assert ack.hwm == 0
    (ack,) = take(conn, row).acks
    assert ack.hwm == 1


# --- time ---


def anchored(number: int, tick_s: int, utc: datetime) -> AccessEvent:
    note = f"mono_ns={tick_s * 10**9} utc_ns={int(utc.timestamp() * 1e9)} err_ms=40 offset_ms=0 source=ack"
    return an_event(
        number,
        kind=EventKind.ANCHOR,
        reason=Reason.RECOVERED,
        mono_ns=tick_s * 10**9,
        note=note,
        verdict=None,
        credential=None,
        subject="",
    )


def test_events_of_a_clock_at_1970_get_their_time_when_the_gate_learns_it(conn: Connection) -> None:
    start = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    early = [
        an_event(number, at=start + timedelta(seconds=number), clock=ClockTrust.UNTRUSTED, mono_ns=number * 10**9)
        for number in (10, 20)
    ]
    take(conn, *chained(*early))
    rows = chained(*early, anchored(3, 100, NOW), an_event(5, clock=ClockTrust.HOLDOVER, mono_ns=160 * 10**9, at=start))
    take(conn, *rows)
    events = tables.events.c
    times = conn.execute(select(events.at, events.stamped_at, events.clock_error_ms).order_by(events.seq)).all()
    assert [row.at for row in times] == [NOW_MS - 90_000, NOW_MS - 80_000, NOW_MS + 3000, NOW_MS + 60_000]
    assert times[0].stamped_at == int(early[0].at.timestamp() * 1000)
    assert [row.clock_error_ms for row in times] == [49, 48, 5000, 46]
    assert found(conn) == []


def test_another_boots_ticks_say_nothing(conn: Connection) -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    lost = an_event(1, at=start, clock=ClockTrust.UNTRUSTED, mono_ns=5, boot_id="before")
    take(conn, *chained(lost, anchored(2, 100, NOW)))
    row = conn.execute(select(tables.events).where(tables.events.c.seq == 1)).one()
    assert (row.at, row.clock_error_ms) == (0, None)
