"""Rows to lists (PROTOCOLS 8): a site's compiled rights (see `compile`), changes as signed deltas, the stand as a head.

Only opaque ids leave: no name, phone or room is ever in a row.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Integer, bindparam, delete, func, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import mark_dirty
from gatectl.central.compile import NO_CALENDAR, ListCompiler, compile_rows, compile_urgent
from gatectl.central.database import raw_rows
from gatectl.central.snapshot_shelf import SnapshotShelf
from gatectl.core.model import Calendar, GrantState
from gatectl.wire.buckets import MAX_REPAIRED, Repair, bucket_of, bucket_sums, differing, encode_repair, read_sums
from gatectl.wire.replica import (
    CHUNK_BYTES,
    MAX_JITTER_S,
    Delta,
    Head,
    ListRequest,
    SetHash,
    encode_delta,
    encode_head,
)
from gatectl.wire.rows import decode_row
from gatectl.wire.signed import sealed_by

__all__ = [
    "DELTAS_KEPT",
    "HEAD_LIFE",
    "MAX_DELTA_CHANGES",
    "BucketShelf",
    "Due",
    "HeadPress",
    "ListCompiler",
    "Plan",
    "SealedDelta",
    "SnapshotShelf",
    "carry_out",
    "compile_rows",
    "deltas_since",
    "drop_foreign_deltas",
    "due_sites",
    "head_payload",
    "jump_ahead",
    "mark_dirty",
    "mark_sent",
    "plan",
    "refresh",
    "refresh_urgent",
    "reissue_old_heads",
    "repair_for",
]

HEAD_LIFE = timedelta(days=7)
_REISSUE_AFTER = timedelta(days=1)
DELTAS_KEPT = 500
MAX_DELTA_CHANGES = 500
_BATCH_MS = 1000
_CLOCK_SLACK_MS = 2000
"""Between a row's `changed_at` and the mark that it was changed."""
JITTER_A_GATE_S = 0.1
"""PROTOCOLS 8: snapshot requests are spread over 0..min(300, gates/10) s."""
_MAX_JUMP = 1_000_000
_IN_CHUNK = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SealedDelta:
    """One signed change, as it is sent and kept."""

    from_ver: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Stand:
    """A list's head row."""

    epoch: str
    ver: int
    n: int
    set_hash: str


@dataclass(frozen=True, slots=True)
class Due:
    """A site whose list must be made now: the withdrawn rights alone and at once, or everything that changed."""

    site: str
    is_urgent: bool


def due_sites(conn: Connection, now_ms: int) -> tuple[Due, ...]:
    """Sites with something urgent; else with 500 changes, or with one that has waited a second."""
    dirty = tables.list_dirty.c
    grouped = select(
        dirty.site_id,
        func.count().label("n"),
        func.min(dirty.made_at).label("oldest"),
        func.max(dirty.is_urgent.cast(Integer)).label("urgent"),
    ).group_by(dirty.site_id)
    return tuple(
        Due(row.site_id, is_urgent=bool(row.urgent))
        for row in conn.execute(grouped)
        if row.urgent or row.n >= MAX_DELTA_CHANGES or not row.oldest <= now_ms < row.oldest + _BATCH_MS
    )


# --- from rows to deltas and a head ---


@dataclass(frozen=True, slots=True)
class Plan:
    """What must change in a site's list, as the tables stood when it was made."""

    site: str
    stand: _Stand | None
    old: Mapping[str, bytes]
    """The rows that are dropped or replaced."""
    put: Mapping[str, bytes]
    gone: list[str]
    noted: list[int]
    """The marks that it answers."""


def plan(conn: Connection, site_id: str, compiler: ListCompiler, calendar: Calendar = NO_CALENDAR) -> Plan:
    """Compare a site's list with what the tables say. Reads only, and should see one moment of the tables."""
    dirty, rows = tables.list_dirty.c, tables.list_rows.c
    noted = list(conn.execute(select(dirty.id).where(dirty.site_id == site_id)).scalars())
    stand = _stand(conn, site_id)
    new = compiler.rows(conn, site_id, calendar)
    old: dict[str, bytes] = dict(raw_rows(conn, select(rows.row_key, rows.row).where(rows.site_id == site_id)))
    put = {name: data for name, data in new.items() if old.get(name) != data}
    gone = sorted(old.keys() - new.keys())
    return Plan(site_id, stand, {name: old[name] for name in (*put, *gone) if name in old}, put, gone, noted)


