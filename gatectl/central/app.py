"""Composition root of central's web process: settings → engine, templates, routes → a Starlette app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from gatectl.central import database
from gatectl.central.web.guard import Shield, harden, language_of
from gatectl.central.web.i18n import Words
from gatectl.central.web.pages import render_error
from gatectl.central.web.routes import starlette_routes
from gatectl.settings import CentralSettings

_STATIC = Path(__file__).parent / "web" / "static"


def _error_page(request: Request, status: int, detail: str) -> Response:
    settings: CentralSettings = request.app.state.settings
    words = getattr(request.state, "words", None) or Words(language_of(request, settings, None))
    return render_error(request, words, status, detail)


async def _refused(request: Request, error: Exception) -> Response:
    """404, 405, 413 …: a page in words for people."""
    if not isinstance(error, HTTPException):
        raise error
    own_words = error.detail if error.detail != HTTPStatus(error.status_code).phrase else ""
    response = await run_in_threadpool(_error_page, request, error.status_code, own_words)
    response.headers.update(error.headers or {})
    return response


async def _broke(request: Request, _error: Exception) -> Response:
    """500: the traceback is in the log under the request id that the page shows."""
    response = await run_in_threadpool(_error_page, request, 500, "")
    harden(MutableHeaders(raw=response.raw_headers), request.url.path, request.state.request_id)
    return response


def make_app(settings: CentralSettings) -> Starlette:
    """The console. Opens the database of `settings`; migrating it is `gatectl central migrate`'s work."""
    engine = database.open_database(settings.database)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(engine.dispose)

    app = Starlette(
        routes=[*starlette_routes(), Mount("/static", StaticFiles(directory=_STATIC), name="static")],
        middleware=[Middleware(Shield)],
        exception_handlers={HTTPException: _refused, 500: _broke},
        lifespan=lifespan,
    )
    app.state.engine = engine
    app.state.settings = settings
    return app
