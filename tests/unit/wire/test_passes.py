"""Passes: verified without a network, and not to be made, stretched or copied by anybody else."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.model import PassClaim, Profile, SiteId
from gatectl.errors import PayloadError
from gatectl.wire.passes import MAX_TEXT, Pass, encode_pass, read_pass

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KID = "0a1b2c3d"
ISSUERS = {KID: KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)}
VISIT = Pass(SiteId("lanyuan"), ("lanyuan-east-walk-in",), 1_795_406_400, 1_795_413_600, 1, bytes(range(8)))
GOLDEN = "I4AQUGZMHUAACAQDAQCQMB3LAO5EA2YD2ZQACBQHNRQW46LVMFXACFDMMFXHS5LBNYWWKYLTOQWXOYLMNMWWS3"


def test_a_pass_is_written_as_it_always_was() -> None:
    text = encode_pass(VISIT, KID, KEY)
    assert text.startswith(GOLDEN)
    assert len(text) <= 221, "a QR code of version 8 at level M holds 221 alphanumeric characters"
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")


def test_a_pass_comes_back_as_its_claim() -> None:
    claim = read_pass(encode_pass(VISIT, KID, KEY), ISSUERS)
    assert claim == PassClaim(
        nonce="0001020304050607",
        site=SiteId("lanyuan"),
        lanes=("lanyuan-east-walk-in",),
        valid_from_s=1_795_406_400,
        valid_until_s=1_795_413_600,
        uses=1,
        profile=Profile.VISITOR,
        is_genuine=True,
    )


@given(
    st.lists(st.text(max_size=8), max_size=3).map(tuple),
    st.integers(0, 2**31),
    st.integers(1, 100_000),
    st.integers(1, 255),
    st.sampled_from(Profile),
    st.binary(min_size=8, max_size=8),
)
def test_every_pass_comes_back_whole(
    lanes: tuple[str, ...], from_s: int, minutes: int, uses: int, profile: Profile, nonce: bytes
) -> None:
    visit = Pass(SiteId("s"), lanes, from_s, from_s + 60 * minutes, uses, nonce, profile)
    claim = read_pass(f" {encode_pass(visit, KID, KEY).lower()}\r\n", ISSUERS)
    assert claim.is_genuine
    assert (claim.lanes, claim.uses, claim.profile, claim.nonce) == (lanes, uses, profile, nonce.hex())
    assert (claim.valid_from_s, claim.valid_until_s) == (visit.valid_from_s, visit.valid_until_s)


def test_no_single_changed_character_leaves_a_genuine_pass() -> None:
    text = encode_pass(VISIT, KID, KEY)
    for place, old in enumerate(text):
        changed = text[:place] + ("A" if old != "A" else "B") + text[place + 1 :]
        try:
            assert not read_pass(changed, ISSUERS).is_genuine
        except PayloadError:
            continue


def test_another_issuer_and_an_unknown_one_are_not_genuine() -> None:
    forged = encode_pass(VISIT, KID, Ed25519PrivateKey.generate())
    assert not read_pass(forged, ISSUERS).is_genuine
    assert not read_pass(encode_pass(VISIT, KID, KEY), {}).is_genuine
    assert not read_pass(encode_pass(VISIT, KID, KEY), {KID: b"short"}).is_genuine


@given(st.one_of(st.text(max_size=500), st.from_regex(r"\A[A-Z2-7]{0,260}\Z"), st.binary(max_size=160).map(repr)))
def test_what_is_no_pass_is_refused_in_words(text: str) -> None:
    try:
        claim = read_pass(text, ISSUERS)
    except PayloadError:
        return
    assert not claim.is_genuine


@pytest.mark.parametrize(
    "changes",
    [
        {"valid_until_s": VISIT.valid_from_s},
        {"valid_until_s": 2**32},
        {"uses": 0},
        {"uses": 256},
        {"nonce": b"short"},
        {"valid_from_s": -60, "valid_until_s": 0},
        {"lanes": ("x" * 64,)},
        {"lanes": tuple(f"lane-number-{n:02d}-of-a-long-name" for n in range(12))},
    ],
)
def test_what_does_not_fit_into_a_pass_is_refused_when_it_is_made(changes: dict[str, object]) -> None:
    fields = {name: getattr(VISIT, name) for name in Pass.__dataclass_fields__} | changes
    with pytest.raises(ValueError, match=r"pass|lanes|id"):
        encode_pass(Pass(**fields), KID, KEY)
    assert MAX_TEXT == 400
