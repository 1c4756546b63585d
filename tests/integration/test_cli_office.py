"""The office commands on a real database file, as a person types them."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select, update
from typer.testing import CliRunner, Result

from gatectl import cli
from gatectl.central import gates, staff, tables
from gatectl.central.audit import now_ms
from gatectl.central.database import migrate, open_database
from gatectl.core.reasons import Reason

RunCli = Callable[..., Result]
DEADLINE_S = 20.0
ASKED = ("--unit", "派出所", "--asker", "李警官", "--why", "案件 7")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Central's file, with a migrated database beside it."""
    url = f"sqlite:///{tmp_path / 'central.db'}"
    migrate(url)
    path = tmp_path / "central.toml"
    path.write_text(f'database = "{url}"\ndata_dir = "{tmp_path}"\n', encoding="utf-8")
    return path


@pytest.fixture
def engine(config: Path) -> Iterator[Engine]:
    """The same database, with a site, two gates and their lanes."""
    found = open_database(f"sqlite:///{config.parent / 'central.db'}")
    with found.begin() as conn:
        conn.execute(insert(tables.sites).values(id="danzao", name_zh="丹灶", name_en="Danzao"))
        for gate, online in (("south", True), ("north", False)):
            conn.execute(
                insert(tables.gates).values(
                    id=gate, site_id="danzao", name_zh=f"{gate}门", name_en=gate, is_online=online
                )
            )
            conn.execute(
                insert(tables.lanes).values(
                    id=f"{gate}-in", gate_id=gate, kind="vehicle", direction="in", name_zh="入口", name_en="in"
                )
            )
    yield found
    found.dispose()


@pytest.fixture
def run(config: Path, engine: Engine) -> RunCli:  # the engine has put the site in
    """Run one command line; English unless told otherwise."""
    runner = CliRunner(env={"GATECTL_CENTRAL": str(config), "GATECTL_LANG": "en", "COLUMNS": "200"})

    def call(*args: str, typed: str | None = None) -> Result:
        return runner.invoke(cli.app, list(args), input=typed)

    return call


def _ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def _add_event(engine: Engine, seq: int, **changes: object) -> None:
    values: dict[str, object] = {
        "gate_id": "south",
        "epoch": "e",
        "seq": seq,
        "prev": "",
        "hash": "",
        "body": "{}",
        "event_id": f"e{seq}",
        "kind": "access",
        "site_id": "danzao",
        "lane_id": "south-in",
        "at": now_ms(),
        "direction": "in",
        "verdict": "granted",
        "reason": int(Reason.PLATE_OK),
        "plate": "粤E12345",
        "person": "王小明",
        "received_at": now_ms(),
    }
    with engine.begin() as conn:
        conn.execute(insert(tables.events).values(**values | changes))


def test_a_household_is_enrolled_found_changed_and_revoked(run: RunCli) -> None:
    _ok(run("household", "add", "3-2-501"))
    person = _ok(run("people", "add", "3-2-501", "张小三", "--phone", "13800131234", "--relation", "owner"))
    card = json.loads(_ok(run("card", "issue", person, "0A1B2C3D4E", "--json")))["id"]
    car = _ok(run("vehicle", "add", "3-2-501", "粤E12345"))
    second = run("vehicle", "add", "3-2-501", "粤E12346", "--json")
    near = json.loads(_ok(second))["near"]
    assert near == [{"plate": "粤E12345", "door": "3-2-501", "is_lookalike": False, "places": [6]}]
    assert "粤E12345, 3-2-501: one character apart (6/5)" in second.stderr
    for query in ("小三", "3-2-501", "1234", "粤E123", "0A1B2C3D4E"):
        rows = json.loads(_ok(run("people", "find", query, "--json")))
        assert [row["person_id"] for row in rows] == [person], query
    assert (rows[0]["name"], rows[0]["phone"]) == ("张*三", "138****1234")
    home = json.loads(_ok(run("household", "show", "3-2-501", "--json")))
    assert [c["card"] for c in home["cards"]] == ["em:…3D4E"]
    lost = run("card", "lost", "0A1B2C3D4E")
    assert lost.exit_code == 0
    assert "in effect at 0/2" in lost.stderr
    _ok(run("card", "restore", card))
    _ok(run("card", "revoke", card))
    _ok(run("vehicle", "edit", car, "粤E54321"))
    _ok(run("vehicle", "revoke", "粤E54321"))
    _ok(run("people", "edit", person, "--name", "张三"))
    shown = json.loads(_ok(run("people", "show", person, "--json")))
    assert shown["person"]["name"] == "张*"
    assert {c["plate"]: c["state"] for c in shown["household"]["vehicles"]} == {
        "粤E12345": "expired",
        "粤E54321": "revoked",
        "粤E12346": "active",
    }
    assert [c["state"] for c in shown["household"]["cards"]] == ["revoked"]
    assert "粤E12346" in _ok(run("people", "show", person))
    _ok(run("people", "remove", person))
    assert run("people", "find", "张三").exit_code == 3


