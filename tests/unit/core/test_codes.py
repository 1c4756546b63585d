"""Codes are known by their salted hash only."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatectl.core.codes import code_key, duress_form, is_code

SALT = bytes(range(16))


def test_a_code_has_one_key_at_a_site_and_another_elsewhere() -> None:
    assert code_key(SALT, "123456") == "code:437dbb1231a338815f7e94db9542b7c5"
    assert code_key(SALT, "123456") != code_key(bytes(16), "123456")
    assert code_key(SALT, "123456") != code_key(SALT, "123457")


@pytest.mark.parametrize("digits", ["", "123", "123456789", "12345a", "１２３４５６", "12 456", "-12345"])
def test_what_is_no_code_is_refused(digits: str) -> None:
    assert not is_code(digits)
    with pytest.raises(ValueError, match="4 to 8 digits"):
        code_key(SALT, digits)


@settings(max_examples=10)
@given(st.from_regex(r"\A[0-9]{4,8}\Z"))
def test_the_digits_do_not_stand_in_the_key(digits: str) -> None:
    assert is_code(digits)
    key = code_key(SALT, digits)
    assert key.startswith("code:")
    assert len(key) == 37


def test_the_duress_form_differs_in_its_last_digit_only() -> None:
    assert duress_form("123456") == "123457"
    assert duress_form("123459") == "123450"
