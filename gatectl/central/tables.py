"""Central's tables (SQLAlchemy Core). Times are UTC epoch milliseconds unless a name says otherwise."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")

sites = Table(
    "sites",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("name_zh", String(80), nullable=False),
    Column("name_en", String(80), nullable=False),
    Column("village", String(80), nullable=False, server_default=""),
)

gates = Table(
    "gates",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False, index=True),
    Column("name_zh", String(80), nullable=False),
    Column("name_en", String(80), nullable=False),
    Column("is_online", Boolean, nullable=False, server_default="0"),
    Column("seen_at", BigInteger),
    Column("offline_since", BigInteger),
    Column("beat", Text, nullable=False, server_default="{}"),  # the last Heartbeat, as JSON
    Column("list_epoch", String(64), nullable=False, server_default=""),
    Column("list_ver", BigInteger, nullable=False, server_default="0"),
    Column("list_hash", String(64), nullable=False, server_default=""),
    Column("list_status", String(8), nullable=False, server_default=""),  # ok | nack
    Column("list_error", Text, nullable=False, server_default=""),
    Column("list_applied_at", BigInteger),
    Column("journal_key", String(44), nullable=False, server_default=""),  # what its signed heads are checked with
    Column("revoked_at", BigInteger),  # its certificate and its topics are taken away until it is enrolled anew
    Column("revoked_why", String(200), nullable=False, server_default=""),
    Column("instance", String(40), nullable=False, server_default=""),  # the daemon's run that beat last
    Column("taken_over", BigInteger, nullable=False, server_default="0"),  # as that run counts
)

certificates = Table(
    "certificates",  # every one that the site authority issued to a gate
    metadata,
    Column("serial", String(40), primary_key=True),  # hex
    Column("gate_id", ForeignKey("gates.id"), nullable=False, index=True),
    Column("key_sha256", String(64), nullable=False),  # of the public key
    Column("fingerprint", String(64), nullable=False),  # SHA-256 of the certificate
    Column("certificate", Text, nullable=False),  # base64 of its DER
    Column("state", String(12), nullable=False),  # valid | superseded | revoked
    Column("follows", String(40), nullable=False, server_default=""),  # the serial that it renews; "" = by a code
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger),  # first heartbeat over it
    Column("ended_at", BigInteger),  # when it was superseded or revoked
)

enrolment_codes = Table(
    "enrolment_codes",  # the newest one of a gate
    metadata,
    Column("gate_id", ForeignKey("gates.id"), primary_key=True),
    Column("secret", String(64), nullable=False),  # hex of the code's scrypt; "" once used up
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", String(60), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),  # that did not prove the code
    Column("used_at", BigInteger),
    Column("serial", String(40), nullable=False, server_default=""),  # what it was used for
)

gate_instances = Table(
    "gate_instances",  # the runs of a gate's daemon: one that was followed by another never comes back
    metadata,
    Column("gate_id", ForeignKey("gates.id"), primary_key=True),
    Column("instance", String(40), primary_key=True),
    Column("first_at", BigInteger, nullable=False),
)

lanes = Table(
    "lanes",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("gate_id", ForeignKey("gates.id"), nullable=False, index=True),
    Column("kind", String(12), nullable=False),  # vehicle | pedestrian
    Column("direction", String(4), nullable=False),  # in | out
    Column("name_zh", String(80), nullable=False),
    Column("name_en", String(80), nullable=False),
)

households = Table(
    "households",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False, index=True),
    Column("building", String(20), nullable=False),
    Column("unit", String(20), nullable=False, server_default=""),
    Column("room", String(20), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("quota", Integer),  # cars inside at once; null = any number
    Column("unloading_s", Integer, nullable=False, server_default="0"),
    Column("is_card_for_car", Boolean, nullable=False, server_default="1"),
    Column("tenancy_until_s", BigInteger),  # tenants' credentials end then
    UniqueConstraint("site_id", "building", "unit", "room"),
)

cardholders = Table(
    "cardholders",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("household_id", ForeignKey("households.id"), nullable=False, index=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False, index=True),
    Column("name", String(60), nullable=False),
    Column("phone", String(40), nullable=False, server_default=""),
    Column("relation", String(20), nullable=False, server_default="resident"),
    Column("extended_open", Boolean, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
    Column("profile", String(12), nullable=False, server_default="resident"),  # Profile
    Column("level_id", String(63), nullable=False, server_default=""),  # of this person's cards; "" = residents
    Column("valid_until_s", BigInteger),  # of this person's cards
    Column("max_stay_s", Integer, nullable=False, server_default="0"),  # likewise; 0 = any time
    Index("ix_cardholders_name", "name"),
    Index("ix_cardholders_phone", "phone"),
)

access_levels = Table(
    "access_levels",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False, index=True),
    Column("name_zh", String(80), nullable=False),
    Column("name_en", String(80), nullable=False),
    Column("schedule_id", ForeignKey("schedules.id")),
)

access_level_lanes = Table(
    "access_level_lanes",
    metadata,
    Column("level_id", ForeignKey("access_levels.id"), primary_key=True),
    Column("lane_id", ForeignKey("lanes.id"), primary_key=True),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False, index=True),
    Column("name_zh", String(80), nullable=False),
    Column("name_en", String(80), nullable=False),
    Column("windows", Text, nullable=False),  # JSON [[weekday, start_min, end_min], ...]; weekday 7 = holidays
    Column("follows_calendar", Boolean, nullable=False, server_default="0"),
    # JSON [[first_day, last_day, [[start_min, end_min], ...]], ...]; days since 1970-01-01 in site time
    Column("exceptions", Text, nullable=False, server_default="[]"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False, index=True),
    Column("household_id", ForeignKey("households.id"), nullable=False, index=True),
    Column("cardholder_id", ForeignKey("cardholders.id"), index=True),
    Column("kind", String(8), nullable=False),  # card | plate | code | pass
    Column("key", String(80), nullable=False),  # CredentialKey
    Column("state", String(10), nullable=False),  # GrantState
    Column("valid_from_s", BigInteger),
    Column("valid_until_s", BigInteger),
    Column("colour", String(14)),  # plates only
    Column("note", String(200), nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("profile", String(12), nullable=False, server_default="resident"),  # Profile
    Column("exit_until_s", BigInteger),
    Column("max_stay_s", Integer, nullable=False, server_default="0"),
    Column("uses", Integer),  # entries; null = any number
    Column("has_fixed_space", Boolean, nullable=False, server_default="0"),
    Column("asks_guard", Boolean, nullable=False, server_default="0"),
    Column("is_duress", Boolean, nullable=False, server_default="0"),
    Column("has_no_plate", Boolean, nullable=False, server_default="0"),
    UniqueConstraint("site_id", "key"),
    Index("ix_credentials_key", "key"),
)

credential_levels = Table(
    "credential_levels",
    metadata,
    Column("credential_id", ForeignKey("credentials.id"), primary_key=True),
    Column("level_id", ForeignKey("access_levels.id"), primary_key=True),
)

areas = Table(
    "areas",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False, index=True),
    Column("name_zh", String(80), nullable=False),
    Column("name_en", String(80), nullable=False),
    Column("passback", String(8), nullable=False, server_default="off"),  # Passback
    Column("passback_s", Integer, nullable=False, server_default="0"),
    Column("link_policy", String(12), nullable=False, server_default="local_only"),  # LinkPolicy
    Column("capacity", Integer, nullable=False, server_default="0"),  # vehicles; 0 = not counted
)

lane_policies = Table(
    "lane_policies",
    metadata,
    Column("lane_id", ForeignKey("lanes.id"), primary_key=True),
    Column("mode", String(12), nullable=False, server_default="normal"),  # LaneMode
    Column("mode_until_s", BigInteger),
    Column("mode_reason", String(200), nullable=False, server_default=""),
    Column("mode_by", String(60), nullable=False, server_default=""),
    Column("open_schedule_id", ForeignKey("schedules.id")),
    Column("is_first_card_in", Boolean, nullable=False, server_default="0"),
    Column("is_two_person", Boolean, nullable=False, server_default="0"),
    Column("interlock", String(40), nullable=False, server_default=""),
    Column("area_from", String(63), nullable=False, server_default=""),  # areas.id, or "" for the street
    Column("area_to", String(63), nullable=False, server_default=""),
    Column("short_stay_s", Integer, nullable=False, server_default="0"),
    Column("short_stay_schedule_id", ForeignKey("schedules.id")),
    Column("is_fire_lane", Boolean, nullable=False, server_default="1"),
)

site_settings = Table(
    "site_settings",
    metadata,
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("code_salt", String(32), nullable=False, server_default=""),  # hex of 16 random bytes; "" = no codes yet
)

pass_issuers = Table(
    "pass_issuers",
    metadata,
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("kid", String(40), primary_key=True),
    Column("public_key", String(64), nullable=False),  # hex of an Ed25519 public key; the private one is in a file
    Column("created_at", BigInteger, nullable=False),
    Column("retired_at", BigInteger),
)

visits = Table(
    "visits",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False, index=True),
    Column("household_id", ForeignKey("households.id"), nullable=False, index=True),
    Column("visitor_name", String(60), nullable=False),
    Column("plate", String(20), nullable=False, server_default=""),
    Column("valid_from_s", BigInteger, nullable=False),
    Column("valid_until_s", BigInteger, nullable=False),
    Column("uses", Integer),  # entries; null = any number
    Column("profile", String(12), nullable=False, server_default="visitor"),  # Profile
    Column("code_credential_id", ForeignKey("credentials.id")),
    Column("plate_credential_id", ForeignKey("credentials.id")),
    Column("pass_nonce", String(64), nullable=False, server_default="", index=True),
    Column("pass_text", Text, nullable=False, server_default=""),
    Column("state", String(10), nullable=False, server_default="issued"),  # issued | arrived | left | cancelled
    Column("created_by", String(60), nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("cancelled_at", BigInteger),
)

inside = Table(
    "inside",
    metadata,
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("subject", String(80), primary_key=True),  # a cardholder's id, or a car's credential key
    Column("area", String(63), nullable=False),
    Column("household_id", String(40), nullable=False, server_default=""),
    Column("is_vehicle", Boolean, nullable=False, server_default="0"),
    Column("max_stay_s", Integer, nullable=False, server_default="0"),
    Column("since_ms", BigInteger, nullable=False),
    Column("gate_id", String(63), nullable=False, server_default=""),
    Index("ix_inside_household_id", "household_id"),
)

corrections = Table(
    "corrections",  # of who is inside, until the gates are told
    metadata,
    Column("id", String(40), primary_key=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("news", Text, nullable=False),  # JSON [PassageNews, ...]
)

departures = Table(
    "departures",
    metadata,
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("subject", String(80), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),  # a late word of an earlier entry must not bring them back
    Index("ix_departures_at_ms", "at_ms"),
)

strangers = Table(
    "strangers",
    metadata,
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("area", String(63), primary_key=True),
    Column("vehicles", Integer, nullable=False),  # inside, and nobody knows whose
)

pass_uses = Table(
    "pass_uses",
    metadata,
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("key", String(80), primary_key=True),  # a credential's key or a pass's nonce
    Column("uses", Integer, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)

emergency_plates = Table(
    "emergency_plates",
    metadata,
    Column("plate", String(20), primary_key=True),
    Column("note", String(200), nullable=False, server_default=""),
)

staff = Table(
    "staff",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("login", String(60), nullable=False, unique=True),
    Column("name", String(60), nullable=False, server_default=""),
    Column("password_hash", Text, nullable=False),
    Column("role", String(20), nullable=False),  # admin | manager | guard | viewer
    Column("language", String(4), nullable=False, server_default="zh"),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),  # SHA-256 of the cookie
    Column("staff_id", ForeignKey("staff.id"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

setup_tokens = Table(
    "setup_tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("purpose", String(20), nullable=False),  # first_admin | reset
    Column("staff_id", ForeignKey("staff.id")),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)

events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("gate_id", String(63), nullable=False),
    Column("epoch", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("prev", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("body", Text, nullable=False),  # the gate's bytes; never rewritten
    Column("personal", Text, nullable=False, server_default=""),  # hashed in the body; purged in time
    # what the body says, in columns for the filters
    Column("event_id", String(40), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("site_id", String(63), nullable=False, server_default=""),
    Column("lane_id", String(63), nullable=False, server_default=""),
    Column("at", BigInteger, nullable=False),  # stamped_at, corrected by an anchor where the clock was not synced
    Column("stamped_at", BigInteger, nullable=False, server_default="0"),
    Column("clock", String(10), nullable=False, server_default=""),
    Column("clock_error_ms", BigInteger),  # of `at`; null = not known
    Column("boot_id", String(40), nullable=False, server_default=""),
    Column("mono_ns", BigInteger, nullable=False, server_default="0"),
    Column("direction", String(4), nullable=False, server_default=""),
    Column("verdict", String(8), nullable=False, server_default=""),
    Column("reason", Integer, nullable=False),
    Column("credential", String(80), nullable=False, server_default=""),
    Column("cardholder_id", String(40), nullable=False, server_default=""),
    Column("household_id", String(40), nullable=False, server_default=""),
    Column("person", String(60), nullable=False, server_default=""),  # the name as it stood then
    Column("plate", String(20), nullable=False, server_default=""),
    Column("plate_colour", String(14), nullable=False, server_default=""),
    Column("ref", String(40), nullable=False, server_default=""),
    Column("outcome", String(20), nullable=False, server_default=""),
    Column("actor", String(60), nullable=False, server_default=""),
    Column("picture_sha256", String(64), nullable=False, server_default=""),
    Column("received_at", BigInteger, nullable=False),
    UniqueConstraint("gate_id", "epoch", "seq"),
    Index("ix_events_at_id", "at", "id"),
    Index("ix_events_event_id", "event_id"),
    Index("ix_events_ref", "ref"),
    Index("ix_events_site_at", "site_id", "at"),
    Index("ix_events_gate_at", "gate_id", "at"),
    Index("ix_events_plate", "plate"),
    Index("ix_events_cardholder_at", "cardholder_id", "at"),
    Index("ix_events_boot", "gate_id", "boot_id", "mono_ns"),
)

gaps = Table(
    "gaps",  # what a gate had to give up before central had it, as it told itself
    metadata,
    Column("gate_id", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("first_seq", BigInteger, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_hash", String(64), nullable=False),
    Column("told_by", String(40), nullable=False),  # event_id
)

signed_heads = Table(
    "signed_heads",  # a gate's word, by its own key, that its chain had this hash
    metadata,
    Column("gate_id", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("key", String(44), nullable=False),
    Column("signature", String(88), nullable=False),
    Column("received_at", BigInteger, nullable=False),
)

anchors = Table(
    "anchors",  # what a gate's ticks were when its time was known
    metadata,
    Column("gate_id", String(63), primary_key=True),
    Column("boot_id", String(40), primary_key=True),
    Column("mono_ns", BigInteger, primary_key=True),
    Column("utc_ms", BigInteger, nullable=False),
    Column("error_ms", BigInteger, nullable=False),
)

legal_holds = Table(
    "legal_holds",  # a site's data of a time that no purge touches
    metadata,
    Column("id", String(40), primary_key=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False, index=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("why", String(200), nullable=False),
    Column("actor", String(60), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)

disclosures = Table(
    "disclosures",  # 调阅登记: what was handed out, to whom, why
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("actor", String(60), nullable=False),
    Column("unit", String(80), nullable=False),
    Column("person", String(60), nullable=False),
    Column("why", String(200), nullable=False),
    Column("document", String(80), nullable=False, server_default=""),
    Column("what", String(500), nullable=False, server_default=""),
    Column("lines", BigInteger),  # null: it broke off
    Column("digest", String(64), nullable=False, server_default=""),
)

purges = Table(
    "purges",  # proof of what was deleted by its retention
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("subject", String(20), nullable=False),
    Column("before", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("gate_id", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("hwm", BigInteger, nullable=False),
    Column("chain_hash", String(64), nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("received_at", BigInteger, nullable=False),
    Column("topic", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

pictures = Table(
    "pictures",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("gate_id", String(63), nullable=False),
    Column("bytes", LargeBinary, nullable=False),  # JPEG
    Column("received_at", BigInteger, nullable=False),
)

list_heads = Table(
    "list_heads",
    metadata,
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("epoch", String(64), nullable=False),
    Column("ver", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("set_hash", String(64), nullable=False),
    Column("issued_at", BigInteger, nullable=False),
)

list_rows = Table(
    "list_rows",
    metadata,
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("row_key", String(120), primary_key=True),
    Column("row", LargeBinary, nullable=False),
)

list_deltas = Table(
    "list_deltas",
    metadata,
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("from_ver", BigInteger, primary_key=True),
    Column("to_ver", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),  # sealed, as sent
    Column("made_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
)

list_dirty = Table(
    "list_dirty",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("is_urgent", Boolean, nullable=False, server_default="0"),
    Column("made_at", BigInteger, nullable=False),
)

commands = Table(
    "commands",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("gate_id", ForeignKey("gates.id"), nullable=False, index=True),
    Column("lane_id", ForeignKey("lanes.id"), nullable=False),
    Column("action", String(20), nullable=False),  # Command.action
    Column("reason", String(40), nullable=False),
    Column("note", String(200), nullable=False, server_default=""),
    Column("issuer", String(60), nullable=False),
    Column(
        "state", String(12), nullable=False
    ),  # queued | sent | received | refused | confirmed | unconfirmed | expired
    Column("words", Text, nullable=False, server_default=""),
    Column("event_id", String(40), nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("changed_at", BigInteger, nullable=False),
    Index("ix_commands_state", "state"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(60), nullable=False),
    Column("action", String(40), nullable=False),  # e.g. card.lost, gate.open, staff.sign_in
    Column("subject", String(80), nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
)
