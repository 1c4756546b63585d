"""EVERY url of the console, with its method, view and role, in one table."""

from dataclasses import dataclass
from typing import Final, Literal

from starlette.routing import Route

from gatectl.central.web.guard import Role, View, guarded
from gatectl.central.web.views import (
    door,
    enrol,
    events,
    gates,
    holidays,
    identity,
    inside,
    people,
    rules,
    tenancy,
    visitors,
)
from gatectl.wire import enrol as enrol_wire


@dataclass(frozen=True, slots=True)
class Page:
    """One url and method. `role` None needs no sign-in; else that role or a higher one."""

    path: str
    method: Literal["GET", "POST"]
    view: View
    role: Role | None


PAGES: Final[tuple[Page, ...]] = (
    # the door
    Page("/", "GET", door.root, None),
    Page("/healthz", "GET", door.health, None),
    Page("/setup", "GET", door.setup, None),
    Page("/setup", "POST", door.use_setup, None),
    Page("/signin", "GET", door.sign_in_page, None),
    Page("/signin", "POST", door.sign_in, None),
    Page("/signout", "POST", door.sign_out, None),
    Page("/language", "POST", door.set_language, None),
    Page("/theme", "POST", door.set_theme, None),
    Page("/keys", "GET", door.keys, "viewer"),
    # the gates themselves: they prove a code, or sign
    Page(enrol_wire.ENROL_PATH, "POST", identity.enrol, None),
    Page(enrol_wire.RENEW_PATH, "POST", identity.renew, None),
    # the log
    Page("/events", "GET", events.log, "viewer"),
    Page("/events.csv", "GET", events.ask_csv, "manager"),
    Page("/events.csv", "POST", events.as_csv, "manager"),
    Page("/events/news", "GET", events.news, "viewer"),
    Page("/events/stream", "GET", events.stream, "viewer"),
    Page("/events/{event_id}", "GET", events.detail, "viewer"),
    Page("/pictures/{sha256}", "GET", events.picture, "viewer"),
    # the gates
    Page("/gates", "GET", gates.overview, "viewer"),
    Page("/held", "GET", gates.held, "viewer"),
    Page("/gates/{gate}/lanes/{lane}/open", "GET", gates.open_form, "guard"),
    Page("/gates/{gate}/lanes/{lane}/open", "POST", gates.order_open, "guard"),
    Page("/gates/{gate}/lanes/{lane}/refuse", "POST", gates.order_refuse, "guard"),
    Page("/commands/{command_id}", "GET", gates.command, "guard"),
    # the people
    Page("/people", "GET", people.search, "guard"),
    Page("/households/new", "GET", enrol.new_household, "manager"),
    Page("/households/new", "POST", enrol.add_household, "manager"),
    Page("/households/{household}", "GET", people.household, "guard"),
    Page("/households/{household}/effect", "GET", people.effect, "guard"),
    Page("/households/{household}/people/new", "GET", enrol.new_person, "manager"),
    Page("/households/{household}/people/new", "POST", enrol.add_person, "manager"),
    Page("/households/{household}/people/{person}/edit", "GET", enrol.edit_person, "manager"),
    Page("/households/{household}/people/{person}/edit", "POST", enrol.save_person, "manager"),
    Page("/households/{household}/people/{person}/remove", "GET", enrol.confirm_remove_person, "manager"),
    Page("/households/{household}/people/{person}/remove", "POST", enrol.remove_person, "manager"),
    Page("/households/{household}/people/{person}/card", "GET", enrol.new_card, "manager"),
    Page("/households/{household}/people/{person}/card", "POST", enrol.issue_card, "manager"),
    Page("/households/{household}/cards/{card}/lost", "GET", people.confirm_lost, "guard"),
    Page("/households/{household}/cards/{card}/lost", "POST", people.lost, "guard"),
    Page("/households/{household}/cards/{card}/revoke", "GET", people.confirm_revoke, "manager"),
    Page("/households/{household}/cards/{card}/revoke", "POST", people.revoke, "manager"),
    Page("/households/{household}/cards/{card}/reactivate", "POST", people.reactivate, "manager"),
    Page("/households/{household}/vehicles/new", "GET", enrol.new_vehicle, "manager"),
    Page("/households/{household}/vehicles/new", "POST", enrol.add_vehicle, "manager"),
    Page("/households/{household}/vehicles/{vehicle}/edit", "GET", enrol.edit_vehicle, "manager"),
    Page("/households/{household}/vehicles/{vehicle}/edit", "POST", enrol.save_vehicle, "manager"),
    Page("/households/{household}/vehicles/{vehicle}/revoke", "GET", enrol.confirm_revoke_vehicle, "manager"),
    Page("/households/{household}/vehicles/{vehicle}/revoke", "POST", enrol.revoke_vehicle, "manager"),
    Page("/households/{household}/vehicles/{vehicle}/space", "POST", tenancy.set_space, "manager"),
    Page("/households/{household}/people/{person}/terms", "GET", tenancy.edit_terms, "manager"),
    Page("/households/{household}/people/{person}/terms", "POST", tenancy.save_terms, "manager"),
    Page("/households/{household}/quota", "GET", tenancy.edit_quota, "manager"),
    Page("/households/{household}/quota", "POST", tenancy.save_quota, "manager"),
    Page("/households/{household}/tenancy", "GET", tenancy.edit_tenancy, "manager"),
    Page("/households/{household}/tenancy", "POST", tenancy.save_tenancy, "manager"),
    Page("/households/{household}/move-out", "GET", tenancy.confirm_move_out, "manager"),
    Page("/households/{household}/move-out", "POST", tenancy.move_out, "manager"),
    # visitors
    Page("/visitors", "GET", visitors.overview, "guard"),
    Page("/visitors/new", "GET", visitors.new, "guard"),
    Page("/visitors/new", "POST", visitors.invite, "guard"),
    Page("/visitors/{visit}", "GET", visitors.show, "guard"),
    Page("/visitors/{visit}/cancel", "GET", visitors.confirm_cancel, "guard"),
    Page("/visitors/{visit}/cancel", "POST", visitors.cancel, "guard"),
    # who is inside
    Page("/inside", "GET", inside.overview, "guard"),
    Page("/inside/{site}/correct", "GET", inside.edit, "guard"),
    Page("/inside/{site}/correct", "POST", inside.save, "guard"),
    Page("/inside/{site}/undo", "POST", inside.undo, "guard"),
    Page("/inside/{site}/areas/{area}/unknown", "GET", inside.edit_strangers, "guard"),
    Page("/inside/{site}/areas/{area}/unknown", "POST", inside.save_strangers, "guard"),
    # the rules
    Page("/rules", "GET", rules.overview, "guard"),
    Page("/rules/lanes/{lane}", "GET", rules.edit_lane, "manager"),
    Page("/rules/lanes/{lane}", "POST", rules.save_lane, "manager"),
    Page("/rules/lanes/{lane}/mode", "GET", rules.edit_mode, "manager"),
    Page("/rules/lanes/{lane}/mode", "POST", rules.save_mode, "manager"),
    Page("/rules/{site}/areas/{area}", "GET", rules.edit_area, "manager"),
    Page("/rules/{site}/areas/{area}", "POST", rules.save_area, "manager"),
    Page("/rules/{site}/schedules/{schedule}", "GET", rules.edit_schedule, "manager"),
    Page("/rules/{site}/schedules/{schedule}", "POST", rules.save_schedule, "manager"),
    Page("/rules/{site}/levels/{level}", "GET", rules.edit_level, "manager"),
    Page("/rules/{site}/levels/{level}", "POST", rules.save_level, "manager"),
    # the calendar
    Page("/holidays", "GET", holidays.overview, "guard"),
    Page("/holidays/day", "GET", holidays.edit_day, "manager"),
    Page("/holidays/day", "POST", holidays.save_day, "manager"),
)


def starlette_routes() -> list[Route]:
    """The table as Starlette routes, each behind its guard; GET and POST of one path are one route."""
    by_path: dict[str, dict[str, Page]] = {}
    for page in PAGES:
        by_path.setdefault(page.path, {})[page.method] = page
    return [
        Route(
            path,
            guarded({method: (page.view, page.role) for method, page in pages.items()}),
            methods=list(pages),
        )
        for path, pages in by_path.items()
    ]
