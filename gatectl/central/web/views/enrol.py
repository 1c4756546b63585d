"""Enrolment: households, people, cards and vehicles are added, changed and revoked."""

from urllib.parse import quote

from starlette.responses import Response

from gatectl.central import desk, residents
from gatectl.central.residents import MemberRow, VehicleRow
from gatectl.central.web.forms import Choice, Field, FormPage, at_field, site_seconds
from gatectl.central.web.guard import Visit
from gatectl.central.web.views import forms
from gatectl.central.web.views.people import back_to, member_of, vehicle_of, view_of
from gatectl.core.model import PlateColour
from gatectl.core.plates import normalise

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
    return forms.show(visit, _household_page(visit))


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

    return forms.attempt(visit, _household_page(visit), act)


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


def new_person(visit: Visit) -> Response:
    """The form for a member."""
    return forms.show(visit, _person_page(visit, None))


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

    return forms.attempt(visit, _person_page(visit, None), act)


def edit_person(visit: Visit) -> Response:
    """The form with what is known."""
    return forms.show(visit, _person_page(visit, member_of(visit)))


def save_person(visit: Visit) -> Response:
    """Change a member."""
    member, form = member_of(visit), visit.form

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

    return forms.attempt(visit, _person_page(visit, member), act)


def confirm_remove_person(visit: Visit) -> Response:
    """Ask before a member leaves; says how many cards die with it."""
    member, home = member_of(visit), view_of(visit)
    cards = sum(card.person_id == member.id and card.state != "revoked" for card in home.cards)
    return forms.show(
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
    residents.remove_person(visit.conn, visit.actor, member_of(visit).id)
    return back_to(visit.param("household"), "person_removed")


# --- cards -----------------------------------------------------------------------------------------


def _card_page(visit: Visit) -> FormPage:
    member, home = member_of(visit), view_of(visit)
    return FormPage(
        title=visit.words("enrol.card"),
        subtitle=f"{member.name} · {home.door}",
        action=f"/households/{home.id}/people/{member.id}/card",
        back=f"/households/{home.id}",
        fields=(
            Field("number", visit.words("enrol.card_number"), hint=visit.words("enrol.card_hint")),
            Field(
                "no_plate",
                visit.words("enrol.no_plate"),
                kind="checkbox",
                is_required=False,
                hint=visit.words("enrol.no_plate_hint"),
            ),
            Field(
                "until",
                visit.words("enrol.card_until"),
                kind="date",
                is_required=False,
                hint=visit.words("enrol.card_until_hint"),
            ),
        ),
    )


def new_card(visit: Visit) -> Response:
    """The form that a USB reader types a number into."""
    return forms.show(visit, _card_page(visit))


def issue_card(visit: Visit) -> Response:
    """发卡 or 补卡: give a member a card."""
    member = member_of(visit)

    def act() -> Response:
        with at_field("until"):
            until_s = site_seconds(visit.form.get("until", ""), is_end=True)
        with at_field("number"):
            made = residents.issue_card(
                visit.conn,
                visit.actor,
                member.id,
                visit.form.get("number", ""),
                has_no_plate=bool(visit.form.get("no_plate")),
                until_s=until_s,
            )
        return back_to(visit.param("household"), "card_issued", f"&card={made}")

    return forms.attempt(visit, _card_page(visit), act)


# --- vehicles --------------------------------------------------------------------------------------


def _vehicle_page(visit: Visit, vehicle: VehicleRow | None) -> FormPage:
    home = view_of(visit)
    path = f"/households/{home.id}/vehicles/" + (f"{vehicle.id}/edit" if vehicle else "new")
    colours = [Choice("", visit.words("enrol.colour_auto"))]
    colours += [Choice(colour, visit.words.code("colour", colour)) for colour in PlateColour]
    space = Field(
        "fixed_space",
        visit.words("enrol.fixed_space"),
        kind="checkbox",
        is_required=False,
        hint=visit.words("enrol.fixed_space_hint"),
    )
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
            *([] if vehicle else [space]),
        ),
    )


def _colour(visit: Visit) -> PlateColour | None:
    value = visit.form.get("colour", "")
    return PlateColour(value) if value in set(PlateColour) else None


def _near(visit: Visit) -> str:
    near = residents.near_vehicles(visit.conn, view_of(visit).site_id, visit.form.get("plate", ""))
    plate = normalise(visit.form.get("plate", ""))
    return f"&plate={quote(plate)}" if near else ""


def new_vehicle(visit: Visit) -> Response:
    """The form for a vehicle."""
    return forms.show(visit, _vehicle_page(visit, None))


def add_vehicle(visit: Visit) -> Response:
    """Register a vehicle; plates that look like it are named afterwards."""
    home_id = visit.param("household")

    def act() -> Response:
        with at_field("plate"):
            residents.add_vehicle(
                visit.conn,
                visit.actor,
                home_id,
                visit.form.get("plate", ""),
                _colour(visit),
                has_fixed_space=bool(visit.form.get("fixed_space")),
            )
        return back_to(home_id, "vehicle_added", _near(visit))

    return forms.attempt(visit, _vehicle_page(visit, None), act)


def edit_vehicle(visit: Visit) -> Response:
    """The form with the plate as it is."""
    return forms.show(visit, _vehicle_page(visit, vehicle_of(visit)))


def save_vehicle(visit: Visit) -> Response:
    """Change the plate; the old one stays in the history, revoked."""
    vehicle = vehicle_of(visit)

    def act() -> Response:
        with at_field("plate"):
            residents.edit_vehicle(visit.conn, visit.actor, vehicle.id, visit.form.get("plate", ""), _colour(visit))
        return back_to(visit.param("household"), "vehicle_saved", _near(visit))

    return forms.attempt(visit, _vehicle_page(visit, vehicle), act)


def confirm_revoke_vehicle(visit: Visit) -> Response:
    """Ask before a vehicle loses its right."""
    vehicle, home = vehicle_of(visit), view_of(visit)
    return forms.show(
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
    residents.revoke_vehicle(visit.conn, visit.actor, vehicle_of(visit).id)
    return back_to(visit.param("household"), "vehicle_revoked")
