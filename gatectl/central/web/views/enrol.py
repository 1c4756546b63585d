"""Enrolment: households, people, cards and vehicles are added, changed and revoked."""

from collections.abc import Callable
from urllib.parse import quote

from starlette.responses import Response

from gatectl.central import desk, residents
from gatectl.central.residents import MemberRow, VehicleRow
from gatectl.central.web.forms import Choice, Field, FormPage
from gatectl.central.web.guard import Visit
from gatectl.central.web.pages import render
from gatectl.central.web.views.people import back_to, view_of
from gatectl.core.model import PlateColour
from gatectl.errors import NotFoundError, RefusedError


def _show(visit: Visit, page: FormPage, mistake: str = "") -> Response:
    return render(visit, "form.html", status=422 if mistake else 200, page=page, form=visit.form, mistake=mistake)


def _try(visit: Visit, page: FormPage, act: Callable[[], Response]) -> Response:
    """Do it, or show the form again with what was typed and what is wrong."""
    savepoint = visit.conn.begin_nested()
    try:
        response = act()
    except RefusedError as error:
        savepoint.rollback()
        return _show(visit, page, error.words(visit.words.language))
    savepoint.commit()
    return response


# --- households ------------------------------------------------------------------------------------


def _household_page(visit: Visit) -> FormPage:
    sites = [Choice(site.id, visit.words.name(site)) for site in desk.sites(visit.conn)]
    return FormPage(
        title=visit.words("enrol.household"),
        action="/households/new",
        back="/people",
        fields=(
            Field("site", visit.words("people.site"), choices=tuple(sites)),
            Field("building", visit.words("enrol.building"), hint=visit.words("enrol.building_hint")),
            Field("unit", visit.words("enrol.unit"), is_required=False),
            Field("room", visit.words("enrol.room")),
        ),
    )


def new_household(visit: Visit) -> Response:
    """The form for a household."""
    return _show(visit, _household_page(visit))


def add_household(visit: Visit) -> Response:
    """Add it, and go to its page."""
    form = visit.form

    def act() -> Response:
        made = residents.add_household(
            visit.conn,
            visit.actor,
            form.get("site", ""),
            form.get("building", ""),
            form.get("unit", ""),
            form.get("room", ""),
        )
        return back_to(made, "household_added")

    return _try(visit, _household_page(visit), act)


# --- people ----------------------------------------------------------------------------------------


def _relations(visit: Visit) -> tuple[Choice, ...]:
    return tuple(Choice(value, visit.words.code("relation", value)) for value in residents.RELATIONS)


def _person_page(visit: Visit, member: MemberRow | None) -> FormPage:
    home = view_of(visit)
    path = f"/households/{home.id}/people/" + (f"{member.id}/edit" if member else "new")
    return FormPage(
        title=visit.words("enrol.edit_person") if member else visit.words("enrol.person"),
        subtitle=f"{visit.words.name_of(home.site_zh, home.site_en)} {home.door}",
        action=path,
        back=f"/households/{home.id}",
        fields=(
            Field("name", visit.words("enrol.name"), member.name if member else ""),
            Field(
                "phone",
                visit.words("enrol.phone"),
                member.phone if member else "",
                is_required=False,
                kind="tel",
            ),
            Field(
                "relation",
                visit.words("enrol.relation"),
                member.relation if member else "resident",
                choices=_relations(visit),
            ),
            Field(
                "extended_open",
                visit.words("enrol.extended_open"),
                "1" if member and member.extended_open else "",
                kind="checkbox",
                is_required=False,
                hint=visit.words("enrol.extended_open_hint"),
            ),
        ),
    )


def _member(visit: Visit) -> MemberRow:
    for member in view_of(visit).members:
        if member.id == visit.param("person"):
            return member
    raise NotFoundError("no such person in this household", zh="该户没有这位住户")


def new_person(visit: Visit) -> Response:
    """The form for a member."""
    return _show(visit, _person_page(visit, None))


def add_person(visit: Visit) -> Response:
    """Add a member to the household."""
    form, home_id = visit.form, visit.param("household")

    def act() -> Response:
        made = residents.add_person(
            visit.conn,
            visit.actor,
            home_id,
            form.get("name", ""),
            form.get("phone", ""),
            form.get("relation", "resident"),
        )
        if form.get("extended_open"):
            residents.edit_person(visit.conn, visit.actor, made, extended_open=True)
        return back_to(home_id, "person_added")

    return _try(visit, _person_page(visit, None), act)


def edit_person(visit: Visit) -> Response:
    """The form with what is known."""
    return _show(visit, _person_page(visit, _member(visit)))


def save_person(visit: Visit) -> Response:
    """Change a member."""
    member, form = _member(visit), visit.form

    def act() -> Response:
        residents.edit_person(
            visit.conn,
            visit.actor,
            member.id,
            name=form.get("name", ""),
            phone=form.get("phone", ""),
            relation=form.get("relation", "resident"),
            extended_open=bool(form.get("extended_open")),
        )
        return back_to(visit.param("household"), "person_saved")

    return _try(visit, _person_page(visit, member), act)


