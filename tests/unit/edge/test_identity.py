"""A gate's identity on its disk, what `doctor` says of it, and what a thief of the disk gets."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gatectl.core.model import ClockTrust
from gatectl.edge import checkup
from gatectl.edge.clock import SystemClock
from gatectl.edge.config_check import mistakes
from gatectl.edge.enrol import Renewer
from gatectl.edge.identity import (
    BrokerTls,
    Identity,
    IdentityPaths,
    load_identity,
    next_key,
    paths_of,
    store_identity,
)
from gatectl.errors import ConfigError
from gatectl.settings import BrokerSettings, EdgeSettings, load_settings
from gatectl.wire import certificates
from gatectl.wire.certificates import PrivateKey

EXAMPLE = Path(__file__).parents[3] / "config" / "edge.example.toml"
NO_CHECK_TIME = 0x200000


def a_certificate(key: PrivateKey, name: str = "north", begins: int = -1, ends: int = 364) -> x509.Certificate:
    """Signed by its own key; `begins` and `ends` in days from now."""
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(certificates.subject(name)).issuer_name(certificates.subject(name))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + timedelta(days=begins)).not_valid_after(now + timedelta(days=ends))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256())


@pytest.fixture
def settings(tmp_path: Path) -> EdgeSettings:
    text = EXAMPLE.read_text(encoding="utf-8").replace("/var/lib/gatectl", str(tmp_path))
    text = text.replace("# ca_file = ", "ca_file = ").replace("# cert_file = ", "cert_file = ")
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    assert mistakes(path) == []  # not enrolled yet is no mistake: the gate opens all the same
    return load_settings(EdgeSettings, path)


def stored(settings: EdgeSettings, **changes: int | str) -> IdentityPaths:
    key = certificates.new_key()
    paths = paths_of(settings)
    store_identity(paths.identity, a_certificate(key, **changes), key)  # type: ignore[arg-type]
    return paths


def test_what_was_stored_is_loaded_and_is_for_its_owner_only(settings: EdgeSettings) -> None:
    key = certificates.new_key()
    path = paths_of(settings).identity
    certificate = a_certificate(key)
    store_identity(path, certificate, key)
    held = load_identity(path)
    assert (held.gate, held.certificate) == ("north", certificate)
    assert held.key.private_numbers() == key.private_numbers()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found for found in path.parent.iterdir() if found.name.startswith(".")] == []


def test_a_key_that_others_may_read_or_that_does_not_fit_is_refused_with_words(settings: EdgeSettings) -> None:
    path = stored(settings).identity
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_identity(path)
    path.chmod(0o600)
    path.write_bytes(
        a_certificate(certificates.new_key()).public_bytes(Encoding.PEM) + certificates.key_pem(certificates.new_key())
    )
    with pytest.raises(ConfigError, match="not the certificate's"):
        load_identity(path)
    path.write_bytes(b"junk")
    with pytest.raises(ConfigError):
        load_identity(path)
    path.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        load_identity(path)


def test_the_next_key_stays_the_same_until_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "next.pem"
    first, second = next_key(path), next_key(path)
    assert first.private_numbers() == second.private_numbers()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"torn")
    assert next_key(path).private_numbers() != first.private_numbers()


def test_renewal_is_due_after_two_thirds_of_a_life() -> None:
    key = certificates.new_key()
    held = Identity(a_certificate(key, begins=0, ends=300), key)
    now = datetime.now(UTC)
    assert not held.is_renewal_due(now + timedelta(days=199))
    assert held.is_renewal_due(now + timedelta(days=201))


def test_dates_are_checked_only_while_the_clock_is_kept_right_and_names_always(settings: EdgeSettings) -> None:
    key = certificates.new_key()
    paths_of(settings).authority.write_bytes(a_certificate(key).public_bytes(Encoding.PEM))
    stored(settings)
    is_known = False
    tls = BrokerTls(settings.broker, lambda: is_known)
    assert int(tls.context.verify_flags) & NO_CHECK_TIME
    is_known = True
    tls.refresh()
    assert not int(tls.context.verify_flags) & NO_CHECK_TIME
    assert tls.context.check_hostname
    assert tls.context.verify_mode is ssl.CERT_REQUIRED


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """One TLS handshake in memory. Raises SSLError."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="broker.example"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
        if not ends:
            return
    raise AssertionError("the handshake did not end")


