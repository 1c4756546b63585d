"""`gatectl bench decoders`: ten million random bytes into every decoder of bytes that come from outside.

None may raise, none may give a card that somebody has, and each reads the next good frame after the noise.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gatectl.drivers.framed_serial import what_is_shown
from gatectl.drivers.framing import Framer
from gatectl.drivers.framing_file import load_framing, shipped
from gatectl.drivers.qr_serial import LineParser
from gatectl.drivers.rfid_serial import Rdm6300Parser
from gatectl.drivers.wedge import EVENT, WedgeParser
from gatectl.sim.devices import rdm6300_frame
from gatectl.wire.bridge_frames import Deframer, encode_frame
from gatectl.wire.bridge_ids import CardRead

BYTES = 10_000_000
_CHUNK = 4096
_CARDS = 250_000
"""Cards of the compound that chance is held against."""
_ENTER, _ONE, _KEY = 28, 2, 1


@dataclass(frozen=True, slots=True)
class Decoder:
    """How to make one, what it says of some bytes (as texts), and a good frame with what that says."""

    make: Callable[[], Callable[[bytes], Sequence[str]]]
    good: bytes
    says: str


def run(count: int, seed: int, say: Callable[[str], None] = lambda _words: None) -> dict[str, Any]:
    """Figures by decoder: reads by chance, grants by chance, good frames that were read after noise."""
    found: dict[str, Any] = {"bytes": count, "seed": seed}
    for name, decoder in _decoders().items():
        say(name)
        found[name] = _try(decoder, count, random.Random(f"{seed} {name}"))  # noqa: S311 - repeatable noise
    found["ok"] = all(x["ok"] for x in found.values() if isinstance(x, dict))
    return found


def _try(decoder: Decoder, count: int, rng: random.Random) -> dict[str, Any]:
    owned = {f"em:{rng.getrandbits(40):010X}" for _ in range(_CARDS)}
    feed = decoder.make()
    reads = grants = resynced = checks = fed = 0
    raised = ""
    started_s = time.monotonic()
    try:
        while fed < count:
            noise = rng.randbytes(min(_CHUNK, count - fed))
            fed += len(noise)
            said = feed(noise)
            reads += len(said)
            grants += sum(text in owned for text in said)
            if fed // _CHUNK % 50 == 0:
                checks += 1
                # The first good frame may still be taken for the noise's end; the second may not.
                said = [*feed(decoder.good), *feed(decoder.good)]
                resynced += bool(said) and said[-1] == decoder.says
    except Exception as error:  # noqa: BLE001 - that none is raised is what is tried here
        raised = repr(error)[:200]
    took_s = time.monotonic() - started_s
    return {
        "reads_by_chance": reads,
        "grants": grants,
        "resynced": f"{resynced} of {checks}",
        "raised": raised,
        "mb_per_s": round(fed / took_s / 1e6, 2),
        "ok": not raised and not grants and resynced == checks > 0,
    }


def _decoders() -> dict[str, Decoder]:
    press = [EVENT.pack(0, 0, _KEY, code, 1) for code in (_ENTER, _ONE, _ENTER)]
    card = CardRead(reader=0, bits=26, data=b"\xb1\xf1\xc0\xc0", tick_us=1)
    found = {
        "rdm6300": Decoder(_rdm6300, rdm6300_frame("010063E9AE"), "em:010063E9AE"),
        "bridge": Decoder(_bridge, encode_frame(card, 1), "CardRead"),
        "qr": Decoder(lambda: LineParser().feed, b"\r\n123456\r\n", "123456"),
        "wedge": Decoder(_wedge, b"".join(press), "1"),
    }
    for name in shipped():
        if name in _GOOD:
            frame, says, address = _GOOD[name]
            found[f"framed {name}"] = Decoder(_framed(name, address), frame, says)
    return found


def _rdm6300() -> Callable[[bytes], Sequence[str]]:
    parser = Rdm6300Parser()
    return lambda data: [f"em:{raw.hex().upper()}" for raw in parser.feed(data)]


def _bridge() -> Callable[[bytes], Sequence[str]]:
    parser = Deframer()
    return lambda data: [type(message).__name__ for message, _ in parser.feed(data)]


def _wedge() -> Callable[[bytes], Sequence[str]]:
    """The kernel hands over whole records; the noise is cut to them."""
    parser = WedgeParser()
    return lambda data: parser.feed(data[: len(data) - len(data) % EVENT.size])


def _framed(name: str, address: int) -> Callable[[], Callable[[bytes], Sequence[str]]]:
    framing = load_framing(name)

    def make() -> Callable[[bytes], Sequence[str]]:
        framer = Framer(framing, address)

        def feed(data: bytes) -> list[str]:
            said = []
            for frame in (*framer.feed(data), *framer.idle()):
                try:
                    shown = what_is_shown(framing.card, frame)
                except ValueError:
                    continue
                said.append(str(shown.key or shown.text))
            return said

        return feed

    return make


def _xor(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


def _good_frames() -> dict[str, tuple[bytes, str, int]]:
    """Frames as the papers say (PROTOCOLS 4): (bytes, the card's key, the reader's address)."""
    rongshi = b"\x69\xd2" + bytes.fromhex("01006DBC25")
    par = b"\x09A\x05F89D41B81"
    aa_bb = bytes((3, 4)) + bytes.fromhex("12D41B81")
    tag = bytes.fromhex("E28011606000020612345678")
    uhf = bytes((0xA0, len(tag) + 4, 1, 1)) + tag
    return {
        "rdm6300": (rdm6300_frame("010063E9AE"), "em:010063E9AE", 0),
        "rongshi": (rongshi + bytes((_xor(rongshi),)), "em:01006DBC25", 0),
        "par-100as": (par + b"%02X\r" % _xor(par), "w34:89D41B81", 5),
        "aa-bb": (b"\xaa" + aa_bb + bytes((_xor(aa_bb), 0xBB)), "w34:12D41B81", 3),
        "uhf-a0": (uhf + bytes((sum(uhf) & 0xFF, 0xC0)), f"uid:{tag.hex().upper()}", 1),
    }


_GOOD = _good_frames()
