"""Where a plate may be: colour and edge masks over two scales, as quads ranked by how plate-like they look."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gatectl.core.model import PlateColour
from gatectl.vision.candidates import Image, Quad

PLATE_PX = (220, 70)
"""Size of a rectified plate: 440 x 140 mm at half a pixel a millimetre."""
_ASPECT = 440 / 140
_Mask = npt.NDArray[np.uint8]

_HUES = (
    # colour, lowest and highest (hue 0-180, saturation, value)
    (PlateColour.BLUE, (98, 80, 36), (130, 255, 255)),
    (PlateColour.YELLOW, (11, 90, 60), (38, 255, 255)),
    (PlateColour.GREEN, (38, 34, 44), (92, 255, 255)),
)


@dataclass(frozen=True, slots=True)
class Region:
    """A place that may be a plate: its quad in px of the picture, the mask that found it, and a rank (higher first)."""

    quad: Quad
    source: str
    rank: float


def locate(image: Image, *, is_deep: bool = False) -> tuple[Region, ...]:
    """Likely plates, best first. `is_deep` looks at a second scale and with more thresholds."""
    regions: list[Region] = []
    for side_px in (1200, 640) if is_deep else (720,):
        scale = min(1.0, side_px / max(image.shape[:2]))
        small = image if scale == 1.0 else resized(image, scale)
        for source, mask in _masks(small, is_deep=is_deep):
            regions += _regions(small, mask, source, scale)
    return _distinct(sorted(regions, key=lambda region: -region.rank))


def resized(image: Image, scale: float) -> Image:
    """The picture scaled down without aliasing."""
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def brightened(image: Image) -> Image:
    """Local contrast raised, for dusk and deep night."""
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
    lab[:, :, 0] = cv2.createCLAHE(4.0, (8, 8)).apply(lab[:, :, 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2BGR), np.uint8)


def rectify(image: Image, quad: Quad, size: tuple[int, int] = PLATE_PX, grow: tuple[float, float] = (0, 0)) -> Image:
    """The quad as an upright rectangle, grown by shares of its width and height on each side."""
    width, height = size
    dx, dy = width * grow[0] / (1 + 2 * grow[0]), height * grow[1] / (1 + 2 * grow[1])
    target = _floats([[dx, dy], [width - dx, dy], [width - dx, height - dy], [dx, height - dy]])
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), target)
    across = float(np.linalg.norm(quad[1] - quad[0]))
    if across > 2.2 * width:
        # Far larger than the target: shrink first, or the warp would alias.
        shrink = 1.6 * width / across
        x0, y0 = np.maximum(np.floor(quad.min(axis=0) - across * 0.3).astype(int), 0)
        x1, y1 = np.ceil(quad.max(axis=0) + across * 0.3).astype(int)
        part = image[y0:y1, x0:x1]
        small = resized(part, shrink)
        ratio = _floats([small.shape[1] / part.shape[1], small.shape[0] / part.shape[0]])
        matrix = cv2.getPerspectiveTransform(((quad - _floats([x0, y0])) * ratio).astype(np.float32), target)
        image = small
    flat = cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(flat, np.uint8)


def ordered(points: npt.NDArray[Any]) -> Quad:
    """Four points as left-top, right-top, right-bottom, left-bottom, the longer sides horizontal."""
    centre = points.mean(axis=0)
    turn = np.argsort(np.arctan2(points[:, 1] - centre[1], points[:, 0] - centre[0]))
    ring = points[turn]
    start = int(np.argmin(ring.sum(axis=1)))
    quad: Quad = np.roll(ring, -start, axis=0).astype(np.float32)
    return quad


def _floats(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


def quad_size(quad: Quad) -> tuple[float, float]:
    """(width, height) in px: the means of the opposite sides."""
    top, bottom = _length(quad[1] - quad[0]), _length(quad[2] - quad[3])
    left, right = _length(quad[3] - quad[0]), _length(quad[2] - quad[1])
    return (top + bottom) / 2, (left + right) / 2


def _length(vector: npt.NDArray[np.float32]) -> float:
    return float(np.hypot(vector[0], vector[1]))


def _masks(small: Image, *, is_deep: bool) -> list[tuple[str, _Mask]]:
    """(source, mask) pairs; a plate is one blob in at least one of them."""
    found: list[tuple[str, _Mask]] = []
    hsv = cv2.cvtColor(cv2.GaussianBlur(small, (3, 3), 0), cv2.COLOR_BGR2HSV)
    span = small.shape[1] / 720
    for colour, low, high in _HUES:
        mask = cv2.inRange(hsv, np.array(low), np.array(high))
        if cv2.countNonZero(mask) < 200:
            continue
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _box(9 * span, 3 * span))
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _box(5 * span, 5 * span))
        found.append((colour.value, np.asarray(mask, np.uint8)))
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    edges = cv2.convertScaleAbs(cv2.Sobel(cv2.GaussianBlur(grey, (3, 3), 0), cv2.CV_16S, 1, 0))
    lined = cv2.blur(edges, (int(15 * span) | 1, int(7 * span) | 1))
    for share in (96.0, 90.0) if is_deep else (94.0,):
        level = max(24.0, float(np.percentile(lined[::3, ::3], share)))
        mask = np.asarray(lined > level, np.uint8) * np.uint8(255)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _box(15 * span, 3 * span))
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _box(13 * span, 7 * span))
        found.append(("edge", np.asarray(mask, np.uint8)))
    return found


def _box(width: float, height: float) -> npt.NDArray[np.uint8]:
    return np.ones((max(1, round(height)), max(1, round(width))), np.uint8)


def _regions(small: Image, mask: _Mask, source: str, scale: float) -> list[Region]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    limit = small.shape[0] * small.shape[1] * 0.25
    for contour in contours:
        rectangle = cv2.minAreaRect(contour)
        long, short = max(rectangle[1]), min(rectangle[1])
        if long < 32 or short < 9 or long * short > limit or not 1.7 < long / short < 7.5:
            continue
        fill = cv2.contourArea(contour) / (long * short)
        if fill < 0.5:
            continue
        quad = _quad_of(contour)
        if abs(_slope(quad)) > 0.6:
            continue
        if source == "edge":
            quad = grown(quad, 0.02, 0.06)
        rank = _rank(small, quad, fill, source)
        if rank > 0:
            found.append(Region((quad / scale).astype(np.float32), source, rank))
    return found


def _quad_of(contour: npt.NDArray[Any]) -> Quad:
    """The blob's four corners: its hull simplified to four points, or its smallest rectangle."""
    hull = cv2.convexHull(contour)
    box = ordered(cv2.boxPoints(cv2.minAreaRect(hull)))
    around = cv2.arcLength(hull, True)
    for share in (0.02, 0.03, 0.045, 0.06, 0.08):
        simple = cv2.approxPolyDP(hull, share * around, True)
        if len(simple) == 4:
            quad = ordered(simple.reshape(4, 2).astype(np.float32))
            whole = cv2.contourArea(hull)
            if cv2.contourArea(quad) > 0.9 * whole and _is_sane(quad):
                return quad
        if len(simple) < 4:
            break
    return box


