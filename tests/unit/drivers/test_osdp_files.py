"""What a gate remembers of its OSDP readers: leave to install, taken once, and who they were."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gatectl.drivers import osdp_files
from gatectl.drivers.osdp_files import (
    MAX_INSTALL_S,
    Identity,
    allow_install,
    cancel_install,
    differences,
    forget_identity,
    is_install_asked,
    known_identity,
    remember_identity,
    take_install,
)

READER = Identity(0xA0B1, 1, 1, 7, 0x010203, ((4, 1, 1), (9, 1, 1)))


def test_leave_to_install_is_taken_once(tmp_path: Path) -> None:
    allow_install(tmp_path, "post", 60)
    assert is_install_asked(tmp_path, "post")
    assert 50 < take_install(tmp_path, "post") <= 60
    assert take_install(tmp_path, "post") == 0
    assert not is_install_asked(tmp_path, "post")


def test_leave_to_install_is_for_one_reader(tmp_path: Path) -> None:
    allow_install(tmp_path, "post", 60)
    assert take_install(tmp_path, "other") == 0


def test_leave_that_is_over_is_worth_nothing_and_goes_away(tmp_path: Path) -> None:
    allow_install(tmp_path, "post", -1)
    assert take_install(tmp_path, "post") == 0
    assert not is_install_asked(tmp_path, "post")


def test_leave_does_not_outlive_a_restart_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_install(tmp_path, "post", 600)
    other = tmp_path / "boot_id"
    other.write_text("another boot")
    monkeypatch.setattr(osdp_files, "BOOT_ID", other)
    assert take_install(tmp_path, "post") == 0


def test_leave_is_never_longer_than_half_an_hour(tmp_path: Path) -> None:
    allow_install(tmp_path, "post", 1e9)
    assert take_install(tmp_path, "post") <= MAX_INSTALL_S
    allow_install(tmp_path, "post", 60)
    marker = next(tmp_path.glob("*.install"))
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"until_s": 1e12}))
    assert take_install(tmp_path, "post") <= MAX_INSTALL_S


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"boot": 1, "until_s": "x"}'])
def test_marker_that_says_nothing_is_worth_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "post.install").write_text(text)
    assert take_install(tmp_path, "post") == 0


def test_leave_can_be_taken_back(tmp_path: Path) -> None:
    allow_install(tmp_path, "post", 60)
    cancel_install(tmp_path, "post")
    cancel_install(tmp_path, "post")
    assert take_install(tmp_path, "post") == 0


def test_reader_is_remembered_and_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "osdp"
    assert known_identity(folder, "post") is None
    remember_identity(folder, "post", READER)
    assert known_identity(folder, "post") == READER
    assert forget_identity(folder, "post")
    assert not forget_identity(folder, "post")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"capabilities": 1}', '{"capabilities": [], "vendor": 1}'])
def test_memory_that_says_nothing_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "post.identity.json").write_text(text)
    assert known_identity(tmp_path, "post") is None


def test_differences_name_what_changed() -> None:
    assert differences(READER, READER) == ""
    assert differences(READER, replace(READER, serial=9)) == "serial 0x7 became 0x9"
    assert differences(READER, replace(READER, capabilities=((4, 1, 1),))) == "security is gone"
    assert differences(READER, replace(READER, capabilities=((4, 2, 1), (9, 1, 1)))) == "LED is not what it was"
