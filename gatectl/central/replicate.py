"""Rows to lists (PROTOCOLS 8): a site's compiled rights (see `compile`), changes as signed deltas, the stand as a head.

Only opaque ids leave: no name, phone or room is ever in a row.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Integer, bindparam, delete, func, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import mark_dirty
from gatectl.central.compile import NO_CALENDAR, compile_rows
from gatectl.core.model import Calendar, GrantState
from gatectl.wire.replica import (
    CHUNK_BYTES,
    Delta,
    Head,
    ListRequest,
    SetHash,
    SnapChunk,
    Snapshot,
    encode_chunk,
    encode_delta,
    encode_head,
    encode_snapshot,
)
from gatectl.wire.rows import ListRow, encode_row, row_key

__all__ = [
    "DELTAS_KEPT",
    "HEAD_LIFE",
    "MAX_DELTA_CHANGES",
    "SnapshotShelf",
    "compile_rows",
    "deltas_since",
    "due_sites",
    "head_payload",
    "jump_ahead",
    "mark_dirty",
    "mark_sent",
    "refresh",
    "reissue_old_heads",
    "snapshot_chunks",
]

HEAD_LIFE = timedelta(days=7)
_REISSUE_AFTER = timedelta(days=1)
DELTAS_KEPT = 500
MAX_DELTA_CHANGES = 500
_BATCH_MS = 1000
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
    set_hash: str


def due_sites(conn: Connection, now_ms: int) -> tuple[str, ...]:
    """Sites whose list must be made now: something urgent, 500 changes, or a change that has waited a second."""
    dirty = tables.list_dirty.c
    grouped = select(
        dirty.site_id,
        func.count().label("n"),
        func.min(dirty.made_at).label("oldest"),
        func.max(dirty.is_urgent.cast(Integer)).label("urgent"),
    ).group_by(dirty.site_id)
    return tuple(
        row.site_id
        for row in conn.execute(grouped)
        if row.urgent or row.n >= MAX_DELTA_CHANGES or not row.oldest <= now_ms < row.oldest + _BATCH_MS
    )


# --- from rows to deltas and a head ---


def refresh(
    conn: Connection, site_id: str, key: Ed25519PrivateKey, at: datetime, calendar: Calendar = NO_CALENDAR
) -> tuple[SealedDelta, ...]:
    """Bring a site's list to what the tables say now; the signed changes in the order to send them.

    Runs in the caller's transaction, which must be a `database.writing` one. Nothing changed: no new version.
    """
    dirty = tables.list_dirty.c
    noted = list(conn.execute(select(dirty.id).where(dirty.site_id == site_id)).scalars())
    new = compile_rows(conn, site_id, calendar)
    rows = tables.list_rows.c
    found = conn.execute(select(rows.row_key, rows.row).where(rows.site_id == site_id))
    old: dict[str, bytes] = {row.row_key: bytes(row.row) for row in found}
    stand = _stand(conn, site_id)
    changed = [row for name, (row, data) in new.items() if old.get(name) != data]
    gone = sorted(old.keys() - new.keys())
    deltas: tuple[SealedDelta, ...] = ()
    if stand is None:
        _begin(conn, site_id, new, at)
    elif changed or gone:
        deltas = _advance(conn, site_id, stand, old, [*gone, *sorted(changed, key=_order)], key, at)
    _write_rows(conn, site_id, old, {row_key(row): new[row_key(row)][1] for row in changed}, gone)
    for part in _parts(noted, _IN_CHUNK):
        conn.execute(delete(tables.list_dirty).where(dirty.id.in_(part)))
    return deltas


def _order(row: ListRow) -> tuple[int, str, str]:
    """Withdrawn rights first, then what grants refer to, then the grants."""
    rank = 1 if row.kind != "grant" else 0 if row.fields["state"] != GrantState.ACTIVE.value else 2
    return rank, row.kind, row.id


def _stand(conn: Connection, site_id: str) -> _Stand | None:
    heads = tables.list_heads.c
    query = select(heads.epoch, heads.ver, heads.set_hash).where(heads.site_id == site_id)
    row = conn.execute(query).first()
    return None if row is None else _Stand(row.epoch, row.ver, row.set_hash)


def _begin(conn: Connection, site_id: str, rows: Mapping[str, tuple[ListRow, bytes]], at: datetime) -> None:
    """A site's first list: an epoch of its own and no delta that leads to it."""
    total = SetHash()
    for _row, data in rows.values():
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
    changes: list[str | ListRow],
    key: Ed25519PrivateKey,
    at: datetime,
) -> tuple[SealedDelta, ...]:
    """Deltas of at most 500 changes each (row keys to drop, rows to put), and the head that they lead to."""
    total = SetHash()
    for data in old.values():
        total.add(data)
    count, ver = len(old), stand.ver
    made: list[SealedDelta] = []
    for part in _parts(changes, MAX_DELTA_CHANGES):
        put = {row_key(row): encode_row(row) for row in part if isinstance(row, ListRow)}
        dropped = tuple(name for name in part if isinstance(name, str))
        replaced = [old[name] for name in (*dropped, *put) if name in old]
        for data in replaced:
            total.remove(data)
        for data in put.values():
            total.add(data)
        count += len(put) - len(replaced)
        delta = Delta(
            site=site_id,
            epoch=stand.epoch,
            from_ver=ver,
            to_ver=ver + 1,
            put=tuple(put.values()),
            delete=dropped,
            set_hash_after=total.hex(),
            issued=at,
        )
        made.append(SealedDelta(ver, encode_delta(delta, key)))
        ver += 1
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
class _Kept:
    """A snapshot as it is sent."""

    epoch: str
    ver: int
    data: bytes
    sha256: str


