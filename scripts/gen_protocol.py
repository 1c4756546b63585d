"""Makes gatectl/wire/bridge_ids.py from firmware_bridge/protocol.toml; `--check` fails when it is stale."""

import argparse
import hashlib
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "firmware_bridge" / "protocol.toml"
PYTHON = ROOT / "gatectl" / "wire" / "bridge_ids.py"
_WIRE_TYPES = {"u8": "int", "u16": "int", "u32": "int", "bool": "bool", "text": "str", "bytes": "bytes"}


class SchemaError(Exception):
    """The schema contradicts itself; the message names every mistake."""


def camel(name: str) -> str:
    """`card_read` -> `CardRead`."""
    return "".join(part.capitalize() for part in name.split("_"))


def without_docs(value: Any) -> Any:
    """The schema without its prose: only what both ends must agree on."""
    if isinstance(value, dict):
        return {key: without_docs(inner) for key, inner in value.items() if key != "doc"}
    return value


def schema_hash(schema: dict[str, Any]) -> int:
    """First four bytes of SHA-256 over the canonical JSON, as a number."""
    canonical = json.dumps(without_docs(schema), sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(canonical.encode()).digest()[:4], "big")


def mistakes(schema: dict[str, Any]) -> list[str]:
    """Every contradiction, in words."""
    known = _WIRE_TYPES.keys() | schema["enums"].keys()
    found = [
        f"messages.{name}: field {field!r} has unknown type {kind!r}"
        for name, message in schema["messages"].items()
        for field, kind in message["fields"]
        if kind not in known
    ]
    ids = [message["id"] for message in schema["messages"].values()]
    found += [f"message id 0x{x:02X} stands twice" for x in sorted({x for x in ids if ids.count(x) > 1})]
    found += [
        f"enums.{name}: two members share a number"
        for name, members in schema["enums"].items()
        if len(set(members.values())) != len(members)
    ]
    return found


def _enum(name: str, members: dict[str, int]) -> list[str]:
    return [
        f"class {name}(IntEnum):",
        f'    """Numbers of `{name}` on the wire."""',
        "",
        *(f"    {member.upper()} = {number}" for member, number in members.items()),
        "",
        "",
    ]


def _message(name: str, message: dict[str, Any]) -> list[str]:
    lines = ["@dataclass(frozen=True, slots=True)", f"class {camel(name)}:", f'    """{message["doc"]}"""', ""]
    lines += [f"    {field}: {_WIRE_TYPES.get(kind, kind)}" for field, kind in message["fields"]]
    return [*lines, "", ""] if message["fields"] else [*lines[:-1], "", ""]


def python_source(schema: dict[str, Any]) -> str:
    """The whole of bridge_ids.py."""
    messages = schema["messages"]
    numbers = [f"{name.upper()} = {value}" for name, value in schema["link"].items()]
    numbers += [f"{name.upper()} = {value}" for name, value in without_docs(schema["limits"]).items()]
    lines = [
        '"""GENERATED from firmware_bridge/protocol.toml by scripts/gen_protocol.py: do not edit."""',
        "",
        "from collections.abc import Mapping",
        "from dataclasses import dataclass",
        "from enum import IntEnum",
        "",
        f"SCHEMA_HASH = 0x{schema_hash(schema):08X}",
        *numbers,
        "",
        "",
        *_enum("MessageId", {name: message["id"] for name, message in messages.items()}),
    ]
    for name, members in schema["enums"].items():
        lines += _enum(name, members)
    for name, message in messages.items():
        lines += _message(name, message)
    first, *others = (camel(name) for name in messages)
    lines += ["BridgeMessage = (", f"    {first}", *(f"    | {name}" for name in others), ")", ""]
    lines.append("LAYOUTS: Mapping[int, tuple[type[BridgeMessage], tuple[str, ...]]] = {")
    for name, message in messages.items():
        kinds = ", ".join(f'"{kind}"' for _, kind in message["fields"])
        comma = "," if len(message["fields"]) == 1 else ""
        lines.append(f"    0x{message['id']:02X}: ({camel(name)}, ({kinds}{comma})),")
    lines += ["}", '"""id -> (message, wire types of its fields)."""', "", "ENUMS: Mapping[str, type[IntEnum]] = {"]
    lines += [*(f'    "{name}": {name},' for name in schema["enums"]), "}", ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or with `--check` say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is stale")
    options = parser.parse_args(arguments)
    schema = tomllib.loads(SCHEMA.read_text(encoding="utf-8"))
    found = mistakes(schema)
    if found:
        raise SchemaError("\n".join(found))
    wanted = python_source(schema)
    if options.check:
        if not PYTHON.exists() or PYTHON.read_text(encoding="utf-8") != wanted:
            print(f"{PYTHON.relative_to(ROOT)} is stale: run scripts/gen_protocol.py", file=sys.stderr)
            return 1
        return 0
    PYTHON.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
