"""What happened, held against what had to: the script's truth, the relays, and central's events."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from gatectl.central import tables
from gatectl.core.model import AccessEvent, CredentialKind, EventKind, Verdict
from gatectl.sim.site import LaneStage
from gatectl.sim.traffic import Presentation
from gatectl.wire.events import parse_event

_NS_PER_MS = 1_000_000
_CLOCK_SLACK_NS = 5 * _NS_PER_MS
"""Gate and street read the same monotonic clock; their stamps may cross by a scheduling turn."""

_WHOLE_TOWN_GATES, _WHOLE_TOWN_ATTEMPTS, _WHOLE_TOWN_PLATES = 20, 200, 80
"""What a script must contain to prove anything about the whole town; `--gates` may play a smaller one."""


@dataclass(slots=True)
class Report:
    """The one document that `demo --once --json` prints."""

    gates: int
    attempts: int = 0
    granted: int = 0
    denied: int = 0
    held: int = 0
    events_central: int = 0
    lost: int = 0
    duplicated: int = 0
    retries: int = 0
    wrong_decisions: int = 0
    wrongly_held: int = 0
    plates: int = 0
    plates_exact: int = 0
    tap_ms: list[float] = field(default_factory=list)
    plate_ms: list[float] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Everything that the demo promises held."""
        is_whole_town = self.gates >= _WHOLE_TOWN_GATES
        return (
            self.attempts >= (_WHOLE_TOWN_ATTEMPTS if is_whole_town else 1)
            and self.plates >= (_WHOLE_TOWN_PLATES if is_whole_town else 0)
            and self.events_central == self.attempts
            and self.lost == self.duplicated == self.wrong_decisions == 0
            and self.plates_exact >= 0.9 * self.plates
            and self.wrongly_held <= 0.05 * self.plates
        )

    def document(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "gates": self.gates,
            "attempts": self.attempts,
            "granted": self.granted,
            "denied": self.denied,
            "held": self.held,
            "events_central": self.events_central,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "retries": self.retries,
            "wrong_decisions": self.wrong_decisions,
            "wrongly_held": self.wrongly_held,
            "tap_to_relay_ms": percentiles(self.tap_ms),
            "plate_to_relay_ms": percentiles(self.plate_ms),
            "plate_reads": {"exact": self.plates_exact, "of": self.plates},
            "mistakes": self.mistakes,
            "ok": self.is_ok,
        }


def percentiles(values: list[float]) -> dict[str, float]:
    """p50 and p99 by nearest rank, in the unit given."""
    if not values:
        return {"p50": 0.0, "p99": 0.0}
    ranked = sorted(values)
    return {
        name: round(ranked[min(len(ranked) - 1, int(len(ranked) * p))], 2) for name, p in (("p50", 0.5), ("p99", 0.99))
    }


def access_events(conn: Connection) -> dict[str, list[AccessEvent]]:
    """Central's access events a lane, in the gates' own order."""
    rows = conn.execute(
        select(tables.events.c.body, tables.events.c.personal)
        .where(tables.events.c.kind == EventKind.ACCESS.value)
        .order_by(tables.events.c.gate_id, tables.events.c.epoch, tables.events.c.seq)
    )
    lanes: dict[str, list[AccessEvent]] = defaultdict(list)
    for body, personal in rows:
        event = parse_event(body, personal)
        lanes[event.lane or ""].append(event)
    return lanes


def make_report(
    gates: int,
    shown: dict[str, list[Presentation]],
    stages: dict[str, LaneStage],
    events: dict[str, list[AccessEvent]],
) -> Report:
    """Hold every presentation against its lane's relay and its event at central."""
    report = Report(gates)
    for lane_id, presentations in shown.items():
        everything = sorted(
            (seen for top in presentations for seen in (top, *top.extra) if seen.shown_ns),
            key=lambda seen: seen.shown_ns,
        )
        report.attempts += len(everything)
        matched = _match(everything, events.get(lane_id, []), report)
        for seen, event in zip(everything, matched, strict=True):
            _judge(seen, event, report)
        _judge_openings(lane_id, everything, stages[lane_id], report)
    verdicts = Counter(event.verdict for lane in events.values() for event in lane)
    report.granted, report.denied = verdicts[Verdict.GRANTED], verdicts[Verdict.DENIED]
    report.held = verdicts[Verdict.HELD]
    report.events_central = sum(verdicts.values())
    report.attempts += report.retries
    return report


def _match(shown: list[Presentation], events: list[AccessEvent], report: Report) -> list[AccessEvent | None]:
    """The event of each presentation: the one of its kind stamped after it was shown and before the next was."""
    matched: list[AccessEvent | None] = [None] * len(shown)
    for event in events:
        kind = CredentialKind.PLATE if event.plate is not None else CredentialKind.CARD
        candidates = [
            i
            for i, seen in enumerate(shown)
            if seen.shown_ns <= event.mono_ns + _CLOCK_SLACK_NS
            and (seen.card is None) == (kind is CredentialKind.PLATE)
        ]
        if not candidates:
            report.duplicated += 1
            report.mistakes.append(f"{event.lane}: event {event.id} belongs to no presentation")
        elif matched[candidates[-1]] is None:
            matched[candidates[-1]] = event
        elif event.ref:
            report.retries += 1
            matched[candidates[-1]] = event
        else:
            report.duplicated += 1
            report.mistakes.append(f"{event.lane}: second event {event.id} ({event.reason.name}) for one presentation")
    return matched


def _judge(seen: Presentation, event: AccessEvent | None, report: Report) -> None:
    what = f"{seen.lane.id}: {seen.part.value} {'card' if seen.card else seen.condition + ' car ' + seen.plate}"
    if seen.card is None:
        report.plates += 1
        if event is not None and event.plate is not None and event.plate.text == seen.plate:
            report.plates_exact += 1
    if event is None:
        report.lost += 1
        report.mistakes.append(f"{what}: no event at central")
        return
    if seen.must_open and seen.opened_ns:
        waited_ms = (seen.opened_ns - seen.shown_ns) / _NS_PER_MS
        (report.tap_ms if seen.card else report.plate_ms).append(waited_ms)
    if seen.must_open and event.verdict is Verdict.HELD and seen.card is None:
        report.wrongly_held += 1
        read = event.plate.text if event.plate else ""
        report.mistakes.append(f"{what}: held, {event.reason.name}, read {read or 'nothing'}")
    elif seen.must_open != (event.verdict is Verdict.GRANTED):
        report.wrong_decisions += 1
        report.mistakes.append(f"{what}: must be {seen.must}, was {event.verdict} ({event.reason.name})")
    elif seen.must_open and not seen.opened_ns:
        report.wrong_decisions += 1
        report.mistakes.append(f"{what}: granted ({event.reason.name}), but the relay was not seen to close")


def _judge_openings(lane_id: str, shown: list[Presentation], stage: LaneStage, report: Report) -> None:
    """No relay may close that no right and no named person explains."""
    explained = sum(1 for seen in shown if seen.opened_ns or seen.ends_by == "staff")
    if len(stage.opened_ticks) > explained:
        report.wrong_decisions += 1
        report.mistakes.append(f"{lane_id}: the relay closed {len(stage.opened_ticks)} times, {explained} explained")
    for seen in shown:
        if seen.opened_ns and not seen.must_open and seen.ends_by == "backing_off":
            report.wrong_decisions += 1
            report.mistakes.append(f"{lane_id}: opened for {seen.part.value}, who has no right")
