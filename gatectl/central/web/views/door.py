"""The door: first set-up, sign-in, sign-out, language and theme."""

from typing import Final

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from gatectl.central import staff
from gatectl.central.database import writing
from gatectl.central.web.guard import SESSION_COOKIE, Visit, safe_path
from gatectl.central.web.i18n import as_language
from gatectl.central.web.pages import THEMES, render
from gatectl.errors import RefusedError

_YEAR_S: Final = 365 * 24 * 3600


def _set_cookie(response: Response, request: Request, name: str, value: str, max_age_s: int) -> None:
    response.set_cookie(
        name, value, max_age=max_age_s, httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )


def root(visit: Visit) -> Response:
    """The console's first page is the log."""
    return RedirectResponse("/events" if visit.staff else "/signin", status_code=303)


def health(visit: Visit) -> Response:
    """For probes: the process serves and its database answers."""
    visit.conn.execute(select(1))
    return PlainTextResponse("ok\n")


def setup(visit: Visit) -> Response:
    """The page behind a one-time link: the first admin, or a new password for a named account."""
    token = visit.request.query_params.get("token", "")
    return _setup_page(visit, token)


def _setup_page(visit: Visit, token: str, *, login: str = "", mistake: str = "", status: int = 200) -> Response:
    live = staff.setup_token(visit.conn, token) if token else None
    return render(
        visit,
        "setup.html",
        status=status if live else 410,
        token=token if live else "",
        login=login,
        login_fixed=live.login if live else "",
        min_chars=staff.MIN_PASSWORD_CHARS,
        mistake=mistake,
    )


def use_setup(visit: Visit) -> Response:
    """Make the account and sign it in."""
    token, login = visit.form.get("token", ""), visit.form.get("login", "")
    password = visit.form.get("password", "")
    if password != visit.form.get("again", ""):
        mistake = visit.words("setup.differ")
        return _setup_page(visit, token, login=login, mistake=mistake, status=422)
    try:
        with writing(visit.engine) as conn:  # of its own, so that a refusal leaves the link unused
            staff.use_setup_token(conn, token, login, password)
    except RefusedError as error:
        mistake = error.words(visit.words.language)
        return _setup_page(visit, token, login=login, mistake=mistake, status=422)
    return _signed_in(visit, staff.sign_in(visit.conn, login, password), "/events")


def _signed_in(visit: Visit, session: str | None, target: str) -> Response:
    response = RedirectResponse(target if session else "/signin", status_code=303)
    if session:
        _set_cookie(response, visit.request, SESSION_COOKIE, session, staff.SESSION_TTL_S)
    return response


def sign_in_page(visit: Visit) -> Response:
    """The sign-in form; whoever is signed in goes on."""
    target = safe_path(visit.request.query_params.get("next"))
    if visit.staff is not None:
        return RedirectResponse(target, status_code=303)
    return _sign_in_page(visit, target)


def _sign_in_page(visit: Visit, target: str, *, login: str = "", mistake: str = "", status: int = 200) -> Response:
    return render(
        visit,
        "signin.html",
        status=status,
        next=target,
        login=login,
        mistake=mistake,
        is_first_run=not staff.has_staff(visit.conn),
    )


def sign_in(visit: Visit) -> Response:
    """Check the password; a wrong one and an unknown login read the same."""
    target = safe_path(visit.form.get("next"))
    login = visit.form.get("login", "")[:60]
    try:
        session = staff.sign_in(visit.conn, login, visit.form.get("password", ""))
    except RefusedError as error:
        mistake = error.words(visit.words.language)
        return _sign_in_page(visit, target, login=login, mistake=mistake, status=429)
    if session is None:
        mistake = visit.words("signin.wrong")
        return _sign_in_page(visit, target, login=login, mistake=mistake, status=401)
    return _signed_in(visit, session, target)


def sign_out(visit: Visit) -> Response:
    """End the session here and in the database."""
    staff.sign_out(visit.conn, visit.request.cookies.get(SESSION_COOKIE, ""))
    response = RedirectResponse("/signin", status_code=303)
    response.delete_cookie(SESSION_COOKIE)
    return response


def set_language(visit: Visit) -> Response:
    """Switch the language, for this browser and for the account."""
    response = RedirectResponse(safe_path(visit.form.get("back")), status_code=303)
    language = as_language(visit.form.get("to"))
    if language is not None:
        _set_cookie(response, visit.request, "gatectl_language", language, _YEAR_S)
        if visit.staff is not None:
            staff.set_language(visit.conn, visit.staff.id, language)
    return response


def set_theme(visit: Visit) -> Response:
    """Light, dark, or as the operating system says."""
    response = RedirectResponse(safe_path(visit.form.get("back")), status_code=303)
    theme = visit.form.get("to", "")
    if theme in THEMES:
        _set_cookie(response, visit.request, "gatectl_theme", theme, _YEAR_S)
    return response


def keys(visit: Visit) -> Response:
    """The keyboard's help."""
    return render(visit, "keys.html")
