"""The whitelist as a gate holds it in memory: the rows' own bytes, found by their hashes, decoded one at a time.

A million grants as Python objects would take about a gigabyte; their `wl/1` bytes take about a hundred megabytes,
and a decision reads a few of them. Sorted arrays find a row, the cards that a shorter reader sees, and the plates that
look alike. A delta lies over the bytes as a small dictionary until it is worth packing anew (docs/adr/0011).
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from gatectl.core.model import CredentialKey, Grant, Household
from gatectl.core.plates import PLATE_PREFIX, fold
from gatectl.core.whitelist import LOW_24, low_32
from gatectl.errors import PayloadError
from gatectl.wire.rows import GrantCheck, decode_row, prefix_size, read_grant, read_household, row_prefix

_GRANT = b"\x93\xa5grant"
_HOUSEHOLD = b"\x93\xa9household"
_PACK_ANEW = 512
"""Pack anew when more changes than this, and than a fiftieth of the rows, lie over the bytes."""
_INDEX_BITS = 24
_INDEX_MASK = (1 << _INDEX_BITS) - 1
_HASH_MASK = (1 << 64 - _INDEX_BITS) - 1
MAX_ROWS = 1 << _INDEX_BITS
"""16.7 million: more than any site, and what is left of 64 bits beside 40 bits of hash."""
_MAX_BYTES = (1 << 32) - 1


class RowTable:
    """Encoded rows in byte order; no two begin with the same `row_prefix`. Never changed."""

    def __init__(self, blob: bytes, starts: "array[int]", ends: "array[int]") -> None:
        """Row i is `blob[starts[i]:ends[i]]`, in any order. Raises PayloadError for more rows than can be indexed."""
        if len(starts) >= MAX_ROWS or len(blob) > _MAX_BYTES:
            raise PayloadError(f"a list of {len(starts)} rows and {len(blob)} bytes is larger than any of ours")
        self._blob, self._starts, self._ends = blob, starts, ends
        if not self._is_sorted():
            self._sort()

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[bytes]:
        return self.between(0, len(self._starts))

    def between(self, first: int, last: int) -> Iterator[bytes]:
        """The rows from one place to before another."""
        blob = self._blob
        return (blob[start:end] for start, end in zip(self._starts[first:last], self._ends[first:last], strict=True))

    def row(self, index: int) -> bytes:
        """The row at a place in byte order."""
        return self._blob[self._starts[index] : self._ends[index]]

    def find(self, prefix: bytes) -> int:
        """The place of the first row that is not before `prefix`."""
        blob, starts, size = self._blob, self._starts, len(prefix)

        def head(index: int) -> bytes:
            start = starts[index]
            return blob[start : start + size]

        return bisect_left(range(len(starts)), prefix, key=head)

    def get(self, prefix: bytes) -> bytes | None:
        """The row that begins with `prefix`."""
        index = self.find(prefix)
        if index == len(self._starts):
            return None
        row = self.row(index)
        return row if row.startswith(prefix) else None

    def _is_sorted(self) -> bool:
        last = b""
        for row in self:
            if row < last:
                return False
            last = row
        return True

    def _sort(self) -> None:
        order = sorted(range(len(self._starts)), key=self.row)
        self._starts = array("I", (self._starts[i] for i in order))
        self._ends = array("I", (self._ends[i] for i in order))


def table_of(rows: Iterable[bytes]) -> RowTable:
    """A table of encoded rows."""
    blob, starts, ends = bytearray(), array("I"), array("I")
    for row in rows:
        starts.append(len(blob))
        blob += row
        ends.append(len(blob))
        if len(blob) > _MAX_BYTES - (1 << 16):
            raise PayloadError("a list larger than any of ours")
    return RowTable(bytes(blob), starts, ends)


class _Index:
    """Where a grant or a household stands, and which grants have a number or a folded text.

    40 bits of hash and the row's place, in one sorted array each: quicker to search than the rows themselves.
    """

    def __init__(self, table: RowTable, grants: range, homes: range) -> None:
        rows: list[int] = []
        numbers: list[int] = []
        plates: list[int] = []
        check = GrantCheck()
        for index, row in zip(grants, table.between(grants.start, grants.stop), strict=True):
            key = check(row)
            rows.append(_hashed(key) << _INDEX_BITS | index)
            if key.startswith(PLATE_PREFIX):
                plates.append(_hashed(fold(key[len(PLATE_PREFIX) :])) << _INDEX_BITS | index)
            elif (number := low_32(key)) is not None:
                numbers.append(((number & LOW_24) << 8 | number >> 24) << _INDEX_BITS | index)
        self._table = table
        self._grants, self._numbers, self._plates = _sorted(rows), _sorted(numbers), _sorted(plates)
        self._homes = _sorted(
            [
                _hashed(row[: prefix_size(row)]) << _INDEX_BITS | index
                for index, row in zip(homes, table.between(homes.start, homes.stop), strict=True)
            ]
        )

    def grant(self, key: str, prefix: bytes) -> bytes | None:
        """The grant's row; `prefix` is its `row_prefix`."""
        return self._row(self._grants, _hashed(key), prefix)

    def household(self, prefix: bytes) -> bytes | None:
        """The household's row."""
        return self._row(self._homes, _hashed(prefix), prefix)

    def _row(self, entries: "array[int]", hashed: int, prefix: bytes) -> bytes | None:
        for place in _between(entries, hashed, hashed + 1):
            row = self._table.row(place)
            if row.startswith(prefix):
                return row
        return None

    def by_number(self, number: int, bits: int) -> list[int]:
        """Places of the cards whose low 24 or 32 bits are `number`.

        The low 24 stand before the high 8, so that one sorted array serves both kinds of readers.
        """
        if bits == 24:
            return _between(self._numbers, number << 8, (number + 1) << 8)
        rotated = (number & LOW_24) << 8 | number >> 24
        return _between(self._numbers, rotated, rotated + 1)

    def alike(self, folded: str) -> list[int]:
        """Places of the plates that may be the same when folded (hashes collide)."""
        hashed = _hashed(folded)
        return _between(self._plates, hashed, hashed + 1)


