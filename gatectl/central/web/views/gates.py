"""闸口: tiles, held cars, remote opening."""

from typing import Any, Final

from starlette.responses import RedirectResponse, Response

from gatectl.central import desk, gates
from gatectl.central.gates import GateTile, ListEffect
from gatectl.central.web.guard import Visit
from gatectl.central.web.pages import render
from gatectl.errors import NotFoundError, RefusedError

PROGRESS: Final = {"queued": 0, "sent": 1, "received": 2}
"""How many of the three steps (sent, received, done) are behind a command that is under way."""


def _by_site(tiles: list[GateTile]) -> list[tuple[str, list[GateTile]]]:
    sites: dict[str, list[GateTile]] = {}
    for tile in tiles:
        sites.setdefault(tile.site_id, []).append(tile)
    return list(sites.items())


def overview(visit: Visit) -> Response:
    """Every gate as a tile, refreshed by itself."""
    tiles = gates.gate_tiles(visit.conn)
    by_site = _by_site(tiles)
    effects: dict[str, ListEffect] = {site: gates.list_effect(visit.conn, site) for site, _ in by_site}
    return render(
        visit,
        "gates.html",
        tiles=tiles,
        by_site=by_site,
        effects=effects,
        in_effect=sum(tile.is_list_current for tile in tiles),
        online=sum(tile.is_online for tile in tiles),
        waiting=sum(tile.outbox_depth for tile in tiles),
        cars=desk.held_cars(visit.conn, tiles),
    )


def held(visit: Visit) -> Response:
    """The strip of held cars alone."""
    return render(visit, "held.html", cars=desk.held_cars(visit.conn))


def _lane(visit: Visit) -> tuple[GateTile, Any]:
    tile = gates.gate_tile(visit.conn, visit.param("gate"))
    for lane in tile.lanes:
        if lane.id == visit.param("lane"):
            return tile, lane
    raise NotFoundError(f"no lane {visit.param('lane')!r}", zh="没有这条通道")


def open_form(visit: Visit) -> Response:
    """The dialog: a lane, ten reasons, a note."""
    return _open_form(visit)


def _open_form(visit: Visit, *, mistake: str = "", status: int = 200) -> Response:
    tile, lane = _lane(visit)
    cars = [car for car in desk.held_cars(visit.conn, [tile]) if car.lane.id == lane.id]
    return render(
        visit,
        "open.html",
        status=status,
        tile=tile,
        lane=lane,
        car=cars[0] if cars else None,
        reasons=list(gates.OpenReason),
        reason_words=gates.open_reason_words,
        chosen=visit.form.get("reason", "unread_plate" if cars else ""),
        note=visit.form.get("note", ""),
        mistake=mistake,
    )


def order_open(visit: Visit) -> Response:
    """Queue the opening, then show how far it came."""
    try:
        command_id = gates.order_open(
            visit.conn,
            visit.actor,
            visit.param("gate"),
            visit.param("lane"),
            visit.form.get("reason", ""),
            visit.form.get("note", ""),
        )
    except RefusedError as error:
        return _open_form(visit, mistake=error.words(visit.words.language), status=422)
    return _command(visit, command_id) if visit.is_htmx else _to_command(command_id)


def order_refuse(visit: Visit) -> Response:
    """Queue the refusal of the held car."""
    command_id = gates.order_refuse(
        visit.conn, visit.actor, visit.param("gate"), visit.param("lane"), visit.form.get("note", "")
    )
    return _command(visit, command_id) if visit.is_htmx else _to_command(command_id)


def _to_command(command_id: str) -> Response:
    return RedirectResponse(f"/commands/{command_id}", status_code=303)


def command(visit: Visit) -> Response:
    """A command's progress; the page asks again until it is final."""
    return _command(visit, visit.param("command_id"))


def _command(visit: Visit, command_id: str) -> Response:
    order = gates.command(visit.conn, command_id)
    tile = gates.gate_tile(visit.conn, order.gate_id)
    lane = next((lane for lane in tile.lanes if lane.id == order.lane_id), None)
    return render(
        visit,
        "command.html",
        order=order,
        tile=tile,
        lane=lane,
        done=PROGRESS.get(order.state, 3),
        reason=gates.open_reason_words(order.reason, visit.words.language),
    )
