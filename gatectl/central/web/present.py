"""How values are shown: Beijing time, masks, ages, plate chips, verdict badges."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from importlib.resources import files
from typing import Final

from gatectl.central.web.i18n import Words

SITE_ZONE: Final = timezone(timedelta(hours=8), "CST")
"""Asia/Shanghai: UTC+8 without daylight saving since 1991."""

_PLATE_COLOURS: Final = frozenset({"blue", "yellow", "green", "yellow_green", "white", "black"})


def now_ms() -> int:
    """The wall clock, UTC epoch milliseconds."""
    return int(datetime.now(UTC).timestamp() * 1000)


def local(at_ms: int) -> datetime:
    """Epoch milliseconds as Beijing time."""
    return datetime.fromtimestamp(at_ms / 1000, SITE_ZONE)


def stamp(at_ms: int | None) -> str:
    """`2026-03-01 08:12:09`, Beijing time; an en dash for never."""
    return "–" if at_ms is None else local(at_ms).strftime("%Y-%m-%d %H:%M:%S")


def clock(at_ms: int) -> str:
    """`08:12:09`, Beijing time."""
    return local(at_ms).strftime("%H:%M:%S")


def day(at_ms: int) -> str:
    """`2026-03-01`, Beijing time."""
    return local(at_ms).strftime("%Y-%m-%d")


def weekday(words: Words, at_ms: int) -> str:
    """周一 … 周日."""
    return words(f"weekday.{local(at_ms).weekday()}")


def age(words: Words, since_ms: int | None, until_ms: int) -> str:
    """`12 分钟`: the time from `since_ms` to `until_ms` in one rounded unit."""
    if since_ms is None:
        return "–"
    seconds = max(0, (until_ms - since_ms) // 1000)
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= size:
            return words(f"age.{unit}", n=seconds // size)
    return words("age.seconds", n=seconds)


def dotted(plate: str) -> str:
    """粤E12345 → 粤E·12345, as it stands on the plate."""
    return f"{plate[:2]}·{plate[2:]}" if len(plate) >= 7 else plate


def plate_class(plate: str, colour: str | None) -> str:
    """The CSS class of a plate chip: its own colour, else the one its length implies."""
    if colour in _PLATE_COLOURS:
        return f"plate plate-{colour.replace('_', '-')}"
    return "plate plate-green" if len(plate) == 8 else "plate plate-blue"


def card_of(credential: str) -> str:
    """The printed part of a card's key: `em:0A1B2C3D4E` → `0A1B2C3D4E`."""
    return credential.partition(":")[2] if ":" in credential else credential


@lru_cache(maxsize=64)
def asset(name: str) -> str:
    """The URL of a static file, with its content's hash so that browsers may keep it for ever."""
    digest = hashlib.sha256((files(__package__) / "static" / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"
