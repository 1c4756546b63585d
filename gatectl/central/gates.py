"""What the office sees of its gates, and the orders it gives them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import ValidationError
from sqlalchemy import Connection, Row, func, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import new_id, now_ms, write_audit
from gatectl.core.reasons import Reason
from gatectl.errors import NotFoundError, RefusedError
from gatectl.wire.messages import Heartbeat, LaneBeat

Language = Literal["zh", "en"]
FINAL_STATES = frozenset({"refused", "confirmed", "unconfirmed", "expired"})
MAX_NOTE_CHARS = 200


class OpenReason(StrEnum):
    """Why staff open a lane by hand; `other` needs a note."""

    VISITOR = "visitor"
    COURIER = "courier"
    RESIDENT_FORGOT_CARD = "resident_forgot_card"
    UNREAD_PLATE = "unread_plate"
    AMBULANCE_OR_EMERGENCY = "ambulance_or_emergency"
    POLICE = "police"
    MAINTENANCE = "maintenance"
    MOVING_GOODS = "moving_goods"
    NO_PLATE_VEHICLE = "no_plate_vehicle"
    OTHER = "other"


OPEN_REASONS: Mapping[OpenReason, tuple[str, str]] = {
    OpenReason.VISITOR: ("访客", "Visitor"),
    OpenReason.COURIER: ("快递外卖", "Courier"),
    OpenReason.RESIDENT_FORGOT_CARD: ("住户忘带卡", "Resident forgot the card"),
    OpenReason.UNREAD_PLATE: ("车牌未识别", "Plate not read"),
    OpenReason.AMBULANCE_OR_EMERGENCY: ("救护车/应急", "Ambulance or emergency"),
    OpenReason.POLICE: ("公安执勤", "Police"),
    OpenReason.MAINTENANCE: ("维修施工", "Maintenance"),
    OpenReason.MOVING_GOODS: ("搬家搬运", "Moving goods"),
    OpenReason.NO_PLATE_VEHICLE: ("无牌车辆", "Vehicle without a plate"),
    OpenReason.OTHER: ("其他(须注明)", "Other (say what)"),
}
"""Preset -> (zh, en)."""


def open_reason_words(code: str, language: Language) -> str:
    """The words of a preset; the code itself where it is none."""
    if code not in set(OpenReason):
        return code
    return OPEN_REASONS[OpenReason(code)][0 if language == "zh" else 1]


@dataclass(frozen=True, slots=True)
class LaneTile:
    """One lane on a gate's tile; `arm` is up, down, moving or unknown."""

    id: str
    kind: str
    direction: str
    name_zh: str
    name_en: str
    arm: str
    is_present: bool | None
    is_held: bool
    mode: str


@dataclass(frozen=True, slots=True)
class GateTile:
    """One gate as its last heartbeat and list state show it. Times are UTC epoch ms."""

    id: str
    site_id: str
    name_zh: str
    name_en: str
    site_zh: str
    site_en: str
    is_online: bool
    seen_at_ms: int | None
    offline_since_ms: int | None
    list_ver: int
    head_ver: int
    list_status: str
    list_error: str
    list_applied_at_ms: int | None
    list_age_s: int | None
    """Seconds since the gate applied the list that it decides on."""
    is_list_current: bool
    """The gate decides on the newest list of its site."""
    is_drifted: bool
    """Same version as the head, other content."""
    outbox_depth: int
    outbox_oldest_at_ms: int | None
    clock: str
    version: str
    alarms: tuple[str, ...]
    lanes: tuple[LaneTile, ...]


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A remote order and how far it came: queued, sent, received, then refused, confirmed, unconfirmed or expired."""

    id: str
    gate_id: str
    lane_id: str
    action: str
    reason: str
    note: str
    issuer: str
    state: str
    words: str
    event_id: str
    created_at_ms: int
    sent_at_ms: int | None
    changed_at_ms: int

    @property
    def is_final(self) -> bool:
        """Nothing more will be heard of it."""
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class GateLag:
    """A gate that does not yet decide on the newest list, and why."""

    gate_id: str
    name_zh: str
    name_en: str
    is_online: bool
    offline_since_ms: int | None
    list_ver: int
    words_zh: str
    words_en: str


@dataclass(frozen=True, slots=True)
class ListEffect:
    """How far a site's newest list has reached: 已下发 `applied`/`of`."""

    site_id: str
    ver: int
    applied: int
    of: int
    is_pending: bool
    """A change is saved that no revision carries yet."""
    slowest_s: float | None
    """From the head's issue to the last gate that applied it."""
    lagging: tuple[GateLag, ...]

    @property
    def is_everywhere(self) -> bool:
        """Every gate of the site decides on every saved change."""
        return not self.is_pending and self.applied == self.of

    def words(self, language: Language) -> str:
        """已下发 20/20,最慢 3 s;未下发:仙岗北门离线 2 小时."""
        zh = language == "zh"
        text = f"已下发 {self.applied}/{self.of}" if zh else f"in effect at {self.applied}/{self.of} gates"
        if self.slowest_s is not None:
            slowest = span_words(self.slowest_s, language)
            text += f",最慢 {slowest}" if zh else f", the slowest after {slowest}"
        if self.is_pending:
            text += ";正在下发" if zh else "; sending"
        if self.lagging:
            late = ("、" if zh else "; ").join(lag.words_zh if zh else lag.words_en for lag in self.lagging)
            text += f";未下发:{late}" if zh else f"; not yet: {late}"
        return text


