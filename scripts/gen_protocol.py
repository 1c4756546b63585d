"""Makes bridge_ids.py and the firmware's protocol_ids.[ch] from protocol.toml; `--check` fails when one is stale."""

import argparse
import hashlib
import json
import re
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "firmware_bridge" / "protocol.toml"
PYTHON = ROOT / "gatectl" / "wire" / "bridge_ids.py"
C_HEADER = ROOT / "firmware_bridge" / "src" / "protocol_ids.h"
C_SOURCE = ROOT / "firmware_bridge" / "src" / "protocol_ids.c"
_C_BYTES = {"u8": 1, "u16": 2, "u32": 4, "bool": 1}
_C_TYPES = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t"}
_C_PROSE_COLUMNS = 112
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


def _c_notice() -> str:
    return "/* GENERATED from firmware_bridge/protocol.toml by scripts/gen_protocol.py: do not edit. */"


def _c_fields(message: dict[str, Any]) -> list[tuple[str, str, int]]:
    """(name, C type, bytes on the wire; 0 = length and bytes) of every field."""
    found = []
    for field, kind in message["fields"]:
        size = 0 if kind in ("text", "bytes") else _C_BYTES.get(kind, 1)
        found.append((field, "bool" if kind == "bool" else "struct wire_text" if size == 0 else _C_TYPES[size], size))
    return found


def _c_comment(text: str) -> list[str]:
    first, *others = textwrap.wrap(text, _C_PROSE_COLUMNS)
    return [f"/* {first} */"] if not others else [f"/* {first}", *(f" * {line}" for line in others), " */"]


def c_header(schema: dict[str, Any]) -> str:
    """The whole of protocol_ids.h: numbers, enums, and a struct with encode and decode for each message with fields."""
    lines = [_c_notice(), "#ifndef PROTOCOL_IDS_H", "#define PROTOCOL_IDS_H", "", "#include <stdbool.h>"]
    lines += ["#include <stdint.h>", "", f"#define SCHEMA_HASH 0x{schema_hash(schema):08X}ul"]
    lines += [f"#define LINK_{name.upper()} {value}ul" for name, value in schema["link"].items()]
    lines += [f"#define LIMIT_{name.upper()} {value}ul" for name, value in without_docs(schema["limits"]).items()]
    lines += ["", "enum message_id {"]
    lines += [f"    MSG_{name.upper()} = 0x{message['id']:02X}," for name, message in schema["messages"].items()]
    lines += ["};", ""]
    for name, members in schema["enums"].items():
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        lines += [
            f"enum {snake} {{",
            *(f"    {snake.upper()}_{m.upper()} = {n}," for m, n in members.items()),
            "};",
            "",
        ]
    lines += ["/* Bytes of a frame, or to be put into one; not terminated. */", "struct wire_text {"]
    lines += ["    const uint8_t *at;", "    uint8_t length;", "};", ""]
    for name, message in schema["messages"].items():
        if message["fields"]:
            lines += [*_c_comment(message["doc"]), f"struct {name} {{"]
            lines += [*(f"    {kind} {field};" for field, kind, _ in _c_fields(message)), "};"]
            lines += [f"bool {name}_decode(struct {name} *message, const uint8_t *fields, uint8_t length);"]
            lines += [f"uint8_t {name}_encode(const struct {name} *message, uint8_t *fields);", ""]
    lines += [
        "/* `fields` of a message `id`, decoded and encoded again into `out`; -1 where they are no such message. */"
    ]
    lines += [
        "int16_t message_transcode(uint8_t id, const uint8_t *fields, uint8_t length, uint8_t *out);",
        "",
        "#endif",
    ]
    return "\n".join([*lines, ""])


