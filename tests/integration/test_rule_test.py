"""`gatectl rule test`: a gate's own files asked in a process of their own, beside nobody's daemon."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import CARD, LANE, PLATE, WALK, a_grant, a_level, a_plate_grant
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gatectl.core.codes import code_key
from gatectl.core.model import Area, GrantState, LanePolicy, Passback, Schedule, SiteId, Window
from gatectl.edge.replica_store import ReplicaStand, ReplicaStore
from gatectl.wire.passes import Pass, encode_pass
from gatectl.wire.rows import encode_row, grant_row, issuer_row, row_key, ruling_row, site_row

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
SALT = bytes(16)
KID = "0a1b2c3d"
VISIT = Pass(SiteId("home"), (), 1_795_406_400, 1_795_413_600, 1, bytes(8))
CONFIG = f"""
gate = "east"
site = "home"
data_dir = "{{folder}}"
site_key = "{base64.b64encode(PUBLIC).decode()}"
[[lanes]]
id = "{LANE}"
kind = "vehicle"
direction = "in"
barrier = "bridge"
[[lanes]]
id = "{WALK}"
kind = "pedestrian"
direction = "in"
barrier = "bridge"
channel = 1
[[devices]]
name = "bridge"
driver = "mcu"
port = "/dev/null"
"""
ROWS = (
    grant_row(a_grant()),
    grant_row(a_grant(key=code_key(SALT, "123456"))),
    grant_row(a_plate_grant()),
    grant_row(a_plate_grant("粤E54321", levels=("day",), state=GrantState.BLOCKED)),
    ruling_row("level", a_level()),
    ruling_row("level", a_level(id="day", schedule="day")),
    ruling_row("schedule", Schedule("day", (Window(0, 480, 1200),))),
    ruling_row("area", Area("site", Passback.HARD)),
    ruling_row("lane", LanePolicy(WALK, area_to="site")),
    issuer_row(KID, PUBLIC),
    site_row("home", SALT),
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    replica = ReplicaStore(folder / "acl.db")
    replica.open()
    rows = {row_key(row): encode_row(row) for row in ROWS}
    replica.replace(rows, ReplicaStand("ep0123456789", 7, "", len(rows), 1, 1))
    replica.close()
    path = folder / "edge.toml"
    path.write_text(CONFIG.replace("{folder}", str(folder)), encoding="utf-8")
    return path


def asked(config: Path, *options: str, lang: str = "en") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "gatectl", "--lang", lang, "rule", "test", "--config", str(config), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def document(config: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = asked(config, *options, "--json")
    return done.returncode, json.loads(done.stdout)


def test_every_kind_of_credential_is_judged_with_its_trace(config: Path) -> None:
    code, said = document(config, "--lane", WALK, "--card", CARD, "--at", "2026-11-23T12:00")
    assert (code, said["reason"], said["verdict"]) == (0, "CARD_OK", "granted")
    assert said["list"] == {"epoch": "ep0123456789", "version": 7}
    assert {"rule": "lane", "value": WALK, "outcome": "pass"} in said["trace"]
    assert document(config, "--lane", LANE, "--plate", PLATE)[1]["reason"] == "PLATE_OK"
    assert document(config, "--lane", WALK, "--code", "123456")[1]["reason"] == "PIN_OK"
    text = encode_pass(VISIT, KID, KEY)
    for at, reason in (("2026-11-23T11:59:59", "CODE_EARLY"), ("2026-11-23T04:00Z", "VISITOR_OK")):
        assert document(config, "--lane", WALK, "--pass", text, "--at", at)[1]["reason"] == reason


def test_what_would_not_open_ends_in_exit_10_and_words_in_both_languages(config: Path) -> None:
    blocked = asked(config, "--lane", LANE, "--plate", "粤E54321")
    assert blocked.returncode == 10
    assert "PLATE_BLOCKED" in blocked.stdout
    assert "✗ Not lost or cancelled: blocked (Fail)" in blocked.stdout
    assert "list version 7" in blocked.stderr
    chinese = asked(config, "--lane", LANE, "--plate", "粤E54321", lang="zh")
    assert "✗ 凭证有效: 已停用 (不通过)" in chinese.stdout
    assert asked(config, "--lane", LANE, "--plate", PLATE, "--empty").returncode == 10


def test_a_broken_link_and_clock_can_be_tried(config: Path) -> None:
    code, said = document(config, "--lane", WALK, "--card", CARD, "--link-down")
    assert (code, said["link_policy"]) == (0, "local_only")
    assert document(config, "--lane", WALK, "--card", CARD, "--clock-untrusted")[0] == 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--card", CARD), 2, "--lane"),
        (("--lane", "nowhere", "--card", CARD), 3, "no lane"),
        (("--lane", WALK), 2, "one of --card"),
        (("--lane", WALK, "--card", CARD, "--plate", PLATE), 2, "one of --card"),
        (("--lane", WALK, "--card", "xyz"), 2, "no card number"),
        (("--lane", WALK, "--code", "12"), 2, "4 to 8 digits"),
        (("--lane", WALK, "--pass", "no pass!"), 2, "not a pass"),
        (("--lane", WALK, "--card", CARD, "--at", "soon"), 2, "is no time"),
    ],
)
def test_a_mistaken_question_gets_words(config: Path, options: tuple[str, ...], code: int, words: str) -> None:
    done = asked(config, *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_a_gate_without_a_list_says_so(config: Path, tmp_path: Path) -> None:
    bare = tmp_path / "edge.toml"
    bare.write_text(CONFIG.replace("{folder}", str(tmp_path / "none")), encoding="utf-8")
    done = asked(bare, "--lane", WALK, "--card", CARD)
    assert done.returncode == 3
    assert "no list yet" in done.stderr