def carry_out(conn: Connection, planned: Plan, key: Ed25519PrivateKey, at: datetime) -> tuple[SealedDelta, ...] | None:
    """The signed changes in the order to send them; None when the list has moved since: plan anew.

    Runs in the caller's transaction, which must be a `database.writing` one. Nothing changed: no new version.
    """
    site_id, stand = planned.site, _stand(conn, planned.site)
    if stand != planned.stand:
        return None
    deltas: tuple[SealedDelta, ...] = ()
    if stand is None:
        _begin(conn, site_id, planned.put.values(), at)
        _write_rows(conn, site_id, planned.old, planned.put, planned.gone)
    elif planned.put or planned.gone:
        deltas = _advance(conn, site_id, stand, planned.old, planned.put, planned.gone, key, at)
    for part in _parts(planned.noted, _IN_CHUNK):
        conn.execute(delete(tables.list_dirty).where(tables.list_dirty.c.id.in_(part)))
    return deltas


def refresh(
    conn: Connection,
    site_id: str,
    key: Ed25519PrivateKey,
    at: datetime,
    calendar: Calendar = NO_CALENDAR,
    compiler: ListCompiler | None = None,
) -> tuple[SealedDelta, ...]:
    """Bring a site's list to what the tables say now, in one `database.writing` transaction; the signed changes."""
    return carry_out(conn, plan(conn, site_id, compiler or ListCompiler(), calendar), key, at) or ()


def refresh_urgent(conn: Connection, site_id: str, key: Ed25519PrivateKey, at: datetime) -> tuple[SealedDelta, ...]:
    """Only rights that were withdrawn, made or changed just now, and what is not about credentials: milliseconds.

    A transaction as for `refresh`, which still looks at everything, a second later: the marks become ordinary ones.
    """
    dirty = tables.list_dirty
    of_site = dirty.c.site_id == site_id
    since_ms = conn.execute(select(func.min(dirty.c.made_at)).where(of_site)).scalar()
    conn.execute(update(dirty).where(of_site, dirty.c.is_urgent).values(is_urgent=False))
    stand = _stand(conn, site_id)
    if stand is None or since_ms is None:
        return ()
    fresh = compile_urgent(conn, site_id, since_ms - _CLOCK_SLACK_MS)
    old = _some_rows(conn, site_id, fresh)
    put = {name: data for name, data in fresh.items() if old.get(name) != data}
    if not put:
        return ()
    return _advance(conn, site_id, stand, {name: old[name] for name in put if name in old}, put, [], key, at)


def _some_rows(conn: Connection, site_id: str, names: Iterable[str]) -> dict[str, bytes]:
    rows, found = tables.list_rows.c, {}
    for part in _parts(list(names), _IN_CHUNK):
        query = select(rows.row_key, rows.row).where(rows.site_id == site_id, rows.row_key.in_(part))
        found.update({row.row_key: bytes(row.row) for row in conn.execute(query)})
    return found


def _order(data: bytes) -> tuple[int, str, str]:
    """Withdrawn rights first, then what grants refer to, then the grants."""
    row = decode_row(data)
    rank = 1 if row.kind != "grant" else 0 if row.fields["state"] != GrantState.ACTIVE.value else 2
    return rank, row.kind, row.id


def _stand(conn: Connection, site_id: str) -> _Stand | None:
    heads = tables.list_heads.c
    query = select(heads.epoch, heads.ver, heads.n, heads.set_hash).where(heads.site_id == site_id)
    row = conn.execute(query).first()
    return None if row is None else _Stand(row.epoch, row.ver, row.n, row.set_hash)


def _begin(conn: Connection, site_id: str, rows: Collection[bytes], at: datetime) -> None:
    """A site's first list: an epoch of its own and no delta that leads to it."""
    total = SetHash()
    for data in rows:
        total.add(data)
    conn.execute(
        insert(tables.list_heads).values(
            site_id=site_id,
            epoch=secrets.token_hex(16),
            ver=1,
            n=len(rows),
            set_hash=total.hex(),
            issued_at=_ms(at),
        )
    )


