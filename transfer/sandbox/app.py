"""The sandbox as one ASGI application: its parts put together, its routes."""

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from kspace.clock import Clock
from transfer.sandbox.accounts import Accounts
from transfer.sandbox.archive import Archive
from transfer.sandbox.archiver import Archiver
from transfer.sandbox.catalogs import Catalogs
from transfer.sandbox.faults import LOG_LENGTH, FaultGate, Mischief, Seen
from transfer.sandbox.gate import Gate, Swallow
from transfer.sandbox.guard import Guard
from transfer.sandbox.imports import Imports
from transfer.sandbox.pages import Pages
from transfer.sandbox.prearchive import Prearchive
from transfer.sandbox.settings import SandboxSettings
from transfer.sandbox.site import Site
from transfer.sandbox.siteinfo import SiteInfo
from transfer.sandbox.store import Store
from transfer.sandbox.tables import status_page
from transfer.sandbox.usercache import UserCache

if TYPE_CHECKING:
    from collections.abc import Callable

ARCHIVE = ("archive", "projects", "subjects", "experiments")
METHODS = ["GET", "PUT", "POST", "DELETE"]


def open_site(root: Path, settings: SandboxSettings, *, clock: Clock) -> Site:
    """Return the site kept under a folder: as it was left, or new with the settings' projects."""
    (root / "tmp").mkdir(parents=True, exist_ok=True)
    for left_over in (root / "tmp").iterdir():
        if left_over.is_file():
            left_over.unlink()
    store = Store(root / "site.sqlite")
    site = Site(
        root=root,
        settings=settings,
        store=store,
        guard=Guard(settings, store, clock),
        mischief=Mischief(settings.faults),
        checksums=settings.checksums,
        archive_delay_s=settings.archive_delay_s,
    )
    for project in settings.projects:
        if store.find("project", project.id) is None:
            about = {"name": project.name or project.id, "prearchive_code": str(project.prearchive_code)}
            store.add("project", None, ident=project.id, label=project.id, xsi="xnat:projectData", **about)
    return site


def build_app(site: Site) -> ASGIApp:
    """Return the application that serves a site."""
    log: deque[Seen] = deque(maxlen=LOG_LENGTH)
    catalogs = Catalogs()
    archiver = Archiver(site, catalogs)
    prearchive = Prearchive(site, archiver)
    archive, imports = Archive(site, catalogs), Imports(site, archiver)
    routes = [
        *Pages(site, log).routes(),
        *Accounts(site).routes(),
        *SiteInfo(site).routes(),
        Route("/data/version", _nothing),
        Route("/data/services/import", imports.post, methods=["POST"]),
        Route("/data/services/refresh/catalog", archive.refresh, methods=["POST"]),
        *prearchive.routes(),
        *UserCache(site).routes(),
        *(Route(f"/data/{x}{{path:path}}", prearchive.settled(archive.handle), methods=METHODS) for x in ARCHIVE),
    ]
    gates = [
        Middleware(FaultGate, mischief=site.mischief, log=log),
        Middleware(Swallow),
        Middleware(Gate, guard=site.guard, settings=site.settings),
    ]
    shown: dict[type[Exception], Callable[..., Response]] = {
        HTTPException: _refused,
        ClientDisconnect: _gone,
        OSError: _unwritten,
    }
    return Starlette(routes=routes, middleware=gates, exception_handlers=shown)


async def _nothing(_: Request) -> Response:
    raise HTTPException(404, "Not Found")


def _refused(_: Request, error: HTTPException) -> Response:
    return status_page(error.status_code, error.detail)


def _unwritten(_: Request, error: OSError) -> Response:
    return status_page(500, f"{type(error).__name__}: the file could not be read or written.")


def _gone(_: Request, error: ClientDisconnect) -> Response:
    return status_page(400, f"The client went away {error}")
