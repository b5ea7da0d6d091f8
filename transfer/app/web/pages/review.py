"""The review desk: raw files whose scan is not certain, and images without raw data."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.site import Site, site_of, visit_of
from transfer.catalog import reviewing

router = APIRouter()
_PAGE = 25
_LATELY = timedelta(days=14)
After = Annotated[int | None, Query(ge=1, le=999_999_999)]


@router.get("/review", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(visit_of)], after: After = None) -> Response:
    """Show what waits for a scan."""
    site = site_of(request)
    return site.page(request, "review.html", {"told": tell(site, visit, after)}, visit=visit)


@router.get("/api/review", responses=ANSWERS)
def read(request: Request, visit: Annotated[Visit, Depends(visit_of)], after: After = None) -> dict[str, Any]:
    """Return what waits for a scan; ``after`` of one page asks for the next."""
    return tell(site_of(request), visit, after)


def tell(site: Site, visit: Visit, after: int | None) -> dict[str, Any]:
    """Return what stands on the first page of the desk."""
    now = site.clock.now()
    with site.box.database.read() as connection:
        found = reviewing.waiting(connection, visit.sight, after=after, limit=_PAGE + 1)
        alone = [] if after else reviewing.images_alone(connection, visit.sight, since=now - _LATELY)
    shown = [row | {"reason": row["reason"] if visit.is_admin else None} for row in found[:_PAGE]]
    return {"waiting": shown, "images_alone": alone, "after": shown[-1]["id"] if len(found) > _PAGE else None}