def _advance(
    conn: Connection,
    site_id: str,
    stand: _Stand,
    old: Mapping[str, bytes],
    put: Mapping[str, bytes],
    gone: list[str],
    key: Ed25519PrivateKey,
    at: datetime,
) -> tuple[SealedDelta, ...]:
    """Deltas of at most 500 changes each, and the rows and the head that they lead to.

    `old`: at least the rows that are dropped or replaced, as they stand.
    """
    total, count, ver = SetHash(stand.set_hash), stand.n, stand.ver
    made: list[SealedDelta] = []
    ordered = sorted(put.items(), key=lambda item: _order(item[1]))
    for part in _parts([*((name, b"") for name in gone), *ordered], MAX_DELTA_CHANGES):
        news = {name: data for name, data in part if data}
        dropped = tuple(name for name, data in part if not data)
        replaced = [old[name] for name, _ in part if name in old]
        for data in replaced:
            total.remove(data)
        for data in news.values():
            total.add(data)
        count += len(news) - len(replaced)
        delta = Delta(
            site=site_id,
            epoch=stand.epoch,
            from_ver=ver,
            to_ver=ver + 1,
            put=tuple(news.values()),
            delete=dropped,
            set_hash_after=total.hex(),
            issued=at,
        )
        made.append(SealedDelta(ver, encode_delta(delta, key)))
        ver += 1
    _write_rows(conn, site_id, old, put, gone)
    _keep(conn, site_id, made, at)
    head = {"ver": ver, "n": count, "set_hash": total.hex(), "issued_at": _ms(at)}
    conn.execute(update(tables.list_heads).where(tables.list_heads.c.site_id == site_id).values(head))
    return tuple(made)


def _keep(conn: Connection, site_id: str, made: list[SealedDelta], at: datetime) -> None:
    """Keep these deltas for gates that ask, and the last 500 in all."""
    newest = made[-1].from_ver + 1
    conn.execute(
        insert(tables.list_deltas),
        [
            {
                "site_id": site_id,
                "from_ver": delta.from_ver,
                "to_ver": delta.from_ver + 1,
                "payload": delta.payload,
                "made_at": _ms(at),
            }
            for delta in made
        ],
    )
    kept = tables.list_deltas.c
    conn.execute(delete(tables.list_deltas).where(kept.site_id == site_id, kept.to_ver <= newest - DELTAS_KEPT))


def _write_rows(
    conn: Connection, site_id: str, old: Mapping[str, bytes], put: Mapping[str, bytes], gone: list[str]
) -> None:
    rows = tables.list_rows
    for part in _parts(gone, _IN_CHUNK):
        conn.execute(delete(rows).where(rows.c.site_id == site_id, rows.c.row_key.in_(part)))
    fresh = [{"site_id": site_id, "row_key": name, "row": data} for name, data in put.items() if name not in old]
    if fresh:
        conn.execute(insert(rows), fresh)
    others = [{"its_key": name, "its_row": data} for name, data in put.items() if name in old]
    if others:
        conn.execute(
            update(rows)
            .where(rows.c.site_id == site_id, rows.c.row_key == bindparam("its_key"))
            .values(row=bindparam("its_row")),
            others,
        )


def mark_sent(conn: Connection, site_id: str, deltas: Iterable[SealedDelta], at: datetime) -> None:
    """Note when deltas went out."""
    kept = tables.list_deltas.c
    sent = [delta.from_ver for delta in deltas]
    conn.execute(
        update(tables.list_deltas).where(kept.site_id == site_id, kept.from_ver.in_(sent)).values(sent_at=_ms(at))
    )


@dataclass(frozen=True, slots=True)
class HeadPress:
    """What a head needs beside the database: the key that seals it, the snapshots, the root's word, the jitter."""

    key: Ed25519PrivateKey
    shelf: SnapshotShelf
    charter_of: Callable[[str, str, datetime], str] = lambda _site, _epoch, _at: ""
    """Of a site and an epoch. May raise RefusedError: then there is no head."""
    max_jitter_s: float = MAX_JITTER_S


def head_payload(conn: Connection, site_id: str, press: HeadPress) -> bytes | None:
    """The sealed head of a site's committed list; None before its first compilation."""
    row = conn.execute(select(tables.list_heads).where(tables.list_heads.c.site_id == site_id)).first()
    if row is None:
        return None
    snapshot = press.shelf.get(conn, site_id, row.epoch, row.ver)
    issued = datetime.fromtimestamp(row.issued_at / 1000, UTC)
    gates = tables.gates.c
    count = conn.execute(select(func.count(gates.id)).where(gates.site_id == site_id)).scalar_one()
    head = Head(
        site=site_id,
        epoch=row.epoch,
        ver=row.ver,
        n=row.n,
        set_hash=row.set_hash,
        snap=snapshot.described(),
        min_delta=_min_delta(conn, site_id, row.ver, len(snapshot.data)),
        issued=issued,
        expires=issued + HEAD_LIFE,
        charter=press.charter_of(site_id, row.epoch, datetime.now(UTC)),
        jitter_s=min(press.max_jitter_s, count * JITTER_A_GATE_S),
    )
    return encode_head(head, press.key)


