"""`gatectl site|gate|lane|mqtt` as the office types them, the HTTP routes, and what a thief of a gate gets."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvicorn
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select
from typer.testing import CliRunner, Result

from gatectl import cli
from gatectl.central import identities, tables
from gatectl.central.app import make_app
from gatectl.central.compile import compile_rows
from gatectl.central.database import migrate, open_database, writing
from gatectl.central.identity_watch import FLAP_SPAN_MS, FLAPS, IdentityWatch
from gatectl.cli.demo_seed import seed_town
from gatectl.core.model import AccessEvent, ClockTrust, CredentialKey, EventKind, GateId, LaneId
from gatectl.core.reasons import Reason
from gatectl.edge.replica_store import ReplicaStand, ReplicaStore
from gatectl.edge.store import EventStore
from gatectl.errors import PayloadError
from gatectl.settings import CentralSettings
from gatectl.sim.broker import free_port
from gatectl.sim.cast import invent_town
from gatectl.sim.plan import load_town
from gatectl.wire import certificates, enrol
from gatectl.wire.messages import Heartbeat
from gatectl.wire.rows import decode_row

ROOT = Path(__file__).resolve().parents[2]
RunCli = Callable[..., Result]


@pytest.fixture
def central(tmp_path: Path) -> Iterator[tuple[RunCli, Engine, Path]]:
    """An empty central: a way to type commands, its database, its folder."""
    url = f"sqlite:///{tmp_path / 'central.db'}"
    migrate(url)
    config = tmp_path / "central.toml"
    config.write_text(f'database = "{url}"\ndata_dir = "{tmp_path}"\n', encoding="utf-8")
    runner = CliRunner(env={"GATECTL_CENTRAL": str(config), "GATECTL_LANG": "en", "COLUMNS": "200"})
    engine = open_database(url)
    yield lambda *words: runner.invoke(cli.app, list(words)), engine, tmp_path
    engine.dispose()


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def a_town(run: RunCli) -> None:
    ok(run("site", "add", "lanyuan", "--zh", "兰苑", "--en", "Lanyuan"))
    ok(run("gate", "add", "lanyuan-east", "--site", "lanyuan", "--zh", "东门", "--en", "East"))
    words = ("--gate", "lanyuan-east", "--kind", "vehicle", "--direction", "in", "--zh", "入口", "--en", "In")
    ok(run("lane", "add", "le-car", *words))


def test_an_empty_central_is_filled_and_listed(central: tuple[RunCli, Engine, Path]) -> None:
    run, _engine, _folder = central
    a_town(run)
    (site,) = json.loads(ok(run("site", "list", "--json")))
    assert (site["id"], site["gates"], site["lanes"]) == ("lanyuan", 1, 1)
    assert "le-car\tlanyuan-east\tlanyuan\tvehicle\tin" in ok(run("lane", "list"))
    assert "lanyuan-east" in ok(run("gate", "list"))
    (identity,) = json.loads(ok(run("gate", "identities", "--json")))
    assert (identity["gate"], identity["state"]) == ("lanyuan-east", "none")
    assert "lanyuan-east\tlanyuan\tnone" in ok(run("gate", "identities"))


def test_mistakes_end_in_their_own_exit_codes(central: tuple[RunCli, Engine, Path]) -> None:
    run, _engine, folder = central
    a_town(run)
    assert run("site", "add", "lanyuan", "--zh", "兰", "--en", "L").exit_code == 10
    assert run("gate", "add", "East", "--site", "lanyuan", "--zh", "东", "--en", "E").exit_code == 2
    assert run("gate", "add", "central", "--site", "lanyuan", "--zh", "东", "--en", "E").exit_code == 10
    assert run("gate", "code", "nowhere").exit_code == 3
    assert run("gate", "revoke", "nowhere", "--why", "x").exit_code == 3
    assert run("mqtt", "certificate", str(folder)).exit_code == 2
    assert run("mqtt", "acl", "--check", str(folder / "none")).exit_code == 2


def test_a_code_is_printed_once_alone_on_stdout(central: tuple[RunCli, Engine, Path]) -> None:
    run, _engine, _folder = central
    a_town(run)
    printed = ok(run("gate", "code", "lanyuan-east"))
    assert enrol.plain_code(printed.splitlines()[0])
    code = json.loads(ok(run("gate", "code", "lanyuan-east", "--minutes", "5", "--json")))
    assert code["gate"] == "lanyuan-east"
    left_s = code["expires_at_ms"] / 1000 - datetime.now(UTC).timestamp()
    assert 240 < left_s <= 300


def test_the_acl_is_written_checked_and_its_drift_named(central: tuple[RunCli, Engine, Path]) -> None:
    run, _engine, folder = central
    a_town(run)
    path = folder / "gatectl.acl"
    ok(run("mqtt", "acl", "--out", str(path)))
    assert ok(run("mqtt", "acl")) == path.read_text(encoding="utf-8").strip()
    assert run("mqtt", "acl", "--check", str(path)).exit_code == 0
    path.write_text(path.read_text(encoding="utf-8") + "\nuser mallory\ntopic readwrite #\n", encoding="utf-8")
    drift = run("mqtt", "acl", "--check", str(path))
    assert drift.exit_code == 8
    assert drift.stdout.splitlines() == ["- mallory: is known", "- mallory: topic readwrite #"]
    ok(run("mqtt", "acl", "--out", str(path)))
    ok(run("gate", "revoke", "lanyuan-east", "--why", "stolen"))
    drift = run("mqtt", "acl", "--check", str(path))
    assert (drift.exit_code, "- lanyuan-east: is known" in drift.stdout) == (8, True)


def test_the_brokers_certificate_names_its_host_and_its_key_is_private(central: tuple[RunCli, Engine, Path]) -> None:
    run, _engine, folder = central
    out = folder / "broker"
    ok(run("mqtt", "certificate", str(out), "--host", "broker.example", "--host", "192.0.2.7"))
    ok(run("mqtt", "ca", "--out", str(out / "ca.pem")))
    ok(run("mqtt", "crl", "--out", str(out / "gatectl.crl")))
    issued = certificates.read_certificate((out / "server.crt").read_bytes())
    issued.verify_directly_issued_by(certificates.read_certificate((out / "ca.pem").read_bytes()))
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
    assert (out / "server.key").stat().st_mode & 0o777 == 0o600
    assert len(x509.load_pem_x509_crl((out / "gatectl.crl").read_bytes())) == 0
    ok(run("mqtt", "certificate", str(out), "--client"))
    client = certificates.read_certificate((out / "central.crt").read_bytes())
    assert certificates.name_of(client) == "central"


# --- the routes ---


@pytest.fixture
def web(central: tuple[RunCli, Engine, Path]) -> Iterator[httpx.Client]:
    run, _engine, folder = central
    a_town(run)
    app = make_app(CentralSettings(database=f"sqlite:///{folder / 'central.db'}", data_dir=folder))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline_s = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)  # uvicorn tells nobody
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client
    server.should_exit = True
    thread.join(20)


@pytest.mark.parametrize("path", [enrol.ENROL_PATH, enrol.RENEW_PATH])
@pytest.mark.parametrize("message", [None, "", "{}", "null", '{"v":2}', "门", "[" * 500, "x" * 100_000])
def test_anything_but_a_message_is_answered_in_words(web: httpx.Client, path: str, message: str | None) -> None:
    answer = web.post(path, data={} if message is None else {enrol.FORM_FIELD: message})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


@given(text=st.text(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_no_text_breaks_the_routes(web: httpx.Client, text: str) -> None:
    for path in (enrol.ENROL_PATH, enrol.RENEW_PATH):
        assert web.post(path, data={enrol.FORM_FIELD: text}).status_code == 400


def test_a_stranger_is_refused_with_403_and_the_try_is_counted(
    web: httpx.Client, central: tuple[RunCli, Engine, Path]
) -> None:
    run, engine, _folder = central
    ok(run("gate", "code", "lanyuan-east"))
    key = certificates.new_key()
    request = certificates.make_request(key, "lanyuan-east")
    secret = enrol.code_secret("0000-0000-0000", "lanyuan-east")
    asked = enrol.enrol_request(secret, "lanyuan-east", request).model_dump_json()
    answer = web.post(enrol.ENROL_PATH, data={enrol.FORM_FIELD: asked})
    assert (answer.status_code, "no code is open" in answer.json()["error"]) == (403, True)
    with engine.connect() as conn:
        assert conn.execute(select(tables.enrolment_codes.c.tries)).scalar_one() == 1
    renewal = enrol.renew_request(key, "lanyuan-east", "1f", request).model_dump_json()
    assert web.post(enrol.RENEW_PATH, data={enrol.FORM_FIELD: renewal}).status_code == 403


def test_a_central_whose_key_files_stand_open_says_no_secret_to_a_stranger(
    web: httpx.Client, central: tuple[RunCli, Engine, Path]
) -> None:
    run, _engine, folder = central
    code = ok(run("gate", "code", "lanyuan-east")).splitlines()[0]
    ok(run("mqtt", "ca"))
    (folder / "authority" / "ca_key.pem").chmod(0o644)
    secret = enrol.code_secret(code, "lanyuan-east")
    request = certificates.make_request(certificates.new_key(), "lanyuan-east")
    asked = enrol.enrol_request(secret, "lanyuan-east", request).model_dump_json()
    answer = web.post(enrol.ENROL_PATH, data={enrol.FORM_FIELD: asked})
    assert answer.status_code == 503
    assert str(folder) not in answer.text


# --- ingest's eye ---


def test_a_revoked_gates_words_are_not_taken_and_flapping_is_told(central: tuple[RunCli, Engine, Path]) -> None:
    run, engine, folder = central
    a_town(run)
    watch = IdentityWatch(CentralSettings(data_dir=folder))
    gate = "lanyuan-east"
    lost = Heartbeat(gate=gate, online=False)
    with writing(engine) as conn:
        watch.each_second(conn, datetime.now(UTC))
        watch.require_trusted(gate, b"")
        for at_ms in range(0, FLAPS * FLAP_SPAN_MS, FLAP_SPAN_MS):
            watch.take_beat(conn, gate, lost, at_ms)  # once in ten minutes: a network as networks are
        assert _clones(conn) == []
        for at_ms in range(FLAPS):
            watch.take_beat(conn, gate, lost, 10**9 + at_ms)
        assert len(_clones(conn)) == 1
        assert identities.revoked_gates(conn) == frozenset()
        for instance in ("a", "b", "a"):
            watch.take_beat(conn, gate, Heartbeat(gate=gate, online=True, instance=instance), 1)
        with pytest.raises(PayloadError, match="revoked"):
            watch.require_trusted(gate, b"")


def test_with_the_policy_alarm_a_clone_is_told_and_not_stopped(central: tuple[RunCli, Engine, Path]) -> None:
    run, engine, folder = central
    a_town(run)
    policy = CentralSettings.model_validate({"data_dir": folder, "identity": {"on_clone": "alarm"}})
    watch = IdentityWatch(policy)
    with writing(engine) as conn:
        for instance in ("a", "b", "a"):
            watch.take_beat(conn, "lanyuan-east", Heartbeat(gate="lanyuan-east", online=True, instance=instance), 1)
        assert len(_clones(conn)) == 1
        watch.require_trusted("lanyuan-east", b"")


def _clones(conn: Connection) -> list[str]:
    query = select(tables.audit.c.detail).where(tables.audit.c.action == "gate.clone")
    return list(conn.execute(query).scalars())


# --- older databases ---


def test_a_database_of_the_schema_before_keeps_its_gates(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    from gatectl.central.database import MIGRATIONS

    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = open_database(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with writing(engine) as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0004")
        conn.exec_driver_sql("INSERT INTO sites (id, name_zh, name_en) VALUES ('s', 's', 's')")
        conn.exec_driver_sql("INSERT INTO gates (id, site_id, name_zh, name_en) VALUES ('g', 's', 'g', 'g')")
    engine.dispose()
    for _ in range(2):
        migrate(url)
    engine = open_database(url)
    with engine.connect() as conn:
        (found,) = identities.identities(conn, 0)
    engine.dispose()
    assert (found.gate, found.state) == ("g", "none")


# --- a stolen gate ---


def test_a_gates_disk_holds_no_names_phones_or_rooms(tmp_path: Path, central: tuple[RunCli, Engine, Path]) -> None:
    _run, engine, _folder = central
    plan = load_town(ROOT / "config" / "danzao.toml").cut(2)
    cast = invent_town(plan)
    with writing(engine) as conn:
        seed_town(conn, plan, cast)
    site = plan.sites[0].id
    with engine.connect() as conn:
        rows = {key: data for key, (_row, data) in compile_rows(conn, site).items()}
    disk = tmp_path / "gate"
    replica = ReplicaStore(disk / "acl.db")
    replica.open()
    replica.replace(rows, ReplicaStand("e", 1, "0" * 64, len(rows), 1, 1))
    household = cast.sites[site].households[0]
    _record_a_tap(disk / "edge.db", household.people[0].id, household.id, str(household.cards[0].key))
    replica.close()
    data = b"".join(path.read_bytes() for path in sorted(disk.iterdir()))
    assert str(household.cards[0].key).encode() in data  # the scan sees what is there
    for home in cast.sites[site].households:
        for person in home.people:
            assert person.name.encode() not in data
            assert person.phone.encode() not in data
        for separator in ("-", "栋", "/"):
            assert f"{home.building}{separator}{home.unit}{separator}{home.room}".encode() not in data
    fields = {name for row in rows.values() for name in decode_row(row).fields}
    assert not fields & {"name", "phone", "room", "building", "unit", "person"}


def _record_a_tap(path: Path, person: str, household: str, key: str) -> None:
    store = EventStore(path)
    store.start()
    assert store.wait_ready(20)
    event = AccessEvent(
        id="e1",
        kind=EventKind.ACCESS,
        gate=GateId("g"),
        lane=LaneId("l"),
        at=datetime(2026, 11, 23, tzinfo=UTC),
        boot_id="b",
        mono_ns=1,
        clock=ClockTrust.SYNCED,
        reason=Reason.CARD_OK,
        credential=CredentialKey(key),
        subject=person,
        household=household,
    )
    assert store.submit(event).wait(20)
    store.stop(20)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM journal").fetchone() == (1,)
    database.close()
