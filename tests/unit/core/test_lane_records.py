"""The events that the recorded traces write, field by field: what an auditor reads must not change by accident.

`PYTHONPATH=tests python tests/unit/core/test_lane_records.py` writes the file anew; read the diff before you commit it.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from builders import NOON_S
from test_lane_traces import FOLDER, TRACES, Player

from gatectl.core.lane import LaneContext
from gatectl.core.lane_io import CloseBarrier, Indicate, Keep, LaneEvent, OpenBarrier, ReadPlate, Record

FILE = FOLDER.parent / "lane_records.json"
_LEFT_OUT = ("trace", "plate")
"""Of an access event: `test_decisions` has them."""


class Clerk(Player):
    """Plays a trace and keeps every effect in full."""

    def __init__(self, head: dict[str, Any]) -> None:
        super().__init__(head)
        self.written: list[Any] = []

    def _hear(self, event: LaneEvent) -> list[str]:
        context = LaneContext(self.clock, NOON_S, is_offline=True)
        effects = self._machine.on(event, self.view, context)
        for effect in effects:
            if isinstance(effect, Keep):
                self.kept[effect.name] = effect.value
            elif isinstance(effect, Record):
                fields = {name: value for name, value in asdict(effect.event).items() if name not in _LEFT_OUT}
                self.written.append(json.loads(json.dumps(fields, default=str)))
            elif isinstance(effect, OpenBarrier | CloseBarrier | Indicate | ReadPlate):
                self.written.append(json.loads(json.dumps({type(effect).__name__: asdict(effect)}, default=str)))
        states = (self._machine.phase, self._machine.arm, self._machine.is_present, self._machine.is_held)
        if effects:
            pending = [asdict(pending) for pending in self._machine.pending]
            open_words = "stands open" if self._machine.stands_open else "closed"
            self.written.append([*map(str, states), self._machine.held_attempt, open_words, pending])
        return []


def written_by(path: Path) -> list[Any]:
    head, *lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    clerk = Clerk(head)
    list(clerk.play([line for line in lines if line["hear"] != "tick"]))
    return clerk.written


def all_written() -> dict[str, list[Any]]:
    return {path.stem: written_by(path) for path in TRACES}


def test_every_field_of_every_event_is_as_it_was() -> None:
    recorded = json.loads(FILE.read_text("utf-8"))
    now = all_written()
    assert sorted(now) == sorted(recorded)
    for name, written in now.items():
        assert written == recorded[name], name


if __name__ == "__main__":
    FILE.write_text(json.dumps(all_written(), ensure_ascii=False, indent=0) + "\n", "utf-8")
