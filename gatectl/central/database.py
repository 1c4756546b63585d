"""Central's database: SQLite beside the process, or PostgreSQL; opened durable, brought up to date by Alembic."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Insert, Select, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg
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


def insert_all_new(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *keys: str) -> None:
    """INSERT many rows, all with the same columns, as `insert_new` does."""
    _execute_all(conn, table, rows, keys, is_new=True)


def put_all(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *keys: str) -> None:
    """INSERT many rows, all with the same columns; one that is there already (by `keys`) gets the new values."""
    _execute_all(conn, table, rows, keys, is_new=False)


def _execute_all(
    conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]], keys: tuple[str, ...], *, is_new: bool
) -> None:
    """Past SQLAlchemy's work on each value of each row, which takes longer than the database's."""
    if not rows:
        return
    text, order = _all_text(conn.dialect.name, table, tuple(rows[0]), keys, is_new)
    if order:
        values = itemgetter(*order)
        conn.exec_driver_sql(text, [values(row) for row in rows])
    else:
        conn.exec_driver_sql(text, [dict(row) for row in rows])


@cache
def _all_text(
    dialect: str, table: Table, names: tuple[str, ...], keys: tuple[str, ...], is_new: bool
) -> tuple[str, tuple[str, ...]]:
    """The statement as its driver takes it, and the order of its values; () where they have names."""
    is_server = dialect == "postgresql"
    statement = postgresql.insert(table) if is_server else sqlite.insert(table)
    if is_new:
        whole: Insert = statement.on_conflict_do_nothing(index_elements=keys)
    else:
        changed = {name: statement.excluded[name] for name in names if name not in keys}
        whole = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    how = psycopg.dialect() if is_server else sqlite.dialect()  # type: ignore[no-untyped-call]
    compiled = whole.compile(dialect=how, column_keys=names)
    return str(compiled), tuple(compiled.positiontup or ())


def raw_rows(conn: Connection, query: Select[Any]) -> Iterator[tuple[Any, ...]]:
    """A query's rows as the driver makes them, for those that are many: half the time, and no type is converted."""
    compiled = query.compile(dialect=conn.dialect, compile_kwargs={"literal_binds": True})
    cursor: Any = conn.connection.cursor()
    try:
        cursor.execute(str(compiled))
        yield from cursor
    finally:
        cursor.close()


def insert_new(conn: Connection, table: Table, *keys: str) -> Insert:
    """INSERT that leaves a row alone which is there already (by these columns)."""
    if conn.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=keys)
    return sqlite.insert(table).on_conflict_do_nothing(index_elements=keys)
