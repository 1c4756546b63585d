"""Opens an edge's SQLite file: WAL, synchronous=FULL, migrated by numbered SQL files."""

import sqlite3
from importlib import resources
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from gatectl.errors import StoreError

_BUSY_S = 5.0


def open_engine(path: Path, *, is_read_only: bool = False, has_writer: bool = False) -> Engine:
    """An engine on one file; connections may pass between threads, one at a time.

    Read-only: a disk that takes no writes (no WAL can be shared there), or a look beside the daemon that writes.

    WAL + FULL is the pair that lost no acknowledged commit in power-cut runs; WAL + NORMAL and DELETE + FULL did.
    """
    mode = "ro" if is_read_only else "rwc"
    immutable = "&immutable=1" if is_read_only and not has_writer else ""
    uri = f"{path.absolute().as_uri()}?mode={mode}{immutable}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        if not is_read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-512")
        return connection

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=3, pool_timeout=_BUSY_S
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def migrations(series: str) -> list[tuple[int, str]]:
    """(number, SQL) of every migration of a series (`edge`, `acl`), in order."""
    folder = resources.files("gatectl.edge.migrations")
    found = [
        (int(entry.name.split("_")[1]), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.startswith(f"{series}_") and entry.name.endswith(".sql")
    ]
    return sorted(found)


def migrate(path: Path, series: str) -> int:
    """Bring a file to the newest version, each step in one transaction. Returns the version. Raises StoreError."""
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            steps = migrations(series)
            if version > steps[-1][0]:
                raise StoreError(f"{path}: made by a newer gatectl (version {version}, this one knows {steps[-1][0]})")
            for number, script in steps:
                if number > version:
                    connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version={number};\nCOMMIT;")
                    version = number
            return int(version)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


def is_broken(path: Path) -> bool:
    """Whether the file exists and SQLite says that it is no database, or a torn one."""
    if not path.exists():
        return False
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
        try:
            answer: tuple[Any, ...] = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return False  # busy, unreadable, full: not the file's fault
    except sqlite3.DatabaseError:
        return True
    return bool(answer[0] != "ok")


def set_aside(path: Path, stamp: str) -> Path:
    """Rename a broken file and its WAL, so that a person can look at them; the caller makes a new one."""
    aside = path.with_name(f"{path.name}.broken-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    return aside


def words_of(error: SQLAlchemyError) -> str:
    """The driver's own words, without the statement and its personal values."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
