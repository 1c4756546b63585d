"""From a one-time code to a serving gate: central's web process, ingest, a TLS broker and edge daemons, all real."""

import contextlib
import http.server
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import uvicorn
from mtls_stand import DEADLINE_S, MOSQUITTO, MtlsBroker, Office, a_certificate, an_office, free_port
from sqlalchemy import Row, select

from gatectl.central import enrolment, identities, tables
from gatectl.central.app import make_app
from gatectl.central.authority import load_or_make_authority
from gatectl.central.charters import root_public
from gatectl.central.ingest import make_ingest
from gatectl.central.keys import load_or_make_keys
from gatectl.edge.enrol import Enrolled, Renewer, enrol_gate, renew_identity
from gatectl.edge.identity import load_identity, paths_of
from gatectl.edge.keys import site_keys
from gatectl.errors import ConfigError, LinkError, PayloadError, RefusedError
from gatectl.settings import CentralSettings, EdgeSettings, load_settings
from gatectl.wire import certificates, enrol
from gatectl.wire.enrol import EnrolRequest, Pins
from gatectl.wire.messages import decode

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")

EDGE = """
gate = "north"
site = "danzao"
data_dir = "{data}"
site_key = "{site_key}"
heartbeat_s = 1.0
central_url = "{url}"
[broker]
port = {port}
ca_file = "{data}/broker_ca.pem"
cert_file = "{data}/identity.pem"
[[devices]]
name = "bridge"
driver = "mcu"
port = "/dev/gatectl-none"
[[lanes]]
id = "north-foot"
kind = "pedestrian"
direction = "in"
barrier = "bridge"
require_presence = false
"""


