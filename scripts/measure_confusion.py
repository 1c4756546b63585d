"""Measure how the plate reader errs: `measure_confusion.py read`, then `measure_confusion.py write`.

`read` shows the reader labelled crops, labelled photos and rendered cars, several frames each until the vote is as
sure as a gate waits for, and appends one JSON line a car. `write` turns those lines into two generated modules:
counts for `gatectl.core.confusion`, and the per-character distributions that the benchmark replays.
"""

import argparse
import csv
import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gatectl.core.model import PlateColour
from gatectl.core.plates import ALPHABET, DIGITS, LETTERS, PROVINCES, CharShares, FrameRead, PlateVote
from gatectl.edge.lpr import SURE, SURE_FRAMES
from gatectl.sim.platepics import Condition, render_frame
from gatectl.vision import find_plates
from gatectl.vision.candidates import Image
from gatectl.vision.grammar import ENERGY, IN_USE
from gatectl.vision.recognise import Recogniser

MOST_FRAMES = 5
"""Frames of a car that the vote does not get sure of; a gate would take up to 20 in its 2.5 s."""
READABLE: tuple[Condition, ...] = ("day", "night", "blur", "rain")
MOST_WRONG = 2
"""A read with more wrong characters is that of another plate in the picture."""
LEAST = 1e-6
DOUBTFUL = 100.0
"""Odds below which a right character counts as doubtful: the tail that is measured."""
SERIAL = LETTERS + DIGITS
PACKAGE = Path(__file__).resolve().parent.parent / "gatectl"
CONFUSION = PACKAGE / "core" / "confusion.py"
RECORDED = PACKAGE / "bench" / "recorded.tsv"


@dataclass(frozen=True, slots=True)
class Case:
    """One car: what its plate is, where the picture is from, and a picture of it moved a little."""

    truth: str
    source: str
    frame: Callable[[random.Random], Image]
    read: Callable[[Image], FrameRead | None]


