"""The bytes of an event: chained for ever, purged in time."""

import json

import pytest
from builders import NOON
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.model import (
    AccessEvent,
    ClockTrust,
    CredentialKey,
    Crossing,
    EventKind,
    GateId,
    LaneId,
    PlateRead,
    RuleStep,
    Verdict,
)
from gatectl.core.reasons import Reason
from gatectl.errors import PayloadError
from gatectl.wire.chain import ChainCheck, Finding, Told
from gatectl.wire.events import (
    GENESIS,
    EventRow,
    chain_hash,
    event_row,
    event_text,
    is_head_genuine,
    is_purged,
    is_whole,
    parse_event,
    sign_head,
)

SALT = "5a" * 16
WHO = AccessEvent(
    id="a1",
    kind=EventKind.ACCESS,
    gate=GateId("east"),
    lane=LaneId("east-in"),
    at=NOON,
    boot_id="boot",
    mono_ns=5,
    clock=ClockTrust.SYNCED,
    reason=Reason.PLATE_OK,
    verdict=Verdict.GRANTED,
    credential=CredentialKey("plate:粤E12345"),
    subject="person-7",
    household="home-9",
    plate=PlateRead("粤E12345", 0.9, None, 3),
    trace=(RuleStep("registered", "粤E12345", "pass"),),
    crossing=Crossing("plate:粤E12345", "", "site"),
    actor="guard.li",
    note="三栋的车",
)


def a_chain(count: int) -> list[EventRow]:
    rows, previous = [], GENESIS
    for seq in range(1, count + 1):
        rows.append(event_row("ep", seq, previous, event_text(WHO, f"{seq:032x}")))
        previous = rows[-1].hash
    return rows


def checked(rows: list[EventRow], *told: Told) -> list[Finding]:
    check = ChainCheck("ep", told)
    return [finding for row in rows for finding in check.take(row)]


def test_nothing_that_says_who_it_was_is_in_the_chained_body() -> None:
    text = event_text(WHO, SALT)
    for word in ("粤E12345", "person-7", "home-9", "guard.li", "三栋"):
        assert word not in text.body
        assert word in text.personal


def test_an_event_comes_back_whole_and_without_names_once_they_are_purged() -> None:
    text = event_text(WHO, SALT)
    assert parse_event(text.body, text.personal) == WHO
    bare = parse_event(text.body)
    assert (bare.reason, bare.verdict, bare.lane) == (WHO.reason, WHO.verdict, WHO.lane)
    assert (bare.credential, bare.subject, bare.plate, bare.trace, bare.note) == (None, "", None, (), "")
    assert is_whole(text.body, text.personal)
    assert not is_purged(text.body, text.personal)
    assert is_purged(text.body, "")


def test_two_events_of_one_plate_cannot_be_told_to_be_so_after_the_purge() -> None:
    assert event_text(WHO, SALT).body != event_text(WHO, "5b" * 16).body


def test_a_machines_own_event_has_nothing_personal() -> None:
    text = event_text(plain(EventKind.SYSTEM, note="gatectl 1.0"), SALT)
    assert text.personal == ""
    assert "gatectl 1.0" in text.body
    assert is_whole(text.body, "")
    assert not is_purged(text.body, "")


def test_a_body_of_the_first_version_is_still_read() -> None:
    text = event_text(WHO, SALT)
    old = json.loads(text.body) | json.loads(text.personal)
    del old["personal"], old["salt"]
    body = json.dumps(old, ensure_ascii=False)
    assert parse_event(body) == WHO
    assert is_whole(body, "")
    assert not is_purged(body, "")


@pytest.mark.parametrize("personal", ["x", "[]", "1", "{}x", '{"reason":1}', '{"verdict":"granted","salt":"1"}'])
def test_what_stands_beside_a_body_can_only_be_personal(personal: str) -> None:
    with pytest.raises(PayloadError, match="not an event"):
        parse_event(event_text(WHO, SALT).body, personal)


@given(st.text(max_size=60))
def test_no_text_of_a_person_passes_for_the_hash_of_another(note: str) -> None:
    forged = f'"personal":"{"0" * 64}"' + note
    text = event_text(plain(EventKind.ALARM, note=forged, reader=forged), SALT)
    assert is_whole(text.body, text.personal)
    assert not is_whole(text.body, text.personal + " ")
    assert is_purged(text.body, "")
    system = event_text(plain(EventKind.SYSTEM, note=forged), SALT)
    assert is_whole(system.body, "")


def plain(kind: EventKind, *, note: str, reader: str = "") -> AccessEvent:
    return AccessEvent(
        WHO.id, kind, WHO.gate, WHO.lane, WHO.at, "boot", 5, ClockTrust.SYNCED, WHO.reason, note=note, reader=reader
    )


# --- the chain ---


def test_a_whole_chain_has_no_findings_purged_or_not() -> None:
    rows = a_chain(6)
    assert checked(rows) == []
    assert checked([row.model_copy(update={"personal": ""}) for row in rows]) == []


@given(st.integers(0, 5), st.sampled_from(["body", "personal", "prev", "hash"]), st.integers(0, 10_000))
def test_one_changed_bit_anywhere_is_found_at_its_event(index: int, field: str, at: int) -> None:
    rows = a_chain(6)
    text = getattr(rows[index], field)
    at %= len(text)
    changed = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
    rows[index] = rows[index].model_copy(update={field: changed})
    found = checked(rows)
    assert rows[index].seq in {finding.seq for finding in found}
    assert {finding.seq for finding in found} <= {rows[index].seq, rows[index].seq + 1}


@given(st.integers(1, 4))
def test_one_missing_event_is_found_and_named(index: int) -> None:
    rows = a_chain(6)
    del rows[index]
    assert [(finding.seq, finding.what) for finding in checked(rows)] == [(index + 1, "missing")]


@given(st.integers(1, 5))
def test_one_inserted_event_is_found_and_named(index: int) -> None:
    """Whoever slips one in must renumber what follows, and cannot make it follow."""
    rows = a_chain(6)
    forged = event_row("ep", index + 1, rows[index - 1].hash, event_text(WHO, "99" * 16))
    later = [row.model_copy(update={"seq": row.seq + 1}) for row in rows[index:]]
    found = checked([*rows[:index], forged, *later])
    assert [(finding.seq, finding.what) for finding in found] == [(index + 2, "inserted")]


def test_a_gap_that_the_gate_told_of_is_no_finding_and_another_is() -> None:
    rows = a_chain(9)
    left = [*rows[:2], *rows[5:]]
    assert checked(left, Told(3, 5, rows[4].hash)) == []
    assert [finding.what for finding in checked(left, Told(3, 5, GENESIS))] == ["inserted"]
    assert [finding.seq for finding in checked(left, Told(3, 4, rows[3].hash))] == [5]


def test_a_head_is_genuine_only_as_its_gate_signed_it() -> None:
    key = Ed25519PrivateKey.generate()
    head = sign_head("east", "ep", 7, "a" * 64, key)
    assert is_head_genuine("east", head)
    assert not is_head_genuine("west", head)
    for change in ({"seq": 8}, {"hash": "b" * 64}, {"epoch": "other"}, {"signature": "AAAA"}, {"key": "no key"}):
        assert not is_head_genuine("east", head.model_copy(update=change))


def test_the_hash_is_that_of_the_protocol() -> None:
    (row,) = a_chain(1)
    assert row.hash == chain_hash(GENESIS, row.body)
