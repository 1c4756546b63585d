"""A household's parking, tenancy and moving out; a person's terms; a car's own space."""

import time

from starlette.responses import Response

from gatectl.central import residents, rule_view, rules, tenancy
from gatectl.central.residents import MemberRow
from gatectl.central.web.forms import Choice, Field, FormPage, at_field, date_value, site_seconds, whole
from gatectl.central.web.guard import Visit
from gatectl.central.web.views import forms
from gatectl.central.web.views.people import back_to, member_of, vehicle_of, view_of
from gatectl.core.model import Profile
from gatectl.errors import RefusedError

_MAX_CARS = 99


def _subtitle(visit: Visit) -> str:
    home = view_of(visit)
    return f"{visit.words.name_of(home.site_zh, home.site_en)} {home.door}"


# --- parking ---------------------------------------------------------------------------------------


def _quota_page(visit: Visit) -> FormPage:
    t, home = visit.words, view_of(visit)
    return FormPage(
        title=t("tenancy.quota"),
        subtitle=_subtitle(visit),
        action=f"/households/{home.id}/quota",
        back=f"/households/{home.id}",
        fields=(
            Field(
                "cars",
                t("tenancy.cars"),
                "" if home.quota is None else str(home.quota),
                kind="number",
                is_required=False,
                hint=t("tenancy.cars_hint"),
            ),
            Field(
                "unloading",
                t("tenancy.unloading"),
                str(home.unloading_s // 60),
                kind="number",
                is_required=False,
                hint=t("tenancy.unloading_hint"),
            ),
        ),
    )


def edit_quota(visit: Visit) -> Response:
    """The form for a household's parking."""
    return forms.show(visit, _quota_page(visit))


def save_quota(visit: Visit) -> Response:
    """How many cars may be inside at once."""
    form, home_id = visit.form, visit.param("household")

    def act() -> Response:
        with at_field("cars"):
            cars = whole(form.get("cars", ""), _MAX_CARS)
        with at_field("unloading"):
            minutes = whole(form.get("unloading", ""), 1440) or 0
        tenancy.set_quota(visit.conn, visit.actor, home_id, cars, unloading_s=minutes * 60)
        return back_to(home_id, "quota")

    return forms.attempt(visit, _quota_page(visit), act)


def set_space(visit: Visit) -> Response:
    """Give a car a space of its own, or take it back: the opposite of how it stands."""
    vehicle = vehicle_of(visit)
    residents.set_fixed_space(visit.conn, visit.actor, vehicle.id, not vehicle.has_fixed_space)
    return back_to(visit.param("household"), "space_none" if vehicle.has_fixed_space else "space_fixed")


# --- tenancy ---------------------------------------------------------------------------------------


def _tenancy_page(visit: Visit) -> FormPage:
    t, home = visit.words, view_of(visit)
    return FormPage(
        title=t("tenancy.title"),
        subtitle=_subtitle(visit),
        note=t("tenancy.note"),
        action=f"/households/{home.id}/tenancy",
        back=f"/households/{home.id}",
        fields=(
            Field(
                "until",
                t("tenancy.until"),
                date_value(home.tenancy_until_s),
                kind="date",
                is_required=False,
                hint=t("tenancy.until_hint"),
            ),
        ),
    )


def edit_tenancy(visit: Visit) -> Response:
    """The form for the end of a tenancy."""
    return forms.show(visit, _tenancy_page(visit))


def save_tenancy(visit: Visit) -> Response:
    """Let the flat until the end of a day, or say that it is not let."""
    home_id = visit.param("household")

    def act() -> Response:
        with at_field("until"):
            until_s = site_seconds(visit.form.get("until", ""), is_end=True)
            tenancy.set_tenancy(visit.conn, visit.actor, home_id, until_s)
        return back_to(home_id, "tenancy" if until_s is not None else "tenancy_none")

    return forms.attempt(visit, _tenancy_page(visit), act)


def confirm_move_out(visit: Visit) -> Response:
    """Ask before a household moves out; says what ends."""
    t, home = visit.words, view_of(visit)
    cards = sum(card.state != "revoked" for card in home.cards)
    cars = sum(car.state != "revoked" for car in home.vehicles)
    return forms.show(
        visit,
        FormPage(
            title=t("tenancy.move_out"),
            subtitle=_subtitle(visit),
            action=f"/households/{home.id}/move-out",
            back=f"/households/{home.id}",
            warning=t("tenancy.move_out_warning", people=len(home.members), cards=cards, cars=cars),
            submit=t("tenancy.move_out"),
        ),
    )


def move_out(visit: Visit) -> Response:
    """退租: everything that the household holds ends; its cards stay listed to be asked back."""
    home = view_of(visit)
    tenancy.move_out(visit.conn, visit.actor, home.id)
    return back_to(home.id, "moved_out")


# --- a person's terms ------------------------------------------------------------------------------


def _terms_page(visit: Visit, member: MemberRow) -> FormPage:
    t, home = visit.words, view_of(visit)
    levels = rule_view.level_rules(visit.conn, home.site_id)
    choices = [Choice("", t("profile.residents"))]
    choices += [Choice(level.id, t.name(level) or level.id) for level in levels]
    return FormPage(
        title=t("profile.title"),
        subtitle=f"{member.name} · {home.door}",
        note=t("profile.note"),
        action=f"/households/{home.id}/people/{member.id}/terms",
        back=f"/households/{home.id}",
        fields=(
            Field(
                "profile",
                t("profile.kind"),
                member.profile,
                choices=tuple(Choice(one.value, t.code("profile", one)) for one in Profile),
            ),
            Field("level", t("profile.level"), member.level_id, choices=tuple(choices)),
            Field("hours", t("profile.hours"), is_required=False, hint=t("profile.hours_hint"), max_length=200),
            Field(
                "until",
                t("profile.until"),
                date_value(member.valid_until_s),
                kind="date",
                is_required=False,
                hint=t("profile.until_hint"),
            ),
            Field(
                "stay",
                t("profile.stay"),
                str(member.max_stay_s // 60),
                kind="number",
                hint=t("profile.stay_hint"),
            ),
        ),
    )


def edit_terms(visit: Visit) -> Response:
    """The form for what somebody is to the site, and when their cards serve."""
    return forms.show(visit, _terms_page(visit, member_of(visit)))


def save_terms(visit: Visit) -> Response:
    """Give a person and all their cards these terms."""
    member, home, form = member_of(visit), view_of(visit), visit.form

    def act() -> Response:
        with at_field("profile"):
            if form.get("profile") not in set(Profile):
                raise RefusedError("choose from the list", zh="请从列表中选择")
        level = form.get("level", "")
        with at_field("hours"):
            if form.get("hours"):
                level = rules.level_for_hours(visit.conn, visit.actor, home.site_id, form["hours"])
        with at_field("until"):
            until_s = site_seconds(form.get("until", ""), is_end=True)
            if until_s is not None and until_s != member.valid_until_s and until_s <= time.time():
                raise RefusedError("that time is past", zh="到期时间已过")
        with at_field("stay"):
            minutes = whole(form.get("stay", ""), 7 * 1440) or 0
        terms = tenancy.Terms(Profile(form["profile"]), level, until_s, minutes * 60)
        tenancy.set_terms(visit.conn, visit.actor, member.id, terms)
        return back_to(home.id, "terms")

    return forms.attempt(visit, _terms_page(visit, member), act)
