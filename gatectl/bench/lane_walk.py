"""Every state that a lane can come to, and every move it can make from there: a breadth-first walk to the fixpoint.

`python -m gatectl.bench.lane_walk --json` prints how many there are. The tests look at each move.
"""

import argparse
import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gatectl.core.lane_rows import TABLES
from gatectl.core.lane_table import Arm, Do, Motion, Phase, Right, Safety, Step, Symbol, Table, step

STARTS = (Motion(), Motion(is_fire=True), Motion(is_emergency=True))
"""Nothing is known yet; an emergency may have been latched before the restart."""


@dataclass(frozen=True, slots=True)
class Move:
    """One transition."""

    before: Motion
    symbol: Symbol
    step: Step
    actions: tuple[Do, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """All that can happen in one table, from `STARTS` with any symbols in any order."""

    table: Table
    states: frozenset[Motion]
    moves: tuple[Move, ...]

    def stranded(self) -> frozenset[Motion]:
        """States from which no symbols lead back to a lane at rest."""
        earlier: dict[Motion, list[Motion]] = {}
        for move in self.moves:
            earlier.setdefault(move.step.state, []).append(move.before)
        reached = {state for state in self.states if is_at_rest(state)}
        ahead = deque(reached)
        while ahead:
            for state in earlier.get(ahead.popleft(), ()):
                if state not in reached:
                    reached.add(state)
                    ahead.append(state)
        return self.states - reached


def is_at_rest(state: Motion) -> bool:
    """Closed, with nobody in it and nobody on the way."""
    is_closed = state.phase is Phase.IDLE and state.arm is Arm.DOWN and state.safety is not Safety.OCCUPIED
    return is_closed and not state.must_stand and state.right is Right.NOBODYS and state.queue == 0


def symbols_at(table: Table, state: Motion) -> Iterator[Symbol]:
    """What can be heard in a state: anything, but only the timer that runs."""
    return (x for x in table.alphabet if x is not Symbol.TIMER or table.timers(state) is not None)


def walk(table: Table) -> Walk:
    """Visit everything."""
    states, moves = set(STARTS), []
    ahead = deque(STARTS)
    while ahead:
        state = ahead.popleft()
        for symbol in symbols_at(table, state):
            done = step(table, state, symbol)
            moves.append(Move(state, symbol, done, done.actions))
            if done.state not in states:
                states.add(done.state)
                ahead.append(done.state)
    return Walk(table, frozenset(states), tuple(moves))


def run() -> Mapping[str, Mapping[str, int]]:
    """The figures, by kind of lane."""
    found = {table.name: walk(table) for table in TABLES.values()}
    return {name: {"states": len(one.states), "transitions": len(one.moves)} for name, one in found.items()}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Count the states and transitions of the lane machine.")
    parser.add_argument("--json", action="store_true", help="One JSON document on stdout.")
    figures = run()
    if parser.parse_args().json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name}: {figure['states']} states, {figure['transitions']} transitions")


if __name__ == "__main__":
    main()
