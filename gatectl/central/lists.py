"""What the office may ask about its lists: how far they have come, how a gate's differs, why a credential is on one."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, Row, func, select

from gatectl.central import tables
from gatectl.central.audit import now_ms
from gatectl.central.credentials import mask_key
from gatectl.central.gates import GateTile, duration_words, gate_tile, gate_tiles
from gatectl.core.cards import readings
from gatectl.core.model import GrantState
from gatectl.core.plates import PLATE_PREFIX, normalise
from gatectl.errors import NotFoundError
from gatectl.wire.replica import own_delta
from gatectl.wire.rows import decode_row, row_key

Standing = Literal["applied", "lagging", "drifted", "refused", "offline", "unseen"]
_STANDING_ZH: Mapping[Standing, str] = {
    "applied": "已生效",
    "lagging": "落后",
    "drifted": "内容不一致",
    "refused": "拒收",
    "offline": "离线",
    "unseen": "从未上线",
}
MAX_NAMED = 50
"""Rows that a difference names; the rest is counted."""


@dataclass(frozen=True, slots=True)
class GateStanding:
    """One gate against its site's newest list. Ages in seconds; None = never."""

    gate: str
    name_zh: str
    name_en: str
    standing: Standing
    ver: int
    applied_age_s: int | None
    offline_s: int | None
    error: str

    def words(self, language: Literal["zh", "en"]) -> str:
        """已生效, or what is the matter and for how long."""
        text = _STANDING_ZH[self.standing] if language == "zh" else self.standing
        if self.standing == "offline" and self.offline_s is not None:
            text += f" {duration_words(self.offline_s, language)}"
        return f"{text}: {self.error}" if self.standing == "refused" and self.error else text


@dataclass(frozen=True, slots=True)
class SiteList:
    """A site's list: version 0 = never made."""

    site: str
    name_zh: str
    name_en: str
    epoch: str
    ver: int
    rows: int
    set_hash: str
    issued_age_s: int | None
    is_pending: bool
    """A change is saved that no version carries yet."""
    gates: tuple[GateStanding, ...]

    def count(self, standing: Standing) -> int:
        """How many gates stand so."""
        return sum(gate.standing == standing for gate in self.gates)


