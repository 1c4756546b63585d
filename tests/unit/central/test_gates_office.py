"""Gate tiles, orders, and how far a list has reached."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, insert, select, update

from gatectl.central import gates, tables
from gatectl.central.audit import mark_dirty, now_ms
from gatectl.errors import NotFoundError, RefusedError
from gatectl.wire.messages import Heartbeat, LaneBeat


def _beat(conn: Connection, gate: str, **changes: object) -> None:
    beat = Heartbeat(
        gate=gate,
        online=True,
        at=datetime.now(UTC),
        version="1.0",
        outbox_depth=3,
        lanes=(LaneBeat(lane="south-in", kind="vehicle", arm="up", is_present=True, is_held=True),),
    )
    values = {"is_online": True, "seen_at": now_ms(), "beat": beat.model_dump_json(), **changes}
    conn.execute(update(tables.gates).where(tables.gates.c.id == gate).values(**values))


def _head(conn: Connection, ver: int, set_hash: str = "h", issued_at: int | None = None) -> None:
    conn.execute(
        insert(tables.list_heads).values(
            site_id="danzao", epoch="e", ver=ver, n=1, set_hash=set_hash, issued_at=issued_at or now_ms()
        )
    )


def _stand(conn: Connection, gate: str, ver: int, set_hash: str = "h", applied_at: int | None = None) -> None:
    conn.execute(
        update(tables.gates)
        .where(tables.gates.c.id == gate)
        .values(list_epoch="e", list_ver=ver, list_hash=set_hash, list_status="ok", list_applied_at=applied_at)
    )


def test_a_tile_shows_the_last_beat_and_a_silent_gate_shows_no_arm(conn: Connection) -> None:
    _beat(conn, "south")
    tile = gates.gate_tile(conn, "south")
    assert (tile.is_online, tile.outbox_depth, tile.version, tile.site_zh) == (True, 3, "1.0", "danzao小区")
    by_id = {lane.id: lane for lane in tile.lanes}
    assert (by_id["south-in"].arm, by_id["south-in"].is_held) == ("up", True)
    assert by_id["south-walk"].arm == "unknown"
    _beat(conn, "south", is_online=False, offline_since=now_ms())
    silent = gates.gate_tile(conn, "south")
    assert {lane.arm for lane in silent.lanes} == {"unknown"}
    assert not any(lane.is_held for lane in silent.lanes)
    assert [tile.id for tile in gates.gate_tiles(conn)] == ["north", "south", "lake"]
    assert [tile.id for tile in gates.gate_tiles(conn, "xianhu")] == ["lake"]
    with pytest.raises(NotFoundError):
        gates.gate_tile(conn, "none")


def test_a_gate_with_other_content_at_the_same_version_has_drifted(conn: Connection) -> None:
    _head(conn, 7)
    _stand(conn, "south", 7, "other", applied_at=now_ms() - 5_000)
    tile = gates.gate_tile(conn, "south")
    assert (tile.is_drifted, tile.is_list_current, tile.head_ver) == (True, False, 7)
    assert tile.list_age_s is not None
    assert 5 <= tile.list_age_s < 60


def test_the_effect_counts_gates_and_names_those_that_lag(conn: Connection) -> None:
    issued = now_ms() - 60_000
    _head(conn, 7, issued_at=issued)
    _beat(conn, "south")
    _stand(conn, "south", 7, applied_at=issued + 1500)
    _beat(conn, "north", is_online=False, offline_since=now_ms() - 2 * 3600_000)
    _stand(conn, "north", 6)
    effect = gates.list_effect(conn, "danzao")
    assert (effect.applied, effect.of, effect.slowest_s, effect.ver) == (1, 2, 1.5, 7)
    assert effect.words("zh") == "已下发 1/2,最慢 1.5 s;未下发:north门离线 2 小时"
    assert effect.words("en") == "in effect at 1/2 gates, the slowest after 1.5 s; not yet: north offline 2 h"
    _stand(conn, "north", 7, applied_at=issued + 9000)
    done = gates.list_effect(conn, "danzao")
    assert (done.is_everywhere, done.words("zh"), done.slowest_s) == (True, "已下发 2/2,最慢 9 s", 9.0)
    mark_dirty(conn, "danzao")
    assert gates.list_effect(conn, "danzao").is_pending
    assert not gates.list_effect(conn, "danzao").is_everywhere
    with pytest.raises(NotFoundError):
        gates.list_effect(conn, "none")


def test_a_gate_that_refuses_its_list_says_why(conn: Connection) -> None:
    _head(conn, 7)
    _beat(conn, "south", list_status="nack", list_error="bad signature")
    lag = {lag.gate_id: lag for lag in gates.list_effect(conn, "danzao").lagging}
    assert "bad signature" in lag["south"].words_en
    assert "从未上线" in lag["north"].words_zh


def test_an_order_is_queued_with_its_reason_and_written_down(conn: Connection) -> None:
    order = gates.order_open(conn, "chen", "south", "south-in", "courier", " SF ")
    row = gates.command(conn, order)
    assert (row.state, row.reason, row.note, row.issuer, row.action) == ("queued", "courier", "SF", "chen", "open")
    assert not row.is_final
    audit = conn.execute(select(tables.audit)).one()
    assert (audit.actor, audit.action, audit.subject) == ("chen", "gate.open", "south/south-in")


@pytest.mark.parametrize(
    ("reason", "note"), [("", ""), ("  ", "x"), ("because", ""), ("other", " "), ("visitor", "x" * 201)]
)
def test_an_opening_without_a_stated_reason_is_refused(conn: Connection, reason: str, note: str) -> None:
    with pytest.raises(RefusedError):
        gates.order_open(conn, "chen", "south", "south-in", reason, note)
    assert conn.execute(select(tables.commands)).first() is None


@pytest.mark.parametrize(("gate", "lane"), [("none", "south-in"), ("north", "south-in"), ("south", "none")])
def test_a_lane_of_another_gate_is_not_found(conn: Connection, gate: str, lane: str) -> None:
    with pytest.raises(NotFoundError):
        gates.order_open(conn, "chen", gate, lane, "visitor")


def test_only_an_order_that_was_never_sent_can_be_withdrawn(conn: Connection) -> None:
    order = gates.order_refuse(conn, "chen", "south", "south-in", "no visit announced")
    assert gates.withdraw(conn, "chen", order)
    assert gates.command(conn, order).state == "expired"
    sent = gates.order_open(conn, "chen", "south", "south-in", "other", "a word")
    conn.execute(update(tables.commands).where(tables.commands.c.id == sent).values(state="sent"))
    assert not gates.withdraw(conn, "chen", sent)
    with pytest.raises(NotFoundError):
        gates.command(conn, "none")


def test_every_preset_reason_has_words_in_both_languages() -> None:
    assert set(gates.OPEN_REASONS) == set(gates.OpenReason)
    assert len(gates.OpenReason) == 10
    for code in gates.OpenReason:
        assert gates.open_reason_words(code, "zh") != gates.open_reason_words(code, "en")
    assert gates.open_reason_words("guard_denied", "zh") == "guard_denied"


def test_an_emergency_is_one_order_for_every_lane_of_a_gate_or_of_a_site(conn: Connection) -> None:
    at_gate = gates.order_emergency(conn, "li.wei", "south", is_release=False, note="火警")
    assert {gates.command(conn, one).lane_id for one in at_gate} == {"south-in", "south-walk"}
    at_site = [
        gates.command(conn, one) for one in gates.order_emergency(conn, "li.wei", "danzao", is_release=True, note="毕")
    ]
    assert {(one.gate_id, one.lane_id) for one in at_site} == {
        ("south", "south-in"),
        ("south", "south-walk"),
        ("north", "north-out"),
    }
    assert {(one.action, one.reason, one.note, one.issuer, one.state) for one in at_site} == {
        ("emergency_release", "EMERGENCY_RELEASED", "毕", "li.wei", "queued")
    }
    audited = conn.execute(select(tables.audit.c.action)).scalars().all()
    assert sorted(audited) == ["gate.emergency_open"] * 2 + ["gate.emergency_release"] * 3


@pytest.mark.parametrize(("actor", "note"), [(" ", "火警"), ("li.wei", " ")])
def test_an_emergency_needs_a_named_person_and_a_reason(conn: Connection, actor: str, note: str) -> None:
    with pytest.raises(RefusedError):
        gates.order_emergency(conn, actor, "south", is_release=False, note=note)
    assert conn.execute(select(tables.commands)).all() == []


def test_an_emergency_where_no_lane_is_says_so(conn: Connection) -> None:
    with pytest.raises(NotFoundError):
        gates.order_emergency(conn, "li.wei", "nowhere", is_release=False, note="火警")
