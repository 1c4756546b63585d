"""Makes the firmware's image from its code, describes it, and holds the chip's sizes against its limits."""

# ruff: noqa: INP001 - run by make, imported by nobody

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gatectl.errors import ConfigError  # noqa: E402 - the tree is found first
from gatectl.wire.bridge_ids import SCHEMA_HASH  # noqa: E402
from gatectl.wire.bridge_image import (  # noqa: E402
    BOARD,
    EEPROM_BYTES,
    MANIFEST_AT,
    RAM_BYTES,
    Image,
    from_hex,
    to_hex,
)

STACK_BYTES = 384
"""RAM that must stay free: the deepest call is under 300 bytes (frames of 69 and 64 on it)."""


def version() -> str:
    """FIRMWARE_VERSION of src/version.h. Raises ConfigError."""
    text = (ROOT / "firmware_bridge" / "src" / "version.h").read_text(encoding="utf-8")
    found = re.search(r'FIRMWARE_VERSION "([0-9.]{1,16})"', text)
    if found is None:
        raise ConfigError("src/version.h names no version")
    return found[1]


def build(code: Path, out: Path) -> None:
    """Write the image of a raw binary."""
    image = Image(BOARD, version(), SCHEMA_HASH, code.read_bytes())
    out.write_text(to_hex(image), encoding="ascii")
    print(f"{out.name}: {image.version}, schema {image.schema_hash:08x}, ident {image.ident}")


def describe(path: Path) -> None:
    """Print what an image is, as JSON; and the line for RELEASED on stderr."""
    image = from_hex(path.read_text(encoding="ascii"))
    words = {
        "file": path.name,
        "board": image.board,
        "version": image.version,
        "schema_hash": f"{image.schema_hash:08x}",
        "code_bytes": len(image.code),
        "ident": image.ident,
    }
    print(json.dumps(words, indent=2))
    print(f'    "{image.version}": "{image.ident}",', file=sys.stderr)


def sizes() -> int:
    """Judge what avr-size (Berkeley format, on stdin) says."""
    text, data, bss = (int(field) for field in sys.stdin.read().splitlines()[1].split()[:3])
    ram_limit = RAM_BYTES - STACK_BYTES
    for name, used, limit in (("flash", text + data, MANIFEST_AT), ("RAM", data + bss, ram_limit)):
        print(f"{name:6} {used:6} of {limit:6} bytes ({100 * used / limit:.0f} %)")
    print(f"EEPROM {1020:6} of {EEPROM_BYTES:6} bytes (100 %)")
    return int(text + data > MANIFEST_AT or data + bss > ram_limit)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    building = verbs.add_parser("build")
    building.add_argument("code", type=Path)
    building.add_argument("out", type=Path)
    verbs.add_parser("describe").add_argument("image", type=Path)
    verbs.add_parser("sizes")
    options = parser.parse_args()
    if options.verb == "build":
        build(options.code, options.out)
    elif options.verb == "describe":
        describe(options.image)
    else:
        return sizes()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
