"""Alerts: what is open, who sees to it, and what is over; for administrators."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from kspace.errors import BadInput
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.site import Site, admin_of, site_of
from transfer.catalog import lists
from transfer.catalog.notices import acknowledge

router = APIRouter()
_SHOWN = 200
_SAID = ("id", "key", "severity", "text", "raised_at", "cleared_at", "actor", "note", "acked_at")


@router.get("/alerts", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(admin_of)], history: bool = False) -> Response:
    """Show alerts."""
    site = site_of(request)
    return site.page(request, "alerts.html", {"told": tell(site, history=history), "history": history}, visit=visit)


@router.get("/api/alerts", responses=ANSWERS, dependencies=[Depends(admin_of)])
def read(request: Request, history: bool = False) -> dict[str, Any]:
    """Return alerts, those too that are over if asked for."""
    return tell(site_of(request), history=history)


@router.post("/alerts/acknowledge", include_in_schema=False)
def see_to(
    request: Request,
    visit: Annotated[Visit, Depends(admin_of)],
    key: Annotated[str, Form(max_length=200)] = "",
    note: Annotated[str, Form(max_length=500)] = "",
    form: Annotated[str, Form()] = "",
) -> Response:
    """Say that this person sees to an alert."""
    demand_own_form(visit, form)
    if not note.strip():
        raise BadInput("A note says what is being done; go back and give a few words. Nothing was changed.")
    site = site_of(request)
    with site.box.database.write() as connection:
        acknowledge(connection, key, note_=note.strip(), actor=visit.actor, at=site.clock.now())
    return RedirectResponse("/alerts", 303)


def tell(site: Site, *, history: bool) -> dict[str, Any]:
    """Return what stands on the page: the newest, and how many there are."""
    with site.box.database.read() as connection:
        found = lists.alerts(connection, open_only=not history)
    return {"number": len(found), "alerts": [{k: one[k] for k in _SAID} for one in found[:_SHOWN]]}
