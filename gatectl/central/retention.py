"""What is deleted when its time is over, class by class, with a proof of each deletion (`docs/retention.md`).

Events are never deleted: what says who somebody was is, and the chain still verifies. Legal holds keep a site's data
of a time until they are ended.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, exists, insert, not_, or_, select, update

from gatectl.central import tables
from gatectl.central.audit import new_id, now_ms, write_audit
from gatectl.central.event_columns import NOBODY
from gatectl.core.model import Verdict
from gatectl.errors import NotFoundError, RefusedError
from gatectl.settings import RetentionSettings

DAY_MS = 86_400_000
T = TypeVar("T", str, int)
STEP = 2000
"""Rows of one class in one transaction: the log stays usable while years are purged."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What one step deleted of one class. `digest`: SHA-256 over the hashes or ids of the rows, in order."""

    subject: str
    before_ms: int
    count: int
    digest: str


def purge_step(conn: Connection, keep: RetentionSettings, at_ms: int) -> tuple[Purged, ...]:
    """Delete at most `STEP` rows of each class whose time is over, and record the proof; () when nothing is left."""
    found = []
    for subject, days, delete_some in _CLASSES:
        before_ms = at_ms - int(getattr(keep, days)) * DAY_MS
        marks = delete_some(conn, before_ms)
        if marks:
            digest = hashlib.sha256("\n".join(marks).encode()).hexdigest()
            found.append(Purged(subject, before_ms, len(marks), digest))
    for purged in found:
        conn.execute(
            insert(tables.purges).values(
                at=at_ms, subject=purged.subject, before=purged.before_ms, count=purged.count, digest=purged.digest
            )
        )
    return tuple(found)


def due(conn: Connection, keep: RetentionSettings, at_ms: int) -> dict[str, int]:
    """How many rows of each class a whole purge would take now: it is tried and taken back."""
    counts = {subject: 0 for subject, _days, _delete in _CLASSES}
    with conn.begin_nested() as attempt:
        while purged := purge_step(conn, keep, at_ms):
            for one in purged:
                counts[one.subject] += one.count
        attempt.rollback()
    return counts


def proofs(conn: Connection, limit: int = 100) -> Sequence[RowMapping]:
    """The newest proofs: at, subject, before, count, digest."""
    return conn.execute(select(tables.purges).order_by(tables.purges.c.id.desc()).limit(limit)).mappings().all()


# --- legal holds ---


def hold(conn: Connection, site: str, since_ms: int, until_ms: int, why: str, actor: str) -> str:
    """Keep a site's personal data and pictures of a time until `release`. Raises RefusedError, NotFoundError."""
    if len(why.strip()) < 2:
        raise RefusedError("a hold needs its reason: a case, a letter's number", zh="请写明理由,例如案件编号")
    if since_ms >= until_ms:
        raise RefusedError("the hold ends before it begins", zh="结束时间早于开始时间")
    if conn.scalar(select(tables.sites.c.id).where(tables.sites.c.id == site)) is None:
        raise NotFoundError(f"no site {site!r}", zh=f"没有小区 {site!r}")
    hold_id = new_id()
    conn.execute(
        insert(tables.legal_holds).values(
            id=hold_id, site_id=site, since_ms=since_ms, until_ms=until_ms, why=why[:200], actor=actor, made_at=now_ms()
        )
    )
    write_audit(conn, actor, "hold.add", site, why)
    return hold_id


def release(conn: Connection, hold_id: str, actor: str) -> None:
    """End a hold: what its time is over for goes with the next purge. Raises NotFoundError."""
    holds = tables.legal_holds
    mine = (holds.c.id == hold_id, holds.c.ended_at.is_(None))
    if conn.execute(update(holds).where(*mine).values(ended_at=now_ms())).rowcount == 0:
        raise NotFoundError(f"no hold {hold_id!r}", zh=f"没有保全 {hold_id!r}")
    write_audit(conn, actor, "hold.end", hold_id)


def holds_now(conn: Connection) -> Sequence[RowMapping]:
    """The holds in force."""
    holds = tables.legal_holds
    return conn.execute(select(holds).where(holds.c.ended_at.is_(None)).order_by(holds.c.made_at)).mappings().all()


