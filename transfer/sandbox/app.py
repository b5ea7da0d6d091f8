"""The sandbox as one ASGI application: its parts put together, its routes."""

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
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
from transfer.sandbox.multipart import receive_form
from transfer.sandbox.pages import Pages
from transfer.sandbox.prearchive import Prearchive
from transfer.sandbox.settings import SandboxSettings
from transfer.sandbox.site import Handler, Site
from transfer.sandbox.siteinfo import SiteInfo
from transfer.sandbox.store import Store
from transfer.sandbox.tables import status_page

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
        *_prearchive_routes(site, prearchive),
        *(Route(f"/data/{x}{{path:path}}", _settled(prearchive, archive.handle), methods=METHODS) for x in ARCHIVE),
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


def _prearchive_routes(site: Site, prearchive: Prearchive) -> list[Route]:
    async def projects(request: Request) -> Response:
        return await run_in_threadpool(prearchive.waiting, request, request.path_params.get("project"))

    async def session(request: Request) -> Response:
        place = "/".join(request.path_params[key] for key in ("project", "timestamp", "folder"))
        found = await run_in_threadpool(prearchive.find, request, place)
        answers = {"POST": prearchive.act, "DELETE": prearchive.delete}
        return await run_in_threadpool(answers.get(request.method, prearchive.show), request, found)

    async def scans(request: Request) -> Response:
        place = "/".join(request.path_params[key] for key in ("project", "timestamp", "folder"))
        return await run_in_threadpool(prearchive.scans, request, prearchive.find(request, place))

    async def archive(request: Request) -> Response:
        form = await receive_form(request, site.scratch)
        query = {**form.fields, **dict(request.query_params)}
        sources = request.query_params.getlist("src") or [form.fields.get("src", "")]
        return await run_in_threadpool(prearchive.archive, request, filter(None, sources), query=query)

    async def delete(request: Request) -> Response:
        form = await receive_form(request, site.scratch)
        for source in request.query_params.getlist("src") or [form.fields.get("src", "")]:
            place = source.removeprefix("/data").removeprefix("/prearchive/projects/")
            await run_in_threadpool(prearchive.delete, request, prearchive.find(request, place))
        return await run_in_threadpool(prearchive.waiting, request, None)

    base, one = "/data/prearchive/projects", "/data/prearchive/projects/{project}/{timestamp}/{folder}"
    return [
        Route(base, _settled(prearchive, projects)),
        Route(base + "/{project}", _settled(prearchive, projects)),
        Route(one, _settled(prearchive, session), methods=["GET", "POST", "DELETE"]),
        Route(one + "/scans", _settled(prearchive, scans)),
        Route("/data/services/archive", _settled(prearchive, archive), methods=["POST"]),
        Route("/data/services/prearchive/delete", _settled(prearchive, delete), methods=["POST"]),
    ]


def _settled(prearchive: Prearchive, handler: Handler) -> Handler:
    """Let what became due in the prearchive happen before a request is answered."""

    async def answer(request: Request) -> Response:
        await run_in_threadpool(prearchive.settle)
        return await handler(request)

    return answer


async def _nothing(_: Request) -> Response:
    raise HTTPException(404, "Not Found")


def _refused(_: Request, error: HTTPException) -> Response:
    return status_page(error.status_code, error.detail)


def _unwritten(_: Request, error: OSError) -> Response:
    return status_page(500, f"{type(error).__name__}: the file could not be read or written.")


def _gone(_: Request, error: ClientDisconnect) -> Response:
    return status_page(400, f"The client went away {error}")
