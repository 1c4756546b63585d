"""How well the reader does on a folder of labelled photos (`scenes.csv`)."""

import csv
import re
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gatectl.errors import NotFoundError
from gatectl.vision.candidates import PlateCandidate, PlateReader, Quad
from gatectl.vision.locate import overlap
from gatectl.vision.pictures import PictureError, load_picture

_FOUND_OVERLAP = 0.3
"""Intersection over union from which a read counts as of the labelled plate."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One labelled photo; `others` are further plates in it."""

    path: Path
    plate: str
    quad: Quad | None
    others: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Outcome:
    reads: tuple[str, ...]
    is_found: bool
    spent_ms: float


def load_scenes(folder: Path) -> list[Scene]:
    """The rows of `scenes.csv`; photos lie in `scenes/` beside it or next to it.

    Raises NotFoundError without it, PictureError when its columns are not `file` and `plate` at least.
    """
    table = folder / "scenes.csv"
    if not table.is_file():
        raise NotFoundError(
            f"{table}: not found; `plate eval` needs a folder with scenes.csv (columns file, plate, corners)",
            zh=f"找不到 {table}：plate eval 需要含 scenes.csv 的文件夹（列 file、plate、corners）",
        )
    home = folder / "scenes" if (folder / "scenes").is_dir() else folder
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PictureError(f"{table}: is no UTF-8 table: {error}") from error
    if not rows or not {"file", "plate"} <= rows[0].keys():
        raise PictureError(f"{table}: has no rows with the columns file and plate")
    return [_scene(home, row) for row in rows]


def _scene(home: Path, row: dict[str, str]) -> Scene:
    others = frozenset(part for part in re.split(r"[\s;,|/]+", row.get("other_plates") or "") if part)
    return Scene(home / row["file"], row["plate"], _quad(row), others)


def _quad(row: dict[str, str]) -> Quad | None:
    numbers = [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", row.get("corners") or "")]
    if len(numbers) == 8:
        return np.array(numbers, np.float32).reshape(4, 2)
    numbers = [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", row.get("bbox_xywh") or "")]
    if len(numbers) != 4:
        return None
    x, y, width, height = numbers
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)


def evaluate(
    reader: PlateReader, scenes: list[Scene], progress: Callable[[int], object] = lambda _done: None
) -> dict[str, Any]:
    """The figures of every photo read with `is_deep`; an unreadable photo counts as not read."""
    outcomes = []
    for done, outcome in enumerate(_outcomes(reader, scenes), start=1):
        outcomes.append(outcome)
        progress(done)
    pairs = list(zip(scenes, outcomes, strict=True))
    count = max(1, len(pairs))
    spent = [outcome.spent_ms for outcome in outcomes] or [0.0]
    wrong = sum(read not in {s.plate, *s.others} for s, o in pairs for read in o.reads)
    return {
        "n": len(pairs),
        "exact_any": sum(s.plate in o.reads for s, o in pairs) / count,
        "exact_top": sum(o.reads[:1] == (s.plate,) for s, o in pairs) / count,
        "exact_without_province": sum(any(r[1:] == s.plate[1:] for r in o.reads) for s, o in pairs) / count,
        "found": sum(o.is_found for o in outcomes) / count,
        "false_reads_per_image": wrong / count,
        "ms": {"p50": round(float(np.percentile(spent, 50)), 1), "p95": round(float(np.percentile(spent, 95)), 1)},
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "errors": [
            {"file": s.path.name, "label": s.plate, "read": o.reads[0] if o.reads else ""}
            for s, o in pairs
            if o.reads[:1] != (s.plate,)
        ],
    }


def _outcomes(reader: PlateReader, scenes: list[Scene]) -> Iterator[_Outcome]:
    is_warm = False
    for scene in scenes:
        try:
            image, scale = load_picture(scene.path)
        except PictureError:
            yield _Outcome((), False, 0.0)
            continue
        if not is_warm:
            reader.find_plates(image)  # loads the model: that is no part of a photo's time
            is_warm = True
        start = time.perf_counter()
        plates = reader.find_plates(image, is_deep=True)
        spent_ms = (time.perf_counter() - start) * 1000
        reads = tuple(plate.text for plate in plates)
        yield _Outcome(reads, any(_is_of(scene, plate, scale) for plate in plates), spent_ms)


def _is_of(scene: Scene, plate: PlateCandidate, scale: float) -> bool:
    if scene.quad is None:
        return plate.text == scene.plate
    quad = np.array(plate.corners, np.float32) * np.float32(scale)
    return overlap(quad.astype(np.float32), scene.quad) >= _FOUND_OVERLAP
