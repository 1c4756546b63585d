"""acl.db: the durable copy of the whitelist, row for row as central encoded it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import SQLAlchemyError

from gatectl.edge import sqlite
from gatectl.edge.tables import acl_chunks, acl_meta, acl_rows
from gatectl.errors import StoreError
from gatectl.logs import get_logger

_log = get_logger(__name__)
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class ReplicaStand:
    """Which list the file holds; `epoch` is "" for none. Times are UTC seconds."""

    epoch: str = ""
    ver: int = 0
    set_hash: str = ""
    n: int = 0
    issued_s: int = 0
    applied_s: int = 0


class ReplicaStore:
    """One file. `open` and the reads are for the main thread at boot; afterwards `sync` alone uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine: Engine | None = None
        self.is_read_only = False

    def open(self) -> None:
        """Open or make the file, a broken one set aside; a disk without writes: as it is. Raises StoreError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if sqlite.is_broken(self._path):
                aside = sqlite.set_aside(self._path, datetime.now(UTC).strftime("%Y%m%dT%H%M%S"))
                _log.error("replica.broken", path=str(self._path), aside=str(aside))
            sqlite.migrate(self._path, "acl")
            self._engine = sqlite.open_engine(self._path)
        except (StoreError, OSError) as error:
            if not self._path.exists():
                raise StoreError(f"{self._path}: {error}") from error
            _log.error("replica.read_only", path=str(self._path), words=str(error))
            self.is_read_only = True
            self._engine = sqlite.open_engine(self._path, is_read_only=True)

    def open_read_only(self) -> None:
        """Look into the file beside the daemon that owns it. The reads raise StoreError when it cannot be read."""
        self.is_read_only = True
        self._engine = sqlite.open_engine(self._path, is_read_only=True, has_writer=True)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._engine is not None:
            self._engine.dispose()

    def stand(self) -> ReplicaStand:
        """What the file holds. Raises StoreError."""
        return self._stand(self._need())

    def rows(self) -> Iterator[bytes]:
        """Every row in byte order, a few at a time. Raises StoreError."""
        query = select(acl_rows.c.data).order_by(acl_rows.c.data)
        try:
            with self._need().connect() as connection:
                yield from connection.execution_options(yield_per=_CHUNK).execute(query).scalars()
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def some(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The rows with these keys. Raises StoreError."""
        found: dict[str, bytes] = {}
        try:
            with self._need().connect() as connection:
                for part in _parts(list(keys)):
                    query = select(acl_rows).where(acl_rows.c.row_key.in_(part))
                    found.update({row.row_key: row.data for row in connection.execute(query)})
        except SQLAlchemyError as error:
            raise self._error(error) from error
        return found

    def apply(self, put: dict[str, bytes], gone: Iterable[str], stand: ReplicaStand) -> None:
        """Write a delta and the stand that it leads to, all or nothing. Raises StoreError."""
        try:
            with self._need().begin() as connection:
                _delete(connection, gone)
                _put(connection, put)
                _put_stand(connection, stand)
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def replace(self, rows: dict[str, bytes], stand: ReplicaStand) -> None:
        """Bring the file to a snapshot, writing only what differs. Raises StoreError."""
        try:
            with self._need().begin() as connection:
                old = {row.row_key: row.data for row in connection.execute(select(acl_rows))}
                _delete(connection, [key for key in old if key not in rows])
                _put(connection, {key: data for key, data in rows.items() if old.get(key) != data})
                _put_stand(connection, stand)
                connection.execute(delete(acl_chunks))
        except SQLAlchemyError as error:
            raise self._error(error) from error

    # --- what is kept beside the rows ---

    def metas(self) -> dict[str, str]:
        """Small values by name, those of the stand included. Raises StoreError."""
        try:
            with self._need().connect() as connection:
                return {row.key: row.value for row in connection.execute(select(acl_meta))}
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def keep(self, values: Mapping[str, str]) -> None:
        """Keep small values. Raises StoreError."""
        try:
            with self._need().begin() as connection:
                _put_meta(connection, values)
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def chunks(self, sha256: str) -> dict[int, bytes]:
        """What has arrived of the snapshot with this digest. Raises StoreError."""
        query = select(acl_chunks.c.i, acl_chunks.c.data).where(acl_chunks.c.sha256 == sha256)
        try:
            with self._need().connect() as connection:
                return {row.i: bytes(row.data) for row in connection.execute(query)}
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def keep_chunk(self, sha256: str, i: int, data: bytes) -> None:
        """Keep a part of a snapshot; those of any other one are forgotten. Raises StoreError."""
        try:
            with self._need().begin() as connection:
                connection.execute(delete(acl_chunks).where(acl_chunks.c.sha256 != sha256))
                row = upsert(acl_chunks).values(sha256=sha256, i=i, data=data)
                connection.execute(row.on_conflict_do_nothing())
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def drop_chunks(self) -> None:
        """Forget every part. Raises StoreError."""
        try:
            with self._need().begin() as connection:
                connection.execute(delete(acl_chunks))
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def _need(self) -> Engine:
        if self._engine is None:
            raise StoreError(f"{self._path}: not open")
        return self._engine

    def _stand(self, engine: Engine) -> ReplicaStand:
        try:
            with engine.connect() as connection:
                meta = {row.key: row.value for row in connection.execute(select(acl_meta))}
                n = connection.execute(select(func.count()).select_from(acl_rows)).scalar_one()
        except SQLAlchemyError as error:
            raise self._error(error) from error
        return ReplicaStand(
            epoch=meta.get("epoch", ""),
            ver=int(meta.get("ver", "0")),
            set_hash=meta.get("set_hash", ""),
            n=n,
            issued_s=int(meta.get("issued_s", "0")),
            applied_s=int(meta.get("applied_s", "0")),
        )

    def _error(self, error: SQLAlchemyError) -> StoreError:
        return StoreError(f"{self._path}: {sqlite.words_of(error)}")


def _parts(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), _CHUNK):
        yield keys[start : start + _CHUNK]


def _delete(connection: Connection, keys: Iterable[str]) -> None:
    for part in _parts(list(keys)):
        connection.execute(delete(acl_rows).where(acl_rows.c.row_key.in_(part)))


def _put(connection: Connection, rows: dict[str, bytes]) -> None:
    if rows:
        statement = upsert(acl_rows)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["row_key"], set_={"data": statement.excluded.data}),
            [{"row_key": key, "data": data} for key, data in rows.items()],
        )


def _put_stand(connection: Connection, stand: ReplicaStand) -> None:
    values = {
        "epoch": stand.epoch,
        "ver": str(stand.ver),
        "set_hash": stand.set_hash,
        "issued_s": str(stand.issued_s),
        "applied_s": str(stand.applied_s),
    }
    _put_meta(connection, values)


def _put_meta(connection: Connection, values: Mapping[str, str]) -> None:
    statement = upsert(acl_meta)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_={"value": statement.excluded.value}),
        [{"key": key, "value": value} for key, value in values.items()],
    )
