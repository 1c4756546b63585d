"""The edge's two SQLite files as SQLAlchemy tables; `migrations/*.sql` creates them."""

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table

edge_metadata = MetaData()
acl_metadata = MetaData()

journal = Table(
    "journal",
    edge_metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False, unique=True),
    Column("wall_s", Integer, nullable=False),
    Column("prev", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("body", String, nullable=False),
    Column("personal", String, nullable=False, default=""),
)
outbox = Table("outbox", edge_metadata, Column("seq", Integer, primary_key=True, autoincrement=False))
pictures = Table(
    "pictures",
    edge_metadata,
    Column("sha256", String, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("is_sent", Integer, nullable=False, default=0),
)
edge_meta = Table(
    "meta",
    edge_metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

acl_rows = Table(
    "rows",
    acl_metadata,
    Column("row_key", String, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
acl_meta = Table(
    "meta",
    acl_metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)
acl_chunks = Table(
    "chunks",
    acl_metadata,
    Column("sha256", String, primary_key=True),
    Column("i", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
