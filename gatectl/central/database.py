"""Central's database: SQLite beside the process, or PostgreSQL; opened durable, brought up to date by Alembic."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from gatectl.errors import ConfigError, StoreError

MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_S = 10.0
_PG_MIGRATION_LOCK = 0x67617465
"""One migration at a time on a shared server."""
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # WAL+NORMAL loses acknowledged commits in a power cut
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={int(_BUSY_S * 1000)}",
)


def open_database(url: str) -> Engine:
    """An engine for `url`; nothing is connected yet. Raises ConfigError for a URL that is none.

    On SQLite a transaction takes the write lock at its first INSERT, UPDATE or DELETE and waits 10 s for it; reads
    before that are not part of it. Use `writing` where a decision to write hangs on what was read.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=30)
        if parsed.database not in (None, "", ":memory:"):
            _make_private_file(Path(str(parsed.database)))
        engine = create_engine(parsed, connect_args={"timeout": _BUSY_S, "isolation_level": "IMMEDIATE"})
    except (ArgumentError, ImportError) as error:
        raise ConfigError(f"database: {error} (for example sqlite:///var/central/central.db)") from error
    event.listen(engine, "connect", _set_pragmas)
    return engine


def _make_private_file(path: Path) -> None:
    """The file holds names and phones: made for its owner only. Raises ConfigError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise ConfigError(f"database: cannot make {path}: {error.strerror}") from error


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    try:
        for pragma in _SQLITE_PRAGMAS:
            cursor.execute(pragma)
    finally:
        cursor.close()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds SQLite's write lock from its first read on; commits at the end."""
    with engine.begin() as conn:
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("BEGIN IMMEDIATE")
        yield conn


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def migrate(url: str) -> None:
    """Make the database, or bring it to this version's schema: all of it or nothing. Raises StoreError, ConfigError."""
    engine = open_database(url)
    config = _alembic()
    try:
        with writing(engine) as conn:
            if conn.dialect.name == "postgresql":
                conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_PG_MIGRATION_LOCK})")
            config.attributes["connection"] = conn
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the database cannot be brought up to date: {error}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"the database refused: {words_of(error)}") from error
    finally:
        engine.dispose()


def require_current(engine: Engine) -> None:
    """Raise ConfigError unless the database has this version's schema."""
    wanted = ScriptDirectory.from_config(_alembic()).get_current_head()
    try:
        with engine.connect() as conn:
            found = MigrationContext.configure(conn).get_current_revision()
    except OperationalError as error:
        raise StoreError(f"the database cannot be opened: {words_of(error)}") from error
    if found != wanted:
        stand = f"at schema {found}" if found else "empty"
        raise ConfigError(
            f"the database is {stand}, this program needs {wanted}: run `gatectl central migrate --config FILE`"
        )


def words_of(error: SQLAlchemyError) -> str:
    """The driver's own words, without SQLAlchemy's statement and parameters (they may hold names)."""
    cause = getattr(error, "orig", None)
    return str(cause if cause is not None else error).splitlines()[0]


def insert_new(conn: Connection, table: Table, *keys: str) -> Insert:
    """INSERT that leaves a row alone which is there already (by these columns)."""
    if conn.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=keys)
    return sqlite.insert(table).on_conflict_do_nothing(index_elements=keys)
