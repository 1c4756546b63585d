"""Recorded days of a lane, replayed: each line is what was heard and when, and all that was done about it.

A change of behaviour fails here with the lines that differ. If it is meant, record anew and read the diff:
`PYTHONPATH=tests python tests/unit/core/test_lane_traces.py` rewrites the files from what they say was heard.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from builders import (
    NOON,
    NOON_S,
    a_grant,
    a_lane,
    a_plate_attempt,
    a_plate_grant,
    a_policy,
    a_read,
    a_view,
    a_walk_lane,
    an_attempt,
)

from gatectl.core.lane import LaneContext, LaneMachine
from gatectl.core.lane_io import (
    AttemptMade,
    CloseBarrier,
    CommandAnswered,
    Effect,
    EmergencyOrdered,
    Indicate,
    InputChanged,
    Keep,
    LaneEvent,
    OpenBarrier,
    OpenOrdered,
    ReadPlate,
    Record,
    RefuseOrdered,
    Ticked,
)
from gatectl.core.model import (
    AccessEvent,
    Attempt,
    ClockTrust,
    CredentialKey,
    Direction,
    GateId,
    InputName,
    LaneMode,
    Schedule,
    Window,
)
from gatectl.core.reasons import Reason

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "lane_traces"
TRACES = sorted(FOLDER.glob("*.jsonl"))
TICK_S = 0.1
LANES = {"car in": a_lane(), "car out": a_lane(direction=Direction.OUT), "on foot": a_walk_lane()}
GRANTS = (
    a_grant(),
    a_grant(key=CredentialKey("em:0000000002"), subject="p2", household="h2"),
    *(a_plate_grant(text, household=f"h-{text[-1]}") for text in ("粤E12345", "粤E54321", "粤B88888", "粤A7K3M9")),
)
HOURS = (Schedule("hours", tuple(Window(day, 12 * 60 + 1, 12 * 60 + 2) for day in range(7))),)
"""12:01 to 12:02 in site time; the traces begin at 12:00."""
VIEWS = {
    "plain": a_view(*GRANTS, policies=a_policy()),
    "exit": a_view(*GRANTS, policies=a_policy(area_from="site", area_to="")),
    "held open until 12:01": a_view(*GRANTS, policies=a_policy(mode=LaneMode.HELD_OPEN, mode_until_s=NOON_S + 60)),
    "open 12:01 to 12:02": a_view(*GRANTS, schedules=HOURS, policies=a_policy(open_schedule="hours")),
    "open 12:01 to 12:02 from the first card": a_view(
        *GRANTS, schedules=HOURS, policies=a_policy(open_schedule="hours", is_first_card_in=True)
    ),
    "two persons": a_view(*GRANTS, policies=a_policy(is_two_person=True)),
}


def _input(words: list[str]) -> tuple[InputName, bool]:
    return InputName(words[0]), words[1] == "on"


class Player:
    """One lane, driven by the words of a trace."""

    def __init__(self, head: dict[str, Any]) -> None:
        self.lane = LANES[head["lane"]]
        self.view = VIEWS[head["list"]]
        self.clock = ClockTrust.SYNCED
        self.kept: dict[str, str] = {}
        self.now_s = 0.0
        self._ids = count(1)
        self._machine = self._new_machine()

    def _new_machine(self) -> LaneMachine:
        return LaneMachine(self.lane, GateId("g"), "b", lambda: f"e{next(self._ids)}", self.kept)

    def play(self, heard: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Every line of the trace, with what was done; time passes in steps of a tick in between."""
        for line in heard:
            while round(self.now_s + TICK_S, 1) <= line["at_s"]:
                self.now_s = round(self.now_s + TICK_S, 1)
                if done := self._hear(Ticked(NOON + timedelta(seconds=self.now_s), self._tick_ns())):
                    yield {"at_s": self.now_s, "hear": "tick", "do": done}
            yield {"at_s": line["at_s"], "hear": line["hear"], "do": self._take(line["hear"])}

    def _take(self, text: str) -> list[str]:
        what, *words = text.split(" ")
        if what == "list":
            self.view = VIEWS[" ".join(words)]
        elif what == "clock":
            self.clock = ClockTrust(words[0])
        elif what == "restart":
            self._machine = self._new_machine()
        elif what != "end":
            return [x for event in self._events(what, words) for x in self._hear(event)]
        return []

    def _events(self, what: str, words: list[str]) -> Iterator[LaneEvent]:
        at, tick_ns = NOON + timedelta(seconds=self.now_s), self._tick_ns()
        if what == "input":
            yield InputChanged(*_input(words), at, tick_ns)
        elif what == "ready":  # as a gate at rest reports its inputs when it starts
            for name in ("arm_up off", "arm_down on", "safety off", "presence off", "door_open off", "fire off"):
                yield InputChanged(*_input(name.split(" ")), at, tick_ns)
        elif what == "card":
            yield AttemptMade(self._named(an_attempt(key=CredentialKey(words[0]))), tick_ns)
        elif what == "plate":
            text, sure = words[0].strip("-"), float(words[1]) if len(words) > 1 else 0.999
            yield AttemptMade(self._named(a_plate_attempt(a_read(text, sure if text else 0.0))), tick_ns)
        elif what == "open":
            yield OpenOrdered(words[0], "guard", Reason.GUARD_OPEN, "", at, tick_ns)
        elif what == "refuse":
            yield RefuseOrdered(words[0], "guard", "", at, tick_ns)
        else:
            assert what == "emergency"
            yield EmergencyOrdered(words[1], "guard", words[0] == "release", "", at, tick_ns)

    def _named(self, attempt: Attempt) -> Attempt:
        at, direction = NOON + timedelta(seconds=self.now_s), self.lane.direction
        return replace(attempt, id=f"a{next(self._ids)}", lane=self.lane.id, direction=direction, at=at)

    def _tick_ns(self) -> int:
        return round(self.now_s * 1e9)

    def _hear(self, event: LaneEvent) -> list[str]:
        effects = self._machine.on(event, self.view, LaneContext(self.clock, NOON_S, False))
        self.kept.update({effect.name: effect.value for effect in effects if isinstance(effect, Keep)})
        return [told(effect) for effect in effects]


