"""The quick look of a raw file: drawn when somebody asks for it, and kept."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from kspace.errors import NotFound
from transfer.app.web.access import Visit
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.pages.session import Number
from transfer.app.web.site import Site, site_of, visit_of
from transfer.catalog import browsing
from transfer.catalog.loading import load_capture
from transfer.records import Capture

router = APIRouter()


@router.get("/captures/{number}/quick-look.png", include_in_schema=False)
def picture(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number) -> Response:
    """Give the quick look, where it was drawn."""
    site = site_of(request)
    look = site.looks.find(seen(site, visit, number))
    if look is None:
        raise NotFound("There is no quick look yet; it is drawn on the page of the raw file.")
    return Response(look.png, media_type="image/png")


@router.post("/captures/{number}/quick-look", include_in_schema=False)
def draw(
    request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number, form: Annotated[str, Form()] = ""
) -> Response:
    """Draw the quick look."""
    demand_own_form(visit, form)
    site = site_of(request)
    seen(site, visit, number)
    site.looks.draw(number)
    return RedirectResponse(f"/captures/{number}#look", 303)


def seen(site: Site, visit: Visit, number: int) -> Capture:
    """Return a capture that the viewer sees.

    Raises:
        NotFound: there is no such capture, or it is not for the viewer.
    """
    with site.box.database.read() as connection:
        if not browsing.sees(connection, visit.sight, capture=number):
            raise NotFound("There is no such capture, or it belongs to a project that is not yours.")
        return load_capture(connection, number)