def until(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 40
    while not is_true():
        assert time.monotonic() < deadline, f"{what} did not come true in time"
        time.sleep(0.02)


@contextlib.contextmanager
def served(app: Any, port: int) -> Iterator[None]:
    """The app under uvicorn, until the block ends."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the console")
    yield
    server.should_exit = True
    thread.join(DEADLINE_S)


class Town:
    """Central with its console, and where its gates' files are."""

    def __init__(self, office: Office, folder: Path, web_port: int, broker_port: int) -> None:
        self.office, self.folder = office, folder
        self.url = f"http://127.0.0.1:{web_port}"
        self.broker_port = broker_port
        client = a_certificate(office, "central", folder)
        self.settings = CentralSettings.model_validate(
            {
                "database": str(office.engine.url),
                "data_dir": folder,
                "broker": {
                    "port": broker_port,
                    "username": "central",
                    "ca_file": office.folder / "broker" / "ca.pem",
                    "cert_file": client,
                },
                "identity": {"broker_dir": office.folder / "broker"},
            }
        )
        self.site_key = load_or_make_keys(folder).public_base64

    def a_gate(self, name: str = "gate", site_key: str = "", url: str = "") -> tuple[Path, EdgeSettings]:
        data = self.folder / name
        data.mkdir(exist_ok=True)
        path = self.folder / f"{name}.toml"
        text = EDGE.format(data=data, site_key=site_key or self.site_key, url=url or self.url, port=self.broker_port)
        path.write_text(text, encoding="utf-8")
        return path, load_settings(EdgeSettings, path)

    def code(self, minutes: int = 60) -> str:
        with self.office.engine.begin() as conn:
            return enrolment.make_code(conn, "anna", "north", minutes).code

    def gate_row(self) -> Row[Any]:
        with self.office.engine.connect() as conn:
            return conn.execute(select(tables.gates).where(tables.gates.c.id == "north")).one()

    def certificates(self) -> dict[str, Row[Any]]:
        with self.office.engine.connect() as conn:
            return {row.serial: row for row in conn.execute(select(tables.certificates))}


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    office = an_office(tmp_path)
    made = Town(office, tmp_path, free_port(), free_port())
    with served(make_app(made.settings), int(made.url.rpartition(":")[2])):
        yield made
    office.engine.dispose()


def test_a_gate_gets_its_certificate_and_its_key_stays_with_it(town: Town) -> None:
    _path, settings = town.a_gate()
    got = enrol_gate(settings, town.code())
    held = load_identity(paths_of(settings).identity)
    assert (held.gate, held.serial, got.site, got.site_key) == ("north", got.serial, "danzao", town.site_key)
    certificates.require_issued(held.certificate, town.office.authority.certificate, "north", held.key.public_key())
    assert paths_of(settings).identity.stat().st_mode & 0o777 == 0o600
    assert not paths_of(settings).next_key.exists()
    secret = held.key.private_numbers().private_value.to_bytes(32, "big")
    central_files = [path.read_bytes() for path in town.folder.glob("central.db*")]
    assert not any(secret in data or secret.hex().encode() in data for data in central_files)
    with town.office.engine.connect() as conn:
        audit = tables.audit.c
        detail = conn.execute(select(audit.detail).where(audit.action == "gate.enrolled")).scalar_one()
    assert got.check in detail


def test_wrong_expired_and_used_codes_get_nothing(town: Town) -> None:
    _path, settings = town.a_gate()
    code = town.code()
    with pytest.raises(RefusedError, match="no code is open"):
        enrol_gate(settings, "0000-0000-0000")
    with pytest.raises(PayloadError, match="not a code"):
        enrol_gate(settings, "password")
    assert not paths_of(settings).identity.exists()
    enrol_gate(settings, code)
    _other_path, other = town.a_gate("other")
    with pytest.raises(RefusedError, match="no code is open"):
        enrol_gate(other, code)
    expired = town.code()
    with town.office.engine.begin() as conn:
        conn.execute(tables.enrolment_codes.update().values(expires_at=1))
    with pytest.raises(RefusedError, match="no code is open"):
        enrol_gate(other, expired)
    assert len(town.certificates()) == 1


class Impostor(http.server.BaseHTTPRequestHandler):
    """Stands in central's place without the code: certifies whoever asks, with an authority of its own."""

    folder: Path
    asked: list[EnrolRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = decode(EnrolRequest, parse_qs(body)[enrol.FORM_FIELD][0].encode())
        self.asked.append(asked)
        authority = load_or_make_authority(self.folder, datetime.now(UTC))
        key = certificates.read_request(enrol.request_bytes(asked), asked.gate)
        issued = authority.issue_gate(asked.gate, key, 365, datetime.now(UTC))
        answer = enrol.enrol_answer(
            enrol.code_secret("0000-0000-0000", asked.gate),
            asked,
            site="danzao",
            pins=Pins("A" * 43 + "=", ""),
            certificate=certificates.certificate_der(issued),
            authority=authority.der,
        )
        data = answer.model_dump_json().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class calls it
        """Silent."""


def test_whoever_stands_between_without_the_code_is_refused_on_both_sides(town: Town) -> None:
    Impostor.folder, Impostor.asked = town.folder / "impostor", []
    server = http.server.HTTPServer(("127.0.0.1", 0), Impostor)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        _path, settings = town.a_gate(url=f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(PayloadError, match="nothing of it is believed"):
            enrol_gate(settings, town.code())
        assert not paths_of(settings).identity.exists()
        assert not paths_of(settings).authority.exists()
        # What it heard from the gate, with its own key put in, is worth nothing at central.
        (asked,) = Impostor.asked
        own = certificates.make_request(certificates.new_key(), "north")
        forged = asked.model_copy(update={"request": enrol.enrol_request(b"x", "north", own).request})
        with town.office.engine.begin() as conn, pytest.raises(RefusedError):
            enrolment.take_request(
                conn, town.office.authority, Pins(town.site_key, ""), 365, forged, time.time_ns() // 1_000_000
            )
        assert town.certificates() == {}
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE_S)


def test_an_address_where_central_is_not_is_told_in_words(town: Town) -> None:
    _path, settings = town.a_gate(url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(LinkError, match="does not answer"):
        enrol_gate(settings, town.code())
    with pytest.raises(ConfigError, match="central_url"):
        enrol_gate(settings.model_copy(update={"central_url": ""}), town.code())
    with pytest.raises(ConfigError, match='site "danzao"'):
        enrol_gate(settings.model_copy(update={"site": "xianhu", "central_url": town.url}), town.code())


def test_the_command_says_what_to_put_into_the_file(town: Town) -> None:
    path, _settings = town.a_gate(site_key="A" * 43 + "=")
    command = [sys.executable, "-m", "gatectl", "gate", "enrol", "--config", str(path), "--code-stdin"]
    done = subprocess.run(command, input=town.code() + "\n", capture_output=True, text=True, check=False)
    assert done.returncode == 8, done.stderr
    assert f'site_key = "{town.site_key}"' in done.stderr
    assert f'root_key = "{root_public(town.folder)}"' in done.stderr
    _path, settings = town.a_gate()
    assert load_identity(paths_of(settings).identity).gate == "north"


def a_renewer(settings: EdgeSettings, now: datetime, *, is_time_known: bool = True) -> Renewer:
    return Renewer(settings, site_keys(settings), lambda: now, lambda: is_time_known)


def test_a_renewer_renews_after_two_thirds_of_a_life_and_not_before(town: Town) -> None:
    _path, settings = town.a_gate()
    enrol_gate(settings, town.code())
    first = load_identity(paths_of(settings).identity)
    life = first.ends_at - first.certificate.not_valid_before_utc
    early = Renewer(
        settings, site_keys(settings), lambda: first.certificate.not_valid_before_utc + life * 0.66, lambda: True
    )
    early.look()
    assert load_identity(paths_of(settings).identity).serial == first.serial
    unsure = a_renewer(settings, first.ends_at, is_time_known=False)
    unsure.look()
    assert load_identity(paths_of(settings).identity).serial == first.serial
    due = Renewer(
        settings, site_keys(settings), lambda: first.certificate.not_valid_before_utc + life * 0.67, lambda: True
    )
    due.look()
    second = load_identity(paths_of(settings).identity)
    assert (second.serial != first.serial, due.alarm) == (True, "")
    assert second.key.private_numbers() != first.key.private_numbers()


def test_a_renewal_that_fails_is_an_alarm_when_the_end_is_near(town: Town) -> None:
    _path, settings = town.a_gate()
    enrol_gate(settings, town.code())
    with town.office.engine.begin() as conn:
        identities.revoke(conn, "anna", "north", "lost")
    ends_at = load_identity(paths_of(settings).identity).ends_at
    renewer = a_renewer(settings, ends_at)
    renewer.look()
    assert "could not be renewed" in renewer.alarm
    assert "cannot be renewed" in renewer.alarm


class Daemon:
    """An edge daemon in its own process."""

    def __init__(self, config: Path) -> None:
        self.log = config.with_suffix(".log")
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "gatectl.edge.daemon", "--config", str(config)]
            self.process = subprocess.Popen(command, stderr=log)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE_S)


@pytest.fixture
def served_town(town: Town, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Town, MtlsBroker]]:
    """The town with its broker and ingest running."""
    monkeypatch.delenv("GATECTL_BROKER_PASSWORD", raising=False)
    broker = MtlsBroker(town.office, town.broker_port)
    ingest = make_ingest(town.settings)
    thread = threading.Thread(target=ingest.run, daemon=True)
    thread.start()
    yield town, broker
    ingest.stop()
    thread.join(DEADLINE_S)
    broker.stop()


