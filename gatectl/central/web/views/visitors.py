"""访客: today's and coming guests, a pass made at the desk, printed or read out, and withdrawn."""

import time
from typing import Any

import segno
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from gatectl.central import desk, directory, residents, visitors
from gatectl.central.keys import load_or_make_keys
from gatectl.central.web.forms import Choice, Field, FormPage, at_field, minute_value, site_seconds, whole
from gatectl.central.web.guard import Visit
from gatectl.central.web.pages import render
from gatectl.central.web.views import forms, sites
from gatectl.core.model import Profile
from gatectl.errors import NotFoundError, RefusedError

_DEFAULT_STAY_S = 4 * 3600


def overview(visit: Visit) -> Response:
    """Visits that are not over, or with `show=all` every one that is kept."""
    site, all_sites = sites.chosen(visit)
    now_s = int(time.time())
    is_all = visit.request.query_params.get("show") == "all"
    rows = visitors.visits(visit.conn, site.id, now_s=now_s, is_all=is_all) if site else []
    shown = [(row, visitors.visit_state(row, now_s), _door(visit, row.household_id)) for row in rows]
    query = visit.request.query_params
    return render(
        visit,
        "visitors.html",
        site=site,
        sites=all_sites,
        visits=list(reversed(shown)) if is_all else shown,
        is_all=is_all,
        done=query.get("done", ""),
    )


def _door(visit: Visit, household: str) -> str:
    found = residents.household(visit.conn, household)
    return found.door if found is not None else ""


def _page(visit: Visit) -> FormPage:
    t, now_s = visit.words, int(time.time()) // 60 * 60
    query = visit.request.query_params
    profiles = tuple(Choice(profile.value, t.code("profile", profile)) for profile in visitors.GUESTS)
    site_choices = tuple(Choice(site.id, t.name(site)) for site in desk.sites(visit.conn))
    return FormPage(
        title=t("visitors.new"),
        action="/visitors/new",
        back="/visitors",
        submit=t("visitors.make"),
        fields=(
            Field("site", t("people.site"), query.get("site", ""), choices=site_choices),
            Field("door", t("visitors.door"), query.get("door", ""), hint=t("visitors.door_hint")),
            Field("surname", t("visitors.surname"), hint=t("visitors.surname_hint")),
            Field("profile", t("visitors.kind"), Profile.VISITOR.value, choices=profiles),
            Field("from", t("visitors.from"), minute_value(now_s), kind="datetime-local"),
            Field("until", t("visitors.until"), minute_value(now_s + _DEFAULT_STAY_S), kind="datetime-local"),
            Field("plate", t("visitors.plate"), is_required=False, hint=t("visitors.plate_hint")),
            Field("uses", t("visitors.uses"), "1", kind="number", hint=t("visitors.uses_hint")),
            Field("stay", t("visitors.stay"), "0", kind="number", hint=t("visitors.stay_hint")),
        ),
    )


def new(visit: Visit) -> Response:
    """The form for a guest."""
    return forms.show(visit, _page(visit))


def invite(visit: Visit) -> Response:
    """Make the visit; the answer shows the code, this once."""
    form = visit.form

    def act() -> Response:
        with at_field("door"):
            home = directory.find_household(visit.conn, form.get("site", ""), form.get("door", ""))
            if home is None:
                raise RefusedError(
                    "nobody lives there; write e.g. 3-2-501", zh="没有这一户;请按 3-2-501 的写法填写房号"
                )
        with at_field("from"):
            begin_s = site_seconds(form.get("from", ""))
        with at_field("until"):
            end_s = site_seconds(form.get("until", ""))
            if begin_s is None or end_s is None:
                raise RefusedError("give the time of the visit", zh="请填写访问时间")
        with at_field("uses"):
            uses = whole(form.get("uses", ""), 255)
        with at_field("stay"):
            minutes = whole(form.get("stay", ""), 7 * 1440) or 0
        with at_field("profile"):
            if form.get("profile") not in {profile.value for profile in visitors.GUESTS}:
                raise RefusedError("choose from the list", zh="请从列表中选择")
        guest = visitors.Visit(
            home,
            form.get("surname", ""),
            begin_s,
            end_s,
            uses or None,
            Profile(form["profile"]),
            form.get("plate", ""),
            minutes * 60,
        )
        key = load_or_make_keys(visit.settings.data_dir, visitors.PASS_ISSUER_FILE).site_key
        with at_field(_field_of(guest)):
            made = visitors.invite(visit.conn, visit.actor, guest, key)
        return _pass(visit, visitors.visit(visit.conn, made.id), made)

    return forms.attempt(visit, _page(visit), act)


def _field_of(guest: visitors.Visit) -> str:
    """The field that a refusal of the whole most likely concerns."""
    if not guest.surname.strip():
        return "surname"
    if guest.valid_until_s <= max(guest.valid_from_s, int(time.time())):
        return "until"
    return "plate" if guest.plate else "until"


def _pass(visit: Visit, row: Any, made: visitors.Invitation | None) -> Response:
    message = ""
    if made is not None:
        message = made.words_zh if visit.words.language == "zh" else made.words_en
    return render(
        visit,
        "visitor.html",
        row=row,
        state=visitors.visit_state(row, int(time.time())),
        door=_door(visit, row.household_id),
        site=next(site for site in desk.sites(visit.conn) if site.id == row.site_id),
        code=made.code if made is not None else "",
        message=message,
        picture=_picture(row.pass_text),
    )


def _picture(pass_text: str) -> Markup:
    """The pass as an SVG: dark on light in every theme, with the quiet zone that readers need."""
    if not pass_text:
        return Markup()
    code = segno.make(pass_text, error="m", micro=False)
    drawn = code.svg_inline(scale=1, border=4, dark="#000", light="#fff", omitsize=True, svgclass="qr")
    return Markup(drawn)  # noqa: S704 - paths that segno drew, none of the text


def show(visit: Visit) -> Response:
    """A visit with its pass as a QR code; the digits are not kept and cannot be shown again."""
    return _pass(visit, visitors.visit(visit.conn, visit.param("visit")), None)


def confirm_cancel(visit: Visit) -> Response:
    """Ask before a visit is withdrawn."""
    return forms.show(visit, _cancel_page(visit))


def _cancel_page(visit: Visit) -> FormPage:
    row = visitors.visit(visit.conn, visit.param("visit"))
    if row.state == "cancelled":
        raise NotFoundError("the visit was withdrawn already", zh="访问已取消")
    return FormPage(
        title=visit.words("visitors.cancel_title"),
        subtitle=f"{residents.mask_name(row.visitor_name)} · {_door(visit, row.household_id)}",
        action=f"/visitors/{row.id}/cancel",
        back=f"/visitors?site={row.site_id}",
        warning=visit.words("visitors.cancel_warning"),
        submit=visit.words("visitors.cancel"),
    )


def cancel(visit: Visit) -> Response:
    """Withdraw the code, the pass and the plate at every gate."""
    row = visitors.visit(visit.conn, visit.param("visit"))
    visitors.cancel(visit.conn, visit.actor, row.id)
    return RedirectResponse(f"/visitors?site={row.site_id}&done=cancelled", status_code=303)
