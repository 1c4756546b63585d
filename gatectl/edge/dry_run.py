"""A gate's own list and lanes, to ask "what would it say?" beside the running daemon: nothing is written or moved."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from gatectl.core.model import Occupancy, WhitelistView
from gatectl.edge.presence import PREFIXES, Presence
from gatectl.edge.replica_store import ReplicaStore
from gatectl.edge.sqlite import open_engine, words_of
from gatectl.edge.tables import edge_meta
from gatectl.errors import NotFoundError, PayloadError, StoreError
from gatectl.settings import EdgeSettings
from gatectl.wire.packed import packed_list, table_of
from gatectl.wire.view import packed_view


def view_on_disk(settings: EdgeSettings) -> WhitelistView:
    """The list that the gate decides on after a restart. Raises NotFoundError (no list yet), StoreError."""
    path = settings.data_dir / "acl.db"
    if not path.exists():
        raise NotFoundError(
            f"{path}: this gate has no list yet; has its daemon run, and reached central?",
            zh=f"{path} 不存在:本闸口还没有名单,守护进程是否运行过并连上中心?",
        )
    replica = ReplicaStore(path)
    replica.open_read_only()
    try:
        stand = replica.stand()
        rows = packed_list(table_of(replica.rows()))
        return packed_view(stand.epoch, stand.ver, stand.issued_s, settings.site, rows)
    except PayloadError as error:
        raise StoreError(f"{path}: {error}") from error
    finally:
        replica.close()


def occupancy_on_disk(settings: EdgeSettings, now_s: int) -> Occupancy:
    """Who is inside, as the daemon last kept it; nobody where it never ran. Raises StoreError."""
    path = settings.data_dir / "edge.db"
    presence = Presence()
    if path.exists():
        presence.restore(_kept(path), now_s)
    return presence.occupancy


def _kept(path: Path) -> dict[str, str]:
    engine = open_engine(path, is_read_only=True, has_writer=True)
    try:
        with engine.connect() as connection:
            rows = connection.execute(select(edge_meta.c.key, edge_meta.c.value))
            return {row.key: row.value for row in rows if row.key.startswith(PREFIXES)}
    except SQLAlchemyError as error:
        raise StoreError(f"{path}: {words_of(error)}") from error
    finally:
        engine.dispose()
