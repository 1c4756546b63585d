"""Keys of OSDP readers: which are refused, and how they are kept."""

import random
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.drivers.osdp_keys import KEY_BYTES, SCBK_D, key_path, load_key, new_key, store_key, weakness
from gatectl.errors import ConfigError

GOOD = bytes.fromhex("7A1FC3905BE2480D9961D7F42C8EB035")


@given(st.integers(0, 255))
def test_repeated_byte_is_weak(byte: int) -> None:
    assert weakness(bytes((byte,)) * KEY_BYTES)


@given(st.integers(0, 255), st.integers(0, 255))
def test_counting_by_any_step_is_weak(first: int, step: int) -> None:
    assert weakness(bytes((first + step * place) & 0xFF for place in range(KEY_BYTES)))


@given(st.sampled_from([1, 2, 4, 8]), st.data())
def test_repeated_part_is_weak(size: int, data: st.DataObject) -> None:
    part = data.draw(st.binary(min_size=size, max_size=size))
    assert weakness(part * (KEY_BYTES // size))


@given(st.binary(min_size=8, max_size=8))
def test_mirrored_half_is_weak(half: bytes) -> None:
    assert weakness(half + half[::-1])


@given(st.binary(min_size=8, max_size=8), st.integers(0, 255))
def test_half_that_counts_is_weak(half: bytes, first: int) -> None:
    count = bytes((first + place) & 0xFF for place in range(8))
    assert weakness(count + half)
    assert weakness(half + count)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=16, max_size=16))
def test_text_is_weak(text: str) -> None:
    assert weakness(text.encode())


@pytest.mark.parametrize(
    "key",
    [
        SCBK_D,
        bytes(range(1, 17)),
        bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"),
        bytes.fromhex("00112233445566778899AABBCCDDEEFF"),
        bytes.fromhex("404142434445464748494A4B4C4D4E4F"),
        bytes.fromhex("DEADBEEFDEADBEEFDEADBEEFDEADBEEF"),
        b"",
        bytes(15),
        GOOD + b"\0",
    ],
    ids=lambda key: key.hex(),
)
def test_published_and_misshapen_keys_are_refused(key: bytes) -> None:
    assert weakness(key)


def test_random_keys_are_good() -> None:
    chance = random.Random("keys")
    assert [key.hex() for key in (chance.randbytes(KEY_BYTES) for _ in range(20_000)) if weakness(key)] == []


def test_new_keys_differ_and_are_good() -> None:
    keys = {new_key() for _ in range(200)}
    assert len(keys) == 200
    assert not any(weakness(key) for key in keys)


def test_stored_key_is_read_back_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = key_path(tmp_path / "osdp", "post")
    store_key(path, GOOD)
    assert load_key(path) == GOOD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["post.key"]


def test_weak_key_is_not_even_stored(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SCBK-D"):
        store_key(tmp_path / "post.key", SCBK_D)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "mode", "word"),
    [
        (GOOD.hex(), 0o640, "chmod 600"),
        ("not hex", 0o600, "hex digits"),
        (GOOD.hex()[:-2], 0o600, "15 bytes"),
        (SCBK_D.hex(), 0o600, "SCBK-D"),
    ],
)
def test_key_file_that_is_not_as_it_should_be_is_refused_without_telling_the_key(
    tmp_path: Path, text: str, mode: int, word: str
) -> None:
    path = tmp_path / "post.key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=word) as caught:
        load_key(path)
    assert text not in str(caught.value)


def test_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gatectl reader key post"):
        load_key(tmp_path / "post.key")
