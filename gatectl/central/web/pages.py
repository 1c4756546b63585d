"""Jinja2 pages: one environment, the frame's own values, error pages."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gatectl.central.credentials import mask_name, mask_phone, standing
from gatectl.central.web import present
from gatectl.central.web.guard import ROLES, Visit, has_role
from gatectl.central.web.i18n import LANGUAGES, Words, severity

THEMES: Final = ("auto", "light", "dark")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The template environment: everything is escaped, an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        asset=present.asset,
        stamp=present.stamp,
        clock=present.clock,
        day=present.day,
        age=present.age,
        mask_name=mask_name,
        mask_phone=mask_phone,
        standing_of=standing,
        dotted=present.dotted,
        plate_class=present.plate_class,
        weekday=present.weekday,
        card_of=present.card_of,
        severity=severity,
        has_role=has_role,
        languages=LANGUAGES,
        roles=ROLES,
    )
    return made


def theme_of(request: Request) -> str:
    """`light` or `dark` as chosen, else `auto`: the operating system's."""
    chosen = request.cookies.get("gatectl_theme", "auto")
    return chosen if chosen in THEMES else "auto"


def _frame(request: Request, words: Words) -> dict[str, Any]:
    query = f"?{request.url.query}" if request.url.query else ""
    return {
        "t": words,
        "request_path": request.url.path,
        "here": request.url.path + query,
        "theme": theme_of(request),
        "is_demo": request.app.state.settings.is_demo,
        "account": getattr(request.state, "staff", None),
        "request_id": request.state.request_id,
        "now": present.now_ms(),
    }


def render(visit: Visit, template: str, *, status: int = 200, **values: object) -> Response:
    """A page or a fragment for this visit."""
    context: Mapping[str, object] = {
        **_frame(visit.request, visit.words),
        "may": visit.may,
        "is_fragment": visit.is_htmx,
        **values,
    }
    return HTMLResponse(environment().get_template(template).render(context), status_code=status)


def render_error(request: Request, words: Words, status: int, detail: str) -> Response:
    """An error page with its request id; one line of text for a fragment or a CSV."""
    known = status if status in {400, 401, 403, 404, 405, 408, 409, 413, 415} else 500
    context = {
        **_frame(request, words),
        "may": lambda _role: False,
        "status": status,
        "title": words(f"error.title_{known}"),
        "advice": detail or words(f"error.advice_{known}"),
    }
    name = "error_fragment.html" if request.headers.get("HX-Request") == "true" else "error.html"
    return HTMLResponse(environment().get_template(name).render(context), status_code=status)
