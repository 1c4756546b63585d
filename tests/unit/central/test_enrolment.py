"""Central's side of who is who: codes, certificates, renewal, revocation, and two gates with one identity."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy import Connection, select

from gatectl.central import enrolment, identities, sites, tables
from gatectl.central.audit import now_ms
from gatectl.central.authority import CA_KEY_FILE, Authority, load_or_make_authority
from gatectl.central.gates import gate_tile
from gatectl.core.model import Direction, LaneKind
from gatectl.errors import ConfigError, NotFoundError, RefusedError
from gatectl.wire import certificates, enrol
from gatectl.wire.certificates import PrivateKey
from gatectl.wire.enrol import EnrolAnswer, Pins, RenewAnswer
from gatectl.wire.messages import Heartbeat

PINS = Pins("A" * 43 + "=", "C" * 43 + "=")
AT = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return load_or_make_authority(tmp_path_factory.mktemp("authority"), datetime.now(UTC))


class GateSide:
    """What stands at a gate: its key, and what it asks."""

    def __init__(self, conn: Connection, authority: Authority, gate: str = "south") -> None:
        self.conn, self.authority, self.gate = conn, authority, gate
        self.key = certificates.new_key()

    def ask(self, code: str, key: PrivateKey | None = None, at_ms: int | None = None) -> EnrolAnswer:
        secret = enrol.code_secret(code, self.gate)
        request = certificates.make_request(key or self.key, self.gate)
        asked = enrol.enrol_request(secret, self.gate, request)
        answer = enrolment.take_request(
            self.conn, self.authority, PINS, 365, asked, at_ms if at_ms is not None else now_ms()
        )
        enrol.require_answer_proven(secret, asked, answer)
        return answer

    def enrol(self) -> x509.Certificate:
        return certificate_in(self.ask(enrolment.make_code(self.conn, "anna", self.gate, 60).code))

    def renew(
        self, held: x509.Certificate, key: PrivateKey, signed_by: PrivateKey | None = None, at_ms: int | None = None
    ) -> x509.Certificate:
        request = certificates.make_request(key, self.gate)
        asked = enrol.renew_request(signed_by or self.key, self.gate, certificates.serial_of(held), request)
        when_ms = at_ms if at_ms is not None else now_ms()
        return certificate_in(enrolment.renew(self.conn, self.authority, 365, asked, when_ms))


@pytest.fixture
def gate(conn: Connection, authority: Authority) -> GateSide:
    return GateSide(conn, authority)


def certificate_in(answer: EnrolAnswer | RenewAnswer) -> x509.Certificate:
    return certificates.read_certificate(enrol.certificate_bytes(answer))


def audited(conn: Connection, action: str) -> list[str]:
    return list(conn.execute(select(tables.audit.c.detail).where(tables.audit.c.action == action)).scalars())


def a_beat(instance: str, certificate: str = "", **changes: Any) -> Heartbeat:
    fields: dict[str, Any] = {"gate": "south", "online": True, "instance": instance, "certificate": certificate}
    return Heartbeat(**(fields | changes))


# --- the authority ---


def test_a_certificate_says_which_gate_for_clients_only_and_lasts(authority: Authority) -> None:
    key = certificates.new_key()
    issued = authority.issue_gate("south", key.public_key(), 365, AT)
    certificates.require_issued(issued, authority.certificate, "south", key.public_key())
    usage = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued.not_valid_after_utc == AT + timedelta(days=365)
    assert issued.not_valid_before_utc < AT
    constraints = issued.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.critical) == (False, True)


def test_the_authority_is_made_once_and_its_key_is_for_its_owner_only(tmp_path: Path) -> None:
    first, second = (load_or_make_authority(tmp_path, AT) for _ in range(2))
    assert first.der == second.der
    assert (tmp_path / CA_KEY_FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / CA_KEY_FILE).chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_or_make_authority(tmp_path, AT)


def test_an_authority_whose_key_is_offline_certifies_nobody_and_says_so(tmp_path: Path) -> None:
    load_or_make_authority(tmp_path, AT)
    (tmp_path / CA_KEY_FILE).rename(tmp_path / "in a safe")
    offline = load_or_make_authority(tmp_path, AT)
    with pytest.raises(RefusedError, match="kept offline"):
        offline.issue_gate("south", certificates.new_key().public_key(), 365, AT)
    with pytest.raises(RefusedError, match="kept offline"):
        offline.revocations((), AT)


def test_a_key_of_another_authority_is_named_as_a_mistake(tmp_path: Path) -> None:
    load_or_make_authority(tmp_path / "a", AT)
    load_or_make_authority(tmp_path / "b", AT)
    (tmp_path / "b" / CA_KEY_FILE).replace(tmp_path / "a" / CA_KEY_FILE)
    with pytest.raises(ConfigError, match="is not the key of"):
        load_or_make_authority(tmp_path / "a", AT)


# --- codes ---


def test_a_gate_that_knows_its_code_is_certified(gate: GateSide, conn: Connection) -> None:
    issued = gate.enrol()
    certificates.require_issued(issued, gate.authority.certificate, "south", gate.key.public_key())
    (row,) = conn.execute(select(tables.certificates)).all()
    assert (row.gate_id, row.state, row.serial) == ("south", "valid", certificates.serial_of(issued))
    assert audited(conn, "gate.enrolled")


def test_central_keeps_no_code_that_could_be_read(gate: GateSide, conn: Connection) -> None:
    code = enrolment.make_code(conn, "anna", "south", 60).code
    held = conn.execute(select(tables.enrolment_codes)).one()
    everything = " ".join(str(value) for value in held) + " ".join(audited(conn, "gate.code"))
    assert code not in everything
    assert enrol.plain_code(code) not in everything


def test_an_expired_code_is_refused(gate: GateSide, conn: Connection) -> None:
    code = enrolment.make_code(conn, "anna", "south", 60)
    with pytest.raises(RefusedError, match="no code is open"):
        gate.ask(code.code, at_ms=code.expires_at_ms)
    gate.ask(code.code, at_ms=code.expires_at_ms - 1)


def test_a_code_is_used_once(gate: GateSide, conn: Connection) -> None:
    code = enrolment.make_code(conn, "anna", "south", 60).code
    gate.ask(code)
    with pytest.raises(RefusedError, match="no code is open"):
        gate.ask(code, certificates.new_key())
    assert "used before" in audited(conn, "gate.enrol_refused")[0]
    assert len(conn.execute(select(tables.certificates)).all()) == 1


def test_an_answer_that_got_lost_is_given_again_to_the_same_key(gate: GateSide, conn: Connection) -> None:
    code = enrolment.make_code(conn, "anna", "south", 60).code
    first, second = gate.ask(code), gate.ask(code)
    assert first.certificate == second.certificate


def test_a_wrong_code_is_refused_and_told(gate: GateSide, conn: Connection) -> None:
    code = enrolment.make_code(conn, "anna", "south", 60).code
    wrong = ("1" if code[0] == "0" else "0") + code[1:]
    with pytest.raises(RefusedError, match="no code is open"):
        gate.ask(wrong)
    assert audited(conn, "gate.enrol_refused") == ["a wrong code, or a request changed on its way"]
    gate.ask(code)


def test_a_code_of_another_gate_opens_nothing(gate: GateSide, conn: Connection) -> None:
    enrolment.make_code(conn, "anna", "south", 60)
    other = enrolment.make_code(conn, "anna", "north", 60).code
    with pytest.raises(RefusedError):
        gate.ask(other)


def test_a_code_that_somebody_tries_to_guess_ends(gate: GateSide, conn: Connection) -> None:
    code = enrolment.make_code(conn, "anna", "south", 60).code
    for _ in range(enrolment.MAX_TRIES):
        with pytest.raises(RefusedError):
            gate.ask("0000-0000-0000")
    with pytest.raises(RefusedError):
        gate.ask(code)


def test_a_newer_code_voids_the_older(gate: GateSide, conn: Connection) -> None:
    old, new = (enrolment.make_code(conn, "anna", "south", 60).code for _ in range(2))
    with pytest.raises(RefusedError):
        gate.ask(old)
    gate.ask(new)


def test_a_gate_without_a_code_and_a_gate_that_is_none_get_the_same_words(
    conn: Connection, authority: Authority
) -> None:
    said = set()
    for name in ("south", "nowhere"):
        with pytest.raises(RefusedError) as refused:
            GateSide(conn, authority, name).ask("0000-0000-0000")
        said.add(str(refused.value))
    assert len(said) == 1
    with pytest.raises(NotFoundError):
        enrolment.make_code(conn, "anna", "nowhere", 60)


# --- renewal ---


def test_a_gate_renews_with_its_present_key_and_both_hold_until_it_is_seen_with_the_next(
    gate: GateSide, conn: Connection
) -> None:
    held, new_key = gate.enrol(), certificates.new_key()
    issued = gate.renew(held, new_key)
    assert issued.public_key() == new_key.public_key()
    assert identities.revoked_serials(conn, now_ms()) == ()
    identities.note_beat(conn, "south", a_beat("r1", certificates.serial_of(held)), now_ms())
    assert identities.revoked_serials(conn, now_ms()) == ()
    identities.note_beat(conn, "south", a_beat("r1", certificates.serial_of(issued)), now_ms())
    assert identities.revoked_serials(conn, now_ms()) == (certificates.serial_of(held),)


def test_a_renewal_whose_answer_got_lost_is_answered_again(gate: GateSide) -> None:
    held, new_key = gate.enrol(), certificates.new_key()
    assert gate.renew(held, new_key) == gate.renew(held, new_key)


def test_two_keys_that_follow_one_certificate_are_two_gates(gate: GateSide, conn: Connection) -> None:
    held = gate.enrol()
    gate.renew(held, certificates.new_key())
    with pytest.raises(RefusedError, match="cannot be renewed"):
        gate.renew(held, certificates.new_key())
    assert "two keys" in audited(conn, "gate.clone")[0]


def test_nobody_renews_with_another_key_or_another_gate(gate: GateSide, authority: Authority, conn: Connection) -> None:
    held = gate.enrol()
    with pytest.raises(RefusedError):
        gate.renew(held, certificates.new_key(), signed_by=certificates.new_key())
    north = GateSide(conn, authority, "north")
    north.key = gate.key
    with pytest.raises(RefusedError):
        north.renew(held, certificates.new_key())


def test_a_certificate_is_renewed_for_ninety_days_after_its_end_and_not_later(gate: GateSide) -> None:
    held = gate.enrol()
    end_ms = int(held.not_valid_after_utc.timestamp() * 1000)
    with pytest.raises(RefusedError):
        gate.renew(held, certificates.new_key(), at_ms=end_ms + 91 * DAY_MS)
    gate.renew(held, certificates.new_key(), at_ms=end_ms + 89 * DAY_MS)


# --- revocation ---


def test_a_revoked_gate_loses_certificate_rights_and_renewal(gate: GateSide, conn: Connection) -> None:
    held = gate.enrol()
    assert "user south" in identities.broker_acl(conn, "central")
    identities.revoke(conn, "anna", "south", "stolen")
    assert "user south" not in identities.broker_acl(conn, "central")
    assert identities.revoked_serials(conn, now_ms()) == (certificates.serial_of(held),)
    assert identities.revoked_gates(conn) == {"south"}
    with pytest.raises(RefusedError):
        gate.renew(held, certificates.new_key())
    assert gate_tile(conn, "south").alarms == ("its identity is revoked: stolen",)


def test_the_signed_list_names_what_was_revoked(gate: GateSide, conn: Connection) -> None:
    held = gate.enrol()
    identities.revoke(conn, "anna", "south", "stolen")
    pem = gate.authority.revocations(identities.revoked_serials(conn, now_ms()), AT)
    listed = x509.load_pem_x509_crl(pem)
    assert listed.is_signature_valid(certificates.certified_key(gate.authority.certificate))
    assert listed.get_revoked_certificate_by_serial_number(held.serial_number) is not None
    assert listed.get_revoked_certificate_by_serial_number(held.serial_number + 1) is None


def test_a_gate_enrolled_anew_is_trusted_again_and_its_old_certificate_is_not(gate: GateSide, conn: Connection) -> None:
    old = gate.enrol()
    identities.revoke(conn, "anna", "south", "the card was copied")
    gate.key = certificates.new_key()
    new = gate.enrol()
    assert identities.revoked_gates(conn) == frozenset()
    assert identities.revoked_serials(conn, now_ms()) == (certificates.serial_of(old),)
    states = {found.gate: (found.state, found.serial) for found in identities.identities(conn, now_ms())}
    assert states["south"] == ("valid", certificates.serial_of(new))
    assert states["north"] == ("none", "")


def test_a_code_that_waits_is_void_when_its_gate_is_revoked(gate: GateSide, conn: Connection) -> None:
    code = enrolment.make_code(conn, "anna", "south", 60).code
    identities.revoke(conn, "anna", "south", "stolen")
    with pytest.raises(RefusedError):
        gate.ask(code)


def test_revoking_needs_a_reason_and_a_gate(conn: Connection) -> None:
    with pytest.raises(RefusedError):
        identities.revoke(conn, "anna", "south", "  ")
    with pytest.raises(NotFoundError):
        identities.revoke(conn, "anna", "nowhere", "stolen")


def test_the_state_of_a_certificate_follows_the_clock(gate: GateSide, conn: Connection) -> None:
    end_ms = int(gate.enrol().not_valid_after_utc.timestamp() * 1000)

    def state(at_ms: int) -> str:
        return next(found.state for found in identities.identities(conn, at_ms) if found.gate == "south")

    assert [state(end_ms - 40 * DAY_MS), state(end_ms - DAY_MS), state(end_ms)] == ["valid", "ends_soon", "expired"]


# --- two on one identity ---


def test_a_run_that_another_followed_and_that_is_back_is_a_second_gate(conn: Connection) -> None:
    assert identities.note_beat(conn, "south", a_beat("a"), 1) is None
    assert identities.note_beat(conn, "south", a_beat("b"), 2) is None
    found = identities.note_beat(conn, "south", a_beat("a"), 3)
    assert found is not None
    assert found.is_sure
    assert "two gates" in found.words


def test_restarts_however_many_are_no_clone(conn: Connection) -> None:
    for run in range(50):
        for beat in range(3):
            assert identities.note_beat(conn, "south", a_beat(f"run{run}"), run * 10 + beat) is None


def test_two_gates_that_beat_by_turns_are_not_mixed_up(conn: Connection) -> None:
    for at in range(6):
        gate = "south" if at % 2 else "north"
        assert identities.note_beat(conn, gate, a_beat(f"{gate}-run", gate=gate), at) is None


def test_a_gate_that_was_thrown_out_says_so_and_is_sure_only_with_a_certificate(conn: Connection) -> None:
    for certificate, is_sure in (("", False), ("1f", True)):
        run = f"run{certificate}"
        assert identities.note_beat(conn, "south", a_beat(run, certificate), 1) is None
        thrown = a_beat(run, certificate, counters={"taken_over": 1})
        found = identities.note_beat(conn, "south", thrown, 2)
        assert found is not None
        assert found.is_sure is is_sure
        assert identities.note_beat(conn, "south", thrown, 3) is None


def test_a_clone_is_written_down_and_by_policy_stopped(gate: GateSide, conn: Connection) -> None:
    gate.enrol()
    identities.report_clone(conn, "south", "two gates", is_revoked_now=False)
    assert identities.revoked_gates(conn) == frozenset()
    identities.report_clone(conn, "south", "two gates", is_revoked_now=True)
    assert identities.revoked_gates(conn) == {"south"}
    assert audited(conn, "gate.clone") == ["two gates", "two gates"]


# --- the broker's files ---


def test_the_brokers_files_are_written_when_something_changed_and_only_then(
    gate: GateSide, conn: Connection, tmp_path: Path
) -> None:
    files = identities.BrokerFiles(tmp_path, gate.authority, "central")
    assert files.refresh(conn, AT)
    assert not files.refresh(conn, AT)
    held = gate.enrol()
    assert not files.refresh(conn, AT)
    identities.revoke(conn, "anna", "south", "stolen")
    assert files.refresh(conn, AT)
    listed = x509.load_pem_x509_crl((tmp_path / identities.CRL_FILE).read_bytes())
    assert listed.get_revoked_certificate_by_serial_number(held.serial_number) is not None
    assert "user south" not in (tmp_path / identities.ACL_FILE).read_text(encoding="utf-8")


def test_without_the_authoritys_key_the_acl_alone_stops_a_revoked_gate(
    gate: GateSide, conn: Connection, tmp_path: Path
) -> None:
    offline = identities.BrokerFiles(tmp_path, Authority(gate.authority.certificate, None), "central")
    identities.revoke(conn, "anna", "south", "stolen")
    with pytest.raises(RefusedError, match="kept offline"):
        offline.refresh(conn, AT)
    assert "user south" not in (tmp_path / identities.ACL_FILE).read_text(encoding="utf-8")


# --- entering sites, gates and lanes ---


def test_a_site_is_entered_from_nothing_to_a_lane_that_residents_open(conn: Connection) -> None:
    sites.add_site(conn, "anna", "lanyuan", "兰苑", "Lanyuan", "仙岗村")
    sites.add_gate(conn, "anna", "lanyuan-east", "lanyuan", "东门", "East gate", reserved="central")
    sites.add_lane(conn, "anna", "le-car", "lanyuan-east", LaneKind.VEHICLE, Direction.IN, "车行入口", "Cars in")
    sites.add_lane(conn, "anna", "le-foot", "lanyuan-east", LaneKind.PEDESTRIAN, Direction.IN, "人行", "On foot")
    members = conn.execute(select(tables.access_level_lanes)).all()
    assert {(row.level_id, row.lane_id) for row in members} == {
        ("lanyuan-residents", "le-car"),
        ("lanyuan-residents", "le-foot"),
        ("lanyuan-vehicles", "le-car"),
    }
    (row,) = [row for row in sites.list_sites(conn) if row.id == "lanyuan"]
    assert (row.gates, row.lanes, row.village) == (1, 2, "仙岗村")
    assert [lane.id for lane in sites.list_lanes(conn, "lanyuan-east")] == ["le-car", "le-foot"]
    dirty = conn.execute(select(tables.list_dirty.c.site_id)).scalars().all()
    assert "lanyuan" in dirty


@pytest.mark.parametrize("name", ["central", "office"])
def test_no_gate_may_be_called_what_central_is_called_at_the_broker(conn: Connection, name: str) -> None:
    with pytest.raises(RefusedError, match="central's own name"):
        sites.add_gate(conn, "anna", name, "danzao", "门", "Gate", reserved="office")


@pytest.mark.parametrize("name", ["", "North", "a b", "a/b", "+", "#", "-a", "a" * 64, "门"])
def test_an_id_that_would_not_do_in_a_topic_is_refused(conn: Connection, name: str) -> None:
    with pytest.raises(ConfigError):
        sites.add_gate(conn, "anna", name, "danzao", "门", "Gate")


def test_what_is_there_already_or_belongs_nowhere_is_refused(conn: Connection) -> None:
    with pytest.raises(RefusedError):
        sites.add_site(conn, "anna", "danzao", "丹灶", "Danzao")
    with pytest.raises(RefusedError):
        sites.add_gate(conn, "anna", "south", "danzao", "南", "South")
    with pytest.raises(NotFoundError):
        sites.add_gate(conn, "anna", "new", "nowhere", "新", "New")
    with pytest.raises(NotFoundError):
        sites.add_lane(conn, "anna", "new", "nowhere", LaneKind.VEHICLE, Direction.IN, "新", "New")
