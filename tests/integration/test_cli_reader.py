"""`gatectl reader …` and `gatectl card issue --reader`, as an installer and a clerk type them."""

import fcntl
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gatectl import cli
from gatectl.cli import card as card_cli
from gatectl.drivers import wedge
from gatectl.drivers.osdp_files import Identity, is_install_asked, known_identity, osdp_folder, remember_identity
from gatectl.drivers.osdp_keys import load_key
from gatectl.errors import LinkError
from gatectl.sim.devices import Pty, rdm6300_frame

READER = Identity(0xA0B1, 1, 1, 7, 1, ((9, 1, 1),))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gate with one secure OSDP reader, one in clear and one on a port of its own."""
    path = tmp_path / "edge.toml"
    text = f"""
gate = "north"
site = "danzao"
data_dir = "{tmp_path}"
site_key = "{"A" * 43}="
[[devices]]
name = "bridge"
driver = "mcu"
port = "/dev/none"
[[lanes]]
id = "in"
kind = "pedestrian"
direction = "in"
barrier = "bridge"
[[readers]]
name = "post"
driver = "osdp"
lane = "in"
port = "/dev/none-2"
format = "w26"
[[readers]]
name = "old-post"
driver = "osdp"
lane = "in"
port = "/dev/none-3"
insecure = true
insecure_reason = "the reader of 2009 knows no key"
[[readers]]
name = "pillar"
driver = "rfid_serial"
lane = "in"
port = "/dev/none-4"
"""
    path.write_text(text, encoding="utf-8")
    return path


def run(*args: object) -> Result:
    return CliRunner(env={"GATECTL_LANG": "en", "COLUMNS": "200"}).invoke(cli.app, [str(arg) for arg in args])


def test_key_is_made_once_and_never_printed(config: Path) -> None:
    made = run("reader", "key", "post", "--config", config)
    assert made.exit_code == 0, made.output
    path = Path(made.stdout.strip())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = load_key(path)
    assert key.hex().upper() not in made.output.upper()
    again = run("reader", "key", "post", "--config", config)
    assert again.exit_code == 10
    assert load_key(path) == key
    assert run("reader", "key", "post", "--config", config, "--replace").exit_code == 0
    assert load_key(path) != key


@pytest.mark.parametrize(
    ("name", "status"), [("none", 3), ("old-post", 2), ("pillar", 2)], ids=["unknown", "insecure", "no osdp"]
)
def test_only_secure_osdp_readers_have_keys(config: Path, name: str, status: int) -> None:
    for verb in ("key", "install", "accept"):
        assert run("reader", verb, name, "--config", config).exit_code == status


def test_install_needs_a_key_and_can_be_cancelled(config: Path) -> None:
    folder = osdp_folder(config.parent)
    refused = run("reader", "install", "post", "--config", config)
    assert refused.exit_code == 2
    assert "gatectl reader key post" in refused.output
    assert not is_install_asked(folder, "post")
    run("reader", "key", "post", "--config", config)
    assert run("reader", "install", "post", "--config", config).exit_code == 0
    assert is_install_asked(folder, "post")
    assert run("reader", "install", "post", "--cancel", "--config", config).exit_code == 0
    assert not is_install_asked(folder, "post")


def test_install_waits_until_the_daemon_has_met_the_reader(config: Path) -> None:
    folder = osdp_folder(config.parent)
    run("reader", "key", "post", "--config", config)
    daemon = threading.Timer(0.3, lambda: remember_identity(folder, "post", READER))
    daemon.start()
    assert run("reader", "install", "post", "--wait", "--minutes", 1, "--config", config).exit_code == 0
    daemon.join()
    assert known_identity(folder, "post") == READER


def test_accept_forgets_who_the_reader_was(config: Path) -> None:
    folder = osdp_folder(config.parent)
    assert run("reader", "accept", "post", "--config", config).exit_code == 3
    remember_identity(folder, "post", READER)
    assert run("reader", "accept", "post", "--config", config).exit_code == 0
    assert known_identity(folder, "post") is None


def test_kinds_lists_the_declared_readers() -> None:
    found = json.loads(run("reader", "kinds", "--json").stdout)
    assert {"rongshi", "aa-bb", "rdm6300"} <= {kind["name"] for kind in found}


def test_listen_shows_what_comes_and_what_a_declared_reader_makes_of_it(tmp_path: Path) -> None:
    with Pty(tmp_path / "port") as line:
        is_over = threading.Event()

        def talk() -> None:
            while not is_over.wait(0.2):
                line.write(rdm6300_frame("010063E9AE"))

        talker = threading.Thread(target=talk)
        talker.start()
        done = run("reader", "listen", line.path, "--framing", "rdm6300", "--seconds", 2)
        is_over.set()
        talker.join()
    assert done.exit_code == 0, done.output
    assert rdm6300_frame("010063E9AE").hex(" ").upper() in done.stdout
    assert "em:010063E9AE" in done.stdout
    assert "0 bad frames" in done.output


def test_listen_to_no_port_says_so() -> None:
    assert run("reader", "listen", "/dev/no-such-port", "--seconds", 1).exit_code == 7


@contextmanager
def desk_reader(folder: Path, digits: str) -> Iterator[Path]:
    """A USB reader that types these digits and Enter."""
    path = folder / "event3"
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR)
    codes = [2 + "1234567890".index(digit) for digit in digits] + [28]
    os.write(keeper, b"".join(wedge.EVENT.pack(0, 0, 1, code, 1) for code in codes))
    try:
        yield path
    finally:
        os.close(keeper)


def test_clerk_reads_the_card_instead_of_typing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0)  # a pipe cannot be grabbed as a device can
    with desk_reader(tmp_path, "0006547886") as path:
        assert card_cli._from_reader(path) == "0006547886"


def test_card_issue_takes_a_number_or_a_reader_and_not_both(tmp_path: Path) -> None:
    both = CliRunner().invoke(cli.app, ["card", "issue", "p1", "0A1B2C3D4E", "--reader", str(tmp_path)])
    neither = CliRunner().invoke(cli.app, ["card", "issue", "p1"])
    assert (both.exit_code, neither.exit_code) == (2, 2)
    nothing = CliRunner().invoke(cli.app, ["card", "issue", "p1", "--reader", str(tmp_path / "none")])
    assert nothing.exit_code == 7


def test_device_that_another_program_has_is_refused(tmp_path: Path) -> None:
    with desk_reader(tmp_path, "1") as path, pytest.raises(LinkError, match="grabbed"):
        card_cli._from_reader(path)