class SnapshotShelf:
    """The encoded snapshot of each site, made once a version."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def get(self, conn: Connection, site_id: str, epoch: str, ver: int) -> _Kept:
        """The snapshot of the version that the database holds now."""
        kept = self._kept.get(site_id)
        if kept is None or (kept.epoch, kept.ver) != (epoch, ver):
            rows = tables.list_rows.c
            query = select(rows.row).where(rows.site_id == site_id).order_by(rows.row_key)
            data = encode_snapshot(bytes(row) for row in conn.execute(query).scalars())
            kept = self._kept[site_id] = _Kept(epoch, ver, data, hashlib.sha256(data).hexdigest())
        return kept


def head_payload(conn: Connection, site_id: str, key: Ed25519PrivateKey, shelf: SnapshotShelf) -> bytes | None:
    """The sealed head of a site's list; None before its first compilation."""
    row = conn.execute(select(tables.list_heads).where(tables.list_heads.c.site_id == site_id)).first()
    if row is None:
        return None
    kept = tables.list_deltas.c
    oldest = conn.execute(select(func.min(kept.from_ver)).where(kept.site_id == site_id)).scalar()
    snapshot = shelf.get(conn, site_id, row.epoch, row.ver)
    issued = datetime.fromtimestamp(row.issued_at / 1000, UTC)
    head = Head(
        site=site_id,
        epoch=row.epoch,
        ver=row.ver,
        n=row.n,
        set_hash=row.set_hash,
        snap=Snapshot(
            ver=snapshot.ver,
            bytes=len(snapshot.data),
            sha256=snapshot.sha256,
            chunks=_chunk_count(snapshot.data),
        ),
        min_delta=row.ver if oldest is None else oldest,
        issued=issued,
        expires=issued + HEAD_LIFE,
    )
    return encode_head(head, key)


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


# --- what gates ask for ---


def deltas_since(conn: Connection, request: ListRequest) -> tuple[bytes, ...] | None:
    """The kept deltas from the gate's version on; None when only a snapshot can bring it up to date."""
    stand = _stand(conn, request.site)
    if request.want == "snap" or stand is None or request.epoch != stand.epoch or request.have > stand.ver:
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


def snapshot_chunks(conn: Connection, request: ListRequest, shelf: SnapshotShelf) -> tuple[bytes, ...]:
    """The snapshot's chunks for `wl/data`, from the one that the gate asks for on."""
    stand = _stand(conn, request.site)
    if stand is None:
        return ()
    snapshot = shelf.get(conn, request.site, stand.epoch, stand.ver)
    n = _chunk_count(snapshot.data)
    first = request.chunk_from if 0 <= request.chunk_from < n else 0
    return tuple(
        encode_chunk(SnapChunk(snapshot.ver, i, n, snapshot.data[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES]))
        for i in range(first, n)
    )


def _chunk_count(data: bytes) -> int:
    return max(1, -(-len(data) // CHUNK_BYTES))


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
