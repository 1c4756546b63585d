"""Finding the one card that is meant, whichever form the reader or the office knows it in."""

import pytest
from builders import a_grant, a_plate_grant, a_view

from gatectl.core.cards import parse_card
from gatectl.core.model import CredentialKey, Grant, GrantState
from gatectl.core.whitelist import EMPTY_VIEW, find_grant

EM, W34, W26 = CredentialKey("em:0A1B2C3D4E"), CredentialKey("w34:1B2C3D4E"), CredentialKey("w26:44:15694")
"""One physical card as three readers see it."""


def found(tapped: str, *enrolled: str) -> str | None:
    grant = find_grant(a_view(*(a_grant(key=CredentialKey(key)) for key in enrolled)), CredentialKey(tapped))
    return grant.key if grant else None


@pytest.mark.parametrize("enrolled", [EM, W34, W26])
@pytest.mark.parametrize("tapped", [EM, W34, W26])
def test_a_card_enrolled_in_any_form_is_found_at_every_reader(enrolled: str, tapped: str) -> None:
    assert found(tapped, enrolled) == enrolled


def test_the_number_printed_on_a_card_names_the_card_though_not_its_version_byte() -> None:
    assert found(EM, parse_card("0455884110")) == W34


@pytest.mark.parametrize("stranger", ["em:0B1B2C3D4E", "em:001B2C3D4E", "em:0A1C2C3D4E", "em:0A1B2C3D4F"])
def test_a_card_that_differs_in_any_byte_from_one_enrolled_with_all_its_bytes_is_a_stranger(stranger: str) -> None:
    assert found(stranger, EM) is None
    assert found(EM, stranger) is None


def test_a_card_that_differs_in_a_bit_that_was_printed_is_a_stranger() -> None:
    assert found("em:0A1B2C3D4F", W34, W26) is None
    assert found("em:0A1C2C3D4E", W34) is None
    assert found("w34:1C2C3D4E", W34) is None


def test_a_tap_that_two_short_grants_fit_is_nobodys() -> None:
    assert found(EM, W34, W26) is None


def test_a_short_tap_that_two_long_cards_fit_is_nobodys() -> None:
    assert found(W34, EM, "em:0B1B2C3D4E") is None
    assert found(W26, EM, "em:0A1C2C3D4E") is None


def test_the_grant_with_all_the_bytes_that_were_seen_goes_first() -> None:
    assert found(EM, EM, W34, W26) == EM


@pytest.mark.parametrize("grant", [a_grant(key=W34, state=GrantState.LOST), a_grant(key=W26, state=GrantState.REVOKED)])
def test_a_lost_or_revoked_card_is_found_by_its_short_form_so_that_it_is_refused_by_name(grant: Grant) -> None:
    assert find_grant(a_view(grant), EM) is grant


def test_plates_have_no_other_form_and_the_first_list_is_empty() -> None:
    view = a_view(a_plate_grant())
    assert find_grant(view, CredentialKey("plate:粤E12345")) is not None
    assert find_grant(view, CredentialKey("plate:粤E1234S")) is None
    assert find_grant(EMPTY_VIEW, EM) is None
