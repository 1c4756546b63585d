"""Card numbers: published vectors, every printed form, and no bit error that parity covers gets through."""

import pytest
from builders import a_grant, a_view
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.cards import (
    WIEGAND_FORMATS,
    WiegandFormat,
    derived_keys,
    em4100_key,
    number_key,
    other_forms,
    parse_card,
    printed_forms,
    readings,
    wiegand_bits,
    wiegand_key,
)
from gatectl.core.model import CredentialKey
from gatectl.core.whitelist import find_grant

W26 = "10110001111100011100000011"
W34 = "1100010011101010000011011100000011"
H10304 = "1000000000110010000000110000001110011"
H10302 = "1000010010011001011000000010110100101"
FRAMES = [("w26", W26), ("w34", W34), ("h10304", H10304), ("h10302", H10302)]


def test_the_published_vectors() -> None:
    assert em4100_key(bytes.fromhex("010063E9AE")) == "em:010063E9AE"
    assert wiegand_key("w26", W26) == "w26:99:58241"
    assert wiegand_key("w34", W34) == "w34:89D41B81"
    assert wiegand_key("h10304", H10304) == "h10304:100:12345"
    assert wiegand_key("h10302", H10302) == "h10302:1234567890"


def test_the_forms_printed_on_a_card_are_derived_from_its_raw_bytes() -> None:
    assert printed_forms(CredentialKey("em:010063E9AE")) == {
        "hex": "010063E9AE",
        "dec10": "0006547886",
        "w26": "099,59822",
        "w26_8": "09959822",
    }
    assert printed_forms(CredentialKey("em:100086F444"))["dec10"] == "0008844356"


@pytest.mark.parametrize(("card_format", "bits"), FRAMES)
def test_every_single_bit_error_is_refused(card_format: str, bits: str) -> None:
    for i in range(len(bits)):
        broken = bits[:i] + ("1" if bits[i] == "0" else "0") + bits[i + 1 :]
        with pytest.raises(ValueError, match="parity"):
            wiegand_key(card_format, broken)  # type: ignore[arg-type]


def test_the_zk_format_leaves_no_data_bit_without_parity_and_shares_none() -> None:
    bits = "1" + "1" + "0" * 16 + "0" * 17 + "1" + "0"  # even over bits 2-18, odd over 19-36
    assert wiegand_key("zk37a", bits) == f"zk37a:{(1 << 34) + 1}"
    for i in range(37):
        with pytest.raises(ValueError, match="parity"):
            wiegand_key("zk37a", bits[:i] + ("1" if bits[i] == "0" else "0") + bits[i + 1 :])


@given(st.sampled_from(WIEGAND_FORMATS), st.integers(0, 2**35 - 1))
def test_every_key_of_every_format_has_one_frame(card_format: WiegandFormat, number: int) -> None:
    key = {
        "w26": f"w26:{number >> 16 & 0xFF}:{number & 0xFFFF}",
        "w34": f"w34:{number & 0xFFFFFFFF:08X}",
        "h10304": f"h10304:{number >> 19}:{number & 0x7FFFF}",
        "h10302": f"h10302:{number}",
        "zk37a": f"zk37a:{number}",
    }[card_format]
    assert wiegand_key(card_format, wiegand_bits(CredentialKey(key))) == key
    assert parse_card(key) == key


def test_a_key_of_no_wiegand_reader_has_no_frame() -> None:
    with pytest.raises(ValueError, match="plate"):
        wiegand_bits(CredentialKey("plate:粤E12345"))
    with pytest.raises(ValueError, match="no Wiegand reader"):
        wiegand_bits(CredentialKey("em:010063E9AE"))
    with pytest.raises(ValueError, match="65535"):
        wiegand_bits(CredentialKey("w26:1:70000"))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("0006547886", ("w34:0063E9AE", "em:0006547886")),
        ("9999999999", ("em:9999999999",)),
        ("01234567", ("w26:12:34567", "w34:0012D687", "w34:01234567")),
        ("99959822", ("w34:05F5440E", "w34:99959822")),
        ("6547886", ("w26:65:47886", "w34:0063E9AE")),
        ("012,34567", ("w26:12:34567",)),
        ("0063E9AE", ("w34:0063E9AE",)),
        ("h10304:100:12345", ("h10304:100:12345",)),
    ],
)
def test_a_number_that_can_be_read_in_several_ways_shows_them_all(text: str, keys: tuple[str, ...]) -> None:
    assert readings(text) == keys


@given(st.from_regex(r"\A(?:[0-9]{5,10}|[0-9A-F]{8}|[0-9A-F]{10}|[0-9]{1,3},[0-9]{1,5})\Z"))
def test_what_a_card_list_takes_is_the_first_reading(text: str) -> None:
    try:
        taken = parse_card(text)
    except ValueError:
        return
    assert readings(text)[0] == taken


def test_readings_in_reversed_order_leave_out_what_has_none() -> None:
    assert readings("01234567", is_reversed=True) == ("w34:87D61200", "w34:67452301")
    with pytest.raises(ValueError, match="reversed"):
        readings("012,34567", is_reversed=True)
    with pytest.raises(ValueError, match="no card number"):
        readings("hello")


