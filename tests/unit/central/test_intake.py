"""Central's intake: every event once, in its chain, whatever order and however often it comes."""

from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, func, insert, select

from gatectl.central import beats, orders, replicate, residents, tables
from gatectl.central.gates import order_open
from gatectl.central.intake import Arrival, Quarantine, ingest_batch
from gatectl.core.model import AccessEvent, ClockTrust, EventKind, GateId, GrantState, LaneId
from gatectl.core.reasons import Reason
from gatectl.errors import PayloadError
from gatectl.wire.events import GENESIS, EventRow, chain_hash, decode_rows, encode_rows, event_row, event_text
from gatectl.wire.messages import Ack, Answer, Command, Heartbeat, decode
from gatectl.wire.replica import decode_delta
from gatectl.wire.rows import decode_row
from gatectl.wire.signed import unseal

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
SITES = {"east": "site"}
SALT = "5a" * 16
KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def conn(conn: Connection) -> Connection:
    """The office, and one more gate."""
    conn.execute(insert(tables.sites), {"id": "site", "name_zh": "苑", "name_en": "Court"})
    conn.execute(insert(tables.gates), {"id": "east", "site_id": "site", "name_zh": "东", "name_en": "East"})
    lane = {"id": "east-walk", "gate_id": "east", "kind": "pedestrian", "direction": "in"}
    conn.execute(insert(tables.lanes), lane | {"name_zh": "人", "name_en": "walk"})
    return conn


def a_chain(count: int, note: str = "") -> list[EventRow]:
    rows, previous = [], GENESIS
    for seq in range(1, count + 1):
        event = AccessEvent(
            id=f"e{note}{seq}",
            kind=EventKind.ACCESS,
            gate=GateId("east"),
            lane=LaneId("east-walk"),
            at=NOW + timedelta(seconds=seq),
            boot_id="b",
            mono_ns=seq,
            clock=ClockTrust.SYNCED,
            reason=Reason.CARD_OK,
            note=note,
        )
        rows.append(event_row("ep", seq, previous, event_text(event, SALT)))
        previous = rows[-1].hash
    return rows


def take(conn: Connection, *rows: EventRow, aside: Quarantine | None = None) -> Ack:
    arrivals = [Arrival("east", row) for row in rows]
    (ack,) = ingest_batch(conn, arrivals, SITES, aside or Quarantine(), NOW_MS).acks
    return ack


def stored(conn: Connection) -> int:
    return int(conn.execute(select(func.count()).select_from(tables.events)).scalar_one())


def kept_aside(conn: Connection) -> int:
    return int(conn.execute(select(func.count()).select_from(tables.quarantine)).scalar_one())


def test_the_migrated_schema_is_the_one_in_tables(conn: Connection) -> None:
    assert compare_metadata(MigrationContext.configure(conn), tables.metadata) == []


def test_a_chain_is_stored_once_however_often_it_comes(conn: Connection) -> None:
    rows = a_chain(5)
    assert take(conn, *rows).hwm == 5
    ack = take(conn, *rows, *rows)
    assert (ack.hwm, ack.chain_hash, stored(conn)) == (5, rows[-1].hash, 5)


def test_live_events_overtake_and_the_watermark_waits_for_the_gap(conn: Connection) -> None:
    rows = a_chain(6)
    ack = take(conn, rows[0], rows[4], rows[5])
    assert (ack.hwm, ack.missing) == (1, ((2, 4),))
    ack = take(conn, *rows[1:4])
    assert (ack.hwm, ack.missing) == (6, ())


def test_one_number_with_two_contents_is_an_alarm_and_overwrites_nothing(conn: Connection) -> None:
    rows, forged = a_chain(2), a_chain(2, "forged")
    take(conn, *rows)
    take(conn, forged[1])
    body = conn.execute(select(tables.events.c.body).where(tables.events.c.seq == 2)).scalar_one()
    assert body == rows[1].body
    assert kept_aside(conn) == 1
    assert conn.execute(select(func.count()).select_from(tables.audit)).scalar_one() == 1


def test_a_changed_body_does_not_advance_the_watermark(conn: Connection) -> None:
    rows = a_chain(3)
    tampered = rows[1].model_copy(update={"body": rows[1].body.replace("CARD", "card").replace("e2", "e9")})
    ack = take(conn, rows[0], tampered, rows[2])
    assert ack.hwm == 1
    assert kept_aside(conn) >= 1


def test_a_body_that_nobody_can_read_is_kept_and_counted_and_holds_up_nothing(conn: Connection) -> None:
    body = '{"from":"a newer version"}'
    odd = EventRow(epoch="ep", seq=1, prev=GENESIS, hash=chain_hash(GENESIS, body), body=body)
    aside = Quarantine()
    assert take(conn, odd, aside=aside).hwm == 1
    assert conn.execute(select(tables.events.c.kind, tables.events.c.body)).one() == ("unknown", body)
    assert aside.counters.unreadable == 1