def span_words(seconds: float, language: Language) -> str:
    """How long something took: 0.4 s, 3 s, then as `duration_words`."""
    if seconds >= 120:
        return duration_words(seconds, language)
    return f"{seconds:.1f}".removesuffix(".0") + " s" if seconds < 10 else f"{seconds:.0f} s"


def duration_words(seconds: float, language: Language) -> str:
    """A rough span in words: 12 分钟, 2 小时, 3 天."""
    count, (zh, en) = max(0, int(seconds)), ("秒", "s")
    for size, unit in ((86400, ("天", "d")), (3600, ("小时", "h")), (60, ("分钟", "min"))):
        if count >= size:
            count, (zh, en) = count // size, unit
            break
    return f"{count} {zh if language == 'zh' else en}"


def gate_tiles(conn: Connection, site: str | None = None) -> list[GateTile]:
    """Every gate (of one site), ordered by site and name, with its lanes."""
    at_ms = now_ms()
    lanes: dict[str, list[Row[tuple[object, ...]]]] = {}
    for lane in conn.execute(select(tables.lanes).order_by(tables.lanes.c.id)):
        lanes.setdefault(lane.gate_id, []).append(lane)
    heads = tables.list_heads
    query = (
        select(
            tables.gates,
            tables.sites.c.name_zh.label("site_zh"),
            tables.sites.c.name_en.label("site_en"),
            heads.c.ver.label("head_ver"),
            heads.c.epoch.label("head_epoch"),
            heads.c.set_hash.label("head_hash"),
        )
        .join(tables.sites, tables.sites.c.id == tables.gates.c.site_id)
        .join(heads, heads.c.site_id == tables.gates.c.site_id, isouter=True)
        .order_by(tables.gates.c.site_id, tables.gates.c.id)
    )
    if site:
        query = query.where(tables.gates.c.site_id == site)
    return [_tile(row, lanes.get(row.id, []), at_ms) for row in conn.execute(query)]


def gate_tile(conn: Connection, gate_id: str) -> GateTile:
    """One gate. Raises NotFoundError."""
    found = [tile for tile in gate_tiles(conn) if tile.id == gate_id]
    if not found:
        raise NotFoundError(f"no gate {gate_id!r}", zh=f"没有闸口 {gate_id!r}")
    return found[0]


def _beat(text: str) -> Heartbeat | None:
    try:
        return Heartbeat.model_validate_json(text)
    except ValidationError:
        return None  # before the first beat the column holds {}


