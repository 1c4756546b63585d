"""USB desk readers: the kernel's key events become the number that was typed."""

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatectl.drivers.wedge import EVENT, MAX_TEXT, WedgeParser, read_wedge
from gatectl.errors import LinkError

CODES = {digit: 2 + place for place, digit in enumerate("1234567890")} | {"A": 30, "B": 48, "C": 46, "D": 32, "E": 18}
ENTER, SHIFT = 28, 42


def key(code: int) -> bytes:
    """Press and release, each with the kernel's own report event behind it."""
    report = EVENT.pack(0, 0, 0, 0, 0)
    return EVENT.pack(1, 2, 1, code, 1) + report + EVENT.pack(1, 3, 1, code, 0) + report


def typed(text: str) -> bytes:
    """As such a reader types: letters with Shift held."""
    out = b""
    for char in text:
        shift = char.isalpha()
        out += EVENT.pack(0, 0, 1, SHIFT, 1) if shift else b""
        out += key(CODES[char])
        out += EVENT.pack(0, 0, 1, SHIFT, 0) if shift else b""
    return out + key(ENTER)


def test_an_event_has_24_bytes() -> None:
    assert EVENT.size == 24


@given(st.lists(st.text(st.sampled_from(sorted(CODES)), min_size=1, max_size=20), max_size=4), st.integers(1, 100))
def test_numbers_are_read_however_their_bytes_arrive(numbers: list[str], piece: int) -> None:
    data = b"".join(typed(number) for number in numbers)
    parser = WedgeParser()
    assert [line for at in range(0, len(data), piece) for line in parser.feed(data[at : at + piece])] == numbers


def test_held_key_counts_once_and_other_keys_not_at_all() -> None:
    parser = WedgeParser()
    held = EVENT.pack(0, 0, 1, CODES["5"], 1) + EVENT.pack(0, 0, 1, CODES["5"], 2) * 5
    assert parser.feed(held + key(1) + key(59) + key(ENTER)) == ["5"]


def test_enter_alone_is_no_card_and_a_line_without_end_is_dropped() -> None:
    parser = WedgeParser()
    assert parser.feed(key(ENTER)) == []
    assert parser.feed(key(CODES["1"]) * (MAX_TEXT + 5) + key(ENTER)) == []
    assert parser.feed(typed("12")) == ["12"]


def test_random_bytes_raise_nothing() -> None:
    parser = WedgeParser()
    parser.feed(random.Random("wedge").randbytes(200_000))


@contextmanager
def fifo(folder: Path) -> Iterator[tuple[Path, int]]:
    """A device file that a test writes to."""
    path = folder / "event7"
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR)
    try:
        yield path, keeper
    finally:
        os.close(keeper)


def test_card_is_read_from_the_device_that_was_grabbed(tmp_path: Path) -> None:
    grabbed: list[int] = []
    with fifo(tmp_path) as (path, writer):
        thread = threading.Timer(0.01, lambda: os.write(writer, typed("0006547886")))
        thread.start()
        assert read_wedge(path, 10, grabbed.append) == "0006547886"
        thread.join()
    assert len(grabbed) == 1


def test_device_that_cannot_be_had_alone_is_refused(tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, _), pytest.raises(LinkError, match="no keyboard device"):
        read_wedge(path, 1)


def test_no_card_and_no_device_are_said_in_words(tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, _), pytest.raises(LinkError, match="no card within"):
        read_wedge(path, 0.01, lambda _: None)
    with pytest.raises(LinkError, match="no such device"):
        read_wedge(tmp_path / "none", 1)
