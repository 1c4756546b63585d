"""Pictures of cars with plates and their ground truth: what the demo's cameras see. Deterministic by `rng`."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from gatectl.core.model import PlateColour
from gatectl.errors import ConfigError, ContractError

Frame = npt.NDArray[np.uint8]
"""A BGR picture, height x width x 3."""
Condition = Literal["day", "night", "blur", "rain", "unreadable"]
CONDITIONS: tuple[Condition, ...] = ("day", "night", "blur", "rain", "unreadable")

_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.int32]
_Bgr = tuple[int, int, int]

_CJK_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Bold.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Bold.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Bold.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
)
_LATIN_FONTS = (
    "/usr/share/fonts/truetype/liberation/LiberationSans-Bold.ttf",
    "/usr/share/fonts/truetype/liberation2/LiberationSans-Bold.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf",
    *_CJK_FONTS,
)
_FONT_ROOTS = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts")

_GROUNDS: dict[PlateColour, tuple[_Bgr, _Bgr, _Bgr]] = {
    # top of the plate, bottom of the plate, characters; BGR
    PlateColour.BLUE: ((168, 62, 16), (168, 62, 16), (245, 245, 245)),
    PlateColour.YELLOW: ((20, 178, 236), (20, 178, 236), (18, 18, 18)),
    PlateColour.GREEN: ((226, 238, 220), (96, 196, 84), (20, 24, 20)),
    PlateColour.YELLOW_GREEN: ((96, 196, 84), (96, 196, 84), (20, 24, 20)),
    PlateColour.WHITE: ((238, 238, 238), (238, 238, 238), (22, 22, 22)),
    PlateColour.BLACK: ((24, 24, 24), (24, 24, 24), (240, 240, 240)),
}
_PAINTS: tuple[_Bgr, ...] = (
    (232, 234, 235),
    (44, 42, 40),
    (122, 118, 114),
    (186, 186, 188),
    (52, 40, 120),
    (112, 64, 36),
    (70, 96, 122),
    (58, 76, 58),
)


def _floats(values: npt.ArrayLike) -> _Floats:
    return np.asarray(values, np.float32)


def _ints(values: npt.ArrayLike) -> _Ints:
    return np.asarray(values, np.int32)


@dataclass(frozen=True, slots=True)
class PlateTruth:
    """What a rendered picture shows; `corners` are left-top, right-top, right-bottom, left-bottom in px."""

    text: str
    colour: PlateColour
    corners: tuple[tuple[float, float], ...]
    condition: str
    is_readable: bool


def render_frame(
    text: str,
    colour: PlateColour,
    rng: random.Random,
    *,
    condition: Condition = "day",
    size: tuple[int, int] = (960, 540),
) -> tuple[Frame, PlateTruth]:
    """A car's front before the gate, `size` = (width, height) px; the same `rng` state gives the same pixels.

    "unreadable" hides several characters behind mud or glare. Raises ConfigError when no font with Chinese
    characters is installed, ContractError for a condition that is none of CONDITIONS.
    """
    if condition not in CONDITIONS:
        raise ContractError(f"no such condition: {condition!r}; one of {', '.join(CONDITIONS)}")
    frame = _scene(rng, size)
    plate = draw_plate(text, colour)
    if condition == "unreadable":
        plate = _spoil(plate, rng)
    car = _car(frame, rng)
    quad = _quad(plate.shape[1] / plate.shape[0], car, rng)
    _frame_around(frame, quad)
    _paste(frame, _weathered(plate, rng), quad)
    frame = _EFFECTS[condition](frame, car, rng)
    corners = tuple((float(x), float(y)) for x, y in quad)
    return frame, PlateTruth(text, colour, corners, condition, condition != "unreadable")


def encode_jpeg(frame: Frame, quality: int = 85) -> bytes:
    """The picture as JPEG bytes."""
    ok, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ContractError("a rendered frame could not be encoded as JPEG")
    return data.tobytes()


def draw_plate(text: str, colour: PlateColour) -> Frame:
    """The plate alone, flat, 1 px a millimetre: 440 x 140 for seven characters, 480 x 140 for eight (GA 36-2018)."""
    return _drawn(text, colour).copy()


@lru_cache(maxsize=64)
def _drawn(text: str, colour: PlateColour) -> Frame:
    is_long = len(text) == 8
    width, height = (480 if is_long else 440), 140
    top, bottom, ink = _GROUNDS[colour]
    slope = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    ground = _floats(top) * (1 - slope) + _floats(bottom) * slope
    plate = np.repeat(ground, width, axis=1).astype(np.uint8)
    if colour is PlateColour.YELLOW_GREEN:
        plate[:, : width // 4] = _GROUNDS[PlateColour.YELLOW][0]
    cv2.rectangle(plate, (4, 4), (width - 5, height - 5), ink, 3, cv2.LINE_AA)
    for character, (x, glyph_width) in zip(text, _places(len(text)), strict=True):
        mask = _glyph(character, glyph_width)[:, :, None].astype(np.float32) / 255
        spot = plate[25:115, x : x + glyph_width]
        shade = (40, 40, 200) if character in "警应急领使" else ink
        spot[:] = (spot * (1 - mask) + _floats(shade) * mask).astype(np.uint8)
    if not is_long:
        cv2.circle(plate, (134, 70), 5, ink, -1, cv2.LINE_AA)
    for x in (int(width * 0.26), int(width * 0.74)):
        cv2.circle(plate, (x, 13), 5, (150, 150, 150), -1, cv2.LINE_AA)
    return plate


def _places(count: int) -> list[tuple[int, int]]:
    """(left edge, width) of every character in millimetres, as GA 36 lays them out."""
    if count == 8:
        return [(15, 45), (69, 43), *((162 + i * 52, 43) for i in range(6))]
    return [(15, 45), (72, 45), *((151 + i * 57, 45) for i in range(5))]


@lru_cache(maxsize=128)
def _glyph(character: str, width: int) -> Frame:
    """A glyph as a mask of `width` x 90, stretched to its field as the plates' own typeface is."""
    is_latin = character.isascii()
    font = ImageFont.truetype(str(_font_path(is_latin)), 160)
    left, upper, right, lower = font.getbbox(character)
    canvas = Image.new("L", (int(right - left) + 2, int(lower - upper) + 2), 0)
    ImageDraw.Draw(canvas).text((1 - left, 1 - upper), character, fill=255, font=font)
    drawn = np.asarray(canvas, np.uint8)
    inner = 18 if character == "1" else width - 2
    mask = np.zeros((90, width), np.uint8)
    start = (width - inner) // 2
    mask[:, start : start + inner] = cv2.resize(drawn, (inner, 90), interpolation=cv2.INTER_AREA)
    return mask


