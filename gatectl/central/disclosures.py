"""The register of what was handed out, to whom and why (调阅登记, State Council Order 799 art. 16)."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, RowMapping, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import new_id, now_ms, write_audit
from gatectl.central.database import writing
from gatectl.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Who asked, and why."""

    unit: str
    """The organisation: 丹灶派出所, the property company itself."""
    person: str
    why: str
    document: str = ""
    """Its number, where there is one."""


def register(conn: Connection, actor: str, asked: Disclosure, what: str) -> str:
    """Write an export into the register before it begins; `what` is the filter. Raises RefusedError."""
    if min(len(text.strip()) for text in (asked.unit, asked.person, asked.why)) < 2:
        raise RefusedError(
            "an export needs the register: which organisation, who, and why",
            zh="导出必须登记:调阅单位、调阅人、事由",
        )
    entry = new_id()
    conn.execute(
        insert(tables.disclosures).values(
            id=entry,
            at=now_ms(),
            actor=actor[:60],
            unit=asked.unit.strip()[:80],
            person=asked.person.strip()[:60],
            why=asked.why.strip()[:200],
            document=asked.document.strip()[:80],
            what=what[:500],
        )
    )
    write_audit(conn, actor, "events.export", entry, what[:500])
    return entry


def counted(engine: Engine, entry: str, lines: Iterable[str]) -> Iterator[str]:
    """Hand the lines on; at their end the register gets their number and the file's SHA-256."""
    digest, count = hashlib.sha256(), 0
    for line in lines:
        digest.update(line.encode())
        count += 1
        yield line
    with writing(engine) as conn:
        mine = tables.disclosures.c.id == entry
        conn.execute(update(tables.disclosures).where(mine).values(lines=count, digest=digest.hexdigest()))


def newest(conn: Connection, limit: int = 100) -> Sequence[RowMapping]:
    """The register, newest first."""
    return (
        conn.execute(select(tables.disclosures).order_by(tables.disclosures.c.at.desc()).limit(limit)).mappings().all()
    )
