"""A gate's file and a gate's machine: every mistake is named, every finding says how to repair it."""

import json
import os
import pty
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gatectl.cli import edge as edge_cli
from gatectl.cli.doctor import doctor
from gatectl.drivers.osdp_files import allow_install, osdp_folder
from gatectl.drivers.osdp_keys import key_path, new_key, store_key
from gatectl.edge import checkup
from gatectl.edge.config_check import mistakes
from gatectl.errors import ConfigError, LinkError
from gatectl.settings import CameraSettings, EdgeSettings, load_settings

EXAMPLE = Path(__file__).parents[3] / "config" / "edge.example.toml"


@pytest.fixture
def port() -> Iterator[str]:
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def written(folder: Path, text: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_has_no_mistakes() -> None:
    assert mistakes(EXAMPLE) == []


def test_three_mistakes_are_all_named(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("port = 1883", "port = 99999").replace("pulse_ms = 800", "pulse_ms = 8000")
    text = text.replace("max_fps = 8.0", "max_fsp = 8.0")
    found = "\n".join(mistakes(written(tmp_path, text)))
    assert "broker.port" in found
    assert "lanes.1.pulse_ms" in found
    assert "cameras.0.max_fsp" in found


def test_mistakes_that_only_a_look_around_shows_are_named_too(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace('site_key = "AAAA', 'site_key = "????')
    text = text.replace('name = "island"', 'name = "pillar"').replace("channel = 1\n", "channel = 0\n")
    text = text.replace('username = "north"', f'username = "north"\npassword_file = "{tmp_path}/none"')
    found = "\n".join(mistakes(written(tmp_path, text)))
    assert "site_key" in found
    assert "'pillar' stands twice" in found
    assert "channel 0 moves two lanes" in found
    assert "broker.password_file" in found


@pytest.mark.parametrize("text", ["gate = ", "", 'gate = "\xe9"', "[[lanes]]\nid = 3"])
def test_a_file_of_any_kind_gets_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(text.encode("latin-1"))
    assert mistakes(path)


def test_check_config_raises_the_error_that_ends_in_exit_two(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        edge_cli.check_config(tmp_path / "none.toml")


def test_a_port_that_is_missing_or_no_port_is_a_finding(tmp_path: Path, port: str) -> None:
    assert checkup.serial_port("reader", str(tmp_path / "none")).grade == "fail"
    assert "no serial port" in checkup.serial_port("reader", str(written(tmp_path, ""))).words
    assert checkup.serial_port("reader", port).grade == "ok"


def test_a_camera_that_is_dead_is_a_finding(tmp_path: Path) -> None:
    def dead(source: str) -> None:
        raise LinkError(f"{source}: does not answer")

    camera = CameraSettings(name="cam", lane="car-in", source="rtsp://192.0.2.1/x")
    finding = checkup.camera_opens(camera, dead)
    assert (finding.grade, "does not answer" in finding.words) == ("fail", True)
    folder = CameraSettings(name="cam", lane="car-in", source=f"folder:{tmp_path}")
    assert checkup.camera_opens(folder, dead).grade == "ok"


def a_gpio_module(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """An RPi.GPIO whose import ends in a RuntimeError, or succeeds when `words` is empty."""

    class Finder:
        """Finds RPi and RPi.GPIO."""

        def find_spec(self, name: str, *_: Any) -> Any:
            if name == "RPi.GPIO" and words:
                raise RuntimeError(words)

    package = types.ModuleType("RPi")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "RPi", package)
    if words:
        monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    else:
        monkeypatch.setitem(sys.modules, "RPi.GPIO", types.ModuleType("RPi.GPIO"))


def test_on_a_pi_5_the_cure_for_the_old_gpio_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpio_module(monkeypatch, "Cannot determine SOC peripheral base address")
    finding = checkup.gpio_back_end("Raspberry Pi 5 Model B Rev 1.0")
    assert finding.grade == "fail"
    assert "rpi-lgpio" in finding.words
    assert "pip install rpi-lgpio" in finding.repair


def test_on_a_pi_4_the_old_gpio_library_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpio_module(monkeypatch, "")
    assert checkup.gpio_back_end("Raspberry Pi 4 Model B Rev 1.4").grade == "ok"


def test_a_broker_that_is_down_is_a_finding_with_a_command() -> None:
    settings = load_settings(EdgeSettings, EXAMPLE)
    down = settings.model_copy(update={"broker": settings.broker.model_copy(update={"port": 1})})
    finding = checkup.broker(down)
    assert finding.grade == "fail"
    assert finding.repair


def test_a_lane_that_does_not_declare_its_power_loss_is_a_warning(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace('on_power_loss = "fail_safe"', 'on_power_loss = "unset"')
    settings = load_settings(EdgeSettings, written(tmp_path, text))
    grades = {finding.check: finding.grade for finding in checkup.power_loss(settings, tmp_path / "edge.toml")}
    assert grades == {"power loss car-in": "ok", "power loss foot": "warn"}


def test_doctor_prints_json_and_ends_in_exit_eight_when_something_needs_a_hand(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(doctor)
    text = EXAMPLE.read_text(encoding="utf-8").split("[[cameras]]")[0]
    text = text.replace("/var/lib/gatectl", str(tmp_path / "data")).replace("port = 1883", "port = 1")
    result = CliRunner().invoke(app, ["--config", str(written(tmp_path, text)), "--json"])
    assert result.exit_code == 8
    document = json.loads(result.stdout)
    assert document["ok"] is False
    checks = {check["check"]: check for check in document["checks"]}
    assert checks["broker"]["grade"] == "fail"
    assert checks["data_dir"]["grade"] == "ok"
    assert all(check["repair"] for check in document["checks"] if check["grade"] != "ok")


OSDP = """
[[readers]]
name = "post"
driver = "osdp"
lane = "foot"
port = "/dev/ttyS9"
"""


def osdp_gate(folder: Path, more: str = "") -> EdgeSettings:
    text = EXAMPLE.read_text(encoding="utf-8").replace("/var/lib/gatectl", str(folder)) + OSDP + more
    return load_settings(EdgeSettings, written(folder, text))


def test_osdp_reader_without_a_good_key_fails_and_says_how_to_make_one(tmp_path: Path) -> None:
    gate, config = osdp_gate(tmp_path), tmp_path / "edge.toml"
    (missing,) = checkup.osdp_keys(gate, config)
    assert (missing.grade, missing.repair) == ("fail", f"gatectl reader key post --config {config}")
    path = key_path(osdp_folder(tmp_path), "post")
    store_key(path, new_key())
    assert [found.grade for found in checkup.osdp_keys(gate, config)] == ["ok"]
    path.write_text("04" * 16)
    (weak,) = checkup.osdp_keys(gate, config)
    assert weak.grade == "fail"
    assert "repeats one byte" in weak.words


def test_osdp_reader_that_waits_to_be_installed_or_talks_in_clear_is_a_warning(tmp_path: Path) -> None:
    gate, config = osdp_gate(tmp_path), tmp_path / "edge.toml"
    store_key(key_path(osdp_folder(tmp_path), "post"), new_key())
    allow_install(osdp_folder(tmp_path), "post", 600)
    (waiting,) = checkup.osdp_keys(gate, config)
    assert waiting.grade == "warn"
    assert "--cancel" in waiting.repair
    clear = osdp_gate(tmp_path, 'insecure = true\ninsecure_reason = "the reader of 2009 knows no key"\n')
    (found,) = checkup.osdp_keys(clear, config)
    assert found.grade == "warn"
    assert "2009" in found.words


def test_framing_that_is_wrong_is_a_mistake_of_the_file(tmp_path: Path) -> None:
    framing = tmp_path / "mine.toml"
    framing.write_text('title = "mine"\nbaud = 9600\nstart = "AA"\nlenght = 1\n', encoding="utf-8")
    reader = OSDP.replace('"osdp"', f'"framed_serial"\nframing = "{framing}"')
    text = EXAMPLE.read_text(encoding="utf-8") + reader
    found = "\n".join(mistakes(written(tmp_path, text)))
    assert "readers.post.framing" in found
    assert "lenght" in found
    assert "card" in found