def told(effect: Effect) -> str:
    """An effect in words that read well in a diff."""
    if isinstance(effect, Record):
        return told_event(effect.event)
    if isinstance(effect, OpenBarrier):
        return f"OPEN for {effect.cause}"
    if isinstance(effect, CloseBarrier):
        return "CLOSE"
    if isinstance(effect, Indicate):
        return f"show {effect.signal} {effect.reason.name}"
    if isinstance(effect, ReadPlate):
        return "read the plate"
    if isinstance(effect, CommandAnswered):
        return f"answer {effect.command_id}: {effect.state}, {effect.words}"
    assert isinstance(effect, Keep)
    return f"keep {effect.name} = {effect.value or 'nothing'}"


def told_event(event: AccessEvent) -> str:
    words = ["record", event.id, event.kind.value, event.reason.name]
    words += [f"{name} {value}" for name, value in (("of", event.ref), ("by", event.actor)) if value]
    words += [f"({value})" for value in (event.outcome, event.note) if value]
    if event.crossing is not None:
        counted = event.crossing
        way = f"{counted.area_from or 'street'} to {counted.area_to or 'street'}"
        words.append(f"crossed by {counted.subject or 'somebody unknown'}, {way}")
    moments = ", ".join(f"{moment.what} {moment.ms}" for moment in event.lane_trace)
    return " ".join(words) + (f": {moments}" if moments else "")


def rendered(path: Path) -> str:
    """The trace as it would be recorded now."""
    head, *lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    heard = [line for line in lines if line["hear"] != "tick"]
    all_lines = [head, *Player(head).play(heard)]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in all_lines)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_recorded_trace_is_what_the_lane_does_today(path: Path) -> None:
    assert rendered(path).splitlines() == path.read_text("utf-8").splitlines()


def test_every_trace_does_something_and_says_what_it_is_about() -> None:
    assert len(TRACES) >= 13
    for path in TRACES:
        head, *lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert head["what"], path
        assert any(line["do"] for line in lines), path
        assert lines[-1]["hear"] == "end", path


if __name__ == "__main__":
    for trace in TRACES:
        trace.write_text(rendered(trace), "utf-8")
