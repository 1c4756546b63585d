"""Images of the firmware: what is whole is read back, and every damage is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.errors import ConfigError
from gatectl.wire.bridge_image import BOARD, MANIFEST_AT, Image, from_hex, to_hex

CODE = bytes(range(1, 200))


def an_image(code: bytes = CODE) -> Image:
    return Image(BOARD, "1.2.3", 0x1234ABCD, code)


@given(st.binary(max_size=400))
def test_image_comes_back_as_it_went(code: bytes) -> None:
    assert from_hex(to_hex(an_image(code))) == an_image(code)


def test_records_have_the_published_form() -> None:
    data = bytes.fromhex("214601360121470136007EFE09D21901")
    text = to_hex(an_image(bytes(0x100) + data))
    assert text.splitlines()[16] == ":10010000214601360121470136007EFE09D2190140"
    assert text.splitlines()[-1] == ":00000001FF"


def test_image_of_nobody_is_not_released_and_each_has_its_own_ident() -> None:
    assert not an_image().is_released
    assert an_image().ident != an_image(CODE[:-1]).ident


def test_code_that_does_not_fit_the_chip_is_refused() -> None:
    assert len(from_hex(to_hex(an_image(bytes(MANIFEST_AT)))).code) == MANIFEST_AT
    with pytest.raises(ConfigError, match="takes"):
        to_hex(an_image(bytes(MANIFEST_AT + 1)))


@given(st.data())
def test_any_changed_digit_is_found(data: st.DataObject) -> None:
    text = list(to_hex(an_image()))
    at = data.draw(st.sampled_from([i for i, letter in enumerate(text) if letter not in ":\n"]))
    text[at] = data.draw(st.sampled_from([letter for letter in "0123456789ABCDEF" if letter != text[at]]))
    with pytest.raises(ConfigError):
        from_hex("".join(text))


@given(st.data())
def test_any_missing_record_is_found(data: st.DataObject) -> None:
    lines = to_hex(an_image()).splitlines()
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    with pytest.raises(ConfigError):
        from_hex("\n".join(lines))


def test_record_with_a_right_checksum_and_another_byte_is_found() -> None:
    lines = to_hex(an_image()).splitlines()
    raw = bytearray.fromhex(lines[2][1:])
    raw[4] ^= 0x10
    raw[-1] = -sum(raw[:-1]) & 0xFF
    lines[2] = f":{raw.hex().upper()}"
    with pytest.raises(ConfigError, match="altered"):
        from_hex("\n".join(lines))


@pytest.mark.parametrize("text", ["", "hello", ":00000001FF", ":020000040001F9\n:00000001FF", ":0000000100"])
def test_file_that_is_no_image_is_refused_with_words(text: str) -> None:
    with pytest.raises(ConfigError):
        from_hex(text)
