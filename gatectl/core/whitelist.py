"""Searching a revision of the whitelist, and building a small one from objects."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from gatectl.core.cards import derived_keys
from gatectl.core.model import AccessLevel, CredentialKey, Grant, Household, Schedule, WhitelistView
from gatectl.core.plates import PLATE_PREFIX, fold, normalise

_LOW_32 = re.compile(r"(?:em:[0-9A-F]{2}|w34:)([0-9A-F]{8})")
_W34 = re.compile(r"w34:([0-9A-F]{8})")
_W26 = re.compile(r"w26:([0-9]{1,3}):([0-9]{1,5})")
LOW_24 = 0xFFFFFF


def low_32(key: str) -> int | None:
    """The low 32 bits of an EM or 34-bit card, of which shorter readers see all or the low 24; None for other keys."""
    match = _LOW_32.fullmatch(key)
    return int(match[1], 16) if match else None


def find_grant(view: WhitelistView, key: CredentialKey) -> Grant | None:
    """The grant of a key, or of the one card that is the same in another reader's form; two such cards are nobody's.

    Either the list holds the long form (`em:`) and a Wiegand reader saw the short one, or the office typed the
    number printed on the card and the reader saw all five bytes. Two cards that differ only in bits that one of the
    readers cannot see are never taken for each other at a reader that sees them.
    """
    if (grant := view.grants.get(key)) is not None:
        return grant
    found = [grant for form in derived_keys(key) if (grant := view.grants.get(form)) is not None]
    if not found:
        owners = _owners(view, key)
        found = [grant for owner in owners[:2] if (grant := view.grants.get(owner)) is not None]
    return found[0] if len(found) == 1 else None


def _owners(view: WhitelistView, key: CredentialKey) -> Sequence[CredentialKey]:
    """The longer cards that a reader of this short form would report so."""
    if match := _W26.fullmatch(key):
        return view.grants.by_number(int(match[1]) << 16 | int(match[2]), 24)
    if match := _W34.fullmatch(key):
        return [owner for owner in view.grants.by_number(int(match[1], 16), 32) if owner.startswith("em:")]
    return ()


class DictGrants:
    """Grants as a dictionary of objects: for tests, tools and lists of a few people; gates use `wire.packed`."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._by_key = {grant.key: grant for grant in grants}
        self._by_number: dict[tuple[int, int], list[CredentialKey]] = defaultdict(list)
        self._alike: dict[str, list[CredentialKey]] = defaultdict(list)
        for key in self._by_key:
            if (number := low_32(key)) is not None:
                self._by_number[number, 32].append(key)
                self._by_number[number & LOW_24, 24].append(key)
            if key.startswith(PLATE_PREFIX):
                self._alike[fold(key.removeprefix(PLATE_PREFIX))].append(key)

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: CredentialKey, /) -> Grant | None:
        """The grant of exactly this key."""
        return self._by_key.get(key)

    def by_number(self, number: int, bits: int, /) -> Sequence[CredentialKey]:
        """Keys of the EM and 34-bit cards whose low 24 or 32 bits are `number`."""
        return self._by_number.get((number, bits), ())

    def alike(self, folded: str, /) -> Sequence[CredentialKey]:
        """Keys of the plates that are the same when folded."""
        return self._alike.get(folded, ())


def whitelist_view(
    epoch: str,
    version: int,
    issued_s: int,
    grants: Iterable[Grant],
    levels: Iterable[AccessLevel] = (),
    schedules: Iterable[Schedule] = (),
    emergency_plates: Iterable[str] = (),
    households: Iterable[Household] = (),
    **others: Any,
) -> WhitelistView:
    """One revision from objects; `others` are `WhitelistView`'s own fields."""
    homes = {household.id: household for household in households}
    return WhitelistView(
        epoch=epoch,
        version=version,
        issued_s=issued_s,
        grants=DictGrants(grants),
        levels={level.id: level for level in levels},
        schedules={schedule.id: schedule for schedule in schedules},
        emergency_plates=frozenset(normalise(plate) for plate in emergency_plates),
        households=homes.get,
        **others,
    )


EMPTY_VIEW = whitelist_view("", 0, 0, ())
"""What a gate decides on before its first list: nobody has a right, exits and emergencies still open."""