def _c_decode(name: str, message: dict[str, Any], enums: dict[str, dict[str, int]]) -> list[str]:
    lines = [f"bool {name}_decode(struct {name} *message, const uint8_t *fields, uint8_t length) {{"]
    lines += ["    const uint8_t *end = fields + length;"]
    for (field, _, size), (_, kind) in zip(_c_fields(message), message["fields"], strict=True):
        if size == 0:
            lines += ["    if (end - fields < 1 || end - fields < 1 + fields[0]) return false;"]
            lines += [f"    message->{field}.length = fields[0];", f"    message->{field}.at = fields + 1;"]
            lines += ["    fields += 1 + fields[0];"]
            continue
        value = {1: "fields[0]", 2: "get_u16(fields)", 4: "get_u32(fields)"}[size]
        lines += [f"    if (end - fields < {size}) return false;"]
        lines += [f"    message->{field} = {value}{' != 0' if kind == 'bool' else ''};", f"    fields += {size};"]
        if kind in enums:
            numbers = sorted(enums[kind].values())
            if numbers != list(range(numbers[0], numbers[-1] + 1)):
                raise SchemaError(f"enums.{kind}: the firmware's check needs numbers without gaps")
            low = "" if numbers[0] == 0 else f"message->{field} < {numbers[0]} || "
            lines += [f"    if ({low}message->{field} > {numbers[-1]}) return false;"]
    return [*lines, "    return fields == end;", "}", ""]


def _c_encode(name: str, message: dict[str, Any]) -> list[str]:
    lines = [f"uint8_t {name}_encode(const struct {name} *message, uint8_t *fields) {{", "    uint8_t *at = fields;"]
    for field, _, size in _c_fields(message):
        put = {0: "put_text", 1: "put_u8", 2: "put_u16", 4: "put_u32"}[size]
        lines += [f"    at = {put}(at, {'&' if size == 0 else ''}message->{field});"]
    return [*lines, "    return (uint8_t)(at - fields);", "}", ""]


_C_HELPERS = """
static uint16_t get_u16(const uint8_t *at) { return (uint16_t)(((uint16_t)at[0] << 8) | at[1]); }

static uint32_t get_u32(const uint8_t *at) { return ((uint32_t)get_u16(at) << 16) | get_u16(at + 2); }

static uint8_t *put_u8(uint8_t *at, uint8_t value) {
    *at = value;
    return at + 1;
}

static uint8_t *put_u16(uint8_t *at, uint16_t value) {
    return put_u8(put_u8(at, (uint8_t)(value >> 8)), (uint8_t)value);
}

static uint8_t *put_u32(uint8_t *at, uint32_t value) {
    return put_u16(put_u16(at, (uint16_t)(value >> 16)), (uint16_t)value);
}

static uint8_t *put_text(uint8_t *at, const struct wire_text *text) {
    at = put_u8(at, text->length);
    for (uint8_t i = 0; i < text->length; i++) at = put_u8(at, text->at[i]);
    return at;
}
"""


def c_source(schema: dict[str, Any]) -> str:
    """The whole of protocol_ids.c."""
    lines = [_c_notice(), '#include "protocol_ids.h"', _C_HELPERS]
    cases = []
    for name, message in schema["messages"].items():
        if not message["fields"]:
            cases += [f"    case MSG_{name.upper()}:", "        return length == 0 ? 0 : -1;"]
            continue
        lines += [*_c_decode(name, message, schema["enums"]), *_c_encode(name, message)]
        cases += [f"    case MSG_{name.upper()}: {{", f"        struct {name} message;"]
        cases += [
            f"        return {name}_decode(&message, fields, length) ? {name}_encode(&message, out) : -1;",
            "    }",
        ]
    lines += ["int16_t message_transcode(uint8_t id, const uint8_t *fields, uint8_t length, uint8_t *out) {"]
    lines += ["    switch (id) {", *cases, "    default:", "        return -1;", "    }", "}", ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with `--check` say whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    options = parser.parse_args(arguments)
    schema = tomllib.loads(SCHEMA.read_text(encoding="utf-8"))
    found = mistakes(schema)
    if found:
        raise SchemaError("\n".join(found))
    wanted = {PYTHON: python_source(schema), C_HEADER: c_header(schema), C_SOURCE: c_source(schema)}
    status = 0
    for path, text in wanted.items():
        if not options.check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path.relative_to(ROOT)} is stale: run scripts/gen_protocol.py", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
