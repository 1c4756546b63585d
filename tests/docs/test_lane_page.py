"""docs/lane.md prints the lane's tables and figures as they are.

`PYTHONPATH=tests python tests/docs/test_lane_page.py` writes them anew.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from gatectl.bench.lane_walk import run
from gatectl.core.lane_rows import PEDESTRIAN, VEHICLE
from gatectl.core.lane_table import Do, Phase, Symbol, Table, When

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lane.md"


def _words(items: Iterable[Symbol | Do | When], between: str) -> str:
    return between.join(item.value.replace("_", " ") for item in items)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def tables(table: Table) -> str:
    """One kind of lane, phase by phase."""
    lines = ["In every phase, beside the phase's own row:", "", _row("heard", "when", "do"), "|---|---|---|"]
    lines += [_row(_words(x.symbols, ", "), _words(x.when, ", "), _words(x.do, ", ")) for x in table.always]
    for phase in (phase for phase in Phase if phase in table.stays):
        lines += ["", f"**{phase.value}**", "", _row("heard", "when", "do", "trace", "then"), "|---|---|---|---|---|"]
        lines += [
            _row(_words(x.symbols, ", "), _words(x.when, ", "), _words(x.do, ", "), x.note, x.then.value)
            for x in table.rows
            if x.phase is phase
        ]
        nothing = _words((symbol for symbol in table.alphabet if symbol in table.stays[phase]), ", ")
        lines += ["", f"Taken note of, and nothing done: {nothing}."]
    return "\n".join(lines)


def figures() -> str:
    """How large the walk is."""
    lines = [_row("table", "states", "transitions"), "|---|---|---|"]
    lines += [_row(name, f"{one['states']:,}", f"{one['transitions']:,}") for name, one in run().items()]
    return "\n".join(lines)


def filled(page: str) -> str:
    """The page with its generated parts made anew."""
    parts = {"vehicle": tables(VEHICLE), "pedestrian": tables(PEDESTRIAN), "figures": figures()}
    for name, text in parts.items():
        marks = rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)"
        page, count = re.subn(marks, lambda found, t=text: found[1] + t + found[2], page, flags=re.DOTALL)  # type: ignore[misc]
        assert count == 1, name
    return page


def test_the_page_prints_the_tables_and_the_figures_as_they_are() -> None:
    page = PAGE.read_text("utf-8")
    assert filled(page).splitlines() == page.splitlines()


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
