"""What a serial reader's frames look like, as declared, and the framer that finds them in bytes. Pure; never raises.

Positions count from a frame's first byte; a negative one counts from its end, as in a Python slice.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from gatectl.core.cards import CardForm
from gatectl.drivers.checksums import ChecksumKind, checksum, checksum_bytes

MAX_FRAME_BYTES = 512
"""A longer frame is declared by mistake, or a length field that noise has written."""
_CHARSETS = {
    "any": frozenset(range(256)),
    "hex": frozenset(b"0123456789ABCDEFabcdef"),
    "printable": frozenset(range(0x20, 0x7F)),
}

Order = Literal["little", "big"]
_FORBID: dict[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class Length:
    """`fixed` bytes in all; or a field of `size` bytes at `at`, plus `adds`; or, with neither, up to the end mark."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    fixed: int = 0
    at: int = -1
    size: int = 1
    order: Order = "big"
    adds: int = 0
    most: int = MAX_FRAME_BYTES
    """No frame is longer."""

    def __post_init__(self) -> None:
        if not (0 <= self.fixed <= MAX_FRAME_BYTES and 1 <= self.most <= MAX_FRAME_BYTES):
            raise ValueError(f"a frame has 1 to {MAX_FRAME_BYTES} bytes")
        if self.at >= 0 and (self.fixed or not 1 <= self.size <= 2):
            raise ValueError("a length is either `fixed` or a field of 1 or 2 bytes at `at`")


@dataclass(frozen=True, slots=True)
class Checksum:
    """`kind` over the frame's bytes [`first`:`last`], standing at `at`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    kind: ChecksumKind
    first: int
    last: int
    at: int
    form: Literal["binary", "hex"] = "binary"
    """`hex`: as ASCII hex digits, two a byte."""
    over: Literal["binary", "hex"] = "binary"
    """`hex`: the range holds ASCII hex digits, and the bytes that they spell are summed."""
    order: Order = "big"


@dataclass(frozen=True, slots=True)
class Place:
    """A number in the frame: the reader's address."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    at: int
    size: int = 1
    order: Order = "big"


@dataclass(frozen=True, slots=True)
class Card:
    """Where what was shown stands: the frame's bytes [`first`:`last`], how it is written, what it means."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    first: int
    last: int | None = None
    written: Literal["binary", "hex", "decimal", "text"] = "binary"
    """`text`: a QR code's line, no card."""
    form: CardForm = "number"
    reversed: bool = False
    """The last byte stands first."""
    none: tuple[str, ...] = ()
    """Values (hex) that mean that no card lies there."""


@dataclass(frozen=True, slots=True)
class Poll:
    """What a reader that only answers is asked: hex bytes, and the words of `poll_bytes`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    frame: str
    interval_ms: int = 100
    timeout_ms: int = 80
    """An answer comes within this time, or not at all."""

    def __post_init__(self) -> None:
        if not (20 <= self.interval_ms <= 5000 and 5 <= self.timeout_ms <= 2000):
            raise ValueError("interval_ms is 20 to 5000, timeout_ms 5 to 2000")
        poll_bytes(self.frame, 0)


@dataclass(frozen=True, slots=True)
class Framing:
    """One kind of reader. `start` and `end` are hex; a line has no start and ends with any one byte of `end_any`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    title: str
    baud: int
    card: Card
    parity: Literal["none", "even", "odd"] = "none"
    start: str = ""
    end: str = ""
    end_any: str = ""
    inside: Literal["any", "hex", "printable"] = "any"
    """What may stand between start and end."""
    length: Length = field(default_factory=Length)
    checksum: Checksum | None = None
    address: Place | None = None
    """Answers from another address are not this reader's."""
    poll: Poll | None = None
    idle_gap_ms: int = 200
    """A frame that pauses longer than this was broken off."""

    def __post_init__(self) -> None:
        start, end, end_any = (bytes.fromhex(x) for x in (self.start, self.end, self.end_any))
        if not 300 <= self.baud <= 921600:
            raise ValueError("baud is 300 to 921600")
        if not 10 <= self.idle_gap_ms <= 10_000:
            raise ValueError("idle_gap_ms is 10 to 10000")
        if bool(start) == bool(end_any):
            raise ValueError("declare either `start` (with `end` or a length) or, for lines of text, `end_any`")
        if start and not (end or self.length.fixed or self.length.at >= 0):
            raise ValueError("a frame without a length needs an `end`")
        if self.card.written == "text" and self.inside != "printable":
            raise ValueError('what holds text has inside = "printable"')


def poll_bytes(words: str, address: int) -> bytes:
    """A poll frame: hex pairs, `addr` (or `addr_lo`), `addr_hi`, `addr_hex` (two digits), and sums of all before them.

    The sums: `xor`, `sum`, `sum2c`, `xor_hex` (two digits). Raises ValueError with words.
    """
    out = bytearray()
    for word in words.split():
        if word in ("addr", "addr_lo"):
            out.append(address & 0xFF)
        elif word == "addr_hi":
            out.append(address >> 8 & 0xFF)
        elif word == "addr_hex":
            out += b"%02X" % (address & 0xFF)
        elif word == "xor_hex":
            out += b"%02X" % checksum("xor", bytes(out))
        elif word in ("xor", "sum", "sum2c"):
            kind: ChecksumKind = "xor" if word == "xor" else "sum" if word == "sum" else "sum2c"
            out.append(checksum(kind, bytes(out)))
        else:
            out += bytes.fromhex(word)
    if not out:
        raise ValueError("a poll frame has at least one byte")
    return bytes(out)


