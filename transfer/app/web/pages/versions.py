"""The versions of a project's rules: compared, given as files, gone back to."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.seen import Name, Number, Seen, demand_seen
from transfer.app.web.site import site_of, visit_of
from transfer.rulefile import differences, to_toml

router = APIRouter()
_MOST = 1_000_000


@router.get("/projects/{name}/rules.toml", include_in_schema=False)
def export(
    request: Request, visit: Annotated[Visit, Depends(visit_of)], name: Name, version: Number = None
) -> Response:
    """Give the rules as a file, as `kspace rules export` does."""
    found = demand_seen(site_of(request), visit, name).version(version)
    named = {"Content-Disposition": f'attachment; filename="rules-{found.version}.toml"'}
    text = to_toml(found.wishes, heading=f"Rules of {name}, version {found.version}")
    return PlainTextResponse(text, headers=named)


@router.get("/projects/{name}/compare", include_in_schema=False)
def compare(
    request: Request, visit: Annotated[Visit, Depends(visit_of)], name: Name, old: Number = None, new: Number = None
) -> Response:
    """Show what changed between two versions; by default the last two."""
    site = site_of(request)
    seen = demand_seen(site, visit, name)
    return site.page(request, "compare.html", {"told": _compared(seen, old, new), "seen": seen}, visit=visit)


@router.get("/api/projects/{name}/compare", responses=ANSWERS)
def read_compared(
    request: Request, visit: Annotated[Visit, Depends(visit_of)], name: Name, old: Number = None, new: Number = None
) -> dict[str, Any]:
    """Return what changed between two versions; by default the last two."""
    return _compared(demand_seen(site_of(request), visit, name), old, new)


@router.post("/projects/{name}/undo", include_in_schema=False)
def undo(  # noqa: PLR0913, PLR0917 -- the parts of the request
    request: Request,
    visit: Annotated[Visit, Depends(visit_of)],
    name: Name,
    form: Annotated[str, Form()] = "",
    version: Annotated[int, Form(ge=0, le=_MOST)] = 0,
    after: Annotated[int, Form(ge=0, le=_MOST)] = 0,
) -> Response:
    """Go back to an older version, as a new one."""
    demand_own_form(visit, form)
    site = site_of(request)
    demand_seen(site, visit, name, to_change=True)
    site.box.rules.go_back(name, version, after=after, actor=visit.actor, at=site.clock.now())
    return RedirectResponse(f"/projects/{quote(name, safe='')}", 303)


def _compared(seen: Seen, old: int | None, new: int | None) -> dict[str, Any]:
    after = seen.version(new)
    before = seen.version(max(after.version - 1, 0) if old is None else old)
    found = differences(before.wishes, after.wishes)
    return {"name": seen.name, "old": before.version, "new": after.version, "rules": found}