@pytest.mark.parametrize("is_time_known", [False, True])
def test_a_broker_whose_certificate_is_of_another_time_is_met_only_by_a_gate_without_a_clock(
    tmp_path: Path, is_time_known: bool
) -> None:
    from gatectl.central.authority import load_or_make_authority

    authority = load_or_make_authority(tmp_path, datetime.now(UTC))
    key = certificates.new_key()
    past = datetime.now(UTC) - timedelta(days=100)
    issued = authority.issue_server(["broker.example"], key.public_key(), 30, past)
    chain = tmp_path / "server.pem"
    chain.write_bytes(issued.public_bytes(Encoding.PEM) + certificates.key_pem(key))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(str(chain))
    tls = BrokerTls(BrokerSettings(ca_file=tmp_path / "ca.pem"), lambda: is_time_known)
    if is_time_known:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            handshake(server, tls.context)
    else:
        handshake(server, tls.context)


def test_a_gate_that_is_not_enrolled_yet_makes_its_client_all_the_same(settings: EdgeSettings) -> None:
    tls = BrokerTls(settings.broker, lambda: True)
    assert tls.serial == ""
    key = certificates.new_key()
    paths = paths_of(settings)
    paths.authority.write_bytes(a_certificate(key).public_bytes(Encoding.PEM))
    store_identity(paths.identity, a_certificate(key), key)
    tls.refresh()
    assert tls.serial == load_identity(paths.identity).serial


# --- doctor ---


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "trust", lambda _self: ClockTrust.SYNCED)


@pytest.mark.usefixtures("synced")
@pytest.mark.parametrize(
    ("changes", "grade", "words"),
    [
        ({}, "ok", "certified as north"),
        ({"name": "south"}, "fail", "certificate of south"),
        ({"begins": -300, "ends": 65}, "warn", "should have been renewed"),
        ({"begins": -300, "ends": -1}, "fail", "ended on"),
    ],
)
def test_doctor_says_how_a_certificate_stands(
    settings: EdgeSettings, changes: dict[str, int | str], grade: str, words: str
) -> None:
    stored(settings, **changes)
    found = checkup.identity(settings, Path("edge.toml"))
    assert (found.grade, words in found.words) == (grade, True)
    assert bool(found.repair) is (grade != "ok")


def test_doctor_tells_a_gate_without_a_certificate_to_enrol(settings: EdgeSettings) -> None:
    missing = checkup.identity(settings, Path("edge.toml"))
    assert (missing.grade, missing.repair) == ("fail", "gatectl gate enrol --config edge.toml")
    without = settings.model_copy(update={"broker": BrokerSettings(username="north")})
    assert checkup.identity(without, Path("edge.toml")).grade == "warn"


def test_doctor_says_plainly_that_a_stolen_disk_gives_card_numbers_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checkup, "TPM", tmp_path / "none")
    found = checkup.stolen_disk()
    assert found.grade == "warn"
    assert "NOT MET" in found.words
    assert "TPM" in found.words
    (tmp_path / "none").touch()
    assert "does not use it" in checkup.stolen_disk().words


def test_a_renewer_without_a_certificate_to_renew_has_nothing_to_do_and_is_never_late(settings: EdgeSettings) -> None:
    without = settings.model_copy(update={"broker": BrokerSettings(username="north")})
    renewer = Renewer(without, (), lambda: datetime.now(UTC), lambda: True)
    renewer.start()
    first_ns = renewer.beat_ns()
    assert renewer.beat_ns() >= first_ns
    renewer.stop()


def test_a_renewer_that_finds_no_certificate_says_so(settings: EdgeSettings) -> None:
    renewer = Renewer(settings, (), lambda: datetime.now(UTC), lambda: True)
    renewer.look()
    assert "no certificate for the broker" in renewer.alarm
    stored(settings)
    renewer.look()
    assert renewer.alarm == ""
