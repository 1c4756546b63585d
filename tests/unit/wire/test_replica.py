"""The list on the wire: rows, hash, seals and snapshots."""

import zlib
from datetime import UTC, datetime

import pytest
from builders import a_grant, a_level, a_plate_grant
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.model import GrantState, Schedule, Window
from gatectl.errors import PayloadError
from gatectl.wire.replica import (
    Delta,
    Head,
    SetHash,
    SnapChunk,
    Snapshot,
    decode_chunk,
    decode_delta,
    decode_head,
    decode_snapshot,
    encode_chunk,
    encode_delta,
    encode_head,
    encode_snapshot,
)
from gatectl.wire.rows import decode_row, emergency_row, encode_row, grant_row, row_key, ruling_row
from gatectl.wire.signed import seal, unseal
from gatectl.wire.view import view_of

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PINNED = (KEY.public_key(),)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
CLEANING = Schedule("c", (Window(0, 480, 720),))
ROWS = (
    grant_row(a_grant(valid_until_s=99, extended_open=True)),
    grant_row(a_plate_grant(state=GrantState.BLOCKED)),
    ruling_row("level", a_level(schedule="c")),
    ruling_row("schedule", CLEANING),
    emergency_row("粤E00120"),
)


def a_delta() -> Delta:
    put = tuple(encode_row(row) for row in ROWS)
    return Delta(
        site="s", epoch="e", from_ver=1, to_ver=2, put=put, delete=("grant/x",), set_hash_after="0" * 64, issued=NOW
    )


def a_head() -> Head:
    snap = Snapshot(ver=1, bytes=1, sha256="0" * 64, chunks=1)
    return Head(site="s", epoch="e", ver=1, n=1, set_hash="0" * 64, snap=snap, min_delta=1, issued=NOW, expires=NOW)


def test_rows_come_back_as_the_view_that_they_were_made_from() -> None:
    view = view_of("e", 3, 7, "site", (encode_row(row) for row in ROWS))
    grant = a_grant(valid_until_s=99, extended_open=True)
    assert view.grants.get(grant.key) == grant
    assert view.levels["all"] == a_level(schedule="c")
    assert view.schedules["c"] == CLEANING
    assert view.emergency_plates == {"粤E00120"}
    assert view.revision == ("e", 3)


def test_a_row_is_named_by_its_kind_and_id() -> None:
    assert row_key(ROWS[0]) == "grant/em:0A1B2C3D4E"


@given(st.lists(st.binary(min_size=1, max_size=40), unique=True), st.randoms(use_true_random=False))
def test_the_set_hash_knows_no_order_and_a_removed_row_leaves_no_trace(rows: list[bytes], rng: object) -> None:
    forward, backward = SetHash(), SetHash()
    for row in rows:
        forward.add(row)
    for row in reversed(rows):
        backward.add(row)
    assert forward.hex() == backward.hex()
    forward.add(b"guest")
    forward.remove(b"guest")
    assert forward.hex() == backward.hex()
    assert SetHash(forward.hex()).hex() == forward.hex()


def test_heads_and_deltas_come_back_whole() -> None:
    assert decode_head(encode_head(a_head(), KEY), PINNED) == a_head()
    assert decode_delta(encode_delta(a_delta(), KEY), PINNED) == a_delta()


def test_another_key_another_purpose_and_any_flipped_bit_are_refused() -> None:
    sealed = encode_delta(a_delta(), KEY)
    with pytest.raises(PayloadError, match="pinned"):
        decode_delta(encode_delta(a_delta(), OTHER), PINNED)
    with pytest.raises(PayloadError, match="signature"):
        decode_head(sealed, PINNED)
    for i in range(len(sealed)):
        broken = sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :]
        with pytest.raises(PayloadError):
            decode_delta(broken, PINNED)


@given(st.binary(max_size=200))
def test_noise_is_refused_in_words_by_every_decoder(noise: bytes) -> None:
    for decode in (decode_row, decode_snapshot, decode_chunk):
        with pytest.raises(PayloadError):
            decode(noise)
    with pytest.raises(PayloadError):
        unseal(noise, "cmd", PINNED)
    with pytest.raises(PayloadError):
        decode_delta(seal(noise, "wl.delta", KEY), PINNED)


def test_snapshots_and_their_chunks_come_back() -> None:
    rows = tuple(encode_row(row) for row in ROWS)
    data = encode_snapshot(rows)
    chunk = decode_chunk(encode_chunk(SnapChunk(4, 0, 1, data)))
    assert (chunk.ver, chunk.i, chunk.n) == (4, 0, 1)
    assert list(decode_snapshot(chunk.data)) == sorted(rows)


def test_a_snapshot_that_is_cut_short_or_swells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PayloadError):
        decode_snapshot(encode_snapshot([b"x" * 500])[:-3])
    monkeypatch.setattr("gatectl.wire.replica.MAX_SNAPSHOT_BYTES", 10_000)
    with pytest.raises(PayloadError):
        decode_snapshot(zlib.compress(b"\0" * 10_000_000))
