"""What stands in front of every view: session, role, CSRF, size and time limits, headers and error pages."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, urlsplit

import structlog
from sqlalchemy import Connection, Engine
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatectl.central import staff
from gatectl.central.database import writing
from gatectl.central.web.i18n import Language, Words, as_language
from gatectl.errors import NotFoundError, RefusedError
from gatectl.logs import get_logger
from gatectl.settings import CentralSettings

Role = Literal["viewer", "guard", "manager", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "guard", "manager", "admin")
"""Each role may do all that the ones before it may."""

SESSION_COOKIE: Final = "gatectl_session"
MAX_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 10.0
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request as a view sees it. `conn` is inside a transaction that commits when the view returns."""

    request: Request
    conn: Connection
    engine: Engine
    settings: CentralSettings
    words: Words
    form: Mapping[str, str]
    staff: "staff.StaffRow | None"

    @property
    def actor(self) -> str:
        """The login that goes into the audit."""
        if self.staff is None:
            raise HTTPException(401)
        return self.staff.login

    @property
    def is_htmx(self) -> bool:
        """htmx asks for a fragment; anything else gets the whole page."""
        return self.request.headers.get("HX-Request") == "true"

    def may(self, role: Role) -> bool:
        """Whether the signed-in account holds `role` or a higher one."""
        return self.staff is not None and has_role(self.staff.role, role)

    def param(self, name: str) -> str:
        """A path parameter."""
        return str(self.request.path_params[name])


View = Callable[[Visit], Response]


def has_role(held: str, needed: Role) -> bool:
    """Whether `held` is `needed` or above; an unknown role holds nothing."""
    return held in ROLES and ROLES.index(held) >= ROLES.index(needed)


def is_same_origin(method: str, headers: Mapping[str, str]) -> bool:
    """The cross-site check of Go 1.25: Sec-Fetch-Site where it is sent, else Origin against Host."""
    if method in _SAFE_METHODS:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    if origin is None:
        return True  # neither header: no browser, so no cookie that a page could ride on
    return bool(urlsplit(origin).netloc) and urlsplit(origin).netloc == headers.get("host")


def safe_path(value: str | None, default: str = "/events") -> str:
    """A path of our own to go back to; anything that could lead elsewhere becomes `default`."""
    if not value or not value.startswith("/") or value.startswith(("//", "/\\")):
        return default
    return default if any(ord(char) < 0x20 or char == "\\" for char in value) else value


def language_of(request: Request, settings: CentralSettings, account: "staff.StaffRow | None") -> Language:
    """The cookie's language, else the account's, else the configured one."""
    return (
        as_language(request.cookies.get("gatectl_language"))
        or as_language(account.language if account else None)
        or settings.language
    )


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a urlencoded body. Raises 413 over 1 MB, 408 when it trickles, 415 for another type."""
    if request.method in _SAFE_METHODS:
        return {}
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > MAX_BODY_BYTES:
        raise HTTPException(413)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise HTTPException(413)
    except TimeoutError as error:
        raise HTTPException(408) from error
    except ClientDisconnect as error:
        raise HTTPException(400) from error
    if not body:
        return {}
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415)
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError as error:
        raise HTTPException(400) from error
    return {name: value.replace("\x00", "").strip() for name, value in pairs}


def to_sign_in(request: Request) -> Response:
    """Send the browser to the sign-in page; a fragment request moves the whole window there."""
    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method not in _SAFE_METHODS or request.headers.get("HX-Request") == "true":
        where = safe_path(urlsplit(request.headers.get("HX-Current-URL", "")).path)
    target = f"/signin?next={quote(where)}"
    if request.headers.get("HX-Request") == "true":
        return Response(status_code=401, headers={"HX-Redirect": target})
    return RedirectResponse(target, status_code=303)


def _serve(view: View, role: Role | None, request: Request, form: Mapping[str, str]) -> Response:
    engine: Engine = request.app.state.engine
    settings: CentralSettings = request.app.state.settings
    token = request.cookies.get(SESSION_COOKIE, "")
    with engine.connect() as conn:
        account = staff.staff_of(conn, token) if token else None
    request.state.words = Words(language_of(request, settings, account))
    request.state.staff = account
    if role is not None and account is None:
        return to_sign_in(request)
    if role is not None and account is not None and not has_role(account.role, role):
        raise HTTPException(403)
    # Staff's changes read before they write: they take SQLite's write lock first, or a commit of ingest in
    # between would end them. The door does not, or strangers who guess passwords would hold up ingest.
    takes_lock = role is not None and request.method not in _SAFE_METHODS
    with writing(engine) if takes_lock else engine.begin() as conn:
        visit = Visit(request, conn, engine, settings, request.state.words, form, account)
        try:
            return _for_htmx(visit, view(visit))
        except NotFoundError as error:
            raise HTTPException(404, error.words(visit.words.language)) from error
        except RefusedError as error:
            raise HTTPException(409, error.words(visit.words.language)) from error


def _for_htmx(visit: Visit, response: Response) -> Response:
    """A redirect moves the whole window; otherwise htmx would put the new page inside the old one."""
    if not visit.is_htmx or response.status_code != 303:
        return response
    headers = [pair for pair in response.raw_headers if pair[0] not in {b"location", b"content-length"}]
    moved = Response(headers={"HX-Redirect": response.headers["location"]})
    moved.raw_headers.extend(headers)
    return moved


def guarded(views: Mapping[str, tuple[View, Role | None]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a path: a view and a role for each method; role None is open to anyone."""

    async def endpoint(request: Request) -> Response:
        view, role = views["GET" if request.method == "HEAD" else request.method]
        if not is_same_origin(request.method, request.headers):
            raise HTTPException(403, "cross-site request")
        form = await read_form(request)
        return await run_in_threadpool(_serve, view, role, request, form)

    return endpoint


def harden(headers: MutableHeaders, path: str, request_id: str) -> None:
    """Put the security headers on a response; pages are never cached, assets are."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers["X-Request-Id"] = request_id
    if not path.startswith("/static/"):
        headers.setdefault("Cache-Control", "no-store")


class Shield:
    """ASGI middleware: gives every request an id for logs and error pages, and every response its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(4)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                harden(MutableHeaders(scope=message), scope["path"], request_id)
                if message["status"] >= 400:
                    agent = Headers(scope=scope).get("user-agent", "")[:80]
                    log.info(
                        "web.refused",
                        status=message["status"],
                        method=scope["method"],
                        path=scope["path"],
                        agent=agent,
                    )
            await send(message)

        await self._app(scope, receive, send_hardened)
