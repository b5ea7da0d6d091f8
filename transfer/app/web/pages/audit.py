"""The audit: every change, by whom, when, and what it was before; for administrators."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.sessions import DAY, midnight
from transfer.app.web.site import Site, admin_of, site_of
from transfer.catalog.audit import SUBJECTS, Acts, acts

router = APIRouter()
_PAGE = 50


class Asked(BaseModel):
    """Which acts are asked for; each may be left empty."""

    model_config = ConfigDict(extra="forbid")

    actor: str = Field(default="", max_length=64)
    subject: str = Field(default="", pattern=f"^({'|'.join(SUBJECTS)})?$")
    number: str = Field(default="", pattern=r"^\d{0,9}$")
    since: str = Field(default="", pattern=DAY)
    until: str = Field(default="", pattern=DAY)
    after: str = Field(default="", pattern=r"^\d{0,9}$")


@router.get("/audit", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(admin_of)], asked: Annotated[Asked, Query()]) -> Response:
    """Show who did what."""
    site = site_of(request)
    told = tell(site, asked)
    given = {name: str(value) for name, value in asked if value and name != "after"}
    more = urlencode(given | {"after": told["after"]}) if told["after"] else None
    page = {"told": told, "asked": asked, "more": more, "is_filtered": bool(given), "subjects": SUBJECTS}
    return site.page(request, "audit.html", page, visit=visit)


@router.get("/api/audit", responses=ANSWERS, dependencies=[Depends(admin_of)])
def read(request: Request, asked: Annotated[Asked, Query()]) -> dict[str, Any]:
    """Return who did what; ``after`` of one page asks for the next. The actor ``relay`` is the program itself."""
    return tell(site_of(request), asked)


def tell(site: Site, asked: Asked) -> dict[str, Any]:
    """Return what stands on the page, and the cursor to go on with."""
    wanted = Acts(
        actor=asked.actor.strip(),
        subject=asked.subject,
        number=int(asked.number) if asked.number else None,
        since=midnight(asked.since),
        until=midnight(asked.until, days=1),
    )
    after = int(asked.after) if asked.after else None
    with site.box.database.read() as connection:
        found = acts(connection, wanted, after=after, limit=_PAGE + 1)
    shown = found[:_PAGE]
    return {"acts": shown, "after": str(shown[-1]["id"]) if len(found) > _PAGE else None}
