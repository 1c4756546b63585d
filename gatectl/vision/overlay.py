"""The picture that goes with an event: the frame made small, the plate framed, as JPEG."""

import cv2
import numpy as np

from gatectl.vision.candidates import Image, PlateCandidate

LONGEST_PX = 960
MAX_BYTES = 100_000
_QUALITIES = (80, 65, 50, 35, 20)
_FRAME_BGR = (60, 220, 60)


def picture_jpeg(
    image: Image, plate: PlateCandidate | None, *, longest_px: int = LONGEST_PX, max_bytes: int = MAX_BYTES
) -> bytes:
    """A JPEG of at most `max_bytes`, longest side `longest_px` at most; empty when none gets that small."""
    scale = min(1.0, longest_px / max(image.shape[0], image.shape[1], 1))
    shown = image.copy()
    if scale < 1.0:
        shown = np.asarray(cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    if plate is not None and plate.corners:
        corners = np.asarray(plate.corners, dtype=np.float64) * scale
        cv2.polylines(shown, [corners.round().astype(np.int32)], isClosed=True, color=_FRAME_BGR, thickness=2)
    for quality in _QUALITIES:
        is_made, coded = cv2.imencode(".jpg", shown, [int(cv2.IMWRITE_JPEG_QUALITY), quality])
        if is_made and len(coded) <= max_bytes:
            return bytes(coded.tobytes())
    return b""