def _hashed(text: str | bytes) -> int:
    return hash(text) & _HASH_MASK


def _sorted(entries: list[int]) -> "array[int]":
    entries.sort()
    return array("Q", entries)


def _between(entries: "array[int]", low: int, high: int) -> list[int]:
    found = []
    at = bisect_left(entries, low << _INDEX_BITS)
    while at < len(entries) and entries[at] >> _INDEX_BITS < high:
        found.append(entries[at] & _INDEX_MASK)
        at += 1
    return found


@dataclass(frozen=True, slots=True)
class _Packed:
    """A table with its index, and where its grants stand."""

    table: RowTable
    index: _Index
    grants: range
    homes: range


class PackedList:
    """A list's rows as a gate holds them: packed, with the newest changes over them. Never changed.

    `len`, `get`, `by_number` and `alike` make it the `Grants` of a view. Build one with `packed_list`.
    """

    def __init__(self, packed: _Packed, over: Mapping[bytes, bytes | None], count: int) -> None:
        self._packed, self._table, self._index = packed, packed.table, packed.index
        self._over, self._count = over, count
        check = GrantCheck()
        self._keys_over = tuple(
            CredentialKey(check(row)) for row in over.values() if row is not None and row.startswith(_GRANT)
        )

    def changed(self, put: Iterable[bytes], gone: Iterable[tuple[str, str]]) -> "PackedList":
        """The list with rows put (new or in place of their like) and (kind, id) dropped. Raises PayloadError."""
        over = dict(self._over)
        count = self._count
        for kind, row_id in gone:
            prefix = row_prefix(kind, row_id)
            count -= kind == "grant" and self._find(prefix, over) is not None
            over[prefix] = None
        for row in put:
            decoded = decode_row(row)
            prefix = row_prefix(decoded.kind, decoded.id)
            count += decoded.kind == "grant" and self._find(prefix, over) is None
            over[prefix] = row
        if len(over) > max(_PACK_ANEW, len(self._table) // 50):
            return packed_list(table_of(_merged(self._table, over)))
        return PackedList(self._packed, over, count)

    def rows(self) -> Iterator[bytes]:
        """Every row, in byte order where nothing lies over the table."""
        return _merged(self._table, self._over) if self._over else iter(self._table)

    def rulings(self) -> Iterator[bytes]:
        """The rows that are neither grants nor households: few, and read once."""
        # In byte order: area lane site | grant | level issuer calendar schedule | household | emergency_plate.
        grants, homes = self._packed.grants, self._packed.homes
        changed = tuple(prefix for prefix in self._over if not prefix.startswith((_GRANT, _HOUSEHOLD)))
        for place in chain(range(grants.start), range(grants.stop, homes.start), range(homes.stop, len(self._table))):
            row = self._table.row(place)
            if not row.startswith(changed):
                yield row
        yield from (new for prefix in changed if (new := self._over[prefix]) is not None)

    # --- the view's `Grants` ---

    def __len__(self) -> int:
        return self._count

    def get(self, key: CredentialKey, /) -> Grant | None:
        """The grant of exactly this key; a row that cannot be read is nobody's right."""
        prefix = row_prefix("grant", key)
        row = self._over[prefix] if prefix in self._over else self._index.grant(key, prefix)
        if row is None:
            return None
        try:
            return read_grant(row)
        except PayloadError:
            return None

    def by_number(self, number: int, bits: int, /) -> Sequence[CredentialKey]:
        """Keys of the EM and 34-bit cards whose low 24 or 32 bits are `number`."""
        found = [self._key(place) for place in self._index.by_number(number, bits)]
        if self._over:
            mask = LOW_24 if bits == 24 else 0xFFFFFFFF
            found = self._still(found)
            found += [key for key in self._keys_over if (low := low_32(key)) is not None and low & mask == number]
        return found

    def alike(self, folded: str, /) -> Sequence[CredentialKey]:
        """Keys of the plates that are the same when folded."""
        found = [self._key(place) for place in self._index.alike(folded)]
        if self._over:
            found = self._still(found)
            found += [key for key in self._keys_over if key.startswith(PLATE_PREFIX)]
        return [key for key in found if fold(key[len(PLATE_PREFIX) :]) == folded]

    def household(self, household_id: str) -> Household | None:
        """A household; one that cannot be read has no quota and no cars."""
        prefix = row_prefix("household", household_id)
        row = self._over[prefix] if prefix in self._over else self._index.household(prefix)
        if row is None:
            return None
        try:
            return read_household(row)
        except PayloadError:
            return None

    def _find(self, prefix: bytes, over: Mapping[bytes, bytes | None]) -> bytes | None:
        return over[prefix] if prefix in over else self._table.get(prefix)

    def _key(self, place: int) -> CredentialKey:
        return read_grant(self._table.row(place)).key

    def _still(self, keys: Iterable[CredentialKey]) -> list[CredentialKey]:
        """Those that nothing lies over."""
        return [key for key in keys if row_prefix("grant", key) not in self._over]


def packed_list(table: RowTable) -> PackedList:
    """Check and index a table. Raises PayloadError for a grant row with wrong fields."""
    grants = range(table.find(_GRANT), table.find(_GRANT + b"\xff"))
    homes = range(table.find(_HOUSEHOLD), table.find(_HOUSEHOLD + b"\xff"))
    return PackedList(_Packed(table, _Index(table, grants, homes), grants, homes), {}, len(grants))


def _merged(table: RowTable, over: Mapping[bytes, bytes | None]) -> Iterator[bytes]:
    """The table's rows with the changed ones in their place, new ones last."""
    places = {table.find(prefix): prefix for prefix in over if table.get(prefix) is not None}
    replaced = set(places.values())
    for place, row in enumerate(table):
        if place in places:
            changed = over[places[place]]
            if changed is not None:
                yield changed
        else:
            yield row
    yield from (row for prefix, row in over.items() if row is not None and prefix not in replaced)