def shaken(image: Image, rng: random.Random, most_px: float) -> Image:
    """The same picture as the next frame of a standing car shows it: moved by under `most_px`, new grain and light."""
    height, width = image.shape[:2]
    scale = rng.uniform(0.985, 1.015)
    moved = np.array(
        [
            [scale, rng.uniform(-0.01, 0.01), (1 - scale) * width / 2 + rng.uniform(-most_px, most_px)],
            [rng.uniform(-0.01, 0.01), scale, (1 - scale) * height / 2 + rng.uniform(-most_px, most_px)],
        ],
        np.float32,
    )
    warped = cv2.warpAffine(image, moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grain = np.random.default_rng(rng.getrandbits(32)).normal(0.0, 3.0, warped.shape)
    frame: Image = np.clip(warped * rng.uniform(0.94, 1.06) + grain, 0, 255).astype(np.uint8)
    return frame


def found(image: Image) -> FrameRead | None:
    """The surest plate of a whole picture."""
    plates = find_plates(image)
    return FrameRead(plates[0].text, plates[0].probs, plates[0].colour, plates[0].chars) if plates else None


def rendered(count: int, rng: random.Random, *, is_rare: bool = False) -> Iterator[Case]:
    """Drawn cars: every province in turn, letters that it issues, all serial characters alike, four conditions.

    `is_rare`: only plates of the rarer kinds, and of offices whose letter is O.
    """
    for number in range(count):
        province = PROVINCES[number % len(PROVINCES)]
        head = province + rng.choice(sorted(IN_USE[province]))
        sort = rng.random()
        if is_rare:
            head, sort = (rng.choice("京鲁粤") + "O", 0.5) if sort < 0.5 else (head, 0.3)
        if sort < 0.2:
            text = head + rng.choice(ENERGY) + rng.choice(SERIAL) + "".join(rng.choices(DIGITS, k=4))
            colour = PlateColour.GREEN
        elif sort < 0.3:
            text, colour = head + "".join(rng.choices(DIGITS, k=5)) + rng.choice(ENERGY), PlateColour.YELLOW_GREEN
        elif sort < 0.36:
            text, colour = special(head, rng)
        else:
            text = head + "".join(rng.choices(SERIAL, k=5))
            colour = PlateColour.YELLOW if sort > 0.85 else PlateColour.BLUE
        condition = READABLE[number // len(PROVINCES) % len(READABLE)]
        picture, _ = render_frame(text, colour, rng, condition=condition)
        yield Case(text, condition, lambda r, image=picture: shaken(image, r, 3.0), found)  # type: ignore[misc]


def special(head: str, rng: random.Random) -> tuple[str, PlateColour]:
    """Trailers, driving schools, police, consulates, and cars that cross to Hong Kong or Macao."""
    last = rng.choice("挂学警领港澳")
    if last == "领":
        return head[0] + "A" + "".join(rng.choices(DIGITS, k=4)) + last, PlateColour.BLACK
    serial = "".join(rng.choices(SERIAL, k=4))
    if last in "港澳":
        return "粤Z" + serial + last, PlateColour.BLACK
    return head + serial + last, PlateColour.WHITE if last == "警" else PlateColour.YELLOW


def labelled(folder: Path, name: str) -> Iterator[tuple[str, Image]]:
    """(plate, picture) of every row of a labelled folder."""
    with (folder / f"{name}.csv").open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            data = np.fromfile(folder / name / row["file"], np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
            if picture is not None:
                yield row["plate"], np.asarray(picture, np.uint8)


def real(folder: Path) -> Iterator[Case]:
    """Crops go to the recogniser, photos to the whole reader."""
    recogniser = Recogniser()

    def read_crop(image: Image) -> FrameRead | None:
        readings = recogniser.read(image)
        return FrameRead(readings[0].text, readings[0].probs, None, readings[0].chars) if readings else None

    for text, picture in labelled(folder, "crops"):
        yield Case(text, "crop", lambda r, image=picture: shaken(image, r, 0.7), read_crop)  # type: ignore[misc]
    for text, picture in labelled(folder, "scenes"):
        yield Case(text, "scene", lambda r, image=picture: shaken(image, r, 3.0), found)  # type: ignore[misc]


def frames_of(case: Case, rng: random.Random) -> list[FrameRead]:
    """The frames that a gate would vote on: until the vote is sure."""
    vote, reads = PlateVote(), []
    for _ in range(MOST_FRAMES):
        read = case.read(case.frame(rng))
        if read is None:
            continue
        vote.add(read)
        reads.append(read)
        if vote.frames >= SURE_FRAMES and vote.result().confidence >= SURE:
            break
    return reads


def read(options: argparse.Namespace) -> None:
    """Append one line a car to the records."""
    rng = random.Random(options.seed)  # noqa: S311 - repeatable pictures
    with options.records.open("a", encoding="utf-8") as out:
        cases = real(options.plates) if options.plates else rendered(options.rendered, rng, is_rare=options.rare)
        for number, case in enumerate(cases):
            row: dict[str, Any] = {"truth": case.truth, "source": case.source}
            row["frames"] = [
                {"text": frame.text, "probs": [round(p, 5) for p in frame.probs], "chars": frame.chars}
                for frame in frames_of(case, rng)
            ]
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            if number % 100 == 0:
                print(number, flush=True)


@dataclass(frozen=True, slots=True)
class Seen:
    """One character of one car: what it is, what the vote took it for, and the vote's distribution."""

    true: str
    read: str
    shares: CharShares

    @property
    def odds(self) -> float:
        """The read character's share over the true one's (an untold one has 10^-6)."""
        shares = dict(self.shares)
        return shares.get(self.read, LEAST) / max(shares.get(self.true, 0.0), LEAST)

    @property
    def doubt(self) -> float:
        """The likeliest other character's share over the read one's."""
        shares = dict(self.shares)
        own = max(shares.pop(self.read, 0.0), LEAST)
        return max(shares.values(), default=0.0) / own


def voted(files: list[Path]) -> tuple[list[Seen], Counter[str]]:
    """Every character of every car that was read with the right length, and how the cars' reads ended."""
    seen: list[Seen] = []
    cars: Counter[str] = Counter()
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            cars["cars"] += 1
            vote = PlateVote()
            for frame in row["frames"]:
                chars = tuple(tuple((char, share) for char, share in place) for place in frame["chars"])
                vote.add(FrameRead(frame["text"], tuple(frame["probs"]), None, chars))
            result = vote.result()
            if not result.text:
                cars["unread"] += 1
            elif len(result.text) != len(row["truth"]):
                cars["of another length"] += 1
            elif sum(a != b for a, b in zip(row["truth"], result.text, strict=True)) > MOST_WRONG:
                cars["another plate of the picture"] += 1
            else:
                cars["exact"] += result.text == row["truth"]
                cars["with a wrong character"] += result.text != row["truth"]
                seen += [
                    Seen(true, read, vote.candidates)
                    for true, read, vote in zip(row["truth"], result.text, result.chars, strict=True)
                ]
    return seen, cars


def log_odds(errors: list[Seen]) -> float:
    """The mean natural logarithm of the odds against the truth; 0 at least for each."""
    return sum(max(math.log(error.odds), 0.0) for error in errors) / len(errors)


def log_doubt(right: list[Seen]) -> float:
    """The mean natural logarithm of how far below `DOUBTFUL` the odds of doubtful right characters are."""
    odds = [1 / one.doubt for one in right if one.doubt > 1 / DOUBTFUL]
    return sum(math.log(DOUBTFUL / max(x, 1.0)) for x in odds) / len(odds)


def module(seen: list[Seen], cars: Counter[str], command: str) -> str:
    """`gatectl.core.confusion`."""
    errors = [one for one in seen if one.read != one.true]
    totals = Counter(one.true for one in seen)
    wrong: dict[str, dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for one in errors:
        wrong[one.true][one.read].append(one)
    cars_line = ", ".join(f"{count} {words}" for words, count in cars.items())
    tails = ", ".join(f"{x}: {sum(e.odds > x for e in errors) / len(errors):.3f}" for x in (1, 10, 100, 1000, 10000))
    rows = []
    for char in sorted(totals, key=ALPHABET.index):
        ranked = sorted(wrong[char].items(), key=lambda item: (-len(item[1]), item[0]))
        pairs = ", ".join(f'"{to}": ({len(those)}, {log_odds(those):.2f})' for to, those in ranked)
        rows.append(f'    "{char}": ({totals[char]}, {{{pairs}}}),')
    return f'''"""How the plate reader errs, counted. Generated by scripts/measure_confusion.py; do not edit.

{command}
{cars_line}.
{len(seen)} characters, {len(errors)} of them wrong. Of the wrong ones, the share whose odds against the truth exceed
{tails}.
"""

LOG_ODDS = {log_odds(errors):.2f}
"""How sure the errors were: the mean natural logarithm of the odds that the reader gave against the truth."""

LOG_DOUBT = {log_doubt([one for one in seen if one.read == one.true]):.2f}
"""How doubtful right characters are: of those with odds below {DOUBTFUL:.0f}, the mean of ln({DOUBTFUL:.0f} / odds)."""

READ_AS: dict[str, tuple[int, dict[str, tuple[int, float]]]] = {{
{chr(10).join(rows)}
}}
"""By character: how often it was shown, and for which others it was taken: how often, how sure (as LOG_ODDS)."""
'''


def recorded(seen: list[Seen]) -> str:
    """Distributions to replay: every error, every doubtful character, and of the sure ones a few that stand for all."""
    lines = ["true\tread\tcount\tshares"]
    by_char: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        if one.read != one.true:
            lines.append(as_line(one, 1))
        else:
            by_char[one.true].append(one)
    for char in sorted(by_char, key=ALPHABET.index):
        ranked = sorted(by_char[char], key=lambda one: -one.doubt)
        start = 0
        while start < len(ranked):
            # Groups grow with their rank, by a fifth of it; the most doubtful of each stands for it.
            size = max(1, start // 5)
            lines.append(as_line(ranked[start], len(ranked[start : start + size])))
            start += size
    return "\n".join(lines) + "\n"


def as_line(one: Seen, count: int) -> str:
    """One row of the table."""
    shares = ",".join(f"{char}:{share:.3g}" for char, share in one.shares if share > 0)
    return f"{one.true}\t{one.read}\t{count}\t{shares}"


def write(options: argparse.Namespace) -> None:
    """Both tables from the records."""
    seen, cars = voted(options.records)
    CONFUSION.write_text(module(seen, cars, options.note), encoding="utf-8")
    RECORDED.write_text(recorded(seen), encoding="utf-8")
    print(dict(cars), len(seen), "characters")


def main() -> None:
    """`read` or `write`."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    reading = commands.add_parser("read")
    reading.add_argument("--records", type=Path, required=True)
    reading.add_argument("--plates", type=Path, help="the folder of labelled crops and photos; without it, rendered")
    reading.add_argument("--rendered", type=int, default=4000)
    reading.add_argument("--rare", action="store_true", help="rendered cars of the rarer kinds only")
    reading.add_argument("--seed", type=int, default=1)
    reading.set_defaults(run=read)
    writing = commands.add_parser("write")
    writing.add_argument("records", type=Path, nargs="+")
    writing.add_argument("--note", default="", help="the commands that made the records, for the header")
    writing.set_defaults(run=write)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
