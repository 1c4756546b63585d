"""What a person's cards are given as a whole (level, end, stay), and corrections of who is inside on their way out."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _columns() -> "tuple[sa.Column[Any], ...]":
    return (
        sa.Column("level_id", sa.String(length=63), server_default="", nullable=False),
        sa.Column("valid_until_s", sa.BigInteger(), nullable=True),
        sa.Column("max_stay_s", sa.Integer(), server_default="0", nullable=False),
    )


def upgrade() -> None:
    """From 0003; every row stays."""
    for column in _columns():
        op.add_column("cardholders", column)
    op.create_table(
        "corrections",
        sa.Column("id", sa.String(length=40), primary_key=True),
        sa.Column("site_id", sa.String(length=63), sa.ForeignKey("sites.id"), nullable=False),
        sa.Column("news", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Back to 0003: what only this version knows is gone."""
    op.drop_table("corrections")
    for column in _columns():
        op.drop_column("cardholders", column.name)
