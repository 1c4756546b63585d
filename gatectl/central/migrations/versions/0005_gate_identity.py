"""Who is who: certificates issued to gates, one-time codes, revocation, and the runs of each gate's daemon."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _columns() -> "tuple[sa.Column[Any], ...]":
    return (
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_why", sa.String(length=200), server_default="", nullable=False),
        sa.Column("instance", sa.String(length=40), server_default="", nullable=False),
        sa.Column("taken_over", sa.BigInteger(), server_default="0", nullable=False),
    )


def upgrade() -> None:
    """From 0004; every row stays."""
    for column in _columns():
        op.add_column("gates", column)
    op.create_table(
        "certificates",
        sa.Column("serial", sa.String(length=40), primary_key=True),
        sa.Column("gate_id", sa.String(length=63), sa.ForeignKey("gates.id"), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("follows", sa.String(length=40), server_default="", nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_certificates_gate_id", "certificates", ["gate_id"])
    op.create_table(
        "enrolment_codes",
        sa.Column("gate_id", sa.String(length=63), sa.ForeignKey("gates.id"), primary_key=True),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=60), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("serial", sa.String(length=40), server_default="", nullable=False),
    )
    op.create_table(
        "gate_instances",
        sa.Column("gate_id", sa.String(length=63), sa.ForeignKey("gates.id"), primary_key=True),
        sa.Column("instance", sa.String(length=40), primary_key=True),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Back to 0004: the certificates are forgotten, the gates stay."""
    for table in ("gate_instances", "enrolment_codes", "certificates"):
        op.drop_table(table)
    for column in _columns():
        op.drop_column("gates", column.name)
