"""Alerts: what is open, who sees to it, and what is over; for administrators."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from kspace.errors import BadInput
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.site import Site, admin_of, site_of
from transfer.catalog import lists
from transfer.catalog.notices import acknowledge

router = APIRouter()
_PAGE = 50
After = Annotated[int | None, Query(ge=1, le=999_999_999)]
_SAID = ("id", "key", "severity", "text", "raised_at", "cleared_at", "actor", "note", "acked_at")


@router.get("/alerts", include_in_schema=False)
def show(
    request: Request, visit: Annotated[Visit, Depends(admin_of)], history: bool = False, after: After = None
) -> Response:
    """Show alerts."""
    site = site_of(request)
    told = {"told": tell(site, history=history, after=after), "history": history}
    return site.page(request, "alerts.html", told, visit=visit)


@router.get("/api/alerts", responses=ANSWERS, dependencies=[Depends(admin_of)])
def read(request: Request, history: bool = False, after: After = None) -> dict[str, Any]:
    """Return alerts, those too that are over if asked for; ``after`` of one page asks for the next."""
    return tell(site_of(request), history=history, after=after)


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


def tell(site: Site, *, history: bool, after: int | None) -> dict[str, Any]:
    """Return what stands on the page, and the cursor to go on with."""
    with site.box.database.read() as connection:
        found = lists.alerts(connection, open_only=not history, after=after, limit=_PAGE + 1)
    shown = [{k: one[k] for k in _SAID} for one in found[:_PAGE]]
    return {"alerts": shown, "after": shown[-1]["id"] if len(found) > _PAGE else None}
