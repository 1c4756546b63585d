"""住户: search, a household's page, 挂失 and its undo."""

from starlette.responses import RedirectResponse, Response

from gatectl.central import desk, gates, residents, rule_view
from gatectl.central.audit import write_audit
from gatectl.central.eventlog import EventQuery
from gatectl.central.eventlog import search as search_events
from gatectl.central.residents import CardRow, HouseholdView, MemberRow, VehicleRow
from gatectl.central.web.guard import Visit
from gatectl.central.web.pages import render
from gatectl.core.model import GrantState
from gatectl.errors import NotFoundError

MAX_HITS = 60


def search(visit: Visit) -> Response:
    """People by name, room, phone tail, card or plate; masked."""
    query = visit.request.query_params.get("q", "").strip()[:60]
    site = visit.request.query_params.get("site", "").strip()[:63]
    hits = residents.find_people(visit.conn, query, site or None, MAX_HITS + 1)
    return render(
        visit,
        "people.html",
        q=query,
        site=site,
        sites=desk.sites(visit.conn),
        hits=hits[:MAX_HITS],
        has_more=len(hits) > MAX_HITS,
    )


def view_of(visit: Visit) -> HouseholdView:
    """The household in the path. Raises NotFoundError."""
    found = residents.household(visit.conn, visit.param("household"))
    if found is None:
        raise NotFoundError("no such household", zh="没有这户")
    return found


def household(visit: Visit) -> Response:
    """Members, cards and vehicles; whole names and phones for managers, and that is audited."""
    home = view_of(visit)
    is_revealed = visit.may("manager")
    if is_revealed:
        write_audit(visit.conn, visit.actor, "household.reveal", home.id, home.door)
    plate = visit.request.query_params.get("plate", "")[:20]
    recent = search_events(visit.conn, EventQuery(household=home.id, limit=8)).rows
    return render(
        visit,
        "household.html",
        home=home,
        is_revealed=is_revealed,
        effect=gates.list_effect(visit.conn, home.site_id),
        recent=recent,
        done=visit.request.query_params.get("done", ""),
        done_card=visit.request.query_params.get("card", ""),
        near=residents.near_vehicles(visit.conn, home.site_id, plate)[:5] if plate else (),
        near_to=plate,
        level_names={
            level.id: visit.words.name(level) or level.id for level in rule_view.level_rules(visit.conn, home.site_id)
        },
    )


def effect(visit: Visit) -> Response:
    """How far the change has reached, as a line that refreshes itself."""
    home = view_of(visit)
    return render(visit, "effect.html", home=home, effect=gates.list_effect(visit.conn, home.site_id))


def back_to(home_id: str, done: str, extra: str = "") -> Response:
    """To the household's page, which says what was done."""
    return RedirectResponse(f"/households/{home_id}?done={done}{extra}", status_code=303)


def card_of(visit: Visit, home: HouseholdView) -> CardRow:
    """The card in the path, if it is this household's. Raises NotFoundError."""
    for card in home.cards:
        if card.id == visit.param("card"):
            return card
    raise NotFoundError("no such card in this household", zh="该户没有这张卡")


def member_of(visit: Visit) -> MemberRow:
    """The member in the path, if it is this household's. Raises NotFoundError."""
    for member in view_of(visit).members:
        if member.id == visit.param("person"):
            return member
    raise NotFoundError("no such person in this household", zh="该户没有这位住户")


def vehicle_of(visit: Visit) -> VehicleRow:
    """The vehicle in the path, if it is this household's. Raises NotFoundError."""
    for vehicle in view_of(visit).vehicles:
        if vehicle.id == visit.param("vehicle"):
            return vehicle
    raise NotFoundError("no such vehicle in this household", zh="该户没有这辆车")


def _confirm(visit: Visit, action: str) -> Response:
    home = view_of(visit)
    return render(visit, "confirm_card.html", home=home, card=card_of(visit, home), action=action)


def confirm_lost(visit: Visit) -> Response:
    """Ask before a card is reported lost."""
    return _confirm(visit, "lost")


def confirm_revoke(visit: Visit) -> Response:
    """Ask before a card is cancelled."""
    return _confirm(visit, "revoke")


def _set_state(visit: Visit, state: GrantState, done: str) -> Response:
    home = view_of(visit)
    card = card_of(visit, home)
    residents.set_card_state(visit.conn, visit.actor, card.id, state, note=visit.form.get("note", "")[:200])
    return back_to(home.id, done, f"&card={card.id}")


def lost(visit: Visit) -> Response:
    """挂失: refused at every gate from the next revision on."""
    return _set_state(visit, GrantState.LOST, "lost")


def revoke(visit: Visit) -> Response:
    """注销: the card is cancelled."""
    return _set_state(visit, GrantState.REVOKED, "revoked")


def reactivate(visit: Visit) -> Response:
    """The undo: the card works again."""
    return _set_state(visit, GrantState.ACTIVE, "reactivated")
