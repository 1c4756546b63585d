"""The tables of the first version."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From nothing."""
    _sites()
    _rights()
    _people()
    _credentials()
    _staff()
    _events()
    _intake()
    _lists()
    _commands()


def downgrade() -> None:
    """Back to nothing: everything that was recorded is gone."""
    for table in (
        "commands",
        "list_dirty",
        "list_deltas",
        "list_rows",
        "list_heads",
        "pictures",
        "quarantine",
        "watermarks",
        "events",
        "audit",
        "setup_tokens",
        "sessions",
        "staff",
        "emergency_plates",
        "credential_levels",
        "credentials",
        "cardholders",
        "households",
        "access_level_lanes",
        "access_levels",
        "schedules",
        "lanes",
        "gates",
        "sites",
    ):
        op.drop_table(table)


def _sites() -> None:
    """Sites, their gates and lanes."""
    op.create_table(
        "sites",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("name_zh", sa.String(length=80), nullable=False),
        sa.Column("name_en", sa.String(length=80), nullable=False),
        sa.Column("village", sa.String(length=80), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sites")),
    )
    op.create_table(
        "gates",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("name_zh", sa.String(length=80), nullable=False),
        sa.Column("name_en", sa.String(length=80), nullable=False),
        sa.Column("is_online", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("offline_since", sa.BigInteger(), nullable=True),
        sa.Column("beat", sa.Text(), server_default="{}", nullable=False),
        sa.Column("list_epoch", sa.String(length=64), server_default="", nullable=False),
        sa.Column("list_ver", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("list_hash", sa.String(length=64), server_default="", nullable=False),
        sa.Column("list_status", sa.String(length=8), server_default="", nullable=False),
        sa.Column("list_error", sa.Text(), server_default="", nullable=False),
        sa.Column("list_applied_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_gates_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gates")),
    )
    op.create_index(op.f("ix_gates_site_id"), "gates", ["site_id"], unique=False)
    op.create_table(
        "lanes",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("gate_id", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("direction", sa.String(length=4), nullable=False),
        sa.Column("name_zh", sa.String(length=80), nullable=False),
        sa.Column("name_en", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["gate_id"], ["gates.id"], name=op.f("fk_lanes_gate_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lanes")),
    )
    op.create_index(op.f("ix_lanes_gate_id"), "lanes", ["gate_id"], unique=False)


def _rights() -> None:
    """Schedules and access levels."""
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("name_zh", sa.String(length=80), nullable=False),
        sa.Column("name_en", sa.String(length=80), nullable=False),
        sa.Column("windows", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_schedules_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
    )
    op.create_index(op.f("ix_schedules_site_id"), "schedules", ["site_id"], unique=False)
    op.create_table(
        "access_levels",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("name_zh", sa.String(length=80), nullable=False),
        sa.Column("name_en", sa.String(length=80), nullable=False),
        sa.Column("schedule_id", sa.String(length=63), nullable=True),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedules.id"], name=op.f("fk_access_levels_schedule_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_access_levels_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_levels")),
    )
    op.create_index(op.f("ix_access_levels_site_id"), "access_levels", ["site_id"], unique=False)
    op.create_table(
        "access_level_lanes",
        sa.Column("level_id", sa.String(length=63), nullable=False),
        sa.Column("lane_id", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(["lane_id"], ["lanes.id"], name=op.f("fk_access_level_lanes_lane_id")),
        sa.ForeignKeyConstraint(["level_id"], ["access_levels.id"], name=op.f("fk_access_level_lanes_level_id")),
        sa.PrimaryKeyConstraint("level_id", "lane_id", name=op.f("pk_access_level_lanes")),
    )


def _people() -> None:
    """Households and cardholders."""
    op.create_table(
        "households",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("building", sa.String(length=20), nullable=False),
        sa.Column("unit", sa.String(length=20), server_default="", nullable=False),
        sa.Column("room", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_households_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_households")),
        sa.UniqueConstraint(
            "site_id", "building", "unit", "room", name=op.f("uq_households_site_id_building_unit_room")
        ),
    )
    op.create_index(op.f("ix_households_site_id"), "households", ["site_id"], unique=False)
    op.create_table(
        "cardholders",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("household_id", sa.String(length=40), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("phone", sa.String(length=40), server_default="", nullable=False),
        sa.Column("relation", sa.String(length=20), server_default="resident", nullable=False),
        sa.Column("extended_open", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["household_id"], ["households.id"], name=op.f("fk_cardholders_household_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_cardholders_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cardholders")),
    )
    op.create_index(op.f("ix_cardholders_household_id"), "cardholders", ["household_id"], unique=False)
    op.create_index("ix_cardholders_name", "cardholders", ["name"], unique=False)
    op.create_index("ix_cardholders_phone", "cardholders", ["phone"], unique=False)
    op.create_index(op.f("ix_cardholders_site_id"), "cardholders", ["site_id"], unique=False)


def _credentials() -> None:
    """Credentials and what they give."""
    op.create_table(
        "credentials",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("household_id", sa.String(length=40), nullable=False),
        sa.Column("cardholder_id", sa.String(length=40), nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("valid_from_s", sa.BigInteger(), nullable=True),
        sa.Column("valid_until_s", sa.BigInteger(), nullable=True),
        sa.Column("colour", sa.String(length=14), nullable=True),
        sa.Column("note", sa.String(length=200), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["cardholder_id"], ["cardholders.id"], name=op.f("fk_credentials_cardholder_id")),
        sa.ForeignKeyConstraint(["household_id"], ["households.id"], name=op.f("fk_credentials_household_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_credentials_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("site_id", "key", name=op.f("uq_credentials_site_id_key")),
    )
    op.create_index(op.f("ix_credentials_cardholder_id"), "credentials", ["cardholder_id"], unique=False)
    op.create_index(op.f("ix_credentials_household_id"), "credentials", ["household_id"], unique=False)
    op.create_index("ix_credentials_key", "credentials", ["key"], unique=False)
    op.create_index(op.f("ix_credentials_site_id"), "credentials", ["site_id"], unique=False)
    op.create_table(
        "credential_levels",
        sa.Column("credential_id", sa.String(length=40), nullable=False),
        sa.Column("level_id", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(["credential_id"], ["credentials.id"], name=op.f("fk_credential_levels_credential_id")),
        sa.ForeignKeyConstraint(["level_id"], ["access_levels.id"], name=op.f("fk_credential_levels_level_id")),
        sa.PrimaryKeyConstraint("credential_id", "level_id", name=op.f("pk_credential_levels")),
    )
    op.create_table(
        "emergency_plates",
        sa.Column("plate", sa.String(length=20), nullable=False),
        sa.Column("note", sa.String(length=200), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("plate", name=op.f("pk_emergency_plates")),
    )


def _staff() -> None:
    """Staff accounts, and who did what."""
    op.create_table(
        "staff",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("login", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=60), server_default="", nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("language", sa.String(length=4), server_default="zh", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("login", name=op.f("uq_staff_login")),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("staff_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_sessions_staff_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_staff_id"), "sessions", ["staff_id"], unique=False)
    op.create_table(
        "setup_tokens",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("staff_id", sa.String(length=40), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_setup_tokens_staff_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_setup_tokens")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=60), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=80), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )


def _events() -> None:
    """What the gates recorded."""
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gate_id", sa.String(length=63), nullable=False),
        sa.Column("epoch", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("prev", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("site_id", sa.String(length=63), server_default="", nullable=False),
        sa.Column("lane_id", sa.String(length=63), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.String(length=4), server_default="", nullable=False),
        sa.Column("verdict", sa.String(length=8), server_default="", nullable=False),
        sa.Column("reason", sa.Integer(), nullable=False),
        sa.Column("credential", sa.String(length=80), server_default="", nullable=False),
        sa.Column("cardholder_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("household_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("person", sa.String(length=60), server_default="", nullable=False),
        sa.Column("plate", sa.String(length=20), server_default="", nullable=False),
        sa.Column("plate_colour", sa.String(length=14), server_default="", nullable=False),
        sa.Column("ref", sa.String(length=40), server_default="", nullable=False),
        sa.Column("outcome", sa.String(length=20), server_default="", nullable=False),
        sa.Column("actor", sa.String(length=60), server_default="", nullable=False),
        sa.Column("picture_sha256", sa.String(length=64), server_default="", nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("gate_id", "epoch", "seq", name=op.f("uq_events_gate_id_epoch_seq")),
    )
    op.create_index("ix_events_at_id", "events", ["at", "id"], unique=False)
    op.create_index("ix_events_cardholder_at", "events", ["cardholder_id", "at"], unique=False)
    op.create_index("ix_events_event_id", "events", ["event_id"], unique=False)
    op.create_index("ix_events_gate_at", "events", ["gate_id", "at"], unique=False)
    op.create_index("ix_events_plate", "events", ["plate"], unique=False)
    op.create_index("ix_events_ref", "events", ["ref"], unique=False)
    op.create_index("ix_events_site_at", "events", ["site_id", "at"], unique=False)


def _intake() -> None:
    """What stands beside the events."""
    op.create_table(
        "watermarks",
        sa.Column("gate_id", sa.String(length=63), nullable=False),
        sa.Column("epoch", sa.String(length=64), nullable=False),
        sa.Column("hwm", sa.BigInteger(), nullable=False),
        sa.Column("chain_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("gate_id", "epoch", name=op.f("pk_watermarks")),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_table(
        "pictures",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("gate_id", sa.String(length=63), nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_pictures")),
    )


def _lists() -> None:
    """The lists as they were sent."""
    op.create_table(
        "list_heads",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("epoch", sa.String(length=64), nullable=False),
        sa.Column("ver", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("set_hash", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_list_heads_site_id")),
        sa.PrimaryKeyConstraint("site_id", name=op.f("pk_list_heads")),
    )
    op.create_table(
        "list_rows",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("row_key", sa.String(length=120), nullable=False),
        sa.Column("row", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_list_rows_site_id")),
        sa.PrimaryKeyConstraint("site_id", "row_key", name=op.f("pk_list_rows")),
    )
    op.create_table(
        "list_deltas",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("from_ver", sa.BigInteger(), nullable=False),
        sa.Column("to_ver", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_list_deltas_site_id")),
        sa.PrimaryKeyConstraint("site_id", "from_ver", name=op.f("pk_list_deltas")),
    )
    op.create_table(
        "list_dirty",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("is_urgent", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_list_dirty_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_list_dirty")),
    )


def _commands() -> None:
    """Remote orders."""
    op.create_table(
        "commands",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("gate_id", sa.String(length=63), nullable=False),
        sa.Column("lane_id", sa.String(length=63), nullable=False),
        sa.Column("action", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("note", sa.String(length=200), server_default="", nullable=False),
        sa.Column("issuer", sa.String(length=60), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("words", sa.Text(), server_default="", nullable=False),
        sa.Column("event_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["gate_id"], ["gates.id"], name=op.f("fk_commands_gate_id")),
        sa.ForeignKeyConstraint(["lane_id"], ["lanes.id"], name=op.f("fk_commands_lane_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
    )
    op.create_index(op.f("ix_commands_gate_id"), "commands", ["gate_id"], unique=False)
    op.create_index("ix_commands_state", "commands", ["state"], unique=False)
