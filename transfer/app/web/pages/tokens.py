"""Tokens for programs: a person makes them and ends them; administrators end anybody's."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from kspace.errors import NotFound
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.pages.session import Number
from transfer.app.web.site import Site, admin_of, site_of, visit_of
from transfer.app.web.tokens import DAYS
from transfer.catalog import tokens

router = APIRouter()


@router.get("/tokens", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Show the person's tokens."""
    return _page(request, visit, given=None)


@router.get("/api/tokens", responses=ANSWERS)
def read(request: Request, visit: Annotated[Visit, Depends(visit_of)]) -> dict[str, Any]:
    """Return the caller's tokens, an administrator's caller all; never what lets in."""
    return tell(site_of(request), visit)


@router.post("/tokens", include_in_schema=False)
def make(
    request: Request,
    visit: Annotated[Visit, Depends(visit_of)],
    name: Annotated[str, Form(max_length=64)] = "",
    days: Annotated[int, Form()] = 0,
    form: Annotated[str, Form()] = "",
) -> Response:
    """Make one, and show it this once."""
    demand_own_form(visit, form)
    return _page(request, visit, given=site_of(request).tokens.issue(visit, name=name, days=days))


@router.post("/tokens/end", include_in_schema=False)
def end_all(
    request: Request, visit: Annotated[Visit, Depends(admin_of)], form: Annotated[str, Form()] = ""
) -> Response:
    """End every token of everybody."""
    demand_own_form(visit, form)
    site = site_of(request)
    with site.box.database.write() as connection:
        tokens.end(connection, None, of=None, actor=visit.actor, at=site.clock.now())
    return RedirectResponse("/tokens", 303)


@router.post("/tokens/{number}/end", include_in_schema=False)
def end_one(
    request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number, form: Annotated[str, Form()] = ""
) -> Response:
    """End one of the person's own, an administrator anybody's."""
    demand_own_form(visit, form)
    site, of = site_of(request), None if visit.is_admin else visit.actor
    with site.box.database.write() as connection:
        if not tokens.end(connection, number, of=of, actor=visit.actor, at=site.clock.now()):
            raise NotFound("There is no such token of yours, or it has ended already.")
    return RedirectResponse("/tokens", 303)


def tell(site: Site, visit: Visit) -> dict[str, Any]:
    """Return what stands on the page."""
    now = site.clock.now()
    with site.box.database.read() as connection:
        found = tokens.known(connection, actor=None if visit.is_admin else visit.actor, now=now)
    return {"tokens": [one | {"holds": one["ended_at"] is None and one["expires_at"] > now} for one in found]}


def _page(request: Request, visit: Visit, *, given: str | None) -> Response:
    site = site_of(request)
    told = {"told": tell(site, visit), "given": given, "days": DAYS, "origin": str(request.base_url).rstrip("/")}
    return site.page(request, "tokens.html", told, visit=visit)
