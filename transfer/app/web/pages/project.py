"""One project: what its scanners ran, its rules in their order, its versions."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from transfer.app.rule_rehearsal import WEEKS
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.seen import Name, Seen, Weeks, demand_seen, listed
from transfer.app.web.site import Site, site_of, visit_of
from transfer.rulefile import to_toml
from transfer.wishes import Wish

router = APIRouter()
_SHOWN = 100
"""Protocols on a page: with so many ticks a form is still sent."""
_LONGEST = 128


@router.get("/projects/{name}", include_in_schema=False)
def show(
    request: Request,
    visit: Annotated[Visit, Depends(visit_of)],
    name: Name,
    weeks: Weeks = WEEKS,
    text: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Show a project."""
    site = site_of(request)
    seen = demand_seen(site, visit, name)
    return page_of(request, visit, seen, wishes=seen.in_force.wishes, weeks=weeks, text=text)


@router.get("/api/projects/{name}", responses=ANSWERS)
def read(
    request: Request, visit: Annotated[Visit, Depends(visit_of)], name: Name, weeks: Weeks = WEEKS
) -> dict[str, Any]:
    """Return a project: what ran, the rules in force, and the versions there are."""
    site = site_of(request)
    seen = demand_seen(site, visit, name)
    return tell(site, seen, weeks=weeks)


def tell(site: Site, seen: Seen, *, weeks: int) -> dict[str, Any]:
    """Return what stands on the page."""
    ran = listed(site, seen, seen.in_force.wishes, weeks=weeks)
    return {
        "name": seen.name,
        "weeks": weeks,
        "may_change": seen.why_not is None,
        "protocols": [asdict(one) for one in ran],
        "rules": [wish.model_dump(mode="json") for wish in seen.in_force.wishes],
        "versions": [
            {name: getattr(one, name) for name in ("version", "comment", "same_as", "actor", "at")}
            for one in seen.versions
        ],
    }


def page_of(  # noqa: PLR0913 -- what is on the page
    request: Request,
    visit: Visit,
    seen: Seen,
    *,
    wishes: tuple[Wish, ...],
    weeks: int,
    text: str = "",
    draft_of: int | None = None,
) -> Response:
    """Return the page of a project with its rules, or with a draft of other ones, begun when that version decided."""
    site = site_of(request)
    found = listed(site, seen, wishes, weeks=weeks)
    fit = [one for one in found if text.lower() in one.name.lower()]
    told = {
        "seen": seen,
        "wishes": wishes,
        "toml": to_toml(wishes),
        "is_draft": draft_of is not None,
        "begun": seen.in_force.version if draft_of is None else draft_of,
        "weeks": weeks,
        "text": text,
        "ran": fit[:_SHOWN],
        "number": len(fit),
        "longest": _LONGEST,
        "there": sum(one.there for one in found if one.now),
        "there_bytes": sum(one.there_size for one in found if one.now),
        "is_empty": not found,
    }
    return site.page(request, "project.html", told, visit=visit)
