"""`audit verify` on a gate: the journal's own chain."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from gatectl.edge import sqlite
from gatectl.edge.store import CUT
from gatectl.edge.tables import edge_meta, journal
from gatectl.errors import StoreError
from gatectl.wire.chain import ChainCheck, Finding, Told
from gatectl.wire.events import EventRow


def verify_journal(path: Path) -> tuple[ChainCheck, list[Finding]]:
    """Check a gate's journal; reads only, also beside a running daemon. Raises StoreError."""
    engine = sqlite.open_engine(path, is_read_only=True, has_writer=True)
    found: list[Finding] = []
    try:
        with engine.connect() as connection:
            meta = {row.key: row.value for row in connection.execute(select(edge_meta))}
            epoch, (seq, _, own) = meta.get("epoch", ""), meta.get(CUT, "").partition(":")
            check = ChainCheck(epoch, [Told(1, int(seq), own)] if seq else ())
            for row in connection.execute(select(journal).order_by(journal.c.seq)).yield_per(1000):
                found += check.take(
                    EventRow.model_construct(
                        epoch=epoch, seq=row.seq, prev=row.prev, hash=row.hash, body=row.body, personal=row.personal
                    )
                )
    except (SQLAlchemyError, ValueError) as error:
        words = sqlite.words_of(error) if isinstance(error, SQLAlchemyError) else str(error)
        raise StoreError(f"{path}: {words}") from error
    finally:
        engine.dispose()
    return check, found