def test_a_batch_of_another_version_is_refused_in_words() -> None:
    wrong = encode_rows(tuple(a_chain(1))).replace(b'"v":1', b'"v":2')
    with pytest.raises(PayloadError, match="version 1"):
        decode_rows(wrong)


def a_beat(**changes: object) -> Heartbeat:
    return Heartbeat.model_validate({"gate": "east", "online": True, "challenge": "c1"} | changes)


def is_online(conn: Connection) -> bool:
    return bool(conn.execute(select(tables.gates.c.is_online).where(tables.gates.c.id == "east")).scalar_one())


def test_a_gate_is_offline_by_its_will_and_after_fifteen_silent_seconds(conn: Connection) -> None:
    beats.take_beat(conn, "east", a_beat(), NOW_MS)
    assert is_online(conn)
    beats.take_beat(conn, "east", a_beat(online=False), NOW_MS)
    assert not is_online(conn)
    beats.take_beat(conn, "east", a_beat(), NOW_MS)
    assert beats.silence(conn, NOW_MS + beats.SILENCE_MS) == ()
    assert beats.silence(conn, NOW_MS + beats.SILENCE_MS + 1) == ("east",)


def order(conn: Connection) -> str:
    return order_open(conn, "office", "east", "east-walk", "visitor", "")


def order_stand(conn: Connection, command_id: str) -> str:
    commands = tables.commands.c
    return str(conn.execute(select(commands.state).where(commands.id == command_id)).scalar_one())


def test_an_order_to_an_offline_gate_is_refused_and_never_sent(conn: Connection) -> None:
    command_id = order(conn)
    assert list(orders.send_queued(conn, KEY, orders.utc_now())) == []
    assert order_stand(conn, command_id) == "refused"


def test_an_order_is_sealed_for_its_gate_and_its_connection_and_the_arm_has_the_last_word(conn: Connection) -> None:
    beats.take_beat(conn, "east", a_beat(), NOW_MS)
    command_id = order(conn)
    (sealed,) = orders.send_queued(conn, KEY, orders.utc_now())
    command = decode(Command, unseal(sealed.payload, "cmd", (KEY.public_key(),)))
    assert (command.gate, command.lane, command.challenge) == ("east", "east-walk", "c1")
    assert command.expires - command.issued <= timedelta(seconds=10)
    for state in ("received", "confirmed", "unconfirmed"):
        answer = Answer.model_validate({"gate": "east", "id": command_id, "state": state, "at": NOW})
        assert orders.take_answer(conn, "east", answer, NOW_MS)
    assert order_stand(conn, command_id) == "confirmed"


def test_an_unanswered_order_is_dead_after_ten_seconds_and_a_late_confirmation_still_counts(conn: Connection) -> None:
    beats.take_beat(conn, "east", a_beat(), NOW_MS)
    command_id = order(conn)
    list(orders.send_queued(conn, KEY, orders.utc_now()))
    orders.expire(conn, int(orders.utc_now().timestamp() * 1000) + 10_001)
    assert order_stand(conn, command_id) == "expired"
    answer = Answer(gate="east", id=command_id, state="confirmed", at=NOW)
    assert orders.take_answer(conn, "east", answer, NOW_MS)
    assert order_stand(conn, command_id) == "confirmed"


def test_an_answer_that_no_order_explains_is_not_taken(conn: Connection) -> None:
    assert not orders.take_answer(conn, "east", Answer(gate="east", id="?", state="confirmed", at=NOW), NOW_MS)


def test_a_lost_card_is_one_signed_change_and_no_name_phone_or_room_ever_leaves(conn: Connection) -> None:
    home = residents.add_household(conn, "office", "site", "3", "2", "501")
    person = residents.add_person(conn, "office", home, "欧阳小明", "13715551234", "owner")
    residents.issue_card(conn, "office", person, "0A1B2C3D4E")
    assert replicate.refresh(conn, "site", KEY, NOW) == ()
    residents.set_card_state(conn, "office", "em:0A1B2C3D4E", GrantState.LOST)
    assert replicate.due_sites(conn, NOW_MS) == (replicate.Due("site", is_urgent=True),)
    (made,) = replicate.refresh(conn, "site", KEY, NOW)
    delta = decode_delta(made.payload, (KEY.public_key(),))
    (row,) = (decode_row(data) for data in delta.put)
    assert (row.id, row.fields["state"]) == ("em:0A1B2C3D4E", "lost")
    assert replicate.refresh(conn, "site", KEY, NOW) == ()
    rows = b"".join(conn.execute(select(tables.list_rows.c.row)).scalars())
    assert not any(word.encode() in rows for word in ("欧阳", "13715551234", "501"))