def _tile(row: Row[tuple[object, ...]], lanes: list[Row[tuple[object, ...]]], at_ms: int) -> GateTile:
    beat = _beat(row.beat)
    beats = {lane.lane: lane for lane in beat.lanes} if beat else {}
    oldest = beat.outbox_oldest_at if beat else None
    same_version = row.head_ver is not None and (row.list_epoch, row.list_ver) == (row.head_epoch, row.head_ver)
    return GateTile(
        id=row.id,
        site_id=row.site_id,
        name_zh=row.name_zh,
        name_en=row.name_en,
        site_zh=row.site_zh,
        site_en=row.site_en,
        is_online=bool(row.is_online),
        seen_at_ms=row.seen_at,
        offline_since_ms=row.offline_since,
        list_ver=row.list_ver,
        head_ver=row.head_ver or 0,
        list_status=row.list_status,
        list_error=row.list_error,
        list_applied_at_ms=row.list_applied_at,
        list_age_s=None if row.list_applied_at is None else max(0, (at_ms - row.list_applied_at) // 1000),
        is_list_current=same_version and row.list_hash == row.head_hash,
        is_drifted=same_version and row.list_hash != row.head_hash,
        outbox_depth=beat.outbox_depth if beat else 0,
        outbox_oldest_at_ms=int(oldest.timestamp() * 1000) if oldest else None,
        clock=str(beat.clock) if beat else "",
        version=beat.version if beat else "",
        alarms=(*_revoked_words(row), *(beat.alarms if beat else ())),
        lanes=tuple(_lane_tile(lane, beats.get(lane.id), is_online=bool(row.is_online)) for lane in lanes),
    )


def _revoked_words(row: Row[tuple[object, ...]]) -> tuple[str, ...]:
    """A revoked gate's last heartbeat knows nothing of it."""
    return (f"its identity is revoked: {row.revoked_why}",) if row.revoked_at is not None else ()


def _lane_tile(row: Row[tuple[object, ...]], beat: LaneBeat | None, *, is_online: bool) -> LaneTile:
    live = beat if is_online else None
    return LaneTile(
        id=row.id,
        kind=row.kind,
        direction=row.direction,
        name_zh=row.name_zh,
        name_en=row.name_en,
        arm=live.arm if live else "unknown",
        is_present=live.is_present if live else None,
        is_held=live.is_held if live else False,
        mode=beat.mode if beat else "normal",
    )


def order_open(conn: Connection, actor: str, gate: str, lane: str, reason_code: str, note: str = "") -> str:
    """Queue an opening; the answer comes by `command`. Raises NotFoundError, RefusedError (no or unknown reason)."""
    code = reason_code.strip()
    if not code:
        raise RefusedError("a reason is mandatory for a remote opening", zh="远程开闸必须选择原因")
    if code not in set(OpenReason):
        raise RefusedError(f"unknown reason {code!r}; one of: {', '.join(OpenReason)}", zh=f"没有这个开闸原因:{code}")
    if code == OpenReason.OTHER and not note.strip():
        raise RefusedError("the reason `other` needs a note that says what", zh="选择“其他”时必须填写说明")
    return _queue(conn, actor, gate, lane, "open", code, note)


def order_refuse(conn: Connection, actor: str, gate: str, lane: str, note: str = "") -> str:
    """Queue a refusal of the car held at a lane. Raises NotFoundError."""
    return _queue(conn, actor, gate, lane, "refuse", "guard_denied", note)


def order_emergency(conn: Connection, actor: str, gate_or_site: str, is_release: bool, note: str) -> tuple[str, ...]:
    """Queue, for every lane of a gate or of a whole site, to open and stay open, or to end an emergency.

    The command ids, one a lane; each is answered for itself. Raises NotFoundError, RefusedError (no person, no note).
    """
    if not actor.strip():
        raise RefusedError("an emergency needs a named person", zh="应急操作必须有具名人员")
    if not note.strip():
        raise RefusedError("an emergency needs a reason in words", zh="应急操作必须填写原因")
    lanes, gates = tables.lanes.c, tables.gates.c
    is_site = conn.execute(select(tables.sites.c.id).where(tables.sites.c.id == gate_or_site)).first() is not None
    query = (
        select(lanes.id, lanes.gate_id)
        .join(tables.gates, gates.id == lanes.gate_id)
        .where(gates.site_id == gate_or_site if is_site else gates.id == gate_or_site)
        .order_by(lanes.gate_id, lanes.id)
    )
    found = conn.execute(query).all()
    if not found:
        raise NotFoundError(
            f"no gate or site {gate_or_site!r} with a lane", zh=f"没有带通道的闸口或小区 {gate_or_site!r}"
        )
    action, reason = (
        ("emergency_release", Reason.EMERGENCY_RELEASED) if is_release else ("emergency_open", Reason.EMERGENCY_MANUAL)
    )
    return tuple(_queue(conn, actor, lane.gate_id, lane.id, action, reason.name, note) for lane in found)


def _queue(conn: Connection, actor: str, gate: str, lane: str, action: str, reason: str, note: str) -> str:
    if len(note) > MAX_NOTE_CHARS:
        raise RefusedError(f"the note is longer than {MAX_NOTE_CHARS} characters", zh=f"说明超过 {MAX_NOTE_CHARS} 个字")
    if conn.execute(select(tables.gates.c.id).where(tables.gates.c.id == gate)).first() is None:
        raise NotFoundError(f"no gate {gate!r}", zh=f"没有闸口 {gate!r}")
    owner = conn.execute(select(tables.lanes.c.gate_id).where(tables.lanes.c.id == lane)).scalar()
    if owner != gate:
        raise NotFoundError(f"gate {gate!r} has no lane {lane!r}", zh=f"闸口 {gate!r} 没有通道 {lane!r}")
    at_ms = now_ms()
    command_id = new_id(at_ms)
    conn.execute(
        insert(tables.commands).values(
            id=command_id,
            gate_id=gate,
            lane_id=lane,
            action=action,
            reason=reason,
            note=note.strip(),
            issuer=actor[:60],
            state="queued",
            created_at=at_ms,
            changed_at=at_ms,
        )
    )
    write_audit(conn, actor, f"gate.{action}", f"{gate}/{lane}", json.dumps({"command": command_id, "reason": reason}))
    return command_id


def command(conn: Connection, command_id: str) -> CommandRow:
    """One order. Raises NotFoundError."""
    row = conn.execute(select(tables.commands).where(tables.commands.c.id == command_id)).first()
    if row is None:
        raise NotFoundError(f"no command {command_id!r}", zh="没有这条指令")
    return CommandRow(
        id=row.id,
        gate_id=row.gate_id,
        lane_id=row.lane_id,
        action=row.action,
        reason=row.reason,
        note=row.note,
        issuer=row.issuer,
        state=row.state,
        words=row.words,
        event_id=row.event_id,
        created_at_ms=row.created_at,
        sent_at_ms=row.sent_at,
        changed_at_ms=row.changed_at,
    )


def list_effect(conn: Connection, site: str) -> ListEffect:
    """How far the site's saved rights have reached its gates. Raises NotFoundError."""
    if conn.execute(select(tables.sites.c.id).where(tables.sites.c.id == site)).first() is None:
        raise NotFoundError(f"no site {site!r}", zh=f"没有小区 {site!r}")
    head = conn.execute(select(tables.list_heads).where(tables.list_heads.c.site_id == site)).first()
    dirty = conn.execute(
        select(func.count()).select_from(tables.list_dirty).where(tables.list_dirty.c.site_id == site)
    ).scalar_one()
    tiles = gate_tiles(conn, site)
    current = [tile for tile in tiles if tile.is_list_current]
    took_ms = [
        tile.list_applied_at_ms - head.issued_at
        for tile in current
        if head is not None and tile.list_applied_at_ms is not None and tile.list_applied_at_ms >= head.issued_at
    ]  # a head that was dated anew since tells nothing
    at_ms = now_ms()
    return ListEffect(
        site_id=site,
        ver=head.ver if head is not None else 0,
        applied=len(current),
        of=len(tiles),
        is_pending=dirty > 0,
        slowest_s=max(took_ms) / 1000 if took_ms else None,
        lagging=tuple(_lag(tile, at_ms) for tile in tiles if not tile.is_list_current),
    )


def _lag(tile: GateTile, at_ms: int) -> GateLag:
    if not tile.is_online:
        if tile.offline_since_ms is None:
            zh, en = "从未上线", "never seen"
        else:
            span_s = (at_ms - tile.offline_since_ms) / 1000
            zh, en = f"离线 {duration_words(span_s, 'zh')}", f"offline {duration_words(span_s, 'en')}"
    elif tile.list_status == "nack":
        zh, en = f"拒收名单:{tile.list_error}", f"refused the list: {tile.list_error}"
    elif tile.is_drifted:
        zh, en = "名单内容不一致,正在修复", "its list differs, being repaired"
    else:
        zh, en = f"名单版本 {tile.list_ver},最新 {tile.head_ver}", f"list {tile.list_ver}, newest {tile.head_ver}"
    return GateLag(
        gate_id=tile.id,
        name_zh=tile.name_zh,
        name_en=tile.name_en,
        is_online=tile.is_online,
        offline_since_ms=tile.offline_since_ms,
        list_ver=tile.list_ver,
        words_zh=f"{tile.name_zh}{zh}",
        words_en=f"{tile.name_en} {en}",
    )


def withdraw(conn: Connection, actor: str, command_id: str) -> bool:
    """Take back an order that was never sent, so that it cannot open a gate later; False if it was sent."""
    taken = conn.execute(
        update(tables.commands)
        .where(tables.commands.c.id == command_id, tables.commands.c.state == "queued")
        .values(state="expired", words="withdrawn before it was sent", changed_at=now_ms())
    )
    if taken.rowcount == 1:
        write_audit(conn, actor, "gate.withdraw", command_id)
    return bool(taken.rowcount == 1)
