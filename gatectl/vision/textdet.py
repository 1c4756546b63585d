"""PP-OCR's text detector as the locator of last resort: slow (0.15 s), but finds plates that colour and edges miss."""

from typing import Any

import cv2
import numpy as np

from gatectl.vision.candidates import Image, Quad
from gatectl.vision.locate import grown, ordered, resized
from gatectl.vision.recognise import open_session

_LEVEL = 0.3
_UNCLIP = 1.6
"""DB shrinks every text by its area / perimeter; this grows it back (the model's own setting)."""


class TextDetector:
    """Finds lines of text. The model is loaded on first use."""

    def __init__(self) -> None:
        self._session: Any = None

    def find(self, image: Image, side_px: int = 736) -> tuple[Quad, ...]:
        """Quads of text lines in px of the picture, surest first; the longer side is `side_px` for the model."""
        if self._session is None:
            self._session = open_session("ch_PP-OCRv4_det_infer.onnx")
        height, width = image.shape[:2]
        scale = min(1.0, side_px / max(height, width))
        small = resized(image, scale) if scale < 1.0 else image
        size = (max(32, round(small.shape[1] / 32) * 32), max(32, round(small.shape[0] / 32) * 32))
        fitted = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
        tensor = (fitted.astype(np.float32) / 127.5 - 1.0).transpose(2, 0, 1)[None]
        heat = self._session.run(None, {"x": np.ascontiguousarray(tensor)})[0][0, 0]
        ratio = np.array([width / size[0], height / size[1]], np.float32)
        mask = cv2.dilate(np.asarray(heat > _LEVEL, np.uint8), np.ones((2, 2), np.uint8))
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        found: list[tuple[float, Quad]] = []
        for contour in contours:
            rectangle = cv2.minAreaRect(contour)
            long, short = max(rectangle[1]), min(rectangle[1])
            if short < 3 or long < 12:
                continue
            inside = np.zeros_like(mask)
            cv2.drawContours(inside, [contour], -1, 1, -1)
            surety = float(heat[inside > 0].mean())
            if surety < 0.45:
                continue
            reach = long * short * _UNCLIP / (2 * (long + short))
            quad = ordered(cv2.boxPoints(rectangle).astype(np.float32))
            quad = grown(quad, reach / long, reach / short)
            found.append((surety, (quad * ratio).astype(np.float32)))
        return tuple(quad for _, quad in sorted(found, key=lambda pair: -pair[0]))