def test_renewal_keeps_service_and_the_old_certificate_ends_when_the_new_is_seen(
    served_town: tuple[Town, MtlsBroker],
) -> None:
    town, broker = served_town
    path, settings = town.a_gate()
    got: Enrolled = enrol_gate(settings, town.code())
    daemon = Daemon(path)
    try:
        until(lambda: bool(town.gate_row().is_online), "the gate at central")
        until(lambda: town.certificates()[got.serial].seen_at is not None, "its certificate")
        renew_identity(settings)
        renewed = load_identity(paths_of(settings).identity).serial
        seen_ms = town.gate_row().seen_at
        until(lambda: town.gate_row().seen_at > seen_ms, "another heartbeat")
        beat = json.loads(town.gate_row().beat)
        assert (beat["counters"]["connects"], beat["certificate"]) == (1, got.serial)
        assert town.certificates()[got.serial].state == "valid"
        broker.stop()
        broker.start()
        until(lambda: town.certificates()[renewed].seen_at is not None, "the new certificate")
        assert town.certificates()[got.serial].state == "superseded"
        assert town.gate_row().revoked_at is None
    finally:
        daemon.stop()


def test_a_cloned_card_is_noticed_and_both_are_stopped(served_town: tuple[Town, MtlsBroker]) -> None:
    town, broker = served_town
    path, settings = town.a_gate()
    enrol_gate(settings, town.code())
    original = Daemon(path)
    clone = None
    try:
        until(lambda: bool(town.gate_row().is_online), "the gate at central")
        clone_path, _settings = town.a_gate("clone")
        shutil.copytree(town.folder / "gate", town.folder / "clone", dirs_exist_ok=True)
        for name in ("lock", "ready"):
            (town.folder / "clone" / name).unlink(missing_ok=True)
        clone = Daemon(clone_path)
        until(lambda: town.gate_row().revoked_at is not None, "the alarm")
        assert "two gates speak with one identity" in town.gate_row().revoked_why
        acl = town.office.folder / "broker" / identities.ACL_FILE
        until(lambda: "user north" not in acl.read_text(encoding="utf-8"), "the broker's file")
        broker.reload()
        # The one that was connected says what nobody hears; the other is not let in.
        with broker.log.open(encoding="utf-8") as log:
            log.seek(0, 2)
            heard: list[str] = []

            def are_refused() -> bool:
                heard.extend(log)
                return all(any(words in line for line in heard) for words in said)

            said = ("Denied PUBLISH from north (d0, q0, r0, m0, 'gatectl/v1/g/north/hb'", "certificate verify failed")
            until(are_refused, "both refused")
        assert not any("Received PUBLISH from north" in line for line in heard)
        assert not town.gate_row().is_online
    finally:
        original.stop()
        if clone is not None:
            clone.stop()
