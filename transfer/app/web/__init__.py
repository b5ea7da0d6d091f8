"""The web page: one application over the catalog; it shows what is there, and calls `transfer.operations`."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from kspace.errors import KspaceError
from transfer.app.web import shielding
from transfer.app.web.pages import (
    alerts,
    audit,
    capture,
    drafts,
    entrance,
    home,
    look,
    pools,
    project,
    projects,
    queue,
    review,
    session,
    sessions,
    settings,
    tokens,
    versions,
    weighing,
)
from transfer.app.web.site import Site
from transfer.app.wiring import Box

_STATIC = Path(__file__).parent / "static"
_PAGES = (
    entrance,
    home,
    sessions,
    session,
    look,
    capture,
    projects,
    project,
    versions,
    drafts,
    review,
    weighing,
    queue,
    pools,
    alerts,
    settings,
    audit,
    tokens,
)
_KEPT_S = 3600


def build(box: Box) -> FastAPI:
    """Return the application of a relay whose configuration has a table [web]."""
    app = FastAPI(
        title="k-space relay",
        version=version("kspace-relay"),
        docs_url=None,  # its page takes scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # behind the door: see pages/entrance.py
    )
    app.state.site = Site(box)
    for page in _PAGES:
        app.include_router(page.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    for kind in (KspaceError, HTTPException, RequestValidationError, DataError, Exception):
        app.add_exception_handler(kind, shielding.explain)
    app.middleware("http")(_shielded)
    return app


async def _shielded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    refusal = shielding.refusal(request)
    response = refusal or await call_next(request)
    is_static = request.url.path.startswith("/static/")
    response.headers.update(shielding.HEADERS | {"Cache-Control": f"max-age={_KEPT_S}" if is_static else "no-store"})
    return response