def _is_sane(quad: Quad) -> bool:
    top, bottom = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3])
    left, right = np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[2] - quad[1])
    return bool(min(top, bottom) > 0.75 * max(top, bottom) and min(left, right) > 0.6 * max(left, right))


def _slope(quad: Quad) -> float:
    across = quad[1] - quad[0]
    return float(across[1] / max(1e-3, abs(across[0])))


def grown(quad: Quad, across: float, down: float) -> Quad:
    """The quad with its sides moved outwards by shares of its width and height."""
    right = ((quad[1] - quad[0]) + (quad[2] - quad[3])) / 2 * across
    under = ((quad[3] - quad[0]) + (quad[2] - quad[1])) / 2 * down
    grown: Quad = (quad + np.stack([-right - under, right - under, right + under, under - right])).astype(np.float32)
    return grown


def _rank(small: Image, quad: Quad, fill: float, source: str) -> float:
    """How plate-like: ink that alternates along the rows, contrast, aspect, fullness. Negative: not at all."""
    flat = cv2.cvtColor(rectify(small, quad, (110, 35)), cv2.COLOR_BGR2GRAY)
    contrast = float(flat.std())
    if contrast < 9:
        return -1.0
    _, ink = cv2.threshold(flat, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    rows = np.abs(np.diff(ink[6:29].astype(np.int8), axis=1)).sum(axis=1)
    changes = float(np.median(rows))
    if not 7 <= changes <= 46:
        return -1.0
    width, height = quad_size(quad)
    aspect = abs(float(np.log(width / max(1.0, height) / _ASPECT)))
    coloured = 0.0 if source == "edge" else 0.6 if source == "blue" else 0.3
    return 3.0 + fill + min(contrast, 50) / 50 + coloured - aspect * 1.2 - abs(changes - 20) / 16


def _distinct(regions: list[Region]) -> tuple[Region, ...]:
    """Best first; one that lies almost exactly on a better one is dropped."""
    kept: list[Region] = []
    for region in regions:
        if all(overlap(region.quad, other.quad) < 0.8 for other in kept):
            kept.append(region)
    return tuple(kept)


def overlap(one: Quad, other: Quad) -> float:
    """Intersection over union of two convex quads."""
    (ax0, ay0), (ax1, ay1) = one.min(axis=0), one.max(axis=0)
    (bx0, by0), (bx1, by1) = other.min(axis=0), other.max(axis=0)
    if ax1 <= bx0 or bx1 <= ax0 or ay1 <= by0 or by1 <= ay0:
        return 0.0
    shared, _ = cv2.intersectConvexConvex(one, other)
    total = cv2.contourArea(one) + cv2.contourArea(other) - shared
    return float(shared / total) if total > 0 else 0.0
