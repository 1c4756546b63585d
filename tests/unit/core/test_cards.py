"""Card numbers: published vectors, every printed form, and no bit error that parity covers gets through."""

import pytest
from builders import a_grant, a_view
from hypothesis import given
from hypothesis import strategies as st

from gatectl.core.cards import derived_keys, em4100_key, parse_card, printed_forms, wiegand_key
from gatectl.core.model import CredentialKey
from gatectl.core.whitelist import find_grant

W26 = "10110001111100011100000011"
W34 = "1100010011101010000011011100000011"


def test_the_published_vectors() -> None:
    assert em4100_key(bytes.fromhex("010063E9AE")) == "em:010063E9AE"
    assert wiegand_key("w26", W26) == "w26:99:58241"
    assert wiegand_key("w34", W34) == "w34:89D41B81"


def test_the_forms_printed_on_a_card_are_derived_from_its_raw_bytes() -> None:
    assert printed_forms(CredentialKey("em:010063E9AE")) == {
        "hex": "010063E9AE",
        "dec10": "0006547886",
        "w26": "099,59822",
    }
    assert printed_forms(CredentialKey("em:100086F444"))["dec10"] == "0008844356"


@pytest.mark.parametrize(("card_format", "bits"), [("w26", W26), ("w34", W34)])
def test_every_single_bit_error_is_refused(card_format: str, bits: str) -> None:
    for i in range(len(bits)):
        broken = bits[:i] + ("1" if bits[i] == "0" else "0") + bits[i + 1 :]
        with pytest.raises(ValueError, match="parity"):
            wiegand_key(card_format, broken)  # type: ignore[arg-type]


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