def confirm_remove_person(visit: Visit) -> Response:
    """Ask before a member leaves; says how many cards die with it."""
    member, home = _member(visit), view_of(visit)
    cards = sum(card.person_id == member.id and card.state != "revoked" for card in home.cards)
    return _show(
        visit,
        FormPage(
            title=visit.words("enrol.remove_person"),
            subtitle=f"{member.name} · {home.door}",
            action=f"/households/{home.id}/people/{member.id}/remove",
            back=f"/households/{home.id}",
            warning=visit.words("enrol.remove_person_warning", n=cards),
            submit=visit.words("enrol.remove_person"),
        ),
    )


def remove_person(visit: Visit) -> Response:
    """Take a member out and revoke the member's cards."""
    residents.remove_person(visit.conn, visit.actor, _member(visit).id)
    return back_to(visit.param("household"), "person_removed")


# --- cards -----------------------------------------------------------------------------------------


def _card_page(visit: Visit) -> FormPage:
    member, home = _member(visit), view_of(visit)
    return FormPage(
        title=visit.words("enrol.card"),
        subtitle=f"{member.name} · {home.door}",
        action=f"/households/{home.id}/people/{member.id}/card",
        back=f"/households/{home.id}",
        fields=(Field("number", visit.words("enrol.card_number"), hint=visit.words("enrol.card_hint")),),
    )


def new_card(visit: Visit) -> Response:
    """The form that a USB reader types a number into."""
    return _show(visit, _card_page(visit))


def issue_card(visit: Visit) -> Response:
    """发卡 or 补卡: give a member a card."""
    member = _member(visit)

    def act() -> Response:
        made = residents.issue_card(visit.conn, visit.actor, member.id, visit.form.get("number", ""))
        return back_to(visit.param("household"), "card_issued", f"&card={made}")

    return _try(visit, _card_page(visit), act)


# --- vehicles --------------------------------------------------------------------------------------


def _vehicle_page(visit: Visit, vehicle: VehicleRow | None) -> FormPage:
    home = view_of(visit)
    path = f"/households/{home.id}/vehicles/" + (f"{vehicle.id}/edit" if vehicle else "new")
    colours = [Choice("", visit.words("enrol.colour_auto"))]
    colours += [Choice(colour, visit.words.code("colour", colour)) for colour in PlateColour]
    return FormPage(
        title=visit.words("enrol.edit_vehicle") if vehicle else visit.words("enrol.vehicle"),
        subtitle=f"{visit.words.name_of(home.site_zh, home.site_en)} {home.door}",
        action=path,
        back=f"/households/{home.id}",
        fields=(
            Field(
                "plate",
                visit.words("enrol.plate"),
                vehicle.plate if vehicle else "",
                hint=visit.words("enrol.plate_hint"),
            ),
            Field(
                "colour",
                visit.words("enrol.colour"),
                vehicle.colour if vehicle else "",
                choices=tuple(colours),
                is_required=False,
            ),
        ),
    )


def _colour(visit: Visit) -> PlateColour | None:
    value = visit.form.get("colour", "")
    return PlateColour(value) if value in set(PlateColour) else None


def _vehicle(visit: Visit) -> VehicleRow:
    for vehicle in view_of(visit).vehicles:
        if vehicle.id == visit.param("vehicle"):
            return vehicle
    raise NotFoundError("no such vehicle in this household", zh="该户没有这辆车")


def _near(visit: Visit) -> str:
    near = residents.near_plates(visit.conn, view_of(visit).site_id, visit.form.get("plate", ""))
    return f"&near={quote(','.join(near[:5]))}" if near else ""


def new_vehicle(visit: Visit) -> Response:
    """The form for a vehicle."""
    return _show(visit, _vehicle_page(visit, None))


def add_vehicle(visit: Visit) -> Response:
    """Register a vehicle; plates that look like it are named afterwards."""
    home_id = visit.param("household")

    def act() -> Response:
        residents.add_vehicle(visit.conn, visit.actor, home_id, visit.form.get("plate", ""), _colour(visit))
        return back_to(home_id, "vehicle_added", _near(visit))

    return _try(visit, _vehicle_page(visit, None), act)


def edit_vehicle(visit: Visit) -> Response:
    """The form with the plate as it is."""
    return _show(visit, _vehicle_page(visit, _vehicle(visit)))


def save_vehicle(visit: Visit) -> Response:
    """Change the plate; the old one stays in the history, revoked."""
    vehicle = _vehicle(visit)

    def act() -> Response:
        residents.edit_vehicle(visit.conn, visit.actor, vehicle.id, visit.form.get("plate", ""), _colour(visit))
        return back_to(visit.param("household"), "vehicle_saved", _near(visit))

    return _try(visit, _vehicle_page(visit, vehicle), act)


def confirm_revoke_vehicle(visit: Visit) -> Response:
    """Ask before a vehicle loses its right."""
    vehicle, home = _vehicle(visit), view_of(visit)
    return _show(
        visit,
        FormPage(
            title=visit.words("enrol.revoke_vehicle"),
            subtitle=f"{vehicle.plate} · {home.door}",
            action=f"/households/{home.id}/vehicles/{vehicle.id}/revoke",
            back=f"/households/{home.id}",
            warning=visit.words("enrol.revoke_vehicle_warning"),
            submit=visit.words("enrol.revoke_vehicle"),
        ),
    )


def revoke_vehicle(visit: Visit) -> Response:
    """Take the vehicle's right away."""
    residents.revoke_vehicle(visit.conn, visit.actor, _vehicle(visit).id)
    return back_to(visit.param("household"), "vehicle_revoked")
