"""The whole access model: profiles, tenancies, quotas, areas, lane policies, visits, and who is inside."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NEW_TABLES = (
    "pass_uses",
    "strangers",
    "departures",
    "inside",
    "visits",
    "pass_issuers",
    "site_settings",
    "lane_policies",
    "areas",
)


def upgrade() -> None:
    """From 0001; every row stays."""
    for table, columns in _new_columns().items():
        for column in columns:
            op.add_column(table, column)
    with op.batch_alter_table("commands") as commands:
        commands.alter_column("action", existing_type=sa.String(10), type_=sa.String(20), existing_nullable=False)
    _lanes()
    _visits()
    _inside()


def downgrade() -> None:
    """Back to 0001: what only the access model knows is gone."""
    for table in _NEW_TABLES:
        op.drop_table(table)
    op.execute(sa.text("DELETE FROM commands WHERE length(action) > 10"))
    with op.batch_alter_table("commands") as commands:
        commands.alter_column("action", existing_type=sa.String(20), type_=sa.String(10), existing_nullable=False)
    for table, columns in _new_columns().items():
        for column in columns:
            op.drop_column(table, column.name)


def _flag(name: str, default: str = "0") -> "sa.Column[bool]":
    return sa.Column(name, sa.Boolean(), server_default=default, nullable=False)


def _word(name: str, length: int, default: str) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length=length), server_default=default, nullable=False)


def _seconds(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)


def _new_columns() -> "dict[str, tuple[sa.Column[Any], ...]]":
    columns: dict[str, tuple[sa.Column[Any], ...]] = {
        "credentials": (
            _word("profile", 12, "resident"),
            sa.Column("exit_until_s", sa.BigInteger(), nullable=True),
            _seconds("max_stay_s"),
            sa.Column("uses", sa.Integer(), nullable=True),
            _flag("has_fixed_space"),
            _flag("asks_guard"),
            _flag("is_duress"),
            _flag("has_no_plate"),
        ),
        "households": (
            sa.Column("quota", sa.Integer(), nullable=True),
            _seconds("unloading_s"),
            _flag("is_card_for_car", "1"),
            sa.Column("tenancy_until_s", sa.BigInteger(), nullable=True),
        ),
        "cardholders": (_word("profile", 12, "resident"),),
        "schedules": (
            _flag("follows_calendar"),
            sa.Column("exceptions", sa.Text(), server_default="[]", nullable=False),
        ),
    }
    return columns


def _lanes() -> None:
    """How lanes serve, and the ground they lead to."""
    op.create_table(
        "areas",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("name_zh", sa.String(length=80), nullable=False),
        sa.Column("name_en", sa.String(length=80), nullable=False),
        _word("passback", 8, "off"),
        _seconds("passback_s"),
        _word("link_policy", 12, "local_only"),
        sa.Column("capacity", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_areas_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_areas")),
    )
    op.create_index(op.f("ix_areas_site_id"), "areas", ["site_id"], unique=False)
    op.create_table(
        "lane_policies",
        sa.Column("lane_id", sa.String(length=63), nullable=False),
        _word("mode", 12, "normal"),
        sa.Column("mode_until_s", sa.BigInteger(), nullable=True),
        _word("mode_reason", 200, ""),
        _word("mode_by", 60, ""),
        sa.Column("open_schedule_id", sa.String(length=63), nullable=True),
        _flag("is_first_card_in"),
        _flag("is_two_person"),
        _word("interlock", 40, ""),
        _word("area_from", 63, ""),
        _word("area_to", 63, ""),
        _seconds("short_stay_s"),
        sa.Column("short_stay_schedule_id", sa.String(length=63), nullable=True),
        _flag("is_fire_lane", "1"),
        sa.ForeignKeyConstraint(["lane_id"], ["lanes.id"], name=op.f("fk_lane_policies_lane_id")),
        sa.ForeignKeyConstraint(["open_schedule_id"], ["schedules.id"], name=op.f("fk_lane_policies_open_schedule_id")),
        sa.ForeignKeyConstraint(
            ["short_stay_schedule_id"], ["schedules.id"], name=op.f("fk_lane_policies_short_stay_schedule_id")
        ),
        sa.PrimaryKeyConstraint("lane_id", name=op.f("pk_lane_policies")),
    )


def _visits() -> None:
    """Visitors, and what their codes and passes are made with."""
    op.create_table(
        "site_settings",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        _word("code_salt", 32, ""),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_site_settings_site_id")),
        sa.PrimaryKeyConstraint("site_id", name=op.f("pk_site_settings")),
    )
    op.create_table(
        "pass_issuers",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("kid", sa.String(length=40), nullable=False),
        sa.Column("public_key", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_pass_issuers_site_id")),
        sa.PrimaryKeyConstraint("site_id", "kid", name=op.f("pk_pass_issuers")),
    )
    op.create_table(
        "visits",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("household_id", sa.String(length=40), nullable=False),
        sa.Column("visitor_name", sa.String(length=60), nullable=False),
        _word("plate", 20, ""),
        sa.Column("valid_from_s", sa.BigInteger(), nullable=False),
        sa.Column("valid_until_s", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=True),
        _word("profile", 12, "visitor"),
        sa.Column("code_credential_id", sa.String(length=40), nullable=True),
        sa.Column("plate_credential_id", sa.String(length=40), nullable=True),
        _word("pass_nonce", 64, ""),
        sa.Column("pass_text", sa.Text(), server_default="", nullable=False),
        _word("state", 10, "issued"),
        _word("created_by", 60, ""),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["code_credential_id"], ["credentials.id"], name=op.f("fk_visits_code_credential_id")),
        sa.ForeignKeyConstraint(["household_id"], ["households.id"], name=op.f("fk_visits_household_id")),
        sa.ForeignKeyConstraint(
            ["plate_credential_id"], ["credentials.id"], name=op.f("fk_visits_plate_credential_id")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_visits_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visits")),
    )
    op.create_index(op.f("ix_visits_household_id"), "visits", ["household_id"], unique=False)
    op.create_index(op.f("ix_visits_pass_nonce"), "visits", ["pass_nonce"], unique=False)
    op.create_index(op.f("ix_visits_site_id"), "visits", ["site_id"], unique=False)


def _inside() -> None:
    """Who is inside, and which uses were made."""
    op.create_table(
        "inside",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("area", sa.String(length=63), nullable=False),
        _word("household_id", 40, ""),
        _flag("is_vehicle"),
        _seconds("max_stay_s"),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        _word("gate_id", 63, ""),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_inside_site_id")),
        sa.PrimaryKeyConstraint("site_id", "subject", name=op.f("pk_inside")),
    )
    op.create_index("ix_inside_household_id", "inside", ["household_id"], unique=False)
    op.create_table(
        "departures",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_departures_site_id")),
        sa.PrimaryKeyConstraint("site_id", "subject", name=op.f("pk_departures")),
    )
    op.create_index("ix_departures_at_ms", "departures", ["at_ms"], unique=False)
    op.create_table(
        "strangers",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("area", sa.String(length=63), nullable=False),
        sa.Column("vehicles", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_strangers_site_id")),
        sa.PrimaryKeyConstraint("site_id", "area", name=op.f("pk_strangers")),
    )
    op.create_table(
        "pass_uses",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_pass_uses_site_id")),
        sa.PrimaryKeyConstraint("site_id", "key", name=op.f("pk_pass_uses")),
    )
