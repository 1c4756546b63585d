"""`gatectl plate`: what people and scripts see."""

import csv
import json
import os
import random
from pathlib import Path

import pytest
from rendered_plates import a_plate
from typer.testing import CliRunner, Result

from gatectl.cli import app
from gatectl.core.model import PlateColour
from gatectl.core.plates import is_legal
from gatectl.sim.platepics import encode_jpeg, render_frame

_KEYS = {
    *("n", "exact_any", "exact_top", "exact_without_province", "found"),
    *("false_reads_per_image", "ms", "rss_mb", "errors"),
}


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--lang", "en", "plate", *arguments])


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "car.jpg"
    path.write_bytes(encode_jpeg(render_frame("粤E12345", PlateColour.BLUE, random.Random(5))[0]))
    return path


def test_read_prints_text_confidence_colour_and_corners(photo: Path) -> None:
    result = _run("read", str(photo))
    assert result.exit_code == 0
    text, confidence, colour, corners = result.stdout.strip().split("\t")
    assert (text, colour) == ("粤E12345", "blue")
    assert float(confidence) > 0.8
    assert len(corners.split()) == 4


def test_read_as_json_is_one_document(photo: Path) -> None:
    document = json.loads(_run("read", str(photo), "--json").stdout)
    (plate,) = document["plates"]
    assert plate["text"] == "粤E12345"
    assert len(plate["probs"]) == 7
    assert plate["confidence"] == min(plate["probs"])


def test_read_goes_on_after_a_bad_file_and_exits_6(photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    result = _run("read", str(bad), str(photo), str(tmp_path / "none.jpg"))
    assert result.exit_code == 6
    assert "粤E12345" in result.stdout
    assert "bad.jpg: this is no JPEG" in result.stderr
    assert "no such file" in result.stderr


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n" + b"\0" * 60])
def test_a_bad_picture_gets_words_and_exit_1(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    result = _run("read", str(path))
    assert result.exit_code == 1
    assert "bad.jpg" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_missing_picture_exits_3(tmp_path: Path) -> None:
    assert _run("read", str(tmp_path / "none.jpg")).exit_code == 3


def test_a_picture_without_a_plate_is_no_error(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "empty.jpg"
    path.write_bytes(encode_jpeg(np.full((240, 320, 3), 120, np.uint8)))
    result = _run("read", str(path))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "no plate" in result.stderr


@pytest.mark.parametrize(
    ("text", "plain", "kind"),
    [("粤E·12345", "粤E12345", "ordinary"), ("沪af71017", "沪AF71017", "new_energy_small"),
     ("京A1234学", "京A1234学", "school")],
)  # fmt: skip
def test_parse_names_the_kind(text: str, plain: str, kind: str) -> None:
    document = json.loads(_run("parse", text, "--json").stdout)
    assert (document["text"], document["kind"]) == (plain, kind)


@pytest.mark.parametrize("text", ["FC628", "粤E1234", "粤EI2345", ""])
def test_parse_refuses_what_is_no_plate(text: str) -> None:
    result = _run("parse", text)
    assert result.exit_code == 1
    assert "no plate" in result.stderr


def test_eval_without_a_table_says_what_it_needs(tmp_path: Path) -> None:
    result = _run("eval", str(tmp_path), "--json")
    assert result.exit_code == 3
    assert "scenes.csv" in result.stderr


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00file,plate\n"])
def test_eval_on_a_broken_table_gets_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scenes.csv").write_bytes(content)
    result = _run("eval", str(tmp_path), "--json")
    assert result.exit_code == 1
    assert "scenes.csv" in result.stderr


def test_eval_counts_reads_misses_and_false_reads(tmp_path: Path) -> None:
    rng = random.Random(9)
    (tmp_path / "scenes").mkdir()
    with (tmp_path / "scenes.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "plate", "bbox_xywh", "corners", "colour", "other_plates"])
        for number in range(6):
            text, colour = a_plate(number, rng)
            frame, truth = render_frame(text, colour, rng)
            (tmp_path / "scenes" / f"{number}.jpg").write_bytes(encode_jpeg(frame, 92))
            corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in truth.corners)
            # The fifth is labelled as another plate; the sixth too, but its own is listed as also in the picture.
            label = "京A00000" if number >= 4 else text
            table.writerow([f"{number}.jpg", label, "", corners, "", text if number == 5 else ""])
        table.writerow(["missing.jpg", "京A11111", "", "", "", ""])
    result = _run("eval", str(tmp_path), "--json")
    assert result.exit_code == 3, "a photo that the table names and that is not there is an error"
    (tmp_path / "scenes" / "missing.jpg").write_bytes(b"damaged")
    figures = json.loads(_run("eval", str(tmp_path), "--json").stdout)
    assert figures.keys() == _KEYS
    assert figures["n"] == 7
    assert figures["exact_any"] == figures["exact_top"] == pytest.approx(4 / 7)
    assert figures["found"] == pytest.approx(6 / 7)
    assert figures["false_reads_per_image"] == pytest.approx(1 / 7)
    assert [error["label"] for error in figures["errors"]] == ["京A00000", "京A00000", "京A11111"]


def _real_photos() -> Path | None:
    named = os.environ.get("GATECTL_PLATES")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "plates"
    return folder if (folder / "scenes.csv").is_file() else None


@pytest.mark.skipif(_real_photos() is None, reason="real photos: set GATECTL_PLATES to a folder with scenes.csv")
def test_real_photos_are_read_as_well_as_by_the_ocr_library_alone() -> None:
    folder = _real_photos()
    assert folder is not None
    figures = json.loads(_run("eval", str(folder), "--json").stdout)
    assert figures.keys() == _KEYS
    assert figures["exact_any"] >= 0.94, figures["errors"]
    assert figures["exact_top"] >= 0.93, figures["errors"]
    assert figures["false_reads_per_image"] <= 0.05
    assert all(is_legal(error["read"]) for error in figures["errors"] if error["read"])