def _is_held(site: ColumnElement[str], at_ms: ColumnElement[int]) -> ColumnElement[bool]:
    holds = tables.legal_holds.c
    return exists().where(
        and_(holds.ended_at.is_(None), holds.site_id == site, holds.since_ms <= at_ms, holds.until_ms > at_ms)
    )


# --- the classes ---


def _pictures(conn: Connection, before_ms: int) -> list[str]:
    pictures, events = tables.pictures, tables.events.c
    held = exists().where(and_(events.picture_sha256 == pictures.c.sha256, _is_held(events.site_id, events.at)))
    query = select(pictures.c.sha256).where(pictures.c.received_at < before_ms, not_(held))
    marks = list(conn.scalars(query.order_by(pictures.c.received_at, pictures.c.sha256).limit(STEP)))
    return _in_parts(marks, lambda part: conn.execute(delete(pictures).where(pictures.c.sha256.in_(part))))


def _strangers(conn: Connection, before_ms: int) -> list[str]:
    """Refused and held attempts of people whom nobody knows."""
    events = tables.events.c
    refused = events.verdict.in_((Verdict.DENIED.value, Verdict.HELD.value))
    return _forget(conn, and_(events.at < before_ms, events.cardholder_id == "", events.household_id == "", refused))


def _events(conn: Connection, before_ms: int) -> list[str]:
    return _forget(conn, tables.events.c.at < before_ms)


def _forget(conn: Connection, is_meant: ColumnElement[bool]) -> list[str]:
    """Blank who it was. `received_at` is asked too: an event stamped in 1970 is not old because of that."""
    events = tables.events
    is_named = or_(events.c.personal != "", *(events.c[name] != "" for name in NOBODY if name != "personal"))
    query = (
        select(events.c.id, events.c.hash)
        .where(is_meant, is_named, not_(_is_held(events.c.site_id, events.c.at)))
        .order_by(events.c.at, events.c.id)
        .limit(STEP)
    )
    rows = conn.execute(query).all()
    ids = [row.id for row in rows]
    _in_parts(ids, lambda part: conn.execute(update(events).where(events.c.id.in_(part)).values(NOBODY)))
    return [row.hash for row in rows]


def _visitors(conn: Connection, before_ms: int) -> list[str]:
    visits = tables.visits
    is_named = or_(visits.c.visitor_name != "", visits.c.plate != "", visits.c.pass_text != "")
    ended = visits.c.valid_until_s < before_ms // 1000
    held = _is_held(visits.c.site_id, visits.c.valid_until_s * 1000)
    marks = list(conn.scalars(select(visits.c.id).where(ended, is_named, not_(held)).order_by(visits.c.id).limit(STEP)))
    blank = {"visitor_name": "", "plate": "", "pass_text": ""}
    return _in_parts(marks, lambda part: conn.execute(update(visits).where(visits.c.id.in_(part)).values(blank)))


def _audit(conn: Connection, before_ms: int) -> list[str]:
    audit = tables.audit
    ids = list(conn.scalars(select(audit.c.id).where(audit.c.at < before_ms).order_by(audit.c.id).limit(STEP)))
    _in_parts(ids, lambda part: conn.execute(delete(audit).where(audit.c.id.in_(part))))
    return [str(number) for number in ids]


def _kept_aside(conn: Connection, before_ms: int) -> list[str]:
    aside = tables.quarantine
    query = select(aside.c.id).where(aside.c.received_at < before_ms).order_by(aside.c.id).limit(STEP)
    ids = list(conn.scalars(query))
    _in_parts(ids, lambda part: conn.execute(delete(aside).where(aside.c.id.in_(part))))
    return [str(number) for number in ids]


def _in_parts(marks: list[T], act: Callable[[Sequence[T]], object]) -> list[T]:
    for start in range(0, len(marks), _IN_CHUNK):
        act(marks[start : start + _IN_CHUNK])
    return marks


_IN_CHUNK = 500
_CLASSES: Iterable[tuple[str, str, Callable[[Connection, int], list[str]]]] = (
    ("pictures", "pictures_d", _pictures),
    ("strangers", "strangers_d", _strangers),
    ("events", "events_d", _events),
    ("visitors", "visitors_d", _visitors),
    ("audit", "audit_d", _audit),
    ("kept_aside", "kept_aside_d", _kept_aside),
)
"""(class, its setting, what deletes some of it and gives their marks)."""