def site_lists(conn: Connection, site: str | None = None) -> list[SiteList]:
    """Every site's list (or one's), and its gates. Raises NotFoundError."""
    sites, heads, dirty = tables.sites, tables.list_heads.c, tables.list_dirty.c
    query = (
        select(sites, heads.epoch, heads.ver, heads.n, heads.set_hash, heads.issued_at)
        .join(tables.list_heads, heads.site_id == sites.c.id, isouter=True)
        .order_by(sites.c.id)
    )
    if site is not None:
        query = query.where(sites.c.id == site)
    found = conn.execute(query).all()
    if site is not None and not found:
        raise NotFoundError(f"no site {site!r}", zh=f"没有小区 {site!r}")
    pending = set(conn.execute(select(dirty.site_id).group_by(dirty.site_id)).scalars())
    at_ms = now_ms()
    return [
        SiteList(
            site=row.id,
            name_zh=row.name_zh,
            name_en=row.name_en,
            epoch=row.epoch or "",
            ver=row.ver or 0,
            rows=row.n or 0,
            set_hash=row.set_hash or "",
            issued_age_s=None if row.issued_at is None else max(0, (at_ms - row.issued_at) // 1000),
            is_pending=row.id in pending,
            gates=tuple(_standing(tile, at_ms) for tile in gate_tiles(conn, row.id)),
        )
        for row in found
    ]


def _standing(tile: GateTile, at_ms: int) -> GateStanding:
    standing: Standing = "lagging"
    if not tile.is_online:
        standing = "unseen" if tile.seen_at_ms is None else "offline"
    elif tile.list_status == "nack":
        standing = "refused"
    elif tile.is_drifted:
        standing = "drifted"
    elif tile.is_list_current:
        standing = "applied"
    since = tile.offline_since_ms
    return GateStanding(
        gate=tile.id,
        name_zh=tile.name_zh,
        name_en=tile.name_en,
        standing=standing,
        ver=tile.list_ver,
        applied_age_s=tile.list_age_s,
        offline_s=None if since is None else max(0, (at_ms - since) // 1000),
        error=tile.list_error,
    )


# --- how a gate's list differs ---


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that is missing at the gate, too many there, or another one; credentials are masked unless revealed."""

    row: str
    what: Literal["missing", "extra", "other"]


@dataclass(frozen=True, slots=True)
class ListDifference:
    """Central's newest list against a gate's."""

    site: str
    ver: int
    gate_ver: int
    is_same: bool
    how: Literal["same", "deltas", "file", "snapshot", "drifted"]
    """How it is known: from the kept changes, from a file; or only that a whole list, or a repair, is needed."""
    count: int
    """Rows that differ, as far as they are known."""
    rows: tuple[RowDifference, ...]
    """The first of them."""


def gate_difference(conn: Connection, gate: str, *, is_revealed: bool = False) -> ListDifference:
    """What the gate says it holds, against the newest list. Raises NotFoundError."""
    tile = gate_tile(conn, gate)
    head = conn.execute(select(tables.list_heads).where(tables.list_heads.c.site_id == tile.site_id)).first()
    ver = head.ver if head is not None else 0
    if tile.is_list_current or tile.is_drifted:
        how: Literal["same", "drifted"] = "same" if tile.is_list_current else "drifted"
        return ListDifference(tile.site_id, ver, tile.list_ver, tile.is_list_current, how, 0, ())
    kept = tables.list_deltas.c
    oldest = conn.execute(select(func.min(kept.from_ver)).where(kept.site_id == tile.site_id)).scalar()
    epoch = conn.execute(select(tables.gates.c.list_epoch).where(tables.gates.c.id == gate)).scalar_one()
    if head is None or epoch != head.epoch or oldest is None or tile.list_ver < oldest:
        return ListDifference(tile.site_id, ver, tile.list_ver, False, "snapshot", 0, ())
    last: dict[str, Literal["missing", "extra", "other"]] = {}
    for _, put, gone in _changes(conn, tile.site_id, tile.list_ver):
        last |= dict.fromkeys(put, "other")
        last |= dict.fromkeys(gone, "extra")
    return _difference(tile.site_id, ver, tile.list_ver, "deltas", last, is_revealed=is_revealed)


def file_difference(
    conn: Connection, site: str, rows: Iterable[bytes], gate_ver: int, *, is_revealed: bool = False
) -> ListDifference:
    """A replica's rows against the newest list, one by one. Raises PayloadError for a row that is none."""
    listed = tables.list_rows.c
    found = conn.execute(select(listed.row_key, listed.row).where(listed.site_id == site))
    ours = {row.row_key: bytes(row.row) for row in found}
    theirs = {row_key(decode_row(data)): data for data in rows}
    named: dict[str, Literal["missing", "extra", "other"]] = dict.fromkeys(
        sorted(ours.keys() - theirs.keys()), "missing"
    )
    named |= dict.fromkeys(sorted(theirs.keys() - ours.keys()), "extra")
    named |= dict.fromkeys(sorted(key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]), "other")
    ver = conn.execute(select(tables.list_heads.c.ver).where(tables.list_heads.c.site_id == site)).scalar()
    return _difference(site, ver or 0, gate_ver, "file", named, is_revealed=is_revealed)


def _difference(
    site: str,
    ver: int,
    gate_ver: int,
    how: Literal["deltas", "file"],
    named: Mapping[str, Literal["missing", "extra", "other"]],
    *,
    is_revealed: bool,
) -> ListDifference:
    first = list(named.items())[:MAX_NAMED]
    rows = tuple(RowDifference(key if is_revealed else _masked(key), what) for key, what in first)
    return ListDifference(site, ver, gate_ver, not named, how, len(named), rows)


def _masked(key: str) -> str:
    kind, _, row_id = key.partition("/")
    return f"{kind}/{mask_key(row_id)}" if kind in ("grant", "emergency_plate") else key


def _changes(conn: Connection, site: str, from_ver: int = 0) -> Iterator[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    """Version, rows put and rows dropped of each kept change from a version on, oldest first."""
    kept = tables.list_deltas.c
    query = select(kept.to_ver, kept.payload).where(kept.site_id == site, kept.from_ver >= from_ver)
    for to_ver, payload in conn.execute(query.order_by(kept.from_ver)):
        delta = own_delta(bytes(payload))
        yield to_ver, tuple(row_key(decode_row(row)) for row in delta.put), delta.delete


# --- why a credential is on a list ---


@dataclass(frozen=True, slots=True)
class LevelReach:
    """What one access level of a grant opens."""

    level: str
    name_zh: str
    name_en: str
    lanes: tuple[str, ...]
    schedule: str
    """Its id; "" = at any time."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where one credential of one site stands."""

    credential: str
    key: str
    site: str
    is_listed: bool
    state: str
    """As gates decide on it: active, lost, revoked, …; "" when it is not on the list."""
    because_zh: tuple[str, ...]
    because_en: tuple[str, ...]
    levels: tuple[LevelReach, ...]
    valid_from_s: int | None
    valid_until_s: int | None
    since_ver: int | None
    """The version that put it so; None: one that is older than the kept changes."""
    ver: int
    gates: tuple[str, ...]
    """Gates that decide on it as it stands now."""
    gates_without: tuple[str, ...]


def explain(conn: Connection, text: str, site: str | None = None) -> list[Explanation]:
    """Every credential that this number, plate, key or id may mean. Raises NotFoundError."""
    cred, person, home = tables.credentials, tables.cardholders.c, tables.households.c
    keys = _keys(text)
    query = (
        select(cred, person.removed_at, home.closed_at, home.tenancy_until_s)
        .join(tables.households, home.id == cred.c.household_id)
        .outerjoin(tables.cardholders, person.id == cred.c.cardholder_id)
        .where((cred.c.id == text) | cred.c.key.in_(keys))
        .order_by(cred.c.site_id, cred.c.id)
    )
    if site is not None:
        query = query.where(cred.c.site_id == site)
    found = conn.execute(query).all()
    if not found:
        raise NotFoundError(
            f"no credential {text!r}: no gate has it; `gatectl card issue` and `gatectl vehicle add` make one",
            zh=f"没有凭证 {text!r}:任何闸口都没有;用 gatectl card issue 或 gatectl vehicle add 添加",
        )
    return [_explained(conn, row) for row in found]


def _keys(text: str) -> list[str]:
    keys = [text, PLATE_PREFIX + normalise(text)]
    with suppress(ValueError):  # no card number: a plate, an id or a key
        keys += readings(text)
    return keys


def _explained(conn: Connection, row: Row[tuple[object, ...]]) -> Explanation:
    site, name = row.site_id, f"grant/{row.key}"
    listed = tables.list_rows.c
    data = conn.execute(select(listed.row).where(listed.site_id == site, listed.row_key == name)).scalar()
    fields = decode_row(bytes(data)).fields if data is not None else {}
    ver = conn.execute(select(tables.list_heads.c.ver).where(tables.list_heads.c.site_id == site)).scalar() or 0
    since = max((to for to, put, gone in _changes(conn, site) if name in put or name in gone), default=None)
    needed = since if since is not None else 0
    having = [
        tile.id
        for tile in gate_tiles(conn, site)
        if tile.list_ver and (tile.is_list_current or (needed <= tile.list_ver < ver and not tile.is_drifted))
    ]
    others = [tile.id for tile in gate_tiles(conn, site) if tile.id not in having]
    because = list(_because(row, is_listed=data is not None, state=str(fields.get("state", ""))))
    return Explanation(
        credential=row.id,
        key=row.key,
        site=site,
        is_listed=data is not None,
        state=str(fields.get("state", "")),
        because_zh=tuple(zh for zh, _ in because),
        because_en=tuple(en for _, en in because),
        levels=tuple(_reach(conn, level) for level in fields.get("levels", ())),
        valid_from_s=fields.get("from"),
        valid_until_s=fields.get("until"),
        since_ver=since,
        ver=ver,
        gates=tuple(having),
        gates_without=tuple(others),
    )


def _because(row: Row[tuple[object, ...]], *, is_listed: bool, state: str) -> Iterator[tuple[str, str]]:
    """Why it is on the list as it is, in words (zh, en)."""
    if not is_listed:
        yield "尚未编入名单:更改正在下发", "not compiled into the list yet: a change is on its way"
        return
    if row.state != GrantState.ACTIVE.value:
        yield f"凭证状态为 {row.state}", f"the credential is {row.state}"
    if row.removed_at is not None:
        yield "持有人已移除", "its holder was removed"
    if row.closed_at is not None:
        yield "该户已注销", "its household is closed"
    if row.tenancy_until_s is not None and row.tenancy_until_s * 1000 <= now_ms():
        yield "租约已到期", "the tenancy has ended"
    if state == GrantState.ACTIVE.value and row.state == state:
        yield "有效凭证:按所属权限组放行", "a valid credential: its access levels open for it"
    elif state != row.state and row.removed_at is None and row.closed_at is None:
        yield f"名单上仍为 {state}:更改正在下发", f"the list still says {state}: a change is on its way"


def _reach(conn: Connection, level: str) -> LevelReach:
    levels, members = tables.access_levels, tables.access_level_lanes.c
    found = conn.execute(select(levels).where(levels.c.id == level)).first()
    lanes = conn.execute(select(members.lane_id).where(members.level_id == level).order_by(members.lane_id)).scalars()
    if found is None:
        return LevelReach(level, level, level, (), "")
    return LevelReach(level, found.name_zh, found.name_en, tuple(lanes), found.schedule_id or "")
