"""`gatectl bridge …` against the released image."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from firmware_board import IMAGE, OCCUPIED
from live_board import LiveBoard
from typer.testing import CliRunner, Result

from gatectl.cli import app
from gatectl.wire.bridge_ids import SCHEMA_HASH, Input, Relay
from gatectl.wire.bridge_image import Image, from_hex, to_hex


@pytest.fixture
def board() -> Iterator[LiveBoard]:
    with LiveBoard() as board:
        yield board


def bridge(*words: str) -> Result:
    return CliRunner().invoke(app, ["--lang", "en", "bridge", *words])


def printed(result: Result) -> Any:
    return json.loads(result.stdout)


def test_info_tells_firmware_inputs_and_counters_and_moves_nothing(board: LiveBoard) -> None:
    board.do(f"contact 0 {int(Input.PRESENCE)} 1")
    board.pass_ms(500)
    result = bridge("info", board.port, "--json")
    assert result.exit_code == 0, result.output
    told = printed(result)
    assert (told["firmware"], told["board"], told["is_compatible"]) == ("1.0.0", "nano-atmega328p", True)
    assert told["channels"]["0"]["active"] == ["presence"]
    assert told["channels"]["1"]["wired"] == ["door_open", "rex", "fire"]
    assert told["faults"] == []
    assert board.moved == []
    assert "nano-atmega328p, firmware 1.0.0" in bridge("info", board.port).stdout


def test_info_of_a_port_without_a_bridge_is_unreachable(tmp_path: Path) -> None:
    result = bridge("info", str(tmp_path / "nowhere"))
    assert result.exit_code == 7
    assert result.stdout == ""


def test_selftest_moves_nothing_unless_it_is_told_to(board: LiveBoard) -> None:
    board.pass_ms(500)
    result = bridge("selftest", board.port)
    assert result.exit_code == 0, result.output
    assert board.moved == []
    result = bridge("selftest", board.port, "--move")
    assert result.exit_code == 0, result.output
    assert [(move.channel, move.relay) for move in board.moved if move.is_closed] == [(0, Relay.OPEN), (1, Relay.OPEN)]
    assert "(0 -> 1)" in result.stdout


def test_selftest_names_a_cut_wire_and_tries_the_refusal(board: LiveBoard) -> None:
    board.do(f"line {int(Input.SAFETY)} 255")
    board.pass_ms(100)
    result = bridge("selftest", board.port, "--json")
    assert result.exit_code == 8
    told = printed(result)
    assert [check["words"] for check in told["checks"] if not check["ok"]] == ["channel 0: safety loop broken"]
    assert {"ok": True, "words": "CLOSE on the occupied safety loop is refused"} in told["checks"]


def test_selftest_under_fire_tries_that_close_is_refused(board: LiveBoard) -> None:
    board.do(f"line {int(Input.FIRE)} {OCCUPIED}")
    board.pass_ms(100)
    assert "ok   CLOSE under fire is refused" in bridge("selftest", board.port).stdout


def test_flash_checks_the_shipped_image_and_names_the_command() -> None:
    result = bridge("flash", "--check")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"avrdude -p m328p -c usbasp -U flash:w:{IMAGE}:i\n"


@pytest.fixture
def avrdude(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """What avrdude would have been called with."""
    calls: list[Sequence[str]] = []

    def run(command: Sequence[str], *, check: bool, timeout: float) -> subprocess.CompletedProcess[str]:
        assert not check
        assert timeout > 60
        calls.append(command)
        return subprocess.CompletedProcess(list(command), 0)

    monkeypatch.setattr("gatectl.cli.bridge.subprocess.run", run)
    monkeypatch.setattr("gatectl.cli.bridge.shutil.which", lambda name: f"/usr/bin/{name}")
    return calls


def test_flash_writes_with_avrdude(avrdude: list[Sequence[str]]) -> None:
    assert bridge("flash", "--programmer", "arduino-ft232r").exit_code == 0
    assert avrdude == [["avrdude", "-p", "m328p", "-c", "arduino-ft232r", "-U", f"flash:w:{IMAGE}:i"]]


def own_image(folder: Path, **changes: Any) -> Path:
    released = from_hex(IMAGE.read_text(encoding="ascii"))
    fields: dict[str, Any] = {
        "board": released.board,
        "version": "9.0.0",
        "schema_hash": SCHEMA_HASH,
        "code": released.code,
    } | changes
    path = folder / "own.hex"
    path.write_text(to_hex(Image(**fields)), encoding="ascii")
    return path


def sign(path: Path, key: Ed25519PrivateKey) -> Path:
    """Sign an image; returns the file of the public key."""
    image = from_hex(path.read_text(encoding="ascii"))
    path.with_name(path.name + ".sig").write_bytes(key.sign(image.manifest))
    public = path.with_name("public.pem")
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def test_image_that_is_no_release_needs_its_makers_signature(avrdude: list[Sequence[str]], tmp_path: Path) -> None:
    path = own_image(tmp_path)
    assert bridge("flash", str(path)).exit_code == 10
    public = sign(path, Ed25519PrivateKey.generate())
    assert bridge("flash", str(path), "--key", str(public)).exit_code == 0
    path.with_name("own.hex.sig").write_bytes(bytes(64))
    assert bridge("flash", str(path), "--key", str(public)).exit_code == 10
    path.with_name("own.hex.sig").unlink()
    assert bridge("flash", str(path), "--key", str(public)).exit_code == 2
    assert len(avrdude) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"board": "mega"}, "is for mega"), ({"schema_hash": 1}, "speaks schema 00000001")],
)
def test_signed_image_that_does_not_fit_is_refused(
    avrdude: list[Sequence[str]], tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = own_image(tmp_path, **changes)
    public = sign(path, Ed25519PrivateKey.generate())
    result = bridge("flash", str(path), "--key", str(public))
    assert result.exit_code == 10
    assert words in result.stderr
    assert avrdude == []


def test_damaged_image_is_refused_before_anything_is_called(avrdude: list[Sequence[str]], tmp_path: Path) -> None:
    lines = IMAGE.read_text(encoding="ascii").splitlines()
    path = tmp_path / "damaged.hex"
    path.write_text("\n".join([*lines[:100], *lines[101:]]) + "\n", encoding="ascii")
    assert bridge("flash", str(path)).exit_code == 2
    assert bridge("flash", str(tmp_path / "none.hex")).exit_code == 2
    assert avrdude == []


def test_older_image_than_what_runs_is_refused_unless_allowed(
    board: LiveBoard, avrdude: list[Sequence[str]], tmp_path: Path
) -> None:
    path = own_image(tmp_path, version="0.9.0")
    public = str(sign(path, Ed25519PrivateKey.generate()))
    result = bridge("flash", str(path), "--key", public, "--port", board.port)
    assert result.exit_code == 10
    assert "runs 1.0.0" in result.stderr
    assert avrdude == []
    assert bridge("flash", str(path), "--key", public, "--port", board.port, "--allow-older").exit_code == 0
    assert bridge("flash", "--port", board.port).exit_code == 0
    assert len(avrdude) == 2
