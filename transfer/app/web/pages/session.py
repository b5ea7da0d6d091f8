"""One session: every measurement of the scanner, every series received, what the archives proved, side by side."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Request
from starlette.responses import RedirectResponse, Response

from kspace.errors import BadInput, NotFound
from transfer import assigning
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.pages.sessions import listed
from transfer.app.web.site import Site, admin_of, site_of, visit_of
from transfer.catalog import browsing, glance, ledger

router = APIRouter()
Number = Annotated[int, Path(ge=1, le=999_999_999)]
_SAID = ("id", "state", "standing", "mid", "protocol", "series", "linked_by", "linked_at", "size", "stored_bytes")
_SEEN = ("scanner", "first_seen_at")


@router.get("/sessions/{number}", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number) -> Response:
    """Show one session."""
    site = site_of(request)
    known = [given["name"] for given in site.box.config.destination] if visit.is_admin else []
    told = {"told": tell(site, visit, number), "destinations": known}
    return site.page(request, "session.html", told, visit=visit)


@router.get("/api/sessions/{number}", responses=ANSWERS)
def read(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number) -> dict[str, Any]:
    """Return one session."""
    return tell(site_of(request), visit, number)


@router.post("/sessions/{number}/assign", include_in_schema=False)
def assign(  # noqa: PLR0913, PLR0917 -- the fields of the form
    request: Request,
    visit: Annotated[Visit, Depends(admin_of)],
    number: Number,
    destination: Annotated[str, Form(max_length=64)] = "",
    project: Annotated[str, Form(max_length=64)] = "",
    subject: Annotated[str, Form(max_length=64)] = "",
    session: Annotated[str, Form(max_length=64)] = "",
    form: Annotated[str, Form()] = "",
) -> Response:
    """Say where its images go, whatever the routes say."""
    demand_own_form(visit, form)
    site = site_of(request)
    box, known = site.box, [given["name"] for given in site.box.config.destination]
    if destination not in known:
        raise BadInput("Choose a destination that is configured. Nothing was changed.")
    assigning.assign(
        box.database,
        f"t{number}",
        routes=box.config.route,
        destination=destination,
        project=project.strip(),
        subject=subject.strip() or None,
        session=session.strip() or None,
        machine=box.config.relay.name,
        actor=visit.actor,
        clock=site.clock,
        is_raw_only=destination in box.raw_only(),
    )
    return RedirectResponse(f"/sessions/{number}", 303)


def tell(site: Site, visit: Visit, number: int) -> dict[str, Any]:
    """Return what stands on the page.

    Raises:
        NotFound: there is no such session, or it is not for the viewer.
    """
    with site.box.database.read() as connection:
        if not browsing.sees(connection, visit.sight, study=number):
            raise NotFound("There is no such session, or it belongs to a project that is not yours.")
        (row,) = ledger.in_full(connection, [number], now=site.clock.now())
    raw = [_measured(one, visit) for one in row["measurements"]]
    of_series: dict[int | None, list[dict[str, Any]]] = {}
    for one in raw:
        of_series.setdefault(one["series"], []).append(one)
    without = [s for s in row["series"] if s["number"] not in of_series]
    return listed(row, visit) | {
        "measurements": raw,
        "series_without_raw": [
            {k: s[k] for k in ("id", "number", "protocol", "description", "instances")} for s in without
        ],
        "received": {s["number"]: s["instances"] for s in row["series"] if s["number"] is not None},
    }


def _measured(one: glance.Row, visit: Visit) -> dict[str, Any]:
    sent = [d for d in one["deliveries"] if visit.is_admin or d["destination"] == visit.sight.destination]
    return {name: one[name] for name in (*_SAID, *_SEEN)} | {
        "archives": [{k: d[k] for k in ("destination", "state", "verified_at")} for d in sent],
        "why": (one["doubt"] or one["reason"]) if visit.is_admin else None,
    }
