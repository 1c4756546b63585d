"""The typed rows of the whitelist (`wl/1`): canonical bytes to core types and back.

A row is msgpack of `[kind, id, fields]`, fields sorted and left out at their defaults, so that the same right always
has the same bytes. An unknown field is refused, never skipped: it may be the one that withholds the right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgpack
from msgpack import unpackb
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from gatectl.core.model import (
    AccessLevel,
    Area,
    Calendar,
    CredentialKey,
    Grant,
    GrantState,
    Household,
    LanePolicy,
    PlateColour,
    Profile,
    Schedule,
)
from gatectl.errors import PayloadError

RowKind = Literal[
    "grant", "household", "level", "schedule", "emergency_plate", "calendar", "area", "lane", "issuer", "site"
]
Ruling = AccessLevel | Schedule | Calendar | Area | LanePolicy
"""What rows other than grants and households say."""


@dataclass(frozen=True, slots=True)
class ListRow:
    """One row of the list. `fields` holds JSON values only."""

    kind: RowKind
    id: str
    fields: dict[str, Any]


def row_key(row: ListRow) -> str:
    """`grant/em:0A1B2C3D4E`."""
    return f"{row.kind}/{row.id}"


def encode_row(row: ListRow) -> bytes:
    """Canonical bytes: the same row always gives the same ones."""
    return bytes(msgpack.packb([row.kind, row.id, _sorted(row.fields)], use_bin_type=True))


def _sorted(value: Any) -> Any:
    return {name: _sorted(value[name]) for name in sorted(value)} if isinstance(value, dict) else value


_KIND_HEADS = {kind: b"\x93" + bytes(msgpack.packb(kind)) for kind in get_args(RowKind)}
_FIXSTR = tuple(bytes((0xA0 | size,)) for size in range(32))
"""The heads of MessagePack's strings shorter than 32 bytes."""


def row_prefix(kind: str, row_id: str) -> bytes:
    """The first bytes of the row of this kind and id, which no other row begins with."""
    return (_KIND_HEADS.get(kind) or b"\x93" + _packed(kind)) + _packed(row_id)


def _packed(text: str) -> bytes:
    """As MessagePack's packer does it; by hand where it is short, because a gate packs a prefix for every card."""
    data = text.encode()
    return _FIXSTR[len(data)] + data if len(data) < len(_FIXSTR) else bytes(msgpack.packb(text))


def prefix_size(data: bytes) -> int:
    """How many of a row's first bytes are its `row_prefix`. Raises PayloadError."""
    end = 1
    try:
        for _text in ("kind", "id"):
            head = data[end]
            if 0xA0 <= head <= 0xBF:  # MessagePack's fixstr, str 8 and str 16
                end += 1 + (head & 0x1F)
            elif head == 0xD9:
                end += 2 + data[end + 1]
            elif head == 0xDA:
                end += 3 + (data[end + 1] << 8 | data[end + 2])
            else:
                raise PayloadError(f"not a list row: byte {end} is {head:#04x}", data)
    except IndexError as error:
        raise PayloadError("not a list row: it ends too early", data) from error
    return end


_ROW: TypeAdapter[tuple[RowKind, str, dict[str, Any]]] = TypeAdapter(tuple[RowKind, str, dict[str, Any]])


def decode_row(data: bytes) -> ListRow:
    """The row in canonical bytes. Raises PayloadError."""
    try:
        kind, row_id, fields = _ROW.validate_python(msgpack.unpackb(data, raw=False))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise PayloadError(f"not a list row: {error}", data) from error
    return ListRow(kind, row_id, fields)


# --- grants: by hand, because a gate decodes one for every card ---

_SHORT = {"valid_from_s": "from", "valid_until_s": "until", "exit_until_s": "exit_until"}
_GRANT_DEFAULTS = {
    name: getattr(Grant(CredentialKey(""), GrantState.ACTIVE, ()), name)
    for name in Grant.__dataclass_fields__
    if name not in ("key", "state", "levels")
}
_GRANT_NAMES = {_SHORT.get(name, name): name for name in _GRANT_DEFAULTS}
_ENUMS: Mapping[str, Mapping[str, Any]] = {
    "colour": {colour.value: colour for colour in PlateColour},
    "profile": {profile.value: profile for profile in Profile},
}
_STATES = {state.value: state for state in GrantState}
_TYPES: Mapping[str, tuple[type, ...]] = {
    name: (int,)
    if name in ("valid_from_s", "valid_until_s", "exit_until_s", "uses", "max_stay_s")
    else (bool,)
    if isinstance(default, bool)
    else (str,)
    for name, default in _GRANT_DEFAULTS.items()
}


def grant_row(grant: Grant) -> ListRow:
    """A grant as a row."""
    fields: dict[str, Any] = {"state": grant.state.value, "levels": sorted(grant.levels)}
    for wire_name, name in _GRANT_NAMES.items():
        value = getattr(grant, name)
        if value != _GRANT_DEFAULTS[name]:
            fields[wire_name] = getattr(value, "value", value)
    return ListRow("grant", grant.key, fields)


def read_grant(data: bytes) -> Grant:
    """The grant in a row's canonical bytes. Raises PayloadError."""
    try:
        return _grant(*msgpack.unpackb(data, raw=False))
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as error:
        raise PayloadError(f"not a grant row: {error!r}", data) from error