def test_personal_data_in_full_needs_a_reason_that_is_logged(run: RunCli, engine: Engine) -> None:
    _ok(run("household", "add", "3-2-501"))
    _ok(run("people", "add", "3-2-501", "张小三", "--phone", "13800131234"))
    assert "13800131234" not in _ok(run("people", "find", "小三"))
    assert run("people", "find", "小三", "--reveal", "").exit_code == 10
    assert "13800131234" in _ok(run("people", "find", "小三", "--reveal", "call about parcel"))
    with engine.connect() as conn:
        logged = conn.execute(select(tables.audit).where(tables.audit.c.action == "person.reveal")).one()
    assert logged.detail == "call about parcel"
    assert logged.actor.startswith("cli:")


def test_a_change_that_does_not_reach_every_gate_in_time_ends_with_six(
    run: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatectl.cli.office.EFFECT_TIMEOUT_S", 0.3)
    _ok(run("household", "add", "3-2-501"))
    result = run("vehicle", "add", "3-2-501", "粤E12345", "--wait")
    assert result.exit_code == 6
    assert "north never seen" in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("people", "find", "nobody"), 3, "nobody matches"),
        (("people", "show", "none"), 3, "no person"),
        (("household", "show", "9-9-909"), 3, "household add"),
        (("household", "add", "xyz"), 10, "no door"),
        (("household", "add", "1-1-101", "--site", "none"), 3, "known: danzao"),
        (("card", "issue", "none", "0A1B2C3D4E"), 3, "no person"),
        (("card", "convert", "hello"), 10, "not a card number"),
        (("card", "lost", "0A1B2C3D4E"), 3, "no such card"),
        (("events", "--since", "soon", "--verdict", "maybe"), 2, "verdict='maybe'"),
        (("event", "show", "none"), 3, "no event"),
        (("gate", "open", "none", "--reason", "visitor"), 3, "no gate"),
        (("gate", "open", "north", "--reason", "visitor"), 7, "offline"),
        (("gate", "open", "south", "--reason", ""), 10, "mandatory"),
        (("gate", "open", "south", "--reason", "other"), 10, "note"),
        (("gate", "open", "south", "--lane", "north-in", "--reason", "visitor"), 3, "no lane"),
        (("users", "reset", "nobody"), 3, "no account"),
        (("users", "add", "chen"), 10, "--password-stdin"),
        (("people",), 2, ""),
        (("peeple",), 2, "people"),
        (("gate", "open", "south"), 2, "--reason"),
    ],
)
def test_what_cannot_be_done_ends_in_words_and_a_code(
    run: RunCli, args: tuple[str, ...], code: int, words: str
) -> None:
    result = run(*args)
    assert result.exit_code == code, result.output
    assert words in result.output
    assert "Traceback" not in result.output


def test_words_follow_the_language_wherever_the_option_stands(run: RunCli) -> None:
    assert "没有找到" in run("people", "find", "nobody", "--lang", "zh").stderr
    assert "没有找到" in run("--lang=zh", "people", "find", "nobody").stderr
    assert "nobody matches" in run("people", "find", "nobody", "--lang", "en").stderr
    assert run("people", "find", "x", "--lang", "fr").exit_code == 2


