"""Pixels in, plates out."""

from functools import lru_cache

from gatectl.vision.candidates import Image, PlateCandidate, PlateReader

__all__ = ["Image", "PlateCandidate", "PlateReader", "find_plates", "plate_reader"]


@lru_cache(maxsize=1)
def plate_reader() -> PlateReader:
    """The one reader of this process. A better reader takes its place here and nowhere else."""
    from gatectl.vision.reader import OcrPlateReader  # here: it brings cv2 and, on first use, onnxruntime

    return OcrPlateReader()


def find_plates(image: Image, *, is_deep: bool = False) -> tuple[PlateCandidate, ...]:
    """All legal plates of a BGR picture, surest first; one thread at a time, models are loaded on first use.

    About 30 ms on one core; `is_deep` may take 0.5 s on a picture where the quick look finds nothing sure.
    """
    return plate_reader().find_plates(image, is_deep=is_deep)
