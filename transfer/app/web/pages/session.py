"""One session: every measurement of the scanner, every series received, what the archives proved, side by side."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from kspace.errors import NotFound
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.sessions import listed
from transfer.app.web.site import Site, site_of, visit_of
from transfer.catalog import browsing, glance, ledger

router = APIRouter()
Number = Annotated[int, Path(ge=1, le=999_999_999)]
_SAID = ("id", "state", "standing", "mid", "protocol", "series", "linked_by", "linked_at", "size", "stored_bytes")
_SEEN = ("scanner", "first_seen_at")


@router.get("/sessions/{number}", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number) -> Response:
    """Show one session."""
    site = site_of(request)
    return site.page(request, "session.html", {"told": tell(site, visit, number)}, visit=visit)


@router.get("/api/sessions/{number}", responses=ANSWERS)
def read(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number) -> dict[str, Any]:
    """Return one session."""
    return tell(site_of(request), visit, number)


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
        "series_without_raw": [{k: s[k] for k in ("number", "protocol", "description", "instances")} for s in without],
        "received": {s["number"]: s["instances"] for s in row["series"] if s["number"] is not None},
    }


def _measured(one: glance.Row, visit: Visit) -> dict[str, Any]:
    sent = [d for d in one["deliveries"] if visit.is_admin or d["destination"] == visit.sight.destination]
    return {name: one[name] for name in (*_SAID, *_SEEN)} | {
        "archives": [{k: d[k] for k in ("destination", "state", "verified_at")} for d in sent],
        "why": (one["doubt"] or one["reason"]) if visit.is_admin else None,
    }