@given(st.integers(0, 2**40 - 1))
def test_every_printed_form_is_read_as_a_form_of_the_same_card(number: int) -> None:
    key = CredentialKey(f"em:{number:010X}")
    of_the_card = {key, *derived_keys(key)}
    for text in (*printed_forms(key).values(), other_forms(key)["hex8"]):
        assert of_the_card & set(readings(text))
    for text in (other_forms(key)["reversed_hex"], other_forms(key)["reversed_dec10"]):
        assert of_the_card & set(readings(text, is_reversed=True))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("09959822", "w26:99:59822"),
        ("099,59822", "w26:99:59822"),
        ("0006547886", "w34:0063E9AE"),
        ("0063E9AE", "w34:0063E9AE"),
        ("010063e9ae", "em:010063E9AE"),
        ("H10304:0100:012345", "h10304:100:12345"),
        ("h10302:0001", "h10302:1"),
    ],
)
def test_a_number_is_read_as_it_is_printed(text: str, key: str) -> None:
    assert parse_card(text) == key


@pytest.mark.parametrize("text", ["h10304:65536:1", "h10304:1:524288", "h10302:34359738368", "zk37a:99999999999"])
def test_a_number_that_its_format_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"bits|H10304"):
        parse_card(text)


def test_bytes_in_reversed_order_are_read_when_asked_for_and_told_apart() -> None:
    card = CredentialKey("em:010063E9AE")
    assert other_forms(card) == {"hex8": "0063E9AE", "reversed_hex": "AEE9630001", "reversed_dec10": "2934530816"}
    assert parse_card("AEE9630001", is_reversed=True) == card
    assert parse_card("2934530816", is_reversed=True) == "w34:0063E9AE"
    with pytest.raises(ValueError, match="reversed"):
        parse_card("012,34567", is_reversed=True)
    assert other_forms(CredentialKey("w26:1:2")) == {}


@given(st.integers(0, 2**40 - 1))
def test_reading_reversed_twice_is_reading_once(number: int) -> None:
    key = CredentialKey(f"em:{number:010X}")
    turned = parse_card(f"em:{other_forms(key)['reversed_hex']}", is_reversed=True)
    assert turned == key


@pytest.mark.parametrize("bits", ["", "1" * 25, "1" * 27, "2" * 26])
def test_a_frame_of_another_length_is_refused_with_words(bits: str) -> None:
    with pytest.raises(ValueError, match="26"):
        wiegand_key("w26", bits)


@pytest.mark.parametrize("text", ["", "abc", "12345678901", "300,00001", "1,70000", "6.54788E+06", "w26:256:1", "卡"])
def test_what_is_no_card_number_is_refused_with_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_card(text)


@given(st.integers(0, 2**40 - 1))
def test_every_printed_form_of_a_card_finds_the_card_again(number: int) -> None:
    key = CredentialKey(f"em:{number:010X}")
    view = a_view(a_grant(key=key))
    for form in (key, *derived_keys(key)):
        found = find_grant(view, form)
        assert found is not None
        assert found.key == key
    if not key[3:].isdecimal():
        assert parse_card(key[3:]) == key


@given(st.integers(0, 2**40 - 1))
def test_a_card_enrolled_by_the_number_printed_on_it_opens_at_a_reader_that_sees_all_its_bytes(number: int) -> None:
    key = CredentialKey(f"em:{number:010X}")
    forms = printed_forms(key)
    for text in (forms["dec10"], forms["w26"]):
        assert find_grant(a_view(a_grant(key=parse_card(text))), key) is not None


@given(st.integers(0, 2**40 - 1), st.integers(0, 2**40 - 1))
def test_a_stranger_with_another_number_never_gets_somebody_elses_grant(mine: int, his: int) -> None:
    view = a_view(a_grant(key=CredentialKey(f"em:{mine:010X}")))
    if mine != his:
        assert find_grant(view, CredentialKey(f"em:{his:010X}")) is None


def test_another_version_byte_is_another_card() -> None:
    view = a_view(a_grant(key=CredentialKey("em:0A1B2C3D4E")))
    assert find_grant(view, CredentialKey("em:0B1B2C3D4E")) is None


@given(st.binary(min_size=3, max_size=16))
def test_bare_number_has_a_key_by_its_length_that_every_list_can_hold(raw: bytes) -> None:
    key = number_key(raw)
    assert key.partition(":")[0] == {3: "w26", 4: "w34", 5: "em"}.get(len(raw), "uid")
    assert parse_card(key) == key
    assert parse_card(key.lower()) == key
    assert find_grant(a_view(a_grant(key=key)), key) is not None


@given(st.binary(min_size=6, max_size=16), st.binary(min_size=3, max_size=16))
def test_long_number_is_nobody_elses(mine: bytes, his: bytes) -> None:
    if mine != his:
        assert find_grant(a_view(a_grant(key=number_key(mine))), number_key(his)) is None


@pytest.mark.parametrize("raw", [b"", b"12", bytes(17)])
def test_number_too_short_or_too_long_for_a_card_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="3 to 16 bytes"):
        number_key(raw)


@pytest.mark.parametrize(
    "text", ["uid:", "uid:0102030405", "uid:04A1B2C3D4E5F", "uid:" + "00" * 17, "uid:04A1B2C3D4E5G6"]
)
def test_long_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no card number"):
        parse_card(text)
