"""Sessions: all that were seen, newest first, by label, project, scanner, badge and time; page by page."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kspace.errors import BadInput
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.site import Site, site_of, visit_of
from transfer.catalog import browsing, glance, ledger
from transfer.standing import Standing

router = APIRouter()
_PAGE, _LOOKS = 25, 3
"""Sessions on a page, and how many pages are looked through at once for one badge."""
_OPEN = {Standing.LOST, Standing.NEEDS_A_PERSON, Standing.AT_RISK, Standing.ON_ITS_WAY}
BADGES = tuple(one for one in Standing if one is not Standing.NOT_WANTED)


DAY = r"^(\d{4}-\d{2}-\d{2})?$"


class Asked(BaseModel):
    """What is looked for; each may be left empty."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(default="", max_length=64)
    project: str = Field(default="", max_length=64)
    scanner: str = Field(default="", max_length=64)
    badge: str = Field(default="", pattern=f"^({'|'.join(BADGES)})?$")
    since: str = Field(default="", pattern=DAY)
    until: str = Field(default="", pattern=DAY)
    after: str = Field(default="", pattern=r"^(\d{1,17}-\d{1,9})?$")


@router.get("/sessions", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(visit_of)], asked: Annotated[Asked, Query()]) -> Response:
    """Show sessions."""
    site = site_of(request)
    with site.box.database.read() as connection:
        known = browsing.projects_seen(connection, visit.sight)
    told = tell(site, visit, asked)
    given = {name: str(value) for name, value in asked if value and name != "after"}
    more = urlencode(given | {"after": told["after"]}) if told["after"] else None
    choices = {"projects": known, "scanners": [s.name for s in site.box.config.scanner], "badges": BADGES}
    page = {"told": told, "asked": asked, "more": more, "is_filtered": bool(given), **choices}
    return site.page(request, "sessions.html", page, visit=visit)


@router.get("/api/sessions", responses=ANSWERS)
def read(
    request: Request, visit: Annotated[Visit, Depends(visit_of)], asked: Annotated[Asked, Query()]
) -> dict[str, Any]:
    """Return sessions; ``after`` of one page asks for the next."""
    return tell(site_of(request), visit, asked)


def tell(site: Site, visit: Visit, asked: Asked) -> dict[str, Any]:
    """Return what stands on the page, and the cursor to go on with; with a badge a page may hold fewer."""
    now, found, after = site.clock.now(), list[dict[str, Any]](), asked.after or None
    wanted = browsing.Wanted(
        text=asked.text.strip(),
        project=asked.project,
        scanner=asked.scanner,
        since=midnight(asked.since),
        until=midnight(asked.until, days=1),
        is_open=asked.badge in _OPEN,
        may_lack=asked.badge == Standing.AT_RISK,
    )
    looked_back_to = None
    with site.box.database.read() as connection:
        for _ in range(_LOOKS if asked.badge else 1):
            ids = browsing.study_ids(connection, wanted, visit.sight, after=after, limit=_PAGE)
            rows = ledger.of_studies(connection, [study for _, study in ids], now=now)
            for (cursor, _), row in zip(ids, rows, strict=True):
                after = cursor
                if row["badge"] == (asked.badge or row["badge"]):
                    found.append(listed(row, visit))
                if len(found) == _PAGE:
                    break
            is_end = len(ids) < _PAGE
            if is_end or len(found) == _PAGE:
                break
        else:
            is_end = False
    is_over = is_end and len(found) < _PAGE
    looked_back_to = None if is_over or not after else _instant(after)
    return {"at": now, "sessions": found, "after": None if is_over else after, "looked_back_to": looked_back_to}


def listed(row: glance.Row, visit: Visit) -> dict[str, Any]:
    """Return what a line says of a session; of where it goes only what the viewer sees."""
    goes = [one for one in row["sessions"] if visit.sight.of(one)]
    return {
        "id": row["study_id"],
        "date": row["date"],
        "badge": row["badge"],
        "images": row["images"],
        "counts": row["counts"],
        "series": row["series_received"],
        "instances": row["instances_received"],
        "raw_files": sum(row["counts"].values()),
        "goes_to": [{k: one[k] for k in ("destination", "project", "session", "experiment", "state")} for one in goes],
    }


def midnight(given: str, *, days: int = 0) -> datetime | None:
    """Return when a day of a form begins, or one that is so many days later; None: none was given.

    Raises:
        BadInput: there is no such day.
    """
    if not given:
        return None
    try:
        return datetime.fromisoformat(given).replace(tzinfo=UTC) + timedelta(days=days)
    except (ValueError, OverflowError):
        raise BadInput(f"There is no day {given}. Nothing was changed; go back and choose another.") from None


def _instant(cursor: str) -> datetime:
    return datetime.fromtimestamp(int(cursor.partition("-")[0]) / 1e6, UTC)
