"""One event as one line: aligned columns whose widths count Chinese characters as two."""

from dataclasses import replace
from typing import Literal

import typer
from rich.cells import cell_len, set_cell_size

from gatectl.central.credentials import mask_key, mask_name
from gatectl.central.eventlog import EventRow
from gatectl.central.gates import duration_words

LATE_MS = 60_000
"""An event that reached central this long after it happened is marked."""
_VERDICTS = {
    "granted": ("✔ 放行", "✔ granted", typer.colors.GREEN),
    "denied": ("✘ 拒绝", "✘ denied", typer.colors.RED),
    "held": ("◼ 等待", "◼ held", typer.colors.YELLOW),
}
_KINDS = {
    "access": ("通行", "access"),
    "passage": ("· 通过", "· passage"),
    "hold_end": ("· 等待结束", "· hold end"),
    "command": ("指令", "command"),
    "alarm": ("! 告警", "! alarm"),
    "system": ("系统", "system"),
    "anchor": ("对时", "anchor"),
}
_DIRECTIONS = {"in": ("进", "in"), "out": ("出", "out"), "": ("", "")}


def masked(row: EventRow) -> EventRow:
    """The row with its person's name and card number masked; a plate stays."""
    credential = row.credential if row.plate or not row.credential else mask_key(row.credential)
    return replace(row, person=mask_name(row.person), credential=credential)


def line_of(row: EventRow, language: Literal["zh", "en"], *, is_coloured: bool, is_dated: bool) -> str:
    """Time, gate and lane, direction, verdict, who or which plate, reason in words, and a mark when it came late."""
    zh = 0 if language == "zh" else 1
    at = row.at.strftime("%Y-%m-%d %H:%M:%S" if is_dated else "%H:%M:%S")
    place = " ".join(part for part in ((row.gate_zh, row.gate_en)[zh], (row.lane_zh, row.lane_en)[zh]) if part)
    colour = None
    if row.verdict in _VERDICTS:
        verdict, colour = _VERDICTS[row.verdict][zh], _VERDICTS[row.verdict][2]
    else:
        verdict = _KINDS.get(row.kind, (row.kind, row.kind))[zh]
        if row.kind == "alarm":
            colour = typer.colors.MAGENTA
    verdict = set_cell_size(verdict, 11)
    if is_coloured and colour is not None:
        verdict = typer.style(verdict, fg=colour, bold=True)
    words = row.reason_words(language)
    if row.outcome:
        words += f" ({row.outcome})"
    late_ms = row.received_at_ms - row.at_ms
    if late_ms >= LATE_MS:
        span = duration_words(late_ms / 1000, language)
        words += f" · 补传 {span}" if language == "zh" else f" · {span} late"
    cells = [
        at,
        _padded(place, 30),
        set_cell_size(_DIRECTIONS.get(row.direction, ("", ""))[zh], 3),
        verdict,
        _padded(_who(row), 22),
        words,
    ]
    return "  ".join(cells).rstrip()


def _padded(text: str, cells: int) -> str:
    return text if cell_len(text) >= cells else set_cell_size(text, cells)


def _who(row: EventRow) -> str:
    """The plate, or the person and the card, or the actor of an order."""
    if row.plate:
        return row.plate
    return " ".join(part for part in (row.person, row.credential) if part) or row.actor
