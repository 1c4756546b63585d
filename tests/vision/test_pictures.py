"""Picture files from strangers."""

import io
import random
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from gatectl.core.model import PlateColour
from gatectl.core.pictures import check_picture
from gatectl.errors import NotFoundError
from gatectl.sim.platepics import encode_jpeg, render_frame
from gatectl.vision import find_plates
from gatectl.vision.pictures import PictureError, load_picture

TEXT = "粤E12345"


@pytest.fixture(scope="module")
def frame_jpeg() -> bytes:
    return encode_jpeg(render_frame(TEXT, PlateColour.BLUE, random.Random(5))[0], 92)


def _converted(data: bytes, mode: str, form: str) -> bytes:
    out = io.BytesIO()
    Pil.open(io.BytesIO(data)).convert(mode).save(out, form)
    return out.getvalue()


def _png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + chunk + end


@pytest.mark.parametrize(
    ("mode", "form", "suffix"),
    [("RGB", "PNG", "png"), ("L", "PNG", "png"), ("L", "JPEG", "jpg"), ("CMYK", "JPEG", "jpg"), ("RGB", "BMP", "bmp"),
     ("RGB", "WEBP", "webp"), ("RGBA", "PNG", "png"), ("P", "PNG", "png")],
)  # fmt: skip
def test_every_usual_kind_of_picture_is_read(
    frame_jpeg: bytes, tmp_path: Path, mode: str, form: str, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(_converted(frame_jpeg, mode, form))
    image, scale = load_picture(path)
    assert scale == 1.0
    assert TEXT in [plate.text for plate in find_plates(image, is_deep=True)]


def test_a_16_bit_picture_is_read(frame_jpeg: bytes, tmp_path: Path) -> None:
    grey = np.asarray(Pil.open(io.BytesIO(frame_jpeg)).convert("L"), np.uint16) * 257
    path = tmp_path / "deep.png"
    Pil.fromarray(grey).save(path)
    image, _ = load_picture(path)
    assert image.dtype == np.uint8
    assert TEXT in [plate.text for plate in find_plates(image, is_deep=True)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"plate: \xe7\xb2\xa4E12345\n" * 40, "no JPEG, PNG, BMP or WebP"),
        (b"\xff\xd8\xff", "cut off"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 500, "cut off"),
        (_png_header(1, 1), "too small"),
        (_png_header(12_000, 10_000), "too large"),
        (_png_header(800, 600), "damaged"),
        (b"BM" + b"\0" * 60, "too small"),
    ],
)
def test_what_is_no_picture_is_refused_with_words(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "strange.jpg"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=words):
        load_picture(path)


def test_a_truncated_jpeg_is_refused_even_with_a_whole_thumbnail_inside(frame_jpeg: bytes, tmp_path: Path) -> None:
    thumbnail = frame_jpeg[:4000] + b"\xff\xd9"
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "cut.jpg"
    path.write_bytes(frame_jpeg[:2] + segment + frame_jpeg[2 : len(frame_jpeg) // 2])
    with pytest.raises(PictureError, match="cut off"):
        load_picture(path)


def test_a_40_mb_file_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(40 * 1024 * 1024)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match="40 MB is too large"):
        load_picture(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        load_picture(tmp_path / "none.jpg")


def test_a_very_large_jpeg_is_read_at_half_size(tmp_path: Path) -> None:
    frame, _ = render_frame(TEXT, PlateColour.BLUE, random.Random(5), size=(4800, 2700))
    path = tmp_path / "large.jpg"
    path.write_bytes(encode_jpeg(frame, 80))
    image, scale = load_picture(path)
    assert scale == 2.0
    assert image.shape == (1350, 2400, 3)
    assert [plate.text for plate in find_plates(image)] == [TEXT]


def test_mutated_pictures_end_in_an_error_or_an_answer(frame_jpeg: bytes) -> None:
    rng = random.Random(3)
    small = encode_jpeg(render_frame(TEXT, PlateColour.BLUE, rng, size=(320, 180))[0], 60)
    sources = (small, _converted(small, "RGB", "PNG"), _converted(small, "RGB", "WEBP"), _converted(small, "L", "BMP"))
    for number in range(400):
        data = bytearray(sources[number % 4])
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(min(len(data), 700))] = rng.randrange(256)
        try:
            header = check_picture(bytes(data))
        except ValueError:
            continue
        assert header.width_px * header.height_px <= 50_000_000