class Framer:
    """Sans-I/O: bytes in, checked frames out. After garbage the next whole frame is found."""

    def __init__(self, framing: Framing, address: int = 0) -> None:
        self.noise_bytes = 0
        """Bytes that belonged to no good frame."""
        self.bad_frames = 0
        """Frames begun that ended wrongly: length, end, checksum, foreign bytes, another's address."""
        self._framing = framing
        self._address = address
        self._start, self._end, self._ends = (bytes.fromhex(x) for x in (framing.start, framing.end, framing.end_any))
        self._inside = _CHARSETS[framing.inside]
        self._kept = bytearray()
        self._is_noise = False

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now."""
        if self._ends:
            return self._lines(data)
        self._kept += data
        return self._scan(is_over=False)

    def idle(self) -> list[bytes]:
        """The line paused: a frame begun is over, and one that hid behind its false start comes out."""
        if self._ends:
            if self._kept or self._is_noise:
                self._spoil(0)
                self._is_noise = False
            return []
        found = self._scan(is_over=True)
        self.noise_bytes += len(self._kept)  # the first bytes of a start mark that never came whole
        self._kept.clear()
        return found

    # --- frames that begin with a mark ---

    def _scan(self, *, is_over: bool) -> list[bytes]:
        found = []
        while self._seek():
            size = self._size()
            if size is None or (0 < size > len(self._kept)):
                if not is_over:
                    break
                size = 0
            frame = bytes(self._kept[:size])
            if size and self._is_good(frame):
                found.append(frame)
                del self._kept[:size]
            else:
                self.bad_frames += 1
                self.noise_bytes += 1
                del self._kept[:1]
        return found

    def _seek(self) -> bool:
        """Drop what stands before a start mark; False when none, or not all of one, has come."""
        at = self._kept.find(self._start)
        if at < 0:
            tail = next((n for n in range(len(self._start) - 1, 0, -1) if self._kept.endswith(self._start[:n])), 0)
            self.noise_bytes += len(self._kept) - tail
            del self._kept[: len(self._kept) - tail]
            return False
        self.noise_bytes += at
        del self._kept[:at]
        return True

    def _size(self) -> int | None:
        """Bytes of the frame that stands first; 0 = no such frame; None = more bytes are needed to tell."""
        length = self._framing.length
        if length.fixed:
            return length.fixed
        if length.at >= 0:
            raw = self._kept[length.at : length.at + length.size]
            if len(raw) < length.size:
                return None
            size = int.from_bytes(raw, length.order) + length.adds
            return size if len(self._start) + len(self._end) < size <= length.most else 0
        at = self._kept.find(self._end, len(self._start))
        if at >= 0:
            size = at + len(self._end)
            return size if size <= length.most else 0
        return None if len(self._kept) < length.most else 0

    def _is_good(self, frame: bytes) -> bool:
        if not frame.endswith(self._end):
            return False
        if self._framing.inside != "any":
            body = frame[len(self._start) : len(frame) - len(self._end)]
            if not self._inside.issuperset(body):
                return False
        return self._is_summed(frame) and self._is_ours(frame)

    def _is_summed(self, frame: bytes) -> bool:
        rule = self._framing.checksum
        if rule is None:
            return True
        covered = frame[rule.first : rule.last]
        size = checksum_bytes(rule.kind) * (2 if rule.form == "hex" else 1)
        begin = rule.at if rule.at >= 0 else len(frame) + rule.at
        given = frame[begin : begin + size]
        if begin < 0 or len(given) < size or not covered:
            return False
        try:
            if rule.over == "hex":
                covered = bytes.fromhex(covered.decode("ascii"))
            if rule.form == "hex":
                given = bytes.fromhex(given.decode("ascii"))
        except ValueError:
            return False
        return int.from_bytes(given, rule.order) == checksum(rule.kind, covered)

    def _is_ours(self, frame: bytes) -> bool:
        place = self._framing.address
        if place is None:
            return True
        return int.from_bytes(frame[place.at : place.at + place.size], place.order) == self._address

    # --- lines of text ---

    def _lines(self, data: bytes) -> list[bytes]:
        found = []
        for byte in data:
            if byte in self._ends:
                if self._is_noise:
                    self.bad_frames += 1
                elif self._kept:
                    found.append(bytes(self._kept))
                self._kept.clear()
                self._is_noise = False
            elif self._is_noise or byte not in self._inside or len(self._kept) >= self._framing.length.most:
                self._spoil(1)
            else:
                self._kept.append(byte)
        return found

    def _spoil(self, more_bytes: int) -> None:
        self.noise_bytes += len(self._kept) + more_bytes
        self._kept.clear()
        self._is_noise = True