def test_without_central_the_words_say_what_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATECTL_CENTRAL", raising=False)
    runner = CliRunner(env={"GATECTL_LANG": "en"})
    nothing = runner.invoke(cli.app, ["gate", "list"])
    assert (nothing.exit_code, "gatectl demo" in nothing.stderr) == (2, True)
    (tmp_path / "var/demo").mkdir(parents=True)
    (tmp_path / "var/demo/central.toml").write_text('database = "sqlite:///none.db"\n', encoding="utf-8")
    unmade = runner.invoke(cli.app, ["gate", "list"])
    assert (unmade.exit_code, "central migrate" in unmade.stderr) == (2, True)
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "none.db").touch()
    empty = runner.invoke(cli.app, ["gate", "list"])
    assert (empty.exit_code, "central migrate" in empty.stderr) == (2, True)
    (tmp_path / "none.db").write_bytes(b"no database at all" * 100)
    broken = runner.invoke(cli.app, ["gate", "list"])
    assert (broken.exit_code, "not a database" in broken.stderr) == (1, True), broken.output


def test_a_command_whose_module_is_missing_leaves_the_others_alone(
    run: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    noun = cli._Noun("gatectl.cli.no_such_module:app", "broken", True)
    monkeypatch.setitem(cli._NOUNS, "plate", noun)
    broken = run("plate", "read", "x")
    assert (broken.exit_code, "no_such_module" in broken.stderr) == (2, True)
    _ok(run("gate", "list"))
    assert "plate" in _ok(run("--help"))


def test_the_gates_are_listed_with_their_state(run: RunCli) -> None:
    lines = _ok(run("gate", "list")).splitlines()
    assert [line.split("\t")[2] for line in lines] == ["state", "offline", "online"]
    tiles = json.loads(_ok(run("gate", "list", "--json")))
    assert tiles[0]["lanes"][0]["arm"] == "unknown"


def _answer(engine: Engine, stop: threading.Event, states: tuple[str, ...], words: str) -> None:
    """Play ingest and gate: take each queued order through the states."""
    while not stop.wait(0.02):
        with engine.begin() as conn:
            order = conn.execute(select(tables.commands.c.id).where(tables.commands.c.state == "queued")).scalar()
        for state in states if order is not None else ():
            with engine.begin() as conn:
                conn.execute(
                    update(tables.commands).where(tables.commands.c.id == order).values(state=state, words=words)
                )


@pytest.mark.parametrize(
    ("states", "words", "code"),
    [
        (("sent", "received", "confirmed"), "", 0),
        (("sent", "received", "unconfirmed"), "", 9),
        (("sent", "refused"), "fire", 10),
        (("expired",), "", 9),
    ],
)
def test_an_opening_ends_as_the_gate_answers(
    run: RunCli, engine: Engine, states: tuple[str, ...], words: str, code: int
) -> None:
    stop = threading.Event()
    gate = threading.Thread(target=_answer, args=(engine, stop, states, words))
    gate.start()
    try:
        result = run("gate", "open", "south", "--reason", "visitor", "--wait", "--json")
    finally:
        stop.set()
        gate.join(DEADLINE_S)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert json.loads(result.stdout)["state"] == states[-1]


def test_an_order_that_nobody_sends_is_withdrawn(run: RunCli, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatectl.cli.gate.SEND_TIMEOUT_S", 0.2)
    result = run("gate", "open", "south", "--reason", "visitor", "--wait")
    assert result.exit_code == 7
    with engine.connect() as conn:
        order = conn.execute(select(tables.commands.c.id)).scalar_one()
        assert gates.command(conn, order).state == "expired"


def test_an_opening_without_wait_prints_its_order(run: RunCli, engine: Engine) -> None:
    order = _ok(run("gate", "open", "south", "--reason", "other", "--note", "test drive"))
    refused = _ok(run("gate", "refuse", "south"))
    with engine.connect() as conn:
        assert gates.command(conn, order).note == "test drive"
        assert gates.command(conn, refused).action == "refuse"


def test_events_are_filtered_masked_and_printed_in_each_form(run: RunCli, engine: Engine) -> None:
    _add_event(engine, 1)
    _add_event(engine, 2, verdict="denied", reason=41, plate="", credential="em:0A1B2C3D4E")
    _add_event(engine, 3, kind="passage", verdict="", reason=100)
    rows = json.loads(_ok(run("events", "--since", "1h", "--json")))
    assert [row["event_id"] for row in rows] == ["e2", "e1"]
    assert (rows[0]["person"], rows[0]["credential"], rows[0]["reason_name"]) == ("王*明", "em:…3D4E", "CARD_LOST")
    lines = _ok(run("events", "--plate", "粤E1?345", "--kind", "all")).splitlines()
    assert len(lines) == 2
    assert "粤E12345" in lines[0]
    assert "\x1b" not in lines[0]
    assert [json.loads(line)["event_id"] for line in _ok(run("events", "--jsonl", "-n", "1")).splitlines()] == ["e2"]
    table = list(csv.DictReader(_ok(run("events", "--csv", *ASKED, "--no-bom", "--verdict", "denied")).splitlines()))
    assert [(row["person"], row["reason"]) for row in table] == [("王*明", "CARD_LOST")]
    refused = run("events", "--csv")
    assert refused.exit_code == 10
    assert "register" in refused.stderr
    (entry,) = json.loads(_ok(run("audit", "register", "--json")))
    assert (entry["unit"], entry["person"], entry["why"], entry["lines"]) == ("派出所", "李警官", "案件 7", 2)
    full = json.loads(_ok(run("events", "--json", "--reveal", "police request 12", "--reason", "CARD_LOST")))
    assert (full[0]["person"], full[0]["credential"]) == ("王小明", "em:0A1B2C3D4E")
    assert "no records" in run("events", "--gate", "north").stderr
    assert json.loads(_ok(run("event", "show", "e2", "--json")))["person"] == "王*明"
    assert "粤E12345" in _ok(run("event", "show", "e1"))


def test_staff_are_added_listed_and_reset_without_a_password_on_the_line(run: RunCli, engine: Engine) -> None:
    _ok(run("users", "add", "chen", "--role", "admin", "--password-stdin", typed="correct horse\n"))
    assert run("users", "add", "li", "--password-stdin", typed="short\n").exit_code == 10
    assert [row["login"] for row in json.loads(_ok(run("users", "list", "--json")))] == ["chen"]
    assert "chen\tchen\tadmin" in _ok(run("users", "list"))
    link = _ok(run("users", "reset", "chen"))
    token = link.partition("token=")[2]
    with engine.begin() as conn:
        staff.use_setup_token(conn, token, "chen", "another good one")
        assert staff.sign_in(conn, "chen", "another good one")
    _ok(run("users", "reset", "chen", "--password-stdin", typed="a third good one\n"))
    with engine.begin() as conn:
        assert staff.sign_in(conn, "chen", "a third good one")


def test_a_card_number_is_shown_in_every_printed_form(run: RunCli) -> None:
    forms = json.loads(_ok(run("card", "convert", "0a1b2c3d4e", "--json")))
    assert forms["key"] == "em:0A1B2C3D4E"
    assert "0A1B2C3D4E" in _ok(run("card", "convert", "0a1b2c3d4e"))
    assert len(forms) >= 3


def _follow(config: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gatectl", "follow", "--config", str(config), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GATECTL_LANG": "en", "PYTHONUNBUFFERED": "1"},
    )


def test_follow_prints_what_was_and_what_comes_and_ends_cleanly_on_ctrl_c(config: Path, engine: Engine) -> None:
    _add_event(engine, 1, at=now_ms() - 600_000)
    _add_event(engine, 2, gate_id="north", lane_id="north-in")
    process = _follow(config, "--since", "1h", "--gate", "south", "--jsonl")
    assert process.stdout is not None
    with process:
        first = json.loads(process.stdout.readline())
        _add_event(engine, 3, gate_id="north", lane_id="north-in")
        _add_event(engine, 4, at=int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000))
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=DEADLINE_S)
    assert (first["event_id"], second["event_id"]) == ("e1", "e4")
    assert (process.returncode, rest, errors) == (0, "", "")


def test_follow_stops_after_the_given_time_with_plain_lines_when_piped(config: Path, engine: Engine) -> None:
    _add_event(engine, 1)
    started = time.monotonic()
    process = _follow(config, "--since", "1h", "--for", "0.5")
    out, errors = process.communicate(timeout=DEADLINE_S)
    assert time.monotonic() - started < DEADLINE_S
    assert (process.returncode, errors) == (0, "")
    assert len(out.splitlines()) == 1
    assert "granted" in out
    assert "\x1b" not in out


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys; from gatectl import cli; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(cli.app, ['--help']).exit_code == 0; "
        "print([m for m in ('sqlalchemy', 'cv2', 'numpy', 'onnxruntime', 'paho', 'cryptography') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
