"""Who is inside, as this gate knows it: counted from completed passages, kept over a restart, completed by the link."""

import json
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gatectl.core.model import AccessEvent, Crossing, Inside, Occupancy
from gatectl.core.occupancy import cars_of, crossed, overdue
from gatectl.core.schedule import epoch_s
from gatectl.logs import get_logger
from gatectl.wire.messages import InsideList, Passages

_INSIDE, _VEHICLES, _USES = "inside:", "vehicles:", "uses:"
PREFIXES = (_INSIDE, _VEHICLES, _USES)
KEEP_USES_S = 400 * 86_400
"""A one-time credential's use is remembered for so long: longer than any pass may be valid."""

_LATELY = 200
_ON_ITS_WAY = timedelta(seconds=30)
"""A passage of our own may be so young that central counted without it."""

_log = get_logger(__name__)


class Presence:
    """Owned by the controller's thread. `occupancy` is frozen; each passage makes the next one."""

    def __init__(self) -> None:
        self.occupancy = Occupancy()
        self._lately: deque[AccessEvent] = deque(maxlen=_LATELY)
        self._told_overdue: set[str] = set()

    def restore(self, kept: Mapping[str, str], now_s: int) -> None:
        """Take up what `changes` gave before the restart; a value that cannot be read is left out."""
        inside: dict[str, Inside] = {}
        vehicles: dict[str, int] = {}
        uses: dict[str, int] = {}
        for name, value in kept.items():
            try:
                if name.startswith(_INSIDE) and value:
                    inside[name[len(_INSIDE) :]] = Inside(**json.loads(value))
                elif name.startswith(_VEHICLES):
                    vehicles[name[len(_VEHICLES) :]] = max(0, int(value))
                elif name.startswith(_USES) and value:
                    count, at_s = json.loads(value)
                    if now_s - at_s < KEEP_USES_S:
                        uses[name[len(_USES) :]] = int(count)
            except (ValueError, TypeError) as error:
                _log.warning("presence.not_restored", name=name.split(":")[0], words=str(error))
        self.occupancy = Occupancy(inside, cars_of(inside), vehicles, uses)

    def took_place(self, event: AccessEvent) -> dict[str, str]:
        """Count a passage that this gate saw. Returns what must be kept, by name; "" forgets."""
        passage = event.crossing
        if passage is None:
            return {}
        after = _counted(self.occupancy, event, passage, uses_key=passage.uses_key)
        self._lately.append(event)
        return self._become(after, event.at)

    def heard(self, news: Passages, own_gate: str) -> dict[str, str]:
        """Count what the site's other gates saw; its own passages were counted when they took place."""
        kept: dict[str, str] = {}
        for item in news.items:
            if item.gate != own_gate:
                after = crossed(
                    self.occupancy,
                    subject=item.subject,
                    area_from=item.area_from,
                    area_to=item.area_to,
                    at_s=epoch_s(item.at),
                    household=item.household,
                    is_vehicle=item.is_vehicle,
                    max_stay_s=item.max_stay_s,
                    uses_key=item.uses_key,
                )
                kept |= self._become(after, item.at)
        return kept

    def replace(self, count: InsideList) -> dict[str, str]:
        """Take central's count, which knows every gate; entries on a credential are never forgotten by it."""
        inside = {
            entry.subject: Inside(entry.area, entry.since_s, entry.household, entry.is_vehicle, entry.max_stay_s)
            for entry in count.inside
        }
        vehicles = dict.fromkeys(self.occupancy.vehicles, 0) | count.strangers
        for where in inside.values():
            if where.is_vehicle:
                vehicles[where.area] = vehicles.get(where.area, 0) + 1
        most = {key: max(made, self.occupancy.uses.get(key, 0)) for key, made in count.uses.items()}
        after = Occupancy(inside, cars_of(inside), vehicles, {**self.occupancy.uses, **most})
        for event in self._lately:
            passage = event.crossing
            if passage is not None and passage.subject and event.at > count.at - _ON_ITS_WAY:
                after = _counted(after, event, passage, uses_key="")
        return self._become(after, count.at)

    def newly_overdue(self, now_s: int) -> tuple[tuple[str, Inside], ...]:
        """Who has stayed longer than agreed, each once a visit."""
        late = overdue(self.occupancy, now_s)
        self._told_overdue &= set(late)
        new = tuple(subject for subject in late if subject not in self._told_overdue)
        self._told_overdue.update(new)
        return tuple((subject, self.occupancy.inside[subject]) for subject in new)

    def _become(self, after: Occupancy, at: datetime) -> dict[str, str]:
        before, self.occupancy = self.occupancy, after
        changes: dict[str, str] = {}
        for subject in before.inside.keys() - after.inside.keys():
            changes[f"{_INSIDE}{subject}"] = ""
        changes.update(
            (f"{_INSIDE}{subject}", _json(where))
            for subject, where in after.inside.items()
            if before.inside.get(subject) != where
        )
        changes.update(
            (f"{_VEHICLES}{area}", str(count))
            for area, count in after.vehicles.items()
            if before.vehicles.get(area) != count
        )
        changes.update(
            (f"{_USES}{key}", json.dumps([count, epoch_s(at)]))
            for key, count in after.uses.items()
            if before.uses.get(key) != count
        )
        return changes


def _counted(before: Occupancy, event: AccessEvent, passage: Crossing, *, uses_key: str) -> Occupancy:
    return crossed(
        before,
        subject=passage.subject,
        area_from=passage.area_from,
        area_to=passage.area_to,
        at_s=epoch_s(event.at),
        household=event.household,
        is_vehicle=passage.is_vehicle,
        max_stay_s=passage.max_stay_s,
        uses_key=uses_key,
    )


def _json(where: Inside) -> str:
    fields: dict[str, Any] = {name: getattr(where, name) for name in Inside.__dataclass_fields__}
    return json.dumps(fields, ensure_ascii=False)
