"""在场: who is inside, by area; the count is corrected with a reason and can be put back."""

from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from gatectl.central import inside, residents, rule_view
from gatectl.central.inside import Present
from gatectl.central.web import present
from gatectl.central.web.forms import Choice, Field, FormPage, at_field, whole
from gatectl.central.web.guard import Visit
from gatectl.central.web.pages import render
from gatectl.central.web.views import forms, sites
from gatectl.errors import NotFoundError, RefusedError

MAX_SHOWN = 300


def overview(visit: Visit) -> Response:
    """The areas with their counts, and who is in them, the longest first."""
    site, all_sites = sites.chosen(visit)
    query = visit.request.query_params
    area = query.get("area", "")
    found = inside.stand(visit.conn, site.id, area) if site else inside.Stand((), ())
    now_ms = present.now_ms()
    is_overdue = query.get("show") == "overdue"
    shown = [one for one in found.present if not is_overdue or one.is_overdue(now_ms)]
    return render(
        visit,
        "inside.html",
        site=site,
        sites=all_sites,
        areas=found.areas,
        area=area,
        present=shown[:MAX_SHOWN],
        has_more=len(shown) > MAX_SHOWN,
        overdue=sum(one.is_overdue(now_ms) for one in found.present),
        is_overdue=is_overdue,
        done=query.get("done", ""),
        who=query.get("who", ""),
        was=query.get("was", ""),
    )


def _one(visit: Visit, who: str) -> Present:
    """Who is meant. Raises NotFoundError."""
    for one in inside.stand(visit.conn, visit.param("site")).present:
        if one.subject == who:
            return one
    raise NotFoundError("that one is not inside any more", zh="已不在场")


def _page(visit: Visit, who: str) -> FormPage:
    t, site = visit.words, visit.param("site")
    one = _one(visit, who)
    shown = one.plate or residents.mask_name(one.name) or one.subject
    areas = [
        Choice(area.id, t("inside.is_in", area=t.name(area)))
        for area in rule_view.area_rules(visit.conn, site)
        if area.id != one.area
    ]
    return FormPage(
        title=t("inside.correct"),
        subtitle=" · ".join(part for part in (shown, one.door) if part),
        note=t("inside.correct_note"),
        action=f"/inside/{site}/correct",
        back=f"/inside?site={site}",
        fields=(
            Field("who", "", who, kind="hidden"),
            Field("area", t("inside.where"), "", choices=(Choice("", t("inside.gone")), *areas)),
            Field("reason", t("inside.reason"), hint=t("inside.reason_hint"), max_length=200),
        ),
    )


def edit(visit: Visit) -> Response:
    """The form that says where somebody really is."""
    sites.in_path(visit)
    return forms.show(visit, _page(visit, visit.request.query_params.get("who", "")))


def save(visit: Visit) -> Response:
    """Correct it; every gate of the site hears of it."""
    site, form = sites.in_path(visit).id, visit.form
    page = _page(visit, form.get("who", ""))
    was = _one(visit, form["who"]).area

    def act() -> Response:
        with at_field("reason"):
            inside.correct(visit.conn, visit.actor, site, form["who"], form.get("area", ""), form.get("reason", ""))
        undo = f"&who={quote(form['who'])}&was={quote(was)}"
        return RedirectResponse(f"/inside?site={site}&done=corrected{undo}", status_code=303)

    return forms.attempt(visit, page, act)


def undo(visit: Visit) -> Response:
    """Put somebody back where they were before the correction."""
    site, form = sites.in_path(visit).id, visit.form
    reason = visit.words("inside.undone")
    inside.correct(visit.conn, visit.actor, site, form.get("who", ""), form.get("area", ""), reason)
    return RedirectResponse(f"/inside?site={site}&done=undone", status_code=303)


def _strangers_page(visit: Visit) -> FormPage:
    t, site = visit.words, sites.in_path(visit).id
    for area in inside.stand(visit.conn, site).areas:
        if area.id == visit.param("area"):
            break
    else:
        raise NotFoundError("no such area", zh="没有这个区域")
    return FormPage(
        title=t("inside.strangers"),
        subtitle=t.name(area),
        note=t("inside.strangers_note"),
        action=f"/inside/{site}/areas/{area.id}/unknown",
        back=f"/inside?site={site}",
        fields=(
            Field("vehicles", t("inside.strangers_count"), str(area.strangers), kind="number"),
            Field("reason", t("inside.reason"), hint=t("inside.reason_hint"), max_length=200),
        ),
    )


def edit_strangers(visit: Visit) -> Response:
    """The form for the number of vehicles that nobody knows."""
    return forms.show(visit, _strangers_page(visit))


def save_strangers(visit: Visit) -> Response:
    """Correct the number; every gate of the site hears of it."""
    site, form = sites.in_path(visit).id, visit.form

    def act() -> Response:
        with at_field("reason"):
            if len(form.get("reason", "")) < 2:
                raise RefusedError("a correction needs a reason", zh="更正必须填写原因")
        with at_field("vehicles"):
            count = whole(form.get("vehicles", ""), 100_000)
            if count is None:
                raise RefusedError("write a number", zh="请填写数目")
            inside.correct_strangers(visit.conn, visit.actor, site, visit.param("area"), count, form["reason"])
        return RedirectResponse(f"/inside?site={site}&done=strangers", status_code=303)

    return forms.attempt(visit, _strangers_page(visit), act)
