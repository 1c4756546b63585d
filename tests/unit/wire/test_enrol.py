"""A gate's code, its request and its answer: what each end can prove to the other."""

import base64
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.errors import PayloadError
from gatectl.wire import certificates, enrol
from gatectl.wire.acl import acl_changes, acl_text, gate_rights
from gatectl.wire.enrol import EnrolAnswer, EnrolRequest, Pins, RenewRequest
from gatectl.wire.messages import decode

CODE = "K7QM-2XWD-9FTB"
SECRET = enrol.code_secret(CODE, "north")
KEY = certificates.new_key()
PINS = Pins("A" * 43 + "=", "C" * 43 + "=")
REQUEST = certificates.make_request(KEY, "north")


def an_answer(asked: EnrolRequest, secret: bytes = SECRET, changes: Mapping[str, str] | None = None) -> EnrolAnswer:
    answer = enrol.enrol_answer(
        secret, asked, site="danzao", pins=PINS, certificate=b"certificate", authority=b"authority"
    )
    return answer.model_copy(update=changes or {})


def test_a_new_code_is_sixty_bits_in_three_groups() -> None:
    codes = {enrol.new_code() for _ in range(100)}
    assert len(codes) == 100
    for code in codes:
        assert len(enrol.plain_code(code)) == 12
        assert code.count("-") == 2


@pytest.mark.parametrize("typed", ["k7qm-2xwd-9ftb", " K7QM 2XWD 9FTB\n", "K7QM2XWD9FTB"])
def test_a_code_may_be_typed_as_people_type(typed: str) -> None:
    assert enrol.plain_code(typed) == "K7QM2XWD9FTB"


def test_letters_that_look_like_digits_are_read_as_digits() -> None:
    assert enrol.plain_code("OIL0-1OIL-AAAA") == "011010 11AAAA".replace(" ", "")


@pytest.mark.parametrize("typed", ["", "K7QM-2XWD-9FT", "K7QM-2XWD-9FTBB", "K7QM-2XWD-9FT!", "K7QM-2XWD-9FTU"])
def test_what_is_no_code_is_refused(typed: str) -> None:
    with pytest.raises(PayloadError, match="not a code"):
        enrol.plain_code(typed)


def test_a_code_is_good_for_its_gate_only() -> None:
    assert enrol.code_secret(CODE, "south") != SECRET
    assert enrol.code_secret(CODE.lower(), "north") == SECRET


def test_a_request_proves_the_code_and_itself() -> None:
    asked = enrol.enrol_request(SECRET, "north", REQUEST)
    assert enrol.is_request_proven(SECRET, decode(EnrolRequest, asked.model_dump_json().encode()))
    assert not enrol.is_request_proven(enrol.code_secret("0000-0000-0000", "north"), asked)


def test_a_request_whose_key_was_swapped_on_its_way_proves_nothing() -> None:
    asked = enrol.enrol_request(SECRET, "north", REQUEST)
    thief = certificates.make_request(certificates.new_key(), "north")
    swapped = asked.model_copy(update={"request": base64.b64encode(thief).decode()})
    assert not enrol.is_request_proven(SECRET, swapped)
    assert not enrol.is_request_proven(SECRET, asked.model_copy(update={"gate": "south"}))
    assert not enrol.is_request_proven(SECRET, asked.model_copy(update={"nonce": "0" * 32}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("site", "xianhu"),
        ("site_key", "B" * 43 + "="),
        ("root_key", "B" * 43 + "="),
        ("certificate", base64.b64encode(b"another").decode()),
        ("authority", base64.b64encode(b"a thief's").decode()),
        ("gate", "south"),
    ],
)
def test_an_answer_that_was_changed_on_its_way_is_not_believed(name: str, value: str) -> None:
    asked = enrol.enrol_request(SECRET, "north", REQUEST)
    enrol.require_answer_proven(SECRET, asked, an_answer(asked))
    with pytest.raises(PayloadError, match="nothing of it is believed"):
        enrol.require_answer_proven(SECRET, asked, an_answer(asked, changes={name: value}))


def test_an_answer_to_an_earlier_request_or_without_the_code_is_not_believed() -> None:
    asked, earlier = (enrol.enrol_request(SECRET, "north", REQUEST) for _ in range(2))
    with pytest.raises(PayloadError):
        enrol.require_answer_proven(SECRET, asked, an_answer(earlier))
    with pytest.raises(PayloadError):
        enrol.require_answer_proven(SECRET, asked, an_answer(asked, enrol.code_secret("0000-0000-0000", "north")))


def test_both_ends_show_the_same_check_and_another_authority_another() -> None:
    check = enrol.check_words(SECRET, REQUEST, b"authority")
    assert check == enrol.check_words(SECRET, REQUEST, b"authority")
    assert check != enrol.check_words(SECRET, REQUEST, b"a thief's")


def test_a_renewal_is_signed_by_the_key_that_is_certified_now() -> None:
    asked = enrol.renew_request(KEY, "north", "1f", REQUEST)
    assert enrol.is_renewal_signed(KEY.public_key(), decode(RenewRequest, asked.model_dump_json().encode()))
    assert not enrol.is_renewal_signed(certificates.new_key().public_key(), asked)
    assert not enrol.is_renewal_signed(KEY.public_key(), asked.model_copy(update={"serial": "2f"}))


def test_a_request_for_another_name_or_kind_of_key_is_refused() -> None:
    assert certificates.read_request(REQUEST, "north") == KEY.public_key()
    with pytest.raises(PayloadError, match="another name"):
        certificates.read_request(REQUEST, "south")
    changed = bytearray(REQUEST)
    changed[-1] ^= 1
    with pytest.raises(PayloadError):
        certificates.read_request(bytes(changed), "north")


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_as_a_request_with_words(data: bytes) -> None:
    with pytest.raises(PayloadError):
        certificates.read_request(data, "north")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_a_message_with_words(data: bytes) -> None:
    for model in (EnrolRequest, EnrolAnswer, RenewRequest):
        with pytest.raises(PayloadError):
            decode(model, data)


def test_the_acl_grants_each_gate_its_rights_and_central_all() -> None:
    text = acl_text("central", [("south", "danzao"), ("lake", "xianhu")])
    blocks = {block.split("\n")[0]: block.split("\n")[1:] for block in text.split("\n\n") if block.startswith("user")}
    publish, subscribe = gate_rights("lake", "xianhu")
    wanted = [*(f"topic write {topic}" for topic in publish), *(f"topic read {topic}" for topic in subscribe)]
    assert blocks["user lake"] == wanted
    assert not any("danzao" in line or "+" in line for line in wanted)
    assert blocks["user central"] == ["topic readwrite gatectl/v1/#"]
    assert list(blocks) == ["user central", "user lake", "user south"]


def test_a_changed_acl_is_told_grant_by_grant_and_order_is_free() -> None:
    wanted = acl_text("central", [("south", "danzao"), ("lake", "xianhu")])
    blocks = wanted.split("\n\n")
    assert acl_changes("\n\n".join((blocks[0], *reversed(blocks[1:]))), wanted) == ()
    wider = wanted.replace("user south\n", "user south\ntopic readwrite gatectl/v1/#\n")
    assert acl_changes(wider, wanted) == ("- south: topic readwrite gatectl/v1/#",)
    assert acl_changes("topic read #\n" + wanted, wanted) == ("- (everybody): topic read #",)
    gone = wanted.split("user lake")[0] + "user south" + wanted.split("user south")[1]
    assert all(change.startswith("+ lake: ") for change in acl_changes(gone, wanted))
    assert acl_changes(gone, wanted)
