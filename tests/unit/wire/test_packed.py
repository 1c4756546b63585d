"""The packed list answers as a dictionary of the same grants would, whatever was laid over it."""

import random
from typing import get_args

import msgpack
import pytest
from builders import a_grant, a_level, a_plate_grant
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.cards import derived_keys
from gatectl.core.model import Area, Calendar, CredentialKey, DayKind, Grant, GrantState, Household, LaneId, LanePolicy
from gatectl.core.plates import fold
from gatectl.core.whitelist import DictGrants, find_grant, low_32, whitelist_view
from gatectl.errors import PayloadError
from gatectl.wire import packed
from gatectl.wire.packed import PackedList, packed_list, table_of
from gatectl.wire.replica import decode_snapshot, encode_snapshot
from gatectl.wire.rows import (
    ListRow,
    RowKind,
    encode_row,
    grant_row,
    issuer_row,
    prefix_size,
    read_grant,
    row_prefix,
    ruling_row,
    site_row,
)
from gatectl.wire.view import packed_view, view_of

EM = [CredentialKey(f"em:{version:02X}{number:08X}") for version in (1, 6) for number in (1, 2, 0x010001)]
SHORT = [CredentialKey("w34:00000002"), CredentialKey("w26:0:1")]
PLATES = [CredentialKey(f"plate:{text}") for text in ("粤E12345", "粤E1Z345", "粤E12845", "粤ED12345")]
KEYS = [*EM, *SHORT, *PLATES]


def packed_grants(grants: list[Grant]) -> PackedList:
    return packed_list(table_of(encode_row(grant_row(grant)) for grant in grants))


def agree(of_bytes: PackedList, of_objects: DictGrants) -> None:
    assert len(of_bytes) == len(of_objects)
    for key in KEYS:
        assert of_bytes.get(key) == of_objects.get(key)
        number = low_32(key)
        for bits, low in ((32, number), (24, None if number is None else number & 0xFFFFFF)):
            if low is not None:
                assert sorted(of_bytes.by_number(low, bits)) == sorted(of_objects.by_number(low, bits))
        folded = fold(key.removeprefix("plate:"))
        assert sorted(of_bytes.alike(folded)) == sorted(of_objects.alike(folded))


@given(st.lists(st.sampled_from(KEYS), unique=True), st.randoms(use_true_random=False))
def test_bytes_and_objects_give_the_same_answers(keys: list[CredentialKey], rng: random.Random) -> None:
    grants = [a_grant(key=key, subject=key) for key in keys]
    rng.shuffle(grants)
    agree(packed_grants(grants), DictGrants(grants))


