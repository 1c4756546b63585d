"""The hourly histogram as numbers for an inline SVG."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gatectl.central.desk import Hour
from gatectl.central.web import present
from gatectl.central.web.i18n import Words

WIDTH: Final = 1200.0
HEIGHT: Final = 46.0
_STACK: Final = ("entered", "left", "held", "denied")
_CLASSES: Final = {"entered": "in", "left": "out", "held": "held", "denied": "denied"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One coloured part of a bar, in the SVG's own units."""

    css: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour: where it stands, its parts, its words, the list behind it."""

    x: float
    width: float
    pieces: tuple[Piece, ...]
    label: str
    """The hour under the bar; empty where there is no room."""
    title: str
    href: str


def bars(words: Words, hours: Sequence[Hour], link: Callable[[Hour], str]) -> list[Bar]:
    """The hours as stacked bars, scaled to the tallest; a count above 0 is at least a visible sliver."""
    if not hours:
        return []
    top = max(1, *(hour.total for hour in hours))
    step = WIDTH / len(hours)
    every = 1 if len(hours) <= 12 else 3
    found: list[Bar] = []
    for index, hour in enumerate(hours):
        y = HEIGHT
        pieces: list[Piece] = []
        for name in _STACK:
            count = getattr(hour, name)
            if count:
                height = max(1.5, HEIGHT * count / top)
                y -= height
                pieces.append(Piece(_CLASSES[name], round(y, 1), round(height, 1)))
        start = present.local(hour.start_ms)
        found.append(
            Bar(
                x=round(index * step + step * 0.12, 1),
                width=round(step * 0.76, 1),
                pieces=tuple(pieces),
                label=f"{start:%H}" if start.hour % every == 0 else "",
                title=words(
                    "events.bar",
                    hour=f"{start:%m-%d %H}",
                    entered=hour.entered,
                    left=hour.left,
                    denied=hour.denied,
                    held=hour.held,
                ),
                href=link(hour),
            )
        )
    return found
