"""Building and searching the immutable view of the whitelist."""

from collections import defaultdict
from collections.abc import Iterable

from gatectl.core.cards import derived_keys
from gatectl.core.model import AccessLevel, CredentialKey, Grant, Schedule, WhitelistView
from gatectl.core.plates import PLATE_PREFIX, fold, normalise


def whitelist_view(
    epoch: str,
    version: int,
    issued_s: int,
    grants: Iterable[Grant],
    levels: Iterable[AccessLevel] = (),
    schedules: Iterable[Schedule] = (),
    emergency_plates: Iterable[str] = (),
) -> WhitelistView:
    """One revision, with the cards' derived forms and the plates' look-alikes indexed."""
    by_key: dict[CredentialKey, Grant] = {}
    aliases: dict[CredentialKey, tuple[CredentialKey, ...]] = defaultdict(tuple)
    lookalikes: dict[str, tuple[CredentialKey, ...]] = defaultdict(tuple)
    for grant in grants:
        by_key[grant.key] = grant
    for grant in by_key.values():
        for alias in derived_keys(grant.key):
            aliases[alias] += (grant.key,)
        if grant.key.startswith(PLATE_PREFIX):
            lookalikes[fold(grant.key.removeprefix(PLATE_PREFIX))] += (grant.key,)
    return WhitelistView(
        epoch=epoch,
        version=version,
        issued_s=issued_s,
        grants=by_key,
        levels={level.id: level for level in levels},
        schedules={schedule.id: schedule for schedule in schedules},
        emergency_plates=frozenset(normalise(plate) for plate in emergency_plates),
        aliases=dict(aliases),
        lookalikes=dict(lookalikes),
    )


def find_grant(view: WhitelistView, key: CredentialKey) -> Grant | None:
    """The grant of a key, or of the one card that is the same in another reader's form; two such cards are nobody's.

    Either the list holds the long form (`em:`) and a Wiegand reader saw the short one, or the office typed the
    number printed on the card and the reader saw all five bytes. Two cards that differ only in bits that one of the
    readers cannot see are never taken for each other at a reader that sees them.
    """
    if (grant := view.grants.get(key)) is not None:
        return grant
    shorter = tuple(form for form in derived_keys(key) if form in view.grants)
    owners = shorter or view.aliases.get(key, ())
    return view.grants.get(owners[0]) if len(owners) == 1 else None


EMPTY_VIEW = whitelist_view("", 0, 0, ())
"""What a gate decides on before its first list: nobody has a right, exits and emergencies still open."""