@given(
    st.lists(st.sampled_from(KEYS), unique=True),
    st.lists(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([*GrantState, None])), max_size=4), max_size=6),
    st.sampled_from([0, 2, 512]),
)
def test_changes_lie_over_the_bytes_until_they_are_packed_in_and_nobody_can_tell(
    keys: list[CredentialKey], deltas: list[list[tuple[CredentialKey, GrantState | None]]], pack_anew: int
) -> None:
    held = {key: a_grant(key=key) for key in keys}
    of_bytes = packed_grants(list(held.values()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_PACK_ANEW", pack_anew)
        for delta in deltas:
            last = dict(delta)
            put = {key: a_grant(key=key, state=state) for key, state in last.items() if state is not None}
            gone = [key for key, state in last.items() if state is None]
            before, count = of_bytes, len(of_bytes)
            of_bytes = of_bytes.changed(
                [encode_row(grant_row(grant)) for grant in put.values()], [("grant", key) for key in gone]
            )
            assert len(before) == count, "the old list is as it was"
            held = {key: grant for key, grant in (held | put).items() if key not in gone}
            agree(of_bytes, DictGrants(held.values()))
    assert sorted(of_bytes.rows()) == sorted(encode_row(grant_row(grant)) for grant in held.values())


def test_a_short_reader_finds_the_one_long_card_in_packed_lists_too() -> None:
    view = view_of("e", 1, 0, "s", (encode_row(grant_row(a_grant(key=key))) for key in EM[:2]))
    short, long = derived_keys(EM[0])
    for form in (short, long):
        found = find_grant(view, form)
        assert found is not None
        assert found.key == EM[0]
    twins = view_of("e", 1, 0, "s", (encode_row(grant_row(a_grant(key=key))) for key in (EM[0], EM[3])))
    assert find_grant(twins, short) is None, "two cards that differ only in the version byte are nobody's"


def test_a_snapshot_is_searched_in_its_own_bytes() -> None:
    rows = [encode_row(grant_row(a_grant(key=key))) for key in KEYS]
    wide = encode_row(grant_row(a_grant(key=CredentialKey("code:" + "f" * 32), levels=tuple("abcdefgh" * 40))))
    assert len(wide) > 255
    grants = packed_list(decode_snapshot(encode_snapshot([*rows, wide])))
    assert all(grants.get(key) is not None for key in KEYS)
    found = grants.get(CredentialKey("code:" + "f" * 32))
    assert found is not None
    assert len(found.levels) == 320


RULES: list[ListRow] = [
    ruling_row("level", a_level()),
    ruling_row("household", Household("h1", 2, cars=(PLATES[0],))),
    ruling_row("area", Area("site", capacity=9)),
    ruling_row("lane", LanePolicy(LaneId("east"), area_to="site")),
    ruling_row("calendar", Calendar(1, 9, {3: DayKind.HOLIDAY, 12: DayKind.WORKDAY})),
    issuer_row("k1", b"\x01" * 32),
    site_row("home", b"\x02" * 16),
    grant_row(a_plate_grant()),
    ListRow("emergency_plate", "粤E00120", {}),
]


def test_every_kind_of_row_reaches_the_view_and_a_change_replaces_it() -> None:
    rows = packed_list(table_of(encode_row(row) for row in RULES))
    view = packed_view("e", 1, 0, "home", rows)
    assert view.levels["all"] == a_level()
    assert view.households("h1") == Household("h1", 2, cars=(PLATES[0],))
    assert view.households("h2") is None
    assert view.areas["site"].capacity == 9
    assert view.policies[LaneId("east")].area_to == "site"
    assert view.calendar.days == {3: DayKind.HOLIDAY, 12: DayKind.WORKDAY}
    assert view.issuers == {"k1": b"\x01" * 32}
    assert view.code_salt == b"\x02" * 16
    assert view.emergency_plates == {"粤E00120"}
    changed = rows.changed(
        [encode_row(ruling_row("area", Area("site"))), encode_row(ruling_row("household", Household("h1", 3)))],
        [("emergency_plate", "粤E00120"), ("lane", "east")],
    )
    after = packed_view("e", 2, 0, "home", changed)
    assert after.areas["site"].capacity == 0
    assert after.households("h1") == Household("h1", 3)
    assert (after.emergency_plates, after.policies) == (frozenset(), {})
    assert after.levels["all"] == a_level()


@pytest.mark.parametrize(
    "fields",
    [
        {"levels": []},
        {"state": "active"},
        {"state": "happy", "levels": []},
        {"state": "active", "levels": [1]},
        {"state": "active", "levels": [], "until": "tomorrow"},
        {"state": "active", "levels": [], "uses": True},
        {"state": "active", "levels": [], "colour": "mauve"},
        {"state": "active", "levels": [], "asks_an_oracle": True},
    ],
)
def test_a_grant_row_with_wrong_fields_is_refused_and_never_half_read(fields: dict[str, object]) -> None:
    row = encode_row(ListRow("grant", EM[0], fields))
    good = encode_row(grant_row(a_grant(key=EM[1])))
    with pytest.raises(PayloadError):
        read_grant(row)
    with pytest.raises(PayloadError):
        packed_list(table_of([good, row]))
    with pytest.raises(PayloadError):
        packed_grants([a_grant()]).changed([row], [])


def test_a_ruling_with_a_field_of_a_newer_version_is_refused() -> None:
    row = encode_row(ListRow("lane", "east", {"needs_blessing": True}))
    with pytest.raises(PayloadError, match="needs_blessing"):
        view_of("e", 1, 0, "s", [row])


@given(st.sampled_from(get_args(RowKind)) | st.just("of_a_newer_version"), st.text(max_size=300))
def test_a_rows_first_bytes_are_known_from_its_kind_and_id(kind: str, row_id: str) -> None:
    prefix = row_prefix(kind, row_id)
    row = bytes(msgpack.packb([kind, row_id, {}]))
    assert row.startswith(prefix)
    assert prefix_size(row) == len(prefix)


@pytest.mark.parametrize("data", [b"", b"\x93", b"\x93\xa5grant", b"\x93\x01", b"\x93\xa5grant\xd9"])
def test_a_row_that_ends_too_early_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(PayloadError, match="not a list row"):
        prefix_size(data)


def test_no_two_rows_begin_alike() -> None:
    prefixes = [row_prefix(row.kind, row.id) for row in RULES]
    assert all(encode_row(row).startswith(prefix) for row, prefix in zip(RULES, prefixes, strict=True))
    for prefix in prefixes:
        assert sum(other.startswith(prefix) for other in prefixes) == 1


@given(st.lists(st.sampled_from(KEYS), unique=True), st.lists(st.sampled_from(KEYS), max_size=8))
def test_find_grant_says_the_same_of_bytes_and_of_objects(
    keys: list[CredentialKey], asked: list[CredentialKey]
) -> None:
    grants = [a_grant(key=key) for key in keys]
    of_bytes = view_of("e", 1, 0, "s", (encode_row(grant_row(grant)) for grant in grants))
    of_objects = whitelist_view("e", 1, 0, grants)
    for key in [*asked, *(form for long in asked for form in derived_keys(long))]:
        assert find_grant(of_bytes, key) == find_grant(of_objects, key)