@lru_cache(maxsize=2)
def _font_path(is_latin: bool) -> Path:
    for candidate in _LATIN_FONTS if is_latin else _CJK_FONTS:
        if Path(candidate).is_file():
            return Path(candidate)
    for root in _FONT_ROOTS:
        for found in sorted(Path(root).rglob("*CJK*Bold*.tt[cf]")) + sorted(Path(root).rglob("*CJK*.[ot]t[cf]")):
            return found
    raise ConfigError(
        "no font with Chinese characters found to draw plates with: install one, e.g. apt-get install fonts-noto-cjk",
        zh="没有找到中文字体，无法绘制车牌：请安装，例如 apt-get install fonts-noto-cjk",
    )


# --- the scene ---------------------------------------------------------------------------------


def _scene(rng: random.Random, size: tuple[int, int]) -> Frame:
    """Sky or wall above, tarmac below, a kerb and a hedge."""
    width, height = size
    frame = np.empty((height, width, 3), np.uint8)
    horizon = int(height * rng.uniform(0.16, 0.3))
    brick = rng.randint(130, 205)
    wall = [brick + rng.randint(-14, 14) for _ in range(3)]
    tarmac = rng.randint(84, 122)
    frame[:horizon] = wall
    shade = np.linspace(0.78, 1.06, height - horizon, dtype=np.float32)[:, None, None]
    frame[horizon:] = np.clip(_floats([tarmac, tarmac, tarmac - 3]) * shade, 0, 255).astype(np.uint8)
    hedge = (rng.randint(40, 70), rng.randint(90, 120), rng.randint(50, 80))
    cv2.rectangle(frame, (0, horizon - height // 14), (width, horizon), hedge, -1)
    for x in range(rng.randint(0, 60), width, 120):
        cv2.line(frame, (x, 0), (x, horizon - height // 14), [max(0, c - 30) for c in wall], 2)
    kerb = int(width * rng.uniform(0.03, 0.1))
    cv2.fillPoly(
        frame, [_ints([[0, height], [kerb, height], [kerb * 3, horizon], [kerb * 2, horizon]])], (170, 172, 174)
    )
    return frame


@dataclass(frozen=True, slots=True)
class _Car:
    """A drawn car: the foot of its middle line, and px a drawing unit (a car is 530 units wide)."""

    x: float
    base: float
    unit: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place on the car in px."""
        return self.x + x * self.unit, self.base + y * self.unit


def _car(frame: Frame, rng: random.Random) -> _Car:
    """Draw a car's front."""
    height, width = frame.shape[:2]
    unit = height / 540 * rng.uniform(0.85, 1.15)
    x = width * rng.uniform(0.40, 0.60)
    base = height * rng.uniform(0.84, 0.93)
    paint = rng.choice(_PAINTS)
    dark = tuple(int(c * 0.55) for c in paint)
    light = tuple(min(255, int(c * 1.12) + 6) for c in paint)

    def points(*pairs: tuple[float, float]) -> _Ints:
        return _ints([[x + px * unit, base + py * unit] for px, py in pairs])

    def fill(shape: _Ints, colour: tuple[int, ...]) -> None:
        cv2.fillPoly(frame, [shape], colour, cv2.LINE_AA)

    fill(points((-255, 20), (255, 20), (235, 34), (-235, 34)), (38, 38, 38))
    fill(points((-250, 0), (-262, -150), (-215, -215), (215, -215), (262, -150), (250, 0)), paint)
    fill(points((-190, -212), (-150, -330), (150, -330), (190, -212)), dark)
    fill(points((-172, -216), (-138, -316), (138, -316), (172, -216)), (92, 84, 76))
    fill(points((-215, -214), (-180, -176), (180, -176), (215, -214)), light)
    grille = [(-110.0, -166.0), (110.0, -166.0), (96.0, -112.0), (-96.0, -112.0)]
    fill(points(*grille), (34, 34, 34))
    for step in range(4):
        y = -158 + step * 13
        left, right = points((-100, y), (100, y)).tolist()
        cv2.line(frame, left, right, (96, 96, 98), 1, cv2.LINE_AA)
    for side in (-1, 1):
        fill(points((side * 130, -166), (side * 236, -158), (side * 226, -122), (side * 138, -126)), (214, 218, 220))
        fill(points((side * 150, -40), (side * 222, -48), (side * 214, -20), (side * 156, -16)), (50, 50, 52))
    fill(points((-240, 14), (-236, -8), (236, -8), (240, 14)), (44, 44, 46))
    return _Car(x, base, unit)


def _quad(aspect: float, car: _Car, rng: random.Random) -> _Floats:
    """The plate's corners under a camera beside and above the lane."""
    width_px = car.unit * rng.uniform(136, 172)
    yaw, pitch, roll = (np.radians(rng.uniform(a, b)) for a, b in ((-26, 26), (2, 22), (-4, 4)))
    half = _floats([[-1, -1 / aspect], [1, -1 / aspect], [1, 1 / aspect], [-1, 1 / aspect]]) * 0.5
    xs, ys = half[:, 0] * np.cos(yaw), half[:, 1] * np.cos(pitch)
    depth = 1 + (half[:, 0] * np.sin(yaw) + half[:, 1] * np.sin(pitch)) * 0.28
    # A camera beside the lane sees horizontal lines slope.
    ys = ys + half[:, 0] * np.sin(yaw) * np.sin(pitch) * 0.6
    xs, ys = xs / depth, ys / depth
    turned = np.stack([xs * np.cos(roll) - ys * np.sin(roll), xs * np.sin(roll) + ys * np.cos(roll)], axis=1)
    quad: _Floats = (turned * width_px + _floats(car.at(0, -66))).astype(np.float32)
    return quad


def _frame_around(frame: Frame, quad: _Floats) -> None:
    """The dark holder that the plate sits in."""
    centre = quad.mean(axis=0)
    outer = centre + (quad - centre) * _floats([1.05, 1.14])
    cv2.fillPoly(frame, [_ints(np.round(outer))], (26, 26, 26), cv2.LINE_AA)


def _weathered(plate: Frame, rng: random.Random) -> Frame:
    """Unlike light over the plate, and a little dust."""
    gain = np.linspace(rng.uniform(0.86, 1.0), rng.uniform(0.86, 1.0), plate.shape[1], dtype=np.float32)
    dust = rng.uniform(0.0, 14.0)
    worn: Frame = np.clip(plate * gain[None, :, None] + dust, 0, 255).astype(np.uint8)
    return worn


def _paste(frame: Frame, plate: Frame, quad: _Floats) -> None:
    """Warp the plate into its quad, smoothed for its size first."""
    height, width = plate.shape[:2]
    scale = float(np.linalg.norm(quad[1] - quad[0])) / width
    if scale < 0.9:
        plate = cv2.GaussianBlur(plate, (0, 0), 0.45 / scale)  # type: ignore[assignment]  # cv2's stubs lose uint8
    x0, y0 = np.maximum(np.floor(quad.min(axis=0)).astype(int) - 2, 0)
    x1, y1 = np.ceil(quad.max(axis=0)).astype(int) + 3
    spot = frame[y0:y1, x0:x1]
    source = _floats([[0, 0], [width, 0], [width, height], [0, height]])
    matrix = cv2.getPerspectiveTransform(source, quad - _floats([x0, y0]))
    target = (spot.shape[1], spot.shape[0])
    warped = cv2.warpPerspective(plate, matrix, target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(np.full((height, width), 255, np.uint8), matrix, target)
    weight = mask[:, :, None].astype(np.float32) / 255
    spot[:] = (spot * (1 - weight) + warped * weight).astype(np.uint8)


def _spoil(plate: Frame, rng: random.Random) -> Frame:
    """Mud over most of the serial, so that no plate can be read with confidence."""
    spoilt = plate.copy()
    width = plate.shape[1]
    for _ in range(26):
        centre = (int(rng.uniform(0.1, 1.0) * width), int(rng.uniform(10, 130)))
        axes = (rng.randint(18, 46), rng.randint(14, 40))
        shade = rng.randint(0, 24)
        mud = (52 + shade, 72 + shade, 88 + shade)
        cv2.ellipse(spoilt, centre, axes, rng.uniform(0, 180), 0, 360, mud, -1, cv2.LINE_AA)
    return spoilt


# --- light and weather -------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _noise_tile(size: tuple[int, int]) -> tuple[Frame, Frame]:
    """Grain of sigma 6 as what to add and what to subtract; half as large again as a frame."""
    grain = np.random.default_rng(20180501).normal(0, 6, (size[1] * 3 // 2, size[0] * 3 // 2, 3))
    return np.clip(grain, 0, 255).astype(np.uint8), np.clip(-grain, 0, 255).astype(np.uint8)


def _grained(frame: Frame, rng: random.Random, amount: int = 1) -> Frame:
    height, width = frame.shape[:2]
    for _ in range(amount):
        plus, minus = _noise_tile((width, height))
        x, y = rng.randrange(width // 2), rng.randrange(height // 2)
        cv2.add(frame, plus[y : y + height, x : x + width], frame)
        cv2.subtract(frame, minus[y : y + height, x : x + width], frame)
    return frame


@lru_cache(maxsize=2)
def _vignette(size: tuple[int, int]) -> _Floats:
    width, height = size
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return np.asarray(1 - 0.28 * (x * x + y * y) / 2, np.float32)


def _lit(frame: Frame, gain: float, tint: tuple[float, float, float]) -> Frame:
    size = (frame.shape[1], frame.shape[0])
    light = cv2.merge([_vignette(size) * (gain * channel) for channel in tint])
    lit: Frame = cv2.multiply(frame, light, dtype=cv2.CV_8U)  # type: ignore[assignment]  # cv2's stubs lose uint8
    return lit


def _day(frame: Frame, _car: _Car, rng: random.Random) -> Frame:
    warmth = rng.uniform(-0.05, 0.05)
    return _grained(_lit(frame, rng.uniform(0.82, 1.12), (1 - warmth, 1.0, 1 + warmth)), rng)


def _night(frame: Frame, car: _Car, rng: random.Random) -> Frame:
    """Little light, headlights, and the gate's lamp on the plate."""
    dark = _lit(frame, rng.uniform(0.26, 0.4), (0.92, 0.97, 1.05))
    height, width = frame.shape[:2]
    small: npt.NDArray[Any] = np.zeros((height // 8, width // 8, 3), np.float32)
    span = 150 * car.unit / 8
    lamp = rng.uniform(70, 130)
    x, y = car.at(0, -66)
    cv2.ellipse(
        small, (int(x / 8), int(y / 8)), (int(span * 0.95), int(span * 0.6)), 0, 0, 360, (lamp * 0.9, lamp, lamp), -1
    )
    small = cv2.GaussianBlur(small, (0, 0), span * 0.22)
    glow = np.zeros_like(small)
    for side in (-1, 1):
        x, y = car.at(side * 184, -144)
        cv2.circle(glow, (int(x / 8), int(y / 8)), max(2, int(span * 0.16)), (300, 320, 330), -1)
    small = cv2.add(small, cv2.GaussianBlur(glow, (0, 0), max(1.0, span * 0.12)))
    # What a lamp adds depends on what it falls on: scale the scene, then add the headlights' own glare.
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    lit = cv2.multiply(frame, large, scale=1 / 210, dtype=cv2.CV_8U)
    frame = cv2.add(dark, lit)  # type: ignore[assignment]  # cv2's stubs lose uint8
    glare = cv2.resize(cv2.GaussianBlur(glow, (0, 0), max(1.0, span * 0.1)), (width, height))
    frame = cv2.add(frame, np.clip(glare, 0, 255).astype(np.uint8))  # type: ignore[assignment]  # as above
    return _grained(frame, rng, 2)


def _blur(frame: Frame, car: _Car, rng: random.Random) -> Frame:
    """The car still rolls: motion mostly downwards, a little defocus."""
    span = 150 * car.unit
    length = max(2, round(span * rng.uniform(0.012, 0.026)))
    kernel = np.zeros((length * 2 + 1, length * 2 + 1), np.float32)
    angle = np.radians(rng.uniform(55, 125))
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    start, end = np.round(length - reach).astype(int), np.round(length + reach).astype(int)
    cv2.line(kernel, start.tolist(), end.tolist(), 1.0, 1)
    moved: Frame = cv2.filter2D(frame, -1, kernel / kernel.sum())  # type: ignore[assignment]  # cv2's stubs lose uint8
    return _day(moved, car, rng)


def _rain(frame: Frame, _car: _Car, rng: random.Random) -> Frame:
    height, width = frame.shape[:2]
    grey = _lit(frame, rng.uniform(0.66, 0.85), (1.04, 1.0, 0.97))
    for _ in range(140):
        x, y, fall = rng.randrange(width), rng.randrange(height), rng.randint(8, 22)
        cv2.line(grey, (x, y), (x - fall // 5, y + fall), (190, 190, 188), 1, cv2.LINE_AA)
    return _grained(grey, rng)


_EFFECTS: dict[str, Callable[[Frame, _Car, random.Random], Frame]] = {
    "day": _day,
    "night": _night,
    "blur": _blur,
    "rain": _rain,
    "unreadable": _day,
}
