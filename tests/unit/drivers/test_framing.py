"""Declared framings: every shipped one against bytes made by the papers' rules, and the framer against anything."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatectl.core.cards import parse_card
from gatectl.drivers.checksums import ChecksumKind, checksum
from gatectl.drivers.framed_serial import Shown, what_is_shown
from gatectl.drivers.framing import Card, Checksum, Framer, Framing, Length, poll_bytes
from gatectl.drivers.framing_file import load_framing, shipped
from gatectl.drivers.rfid_serial import Rdm6300Parser
from gatectl.sim.devices import rdm6300_frame

MEGABYTE = 1_000_000


def xor_of(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


def rongshi(card: bytes) -> bytes:
    body = b"\x69\xd2" + card
    return body + bytes((xor_of(body),))


def par(reader: int, digits: bytes) -> bytes:
    body = b"\x09A" + bytes((reader,)) + b"F" + digits
    return body + b"%02X\r" % xor_of(body)


def aa_bb(station: int, data: bytes) -> bytes:
    body = bytes((station, len(data))) + data
    return b"\xaa" + body + bytes((xor_of(body), 0xBB))


def uhf(reader: int, tag: bytes) -> bytes:
    body = bytes((0xA0, len(tag) + 4, reader, 0x01)) + tag
    return body + bytes((sum(body) & 0xFF, 0xC0))


@dataclass(frozen=True)
class Sample:
    """A shipped declaration, one good frame of it, and the card that the frame tells."""

    name: str
    frame: bytes
    key: str
    address: int = 0


SAMPLES = (
    Sample("rdm6300", rdm6300_frame("010063E9AE"), "em:010063E9AE"),
    Sample("rongshi", rongshi(bytes.fromhex("0100 6DBC25")), "em:01006DBC25"),
    Sample("par-100as", par(5, b"89D41B81"), "w34:89D41B81", 5),
    Sample("aa-bb", aa_bb(3, bytes.fromhex("12D41B81")), "w34:12D41B81", 3),
    Sample("uhf-a0", uhf(1, bytes.fromhex("E28011606000020612345678")), "uid:E28011606000020612345678", 1),
)
by_name = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def framer(sample: Sample) -> Framer:
    return Framer(load_framing(sample.name), sample.address)


@by_name
def test_shipped_reader_is_read_by_the_byte_as_well_as_at_once(sample: Sample) -> None:
    assert framer(sample).feed(sample.frame) == [sample.frame]
    slow = framer(sample)
    assert [frame for byte in sample.frame for frame in slow.feed(bytes((byte,)))] == [sample.frame]
    assert what_is_shown(load_framing(sample.name).card, sample.frame) == Shown(key=parse_card(sample.key))


def test_every_shipped_declaration_has_a_sample_here() -> None:
    assert {sample.name for sample in SAMPLES} | {"qr-line"} == set(shipped())


@by_name
def test_every_single_bit_error_is_refused(sample: Sample) -> None:
    for bit in range(8 * len(sample.frame)):
        broken = bytearray(sample.frame)
        broken[bit // 8] ^= 1 << bit % 8
        reader = framer(sample)
        heard = [*reader.feed(bytes(broken)), *reader.idle()]
        cards = [what_is_shown(load_framing(sample.name).card, frame) for frame in heard]
        # ASCII hex digits differ by one bit from their lower case: the same card, and nothing was misread
        assert cards in ([], [Shown(key=parse_card(sample.key))]), f"bit {bit}"
        assert not heard or bytes(broken).lower() == sample.frame.lower(), f"bit {bit}"


@by_name
def test_a_megabyte_of_chance_brings_no_card_and_the_next_frame_is_read(sample: Sample) -> None:
    reader = framer(sample)
    noise = random.Random(f"noise {sample.name}").randbytes(MEGABYTE)
    heard = [frame for at in range(0, MEGABYTE, 4096) for frame in reader.feed(noise[at : at + 4096])]
    assert heard == []
    reader.idle()
    assert reader.noise_bytes == MEGABYTE
    assert reader.feed(sample.frame) == [sample.frame]


@by_name
@settings(max_examples=60)
@given(noise=st.binary(max_size=80), pieces=st.lists(st.integers(1, 40), max_size=12))
def test_after_any_noise_and_a_pause_the_next_frame_is_read(sample: Sample, noise: bytes, pieces: list[int]) -> None:
    reader = framer(sample)
    at = 0
    for size in (*pieces, len(noise)):
        reader.feed(noise[at : at + size])
        at += size
    reader.idle()
    assert reader.feed(sample.frame)[-1:] == [sample.frame]


@by_name
def test_frame_right_behind_a_broken_one_is_not_lost(sample: Sample) -> None:
    reader = framer(sample)
    heard = reader.feed(sample.frame[: len(sample.frame) // 2] + sample.frame * 2)
    heard += reader.idle()
    assert heard[-1] == sample.frame
    assert 1 <= len(heard) <= 2


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.address], ids=lambda sample: sample.name)
def test_answer_from_another_address_is_not_ours(sample: Sample) -> None:
    reader = framer(replace(sample, address=sample.address + 1))
    assert reader.feed(sample.frame) == []
    assert reader.idle() == []


@given(
    st.lists(
        st.one_of(
            st.binary(min_size=5, max_size=5).map(lambda card: rdm6300_frame(card.hex())),
            st.binary(min_size=5, max_size=5).map(lambda card: rdm6300_frame(card.hex())[:6]),
            st.binary(max_size=20),
            st.sampled_from([b"\x02", b"\x03", b"\x020100", b"63E9AE25\x03"]),
        ),
        max_size=12,
    ).map(b"".join)
)
def test_declared_rdm6300_hears_the_same_cards_as_the_driver_of_its_own(data: bytes) -> None:
    declared = Framer(load_framing("rdm6300"))
    heard = [*declared.feed(data), *declared.idle()]
    assert [bytes.fromhex(frame[1:11].decode()) for frame in heard] == Rdm6300Parser().feed(data)


KINDS: tuple[ChecksumKind, ...] = (
    "xor",
    "sum",
    "sum2c",
    "crc16_ccitt",
    "crc16_xmodem",
    "crc16_aug",
    "crc16_kermit",
    "crc16_x25",
    "crc16_modbus",
    "crc16_arc",
)


def declared(kind: ChecksumKind, size: int) -> Framing:
    """Start, `size` bytes, checksum, end."""
    tail = 2 if kind.startswith("crc") else 1
    return Framing(
        "any",
        9600,
        Card(1, 1 + size),
        start="55",
        end="66",
        length=Length(fixed=size + tail + 2),
        checksum=Checksum(kind, 1, 1 + size, 1 + size, order="little"),
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50)
@given(body=st.binary(min_size=3, max_size=24), data=st.data())
def test_any_single_bit_error_is_refused_whatever_the_checksum(
    kind: ChecksumKind, body: bytes, data: st.DataObject
) -> None:
    size = 2 if kind.startswith("crc") else 1
    frame = b"\x55" + body + checksum(kind, body).to_bytes(size, "little") + b"\x66"
    assert Framer(declared(kind, len(body))).feed(frame) == [frame]
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    broken = bytearray(frame)
    broken[bit // 8] ^= 1 << bit % 8
    reader = Framer(declared(kind, len(body)))
    assert [*reader.feed(bytes(broken)), *reader.idle()] == []


@pytest.mark.parametrize(
    ("kind", "value"),
    list(zip(KINDS, (0x31, 0xDD, 0x23, 0x29B1, 0x31C3, 0xE5CC, 0x2189, 0x906E, 0x4B37, 0xBB3D), strict=True)),
)
def test_checksums_have_their_published_check_values(kind: ChecksumKind, value: int) -> None:
    assert checksum(kind, b"123456789") == value


def test_poll_of_a_rongshi_reader_is_the_papers() -> None:
    assert poll_bytes("AA AA addr_lo addr_hi D2", 0x0102) == bytes.fromhex("AAAA0201D2")


def test_poll_words_for_sums_cover_all_before_them() -> None:
    assert poll_bytes("09 41 addr 46 xor_hex 0D", 5) == b"\x09A\x05F" + b"%02X" % (0x09 ^ 0x41 ^ 5 ^ 0x46) + b"\r"
    assert poll_bytes("01 02 sum", 0) == b"\x01\x02\x03"
    assert sum(poll_bytes("01 02 sum2c", 0)) & 0xFF == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f: replace(f, start=""), "start"),
        (lambda f: replace(f, end="", length=Length()), "needs an `end`"),
        (lambda f: replace(f, baud=1), "baud"),
        (lambda f: replace(f, card=Card(0, written="text")), "printable"),
        (lambda f: replace(f, length=Length(fixed=9, at=2)), "either"),
    ],
)
def test_declaration_that_cannot_work_is_refused_in_words(change: Callable[[Framing], Framing], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        change(declared("xor", 5))


def test_lines_of_text_come_whole_and_noise_spoils_only_its_own_line() -> None:
    reader = Framer(load_framing("qr-line"))
    assert reader.feed(b"123456\r\n\xff\x00 654321\r\nABCDEFGHIJKLMNOP") == [b"123456"]
    assert reader.feed(b"QR\r") == [b"ABCDEFGHIJKLMNOPQR"]
    assert (reader.bad_frames, reader.noise_bytes) == (1, 9)


@pytest.mark.parametrize(
    ("card", "frame", "key"),
    [
        (Card(0, written="decimal"), b"0006547886", "w34:0063E9AE"),
        (Card(0, written="hex", reversed=True), b"AEE96300", "w34:0063E9AE"),
        (Card(0, form="w26"), bytes.fromhex("B1F1C0C0"), "w26:99:58241"),
        (Card(0), bytes.fromhex("0C8707"), "w26:12:34567"),
    ],
)
def test_card_is_taken_as_it_was_declared(card: Card, frame: bytes, key: str) -> None:
    assert what_is_shown(card, frame).key == key


@pytest.mark.parametrize(
    ("card", "frame"),
    [
        (Card(0), b"\x01\x02"),
        (Card(0, written="decimal"), b"99999999999"),
        (Card(0, written="decimal"), b"12A4"),
        (Card(0, written="hex"), b"12G4"),
        (Card(0, form="w26"), bytes.fromhex("31F1C0C0")),
        (Card(0, written="text"), b"hello"),
    ],
)
def test_what_is_no_card_is_refused(card: Card, frame: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        what_is_shown(card, frame)


def test_declared_empty_value_is_no_card() -> None:
    assert what_is_shown(load_framing("rongshi").card, rongshi(bytes(5))) == Shown()
