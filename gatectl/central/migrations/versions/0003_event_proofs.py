"""Proofs of the event log: personal fields apart from the chain, gaps, signed heads, corrected times, purges."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _columns() -> "tuple[sa.Column[str] | sa.Column[int] | sa.Column[int | None], ...]":
    return (
        sa.Column("personal", sa.Text(), server_default="", nullable=False),
        sa.Column("boot_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("mono_ns", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("clock", sa.String(length=10), server_default="", nullable=False),
        sa.Column("stamped_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("clock_error_ms", sa.BigInteger(), nullable=True),
    )


def upgrade() -> None:
    """From 0002; every row stays. Older events keep the time that their gate stamped."""
    for column in _columns():
        op.add_column("events", column)
    op.execute(sa.text("UPDATE events SET stamped_at = at"))
    op.create_index("ix_events_boot", "events", ["gate_id", "boot_id", "mono_ns"])
    op.add_column("gates", sa.Column("journal_key", sa.String(length=44), server_default="", nullable=False))
    op.create_table(
        "gaps",
        sa.Column("gate_id", sa.String(length=63), primary_key=True),
        sa.Column("epoch", sa.String(length=64), primary_key=True),
        sa.Column("first_seq", sa.BigInteger(), primary_key=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", sa.String(length=64), nullable=False),
        sa.Column("told_by", sa.String(length=40), nullable=False),
    )
    op.create_table(
        "signed_heads",
        sa.Column("gate_id", sa.String(length=63), primary_key=True),
        sa.Column("epoch", sa.String(length=64), primary_key=True),
        sa.Column("seq", sa.BigInteger(), primary_key=True),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=44), nullable=False),
        sa.Column("signature", sa.String(length=88), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "anchors",
        sa.Column("gate_id", sa.String(length=63), primary_key=True),
        sa.Column("boot_id", sa.String(length=40), primary_key=True),
        sa.Column("mono_ns", sa.BigInteger(), primary_key=True),
        sa.Column("utc_ms", sa.BigInteger(), nullable=False),
        sa.Column("error_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "purges",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(length=20), nullable=False),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
    )
    _privacy()


def _privacy() -> None:
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.String(length=40), primary_key=True),
        sa.Column("site_id", sa.String(length=63), sa.ForeignKey("sites.id"), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.String(length=200), nullable=False),
        sa.Column("actor", sa.String(length=60), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_legal_holds_site_id", "legal_holds", ["site_id"])
    op.create_table(
        "disclosures",
        sa.Column("id", sa.String(length=40), primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=60), nullable=False),
        sa.Column("unit", sa.String(length=80), nullable=False),
        sa.Column("person", sa.String(length=60), nullable=False),
        sa.Column("why", sa.String(length=200), nullable=False),
        sa.Column("document", sa.String(length=80), server_default="", nullable=False),
        sa.Column("what", sa.String(length=500), server_default="", nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.String(length=64), server_default="", nullable=False),
    )
    op.create_index("ix_disclosures_at", "disclosures", ["at"])


def downgrade() -> None:
    """Back to 0002: the proofs are gone, the events stay."""
    for table in ("disclosures", "legal_holds", "purges", "anchors", "signed_heads", "gaps"):
        op.drop_table(table)
    op.drop_column("gates", "journal_key")
    op.drop_index("ix_events_boot", "events")
    for column in _columns():
        op.drop_column("events", column.name)