def _min_delta(conn: Connection, site_id: str, ver: int, snapshot_bytes: int) -> int:
    """From which version on the kept deltas are there, and together smaller than a snapshot."""
    kept = tables.list_deltas.c
    sizes = select(kept.from_ver, func.length(kept.payload)).where(kept.site_id == site_id)
    total, oldest = 0, ver
    for from_ver, size in conn.execute(sizes.order_by(kept.from_ver.desc())):
        total += size
        if from_ver != oldest - 1 or total > max(snapshot_bytes, CHUNK_BYTES):
            break
        oldest = from_ver
    return oldest


def reissue_old_heads(conn: Connection, at: datetime) -> tuple[str, ...]:
    """Date heads that are a day old anew, long before they expire; the sites that must be published again."""
    heads = tables.list_heads.c
    old = tuple(conn.execute(select(heads.site_id).where(heads.issued_at <= _ms(at - _REISSUE_AFTER))).scalars())
    for site_id in old:
        conn.execute(update(tables.list_heads).where(heads.site_id == site_id).values(issued_at=_ms(at)))
    return old


def jump_ahead(conn: Connection, site_id: str, epoch: str, ver: int, at: datetime) -> bool:
    """A gate holds a later version than we do: we were restored from a backup. Go past it, or gates see a rollback."""
    stand = _stand(conn, site_id)
    if stand is None or stand.epoch != epoch or not stand.ver < ver <= stand.ver + _MAX_JUMP:
        return False
    conn.execute(delete(tables.list_deltas).where(tables.list_deltas.c.site_id == site_id))
    heads = tables.list_heads.c
    conn.execute(update(tables.list_heads).where(heads.site_id == site_id).values(ver=ver + 1, issued_at=_ms(at)))
    return True


def drop_foreign_deltas(conn: Connection, site_id: str, signers: Collection[bytes]) -> bool:
    """Forget the kept changes when one is sealed by none of these keys (`key_id`s): gates no longer believe it."""
    kept = tables.list_deltas.c
    sealed = conn.execute(select(kept.payload).where(kept.site_id == site_id)).scalars()
    if all(sealed_by(bytes(payload)) in signers for payload in sealed):
        return False
    conn.execute(delete(tables.list_deltas).where(kept.site_id == site_id))
    return True


# --- what gates ask for ---


def deltas_since(conn: Connection, request: ListRequest) -> tuple[bytes, ...] | None:
    """The kept deltas from the gate's version on; None when only a snapshot can bring it up to date."""
    stand = _stand(conn, request.site)
    if stand is None or request.epoch != stand.epoch or request.have > stand.ver:
        return None
    kept = tables.list_deltas.c
    query = (
        select(kept.from_ver, kept.payload)
        .where(kept.site_id == request.site, kept.from_ver >= request.have)
        .order_by(kept.from_ver)
    )
    found = [(row.from_ver, bytes(row.payload)) for row in conn.execute(query)]
    if request.have < stand.ver and (not found or found[0][0] != request.have):
        return None
    return tuple(payload for _, payload in found)


class BucketShelf:
    """The bucket sums of each site's list, made once a version."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, int, bytes]] = {}

    def get(self, conn: Connection, site_id: str, epoch: str, ver: int) -> bytes:
        """The sums of the version that the database holds now."""
        kept = self._kept.get(site_id)
        if kept is None or kept[:2] != (epoch, ver):
            kept = self._kept[site_id] = (epoch, ver, bucket_sums(_rows(conn, site_id)))
        return kept[2]


def repair_for(
    conn: Connection, request: ListRequest, key: Ed25519PrivateKey, shelf: BucketShelf, at: datetime
) -> bytes | None:
    """The rows of the buckets in which a gate's list differs from the newest one; None for a foreign epoch.

    Raises PayloadError for sums that are none.
    """
    stand = _stand(conn, request.site)
    if stand is None or request.epoch != stand.epoch:
        return None
    wrong = differing(shelf.get(conn, request.site, stand.epoch, stand.ver), read_sums(request.sums))
    is_too_much = len(wrong) > MAX_REPAIRED
    wanted = frozenset(() if is_too_much else wrong)
    repair = Repair(
        site=request.site,
        epoch=stand.epoch,
        ver=stand.ver,
        set_hash=stand.set_hash,
        buckets=tuple(sorted(wanted)),
        rows=tuple(row for row in _rows(conn, request.site) if bucket_of(row) in wanted) if wanted else (),
        is_too_much=is_too_much,
        issued=at,
    )
    return encode_repair(repair, key)


def _rows(conn: Connection, site_id: str) -> Iterator[bytes]:
    rows = tables.list_rows.c
    return (bytes(row) for row in conn.execute(select(rows.row).where(rows.site_id == site_id)).scalars())


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
