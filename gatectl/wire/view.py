"""From a list's rows to the view that `decide` reads."""

from collections.abc import Iterable

from gatectl.core.model import (
    AccessLevel,
    Area,
    Calendar,
    LaneId,
    LanePolicy,
    Schedule,
    SiteId,
    WhitelistView,
)
from gatectl.core.plates import normalise
from gatectl.wire.packed import PackedList, packed_list, table_of
from gatectl.wire.rows import decode_row, hex_field, ruling_of


def packed_view(epoch: str, ver: int, issued_s: int, site: str, rows: PackedList) -> WhitelistView:
    """The view of one revision. Raises PayloadError for a row with wrong fields."""
    levels: dict[str, AccessLevel] = {}
    schedules: dict[str, Schedule] = {}
    areas: dict[str, Area] = {}
    policies: dict[LaneId, LanePolicy] = {}
    emergency, issuers = set(), {}
    calendar, code_salt = Calendar(), b""
    for data in rows.rulings():
        row = decode_row(data)
        if row.kind == "level":
            levels[row.id] = ruling_of(row)
        elif row.kind == "schedule":
            schedules[row.id] = ruling_of(row)
        elif row.kind == "area":
            areas[row.id] = ruling_of(row)
        elif row.kind == "lane":
            policies[LaneId(row.id)] = ruling_of(row)
        elif row.kind == "calendar":
            calendar = ruling_of(row)
        elif row.kind == "issuer":
            issuers[row.id] = hex_field(row, "key")
        elif row.kind == "site":
            code_salt = hex_field(row, "code_salt")
        else:
            emergency.add(normalise(row.id))
    return WhitelistView(
        epoch=epoch,
        version=ver,
        issued_s=issued_s,
        grants=rows,
        levels=levels,
        schedules=schedules,
        site=SiteId(site),
        emergency_plates=frozenset(emergency),
        households=rows.household,
        areas=areas,
        policies=policies,
        calendar=calendar,
        issuers=issuers,
        code_salt=code_salt,
    )


def view_of(epoch: str, ver: int, issued_s: int, site: str, rows: Iterable[bytes]) -> WhitelistView:
    """The view of encoded rows. Raises PayloadError."""
    return packed_view(epoch, ver, issued_s, site, packed_list(table_of(rows)))