def _grant(kind: Any, row_id: Any, fields: dict[str, Any]) -> Grant:
    values: dict[str, Any] = {}
    levels: tuple[str, ...] = ()
    state = _STATES[fields["state"]]
    for wire_name, value in fields.items():
        if wire_name == "levels":
            levels = tuple(value)
        elif wire_name != "state":
            name = _GRANT_NAMES[wire_name]
            if type(value) not in _TYPES[name]:
                raise TypeError(f"{wire_name} is {value!r}")
            values[name] = _ENUMS[name][value] if name in _ENUMS else value
    if kind != "grant" or type(row_id) is not str or type(fields["levels"]) is not list:
        raise ValueError("not a grant, or one without levels")
    if any(type(level) is not str for level in levels):
        raise TypeError("levels that are no names")
    return Grant(CredentialKey(row_id), state, levels, **values)


_HOUSEHOLD_TYPES: Mapping[str, tuple[type, ...]] = {
    "quota": (int, type(None)),
    "unloading_s": (int,),
    "cars": (list,),
    "is_card_for_car": (bool,),
}


def read_household(data: bytes) -> Household:
    """The household in a row's canonical bytes: by hand too, one is read for most cars. Raises PayloadError."""
    try:
        return _household(*unpackb(data))
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as error:
        raise PayloadError(f"not a household row: {error!r}", data) from error


def _household(kind: Any, row_id: Any, fields: dict[str, Any]) -> Household:
    if kind != "household" or any(type(value) not in _HOUSEHOLD_TYPES[name] for name, value in fields.items()):
        raise ValueError("not a household, or one with wrong fields")
    cars = tuple(CredentialKey(str(key)) for key in fields.pop("cars", ()))
    return Household(str(row_id), cars=cars, **fields)


class GrantCheck:
    """Checks the rows of one list without building their grants: shapes and words once seen are known to be good."""

    def __init__(self) -> None:
        self._shapes: set[tuple[Any, ...]] = set()
        self._words: set[tuple[Any, ...]] = set()

    def __call__(self, data: bytes) -> str:
        """The credential's key. Raises PayloadError for a row that `read_grant` would refuse."""
        try:
            kind, row_id, fields = unpackb(data)
            shape = (kind, type(row_id), *fields, *map(type, fields.values()))
            words = (fields["state"], fields.get("colour"), fields.get("profile"), *fields["levels"])
            if shape in self._shapes and words in self._words:
                return str(row_id)
        except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as error:
            raise PayloadError(f"not a grant row: {error!r}", data) from error
        grant = read_grant(data)
        self._shapes.add(shape)
        self._words.add(words)
        return grant.key


# --- everything else: a dataclass each ---

_STRICT = ConfigDict(extra="forbid")


def _adapter(model: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(with_config(_STRICT)(model))


_RULINGS: Mapping[str, tuple[str, type[Any], TypeAdapter[Any]]] = {
    kind: (id_field, model, _adapter(model))
    for kind, id_field, model in (
        ("household", "id", Household),
        ("level", "id", AccessLevel),
        ("schedule", "id", Schedule),
        ("area", "id", Area),
        ("lane", "lane", LanePolicy),
        ("calendar", "", Calendar),
    )
}
CALENDAR_ID = "calendar"
"""A list has one calendar."""


def ruling_row(kind: RowKind, ruling: Ruling | Household) -> ListRow:
    """A household, level, schedule, area, lane policy or calendar as a row."""
    id_field, _model, adapter = _RULINGS[kind]
    fields: dict[str, Any] = adapter.dump_python(ruling, mode="json", exclude_defaults=True)
    row_id = fields.pop(id_field) if id_field else CALENDAR_ID
    if kind == "level":
        fields["lanes"] = sorted(fields["lanes"])
    return ListRow(kind, row_id, fields)


def ruling_of(row: ListRow) -> Any:
    """The core object of a row that is no grant, no emergency plate, no issuer and no site. Raises PayloadError."""
    id_field, _model, adapter = _RULINGS[row.kind]
    try:
        return adapter.validate_python({**row.fields, **({id_field: row.id} if id_field else {})})
    except ValidationError as error:
        raise PayloadError(f"list row {row.kind} has wrong fields: {error}") from error


def emergency_row(plate: str) -> ListRow:
    """A plate of the emergency list as a row."""
    return ListRow("emergency_plate", plate, {})


def issuer_row(kid: str, public_key: bytes) -> ListRow:
    """A pass issuer's Ed25519 public key (32 bytes) as a row."""
    return ListRow("issuer", kid, {"key": public_key.hex()})


def site_row(site: str, code_salt: bytes) -> ListRow:
    """What all codes of a site are salted with, as a row."""
    return ListRow("site", site, {"code_salt": code_salt.hex()})


def hex_field(row: ListRow, name: str) -> bytes:
    """Bytes that a row holds as hex. Raises PayloadError."""
    try:
        return bytes.fromhex(row.fields[name])
    except (KeyError, TypeError, ValueError) as error:
        raise PayloadError(f"list row {row.kind} has wrong fields: {error!r}") from error
