"""The released image is what the source builds to, says what it is, and fits the chip."""

import hashlib
import json
import re

from firmware_board import BUILD, FIRMWARE, IMAGE, make, require

from gatectl.wire.bridge_ids import SCHEMA_HASH
from gatectl.wire.bridge_image import BOARD, MANIFEST_AT, from_hex


def test_source_builds_to_the_very_bytes_that_are_released() -> None:
    require("image")
    make("all")
    assert (BUILD / IMAGE.name).read_bytes() == IMAGE.read_bytes(), "run `make -C firmware_bridge release`"


def test_two_builds_in_two_places_are_the_same_bytes() -> None:
    require("image")
    hashes = []
    for folder in (BUILD / "one", BUILD / "another" / "deeper"):
        folder.mkdir(parents=True, exist_ok=True)
        make("-B", "all", f"B={folder}")
        hashes.append(hashlib.sha256((folder / IMAGE.name).read_bytes()).hexdigest())
    assert hashes[0] == hashes[1]


def test_sizes_are_printed_against_the_chips_limits() -> None:
    require("image")
    printed = make("-B", "all", f"B={BUILD / 'one'}")
    flash, ram = (
        tuple(map(int, found)) for found in re.findall(r"^(?:flash|RAM) +(\d+) of +(\d+) bytes", printed, re.MULTILINE)
    )
    assert flash[0] < flash[1] == MANIFEST_AT
    assert ram[0] < ram[1] < 2048


def test_released_image_is_whole_listed_and_speaks_this_schema() -> None:
    image = from_hex(IMAGE.read_text(encoding="ascii"))
    assert image.is_released, "put the line that `make release` prints into gatectl/wire/bridge_image.py"
    assert (image.board, image.schema_hash) == (BOARD, SCHEMA_HASH)
    assert f'FIRMWARE_VERSION "{image.version}"' in (FIRMWARE / "src" / "version.h").read_text(encoding="utf-8")


def test_description_beside_the_image_is_that_of_the_image() -> None:
    image = from_hex(IMAGE.read_text(encoding="ascii"))
    told = json.loads(IMAGE.with_suffix(".json").read_text(encoding="utf-8"))
    assert told == {
        "file": IMAGE.name,
        "board": image.board,
        "version": image.version,
        "schema_hash": f"{image.schema_hash:08x}",
        "code_bytes": len(image.code),
        "ident": image.ident,
    }
