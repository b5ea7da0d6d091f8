"""Projects: whose rules say what, and what ran for each lately; as far as the viewer sees it."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from transfer.app.rule_rehearsal import WEEKS
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.seen import routed, sees
from transfer.app.web.site import Site, site_of, visit_of
from transfer.catalog.ran import by_project

router = APIRouter()
_NOTHING = {"sessions": 0, "files": 0, "bytes": 0, "captured": 0}


@router.get("/projects", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Show projects."""
    site = site_of(request)
    return site.page(request, "projects.html", {"told": tell(site, visit)}, visit=visit)


@router.get("/api/projects", responses=ANSWERS)
def read(request: Request, visit: Annotated[Visit, Depends(visit_of)]) -> dict[str, Any]:
    """Return the projects that the caller sees: what ran in the last weeks, and which rules are in force."""
    return tell(site_of(request), visit)


def tell(site: Site, visit: Visit) -> dict[str, Any]:
    """Return what stands on the page: projects with sessions or rules, and those that are the viewer's own."""
    since = site.clock.now() - timedelta(weeks=WEEKS)
    with site.box.database.read() as connection:
        ran = by_project(connection, visit.sight, since=since)
        rules = site.box.rules.projects(connection)
    names = ran.keys() | visit.owns.projects | {name for name in rules if sees(visit, name)}
    names |= routed(site) if visit.is_admin else set()
    found = []
    for name in sorted(names, key=str.casefold):
        version = rules.get(name)
        told = {"name": name, **ran.get(name, _NOTHING), "rules": len(version.wishes) if version else 0}
        in_force = {"version": version.version, "at": version.at, "actor": version.actor} if version else _NO_VERSION
        found.append(told | in_force)
    return {"weeks": WEEKS, "projects": found}


_NO_VERSION = {"version": 0, "at": None, "actor": ""}
