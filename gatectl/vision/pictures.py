"""Picture files from strangers: checked before they are decoded, bounded in memory, refused with words."""

from pathlib import Path

import cv2
import numpy as np

from gatectl.core.pictures import MAX_FILE_BYTES, check_picture
from gatectl.errors import GatectlError, NotFoundError
from gatectl.vision.candidates import Image

_FULL_PIXELS = 12_000_000
"""A larger JPEG is decoded at half its size: no plate needs more."""


class PictureError(GatectlError):
    """A file is no picture, is damaged, or is too large; the message says which."""


def load_picture(path: Path) -> tuple[Image, float]:
    """The file as a BGR picture, and how many px of the file one px of it stands for.

    Raises NotFoundError for a missing file, PictureError for anything that is no whole picture of sane size.
    """
    try:
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file", zh=f"{path}：没有这个文件")
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise PictureError(f"{path}: {size_bytes / 1048576:.0f} MB is too large for a picture: the limit is 32 MB")
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return decode_picture(data)
    except ValueError as error:
        raise PictureError(f"{path}: {error}") from error


def decode_picture(data: bytes) -> tuple[Image, float]:
    """As `load_picture`, from memory; raises ValueError with words."""
    header = check_picture(data)
    is_large = header.width_px * header.height_px > _FULL_PIXELS
    mode = cv2.IMREAD_REDUCED_COLOR_2 if is_large else cv2.IMREAD_COLOR
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error as error:
        raise ValueError(f"the {header.format.upper()} file is damaged") from error
    if image is None or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the {header.format.upper()} file is damaged")
    # A JPEG may turn itself by EXIF: compare the longer sides.
    scale = max(header.width_px, header.height_px) / max(image.shape[:2])
    return np.asarray(image, np.uint8), scale
