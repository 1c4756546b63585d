"""Builders: one valid thing each, with what the test is about changed."""

from datetime import UTC, datetime
from typing import Any

from gatectl.core.model import (
    AccessLevel,
    Area,
    Attempt,
    ClockTrust,
    CredentialKey,
    Direction,
    Grant,
    GrantState,
    Lane,
    LaneId,
    LaneKind,
    LanePolicy,
    LaneState,
    Passback,
    PlateColour,
    PlateRead,
    Schedule,
    WhitelistView,
)
from gatectl.core.whitelist import whitelist_view

NOON = datetime(2026, 11, 23, 4, 0, 0, tzinfo=UTC)
"""A Monday, 12:00 in site time."""
NOON_S = int(NOON.timestamp())
CARD = CredentialKey("em:0A1B2C3D4E")
PLATE = "粤E12345"
LANE = LaneId("east-car")
WALK = LaneId("east-walk")


def a_grant(**changes: Any) -> Grant:
    """An active card of a resident, valid always, on both lanes."""
    fields: dict[str, Any] = {
        "key": CARD,
        "state": GrantState.ACTIVE,
        "levels": ("all",),
        "subject": "p1",
        "household": "h1",
    }
    return Grant(**(fields | changes))


def a_plate_grant(text: str = PLATE, **changes: Any) -> Grant:
    """A resident's car."""
    return a_grant(**({"key": CredentialKey(f"plate:{text}"), "colour": PlateColour.BLUE, "subject": ""} | changes))


def a_level(**changes: Any) -> AccessLevel:
    """Both lanes, always."""
    fields: dict[str, Any] = {"id": "all", "lanes": frozenset({LANE, WALK}), "schedule": None}
    return AccessLevel(**(fields | changes))


def a_view(
    *grants: Grant,
    levels: tuple[AccessLevel, ...] = (),
    schedules: tuple[Schedule, ...] = (),
    emergency: tuple[str, ...] = (),
    **others: Any,
) -> WhitelistView:
    """A whitelist of these grants; one card and one car when none is given. `others`: as `whitelist_view` takes."""
    return whitelist_view(
        "ep", 7, NOON_S, grants or (a_grant(), a_plate_grant()), levels or (a_level(),), schedules, emergency, **others
    )


def a_policy(**changes: Any) -> dict[LaneId, LanePolicy]:
    """Both lanes lead from the street into the site; as the view's `policies`."""
    return {lane: LanePolicy(lane, **({"area_to": "site"} | changes)) for lane in (LANE, WALK)}


def an_area(**changes: Any) -> dict[str, Area]:
    """The site, with hard anti-passback; as the view's `areas`."""
    return {"site": Area(**({"id": "site", "passback": Passback.HARD} | changes))}


def a_lane(**changes: Any) -> Lane:
    """A vehicle entry."""
    fields: dict[str, Any] = {"id": LANE, "kind": LaneKind.VEHICLE, "direction": Direction.IN}
    return Lane(**(fields | changes))


def a_walk_lane(**changes: Any) -> Lane:
    """An entry on foot."""
    return a_lane(**({"id": WALK, "kind": LaneKind.PEDESTRIAN} | changes))


def a_state(**changes: Any) -> LaneState:
    """A car stands on the loop and the clock is right."""
    fields: dict[str, Any] = {"lane": a_lane(), "is_present": True, "clock": ClockTrust.SYNCED}
    return LaneState(**(fields | changes))


def a_read(text: str = PLATE, confidence: float = 0.999, **changes: Any) -> PlateRead:
    """A sure read of a blue plate."""
    fields: dict[str, Any] = {"colour": PlateColour.BLUE, "frames": 3}
    return PlateRead(text=text, confidence=confidence, **(fields | changes))


def an_attempt(**changes: Any) -> Attempt:
    """The resident's card at the vehicle entry, at noon."""
    fields: dict[str, Any] = {
        "id": "a1",
        "lane": LANE,
        "direction": Direction.IN,
        "at": NOON,
        "reader": "post",
        "key": CARD,
    }
    return Attempt(**(fields | changes))


def a_plate_attempt(read: PlateRead | None = None, **changes: Any) -> Attempt:
    """The resident's car at the vehicle entry, at noon."""
    return an_attempt(**({"key": None, "plate": read or a_read(), "reader": "camera"} | changes))
