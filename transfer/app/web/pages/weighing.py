"""One raw file on the review desk: both sides and the evidence, and a person's word with undo."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from dicom.records import Judged, Weight
from kspace.errors import BadInput, NotFound
from transfer import linking
from transfer.app.rawfile import clock_time
from transfer.app.web.access import NotAllowed, Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.pages.session import Number
from transfer.app.web.site import Site, site_of, visit_of
from transfer.catalog import browsing, lists, reviewing

router = APIRouter()
_ACTS = {"capture.linked": "linked", "capture.unlinked": "unlinked", "capture.undone": None}


@router.get("/review/{number}", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number) -> Response:
    """Show one raw file beside every series it could be of."""
    site = site_of(request)
    return site.page(request, "weighing.html", {"told": tell(site, visit, number)}, visit=visit)


@router.get("/api/review/{number}", responses=ANSWERS)
def read(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number) -> dict[str, Any]:
    """Return one raw file beside every series it could be of."""
    return tell(site_of(request), visit, number)


@router.post("/review/{number}/{act}", include_in_schema=False)
def say(  # noqa: PLR0913, PLR0917 -- the parts of the request
    request: Request,
    visit: Annotated[Visit, Depends(visit_of)],
    number: Number,
    act: Literal["link", "unlink", "undo"],
    form: Annotated[str, Form()] = "",
    scan: Annotated[str, Form(max_length=12)] = "",
) -> Response:
    """Take a person's word, or take it back."""
    demand_own_form(visit, form)
    site = site_of(request)
    _demand(site, visit, number, scan.strip() if act == "link" else None)
    done: dict[str, Any] = {"actor": visit.actor, "clock": site.clock}
    if act == "link":
        linking.link(site.box.database, number, scan.strip(), **done)
    else:
        {"unlink": linking.unlink, "undo": linking.undo}[act](site.box.database, number, **done)
    return RedirectResponse(f"/review/{number}", 303)


def tell(site: Site, visit: Visit, number: int) -> dict[str, Any]:
    """Return what stands on the page of one raw file; series of foreign sessions are left out.

    Raises:
        NotFound: there is no such capture, or it is not for the viewer.
    """
    with site.box.database.read() as connection:
        if not browsing.sees(connection, visit.sight, capture=number):
            raise NotFound("There is no such capture, or it belongs to a project that is not yours.")
        story = lists.story(connection, number)
        may_say = visit.may_change(reviewing.goes_to(connection, capture=number))
    (doubt,) = linking.doubts(site.box.database, capture_id=number)
    image, decision = doubt.capture.image, doubt.decision
    candidates = [_candidate(site, visit, doubt, judged) for judged in sorted(decision.judged, key=_against)]
    acts = [_ACTS[e["verb"]] for e in story["events"] if e["verb"] in _ACTS]
    ticks = image.ticks if image else None
    current = [match for match in story["matches"] if match["undone_at"] is None][-1:]
    shown = ("reason", "certainty", "actor", "at", "study_id", "series_uid")
    return {
        **{k: story[k] for k in ("id", "state", "scanner", "mid", "protocol", "size")},
        "serial": image and image.serial,
        "start": clock_time(ticks[0]) if ticks else None,
        "end": clock_time(ticks[-1]) if ticks else None,
        "certainty": decision.certainty,
        "reason": decision.reason if visit.is_admin else None,
        "candidates": [one for one in candidates if one is not None],
        "linked": {k: current[0][k] for k in shown} if current else None,
        "may_say": may_say,
        "may_undo": may_say and bool(acts) and acts[-1] is not None,
    }


def _candidate(site: Site, visit: Visit, doubt: linking.Doubt, judged: Judged) -> dict[str, Any] | None:
    name = doubt.names[judged.series_uid]
    study = int(name.session.removeprefix("t"))
    with site.box.database.read() as connection:
        if not browsing.sees(connection, visit.sight, study=study):
            return None
        goes = [row for row in reviewing.goes_to(connection, study=study) if visit.sight.of(row)]
        series = reviewing.series_of(connection, judged.series_uid)
    return {
        "name": name.name,
        "session": name.session,
        "study_id": study,
        "number": name.number,
        "protocol": name.protocol,
        **series,
        "goes_to": goes,
        "evidence": [
            {"weight": e.weight, "clue": e.clue, "detail": e.detail}
            for e in judged.evidence
            if e.weight is not Weight.SILENT
        ],
    }


def _demand(site: Site, visit: Visit, number: int, scan: str | None) -> None:
    """See that somebody may say it: both where the raw file goes now and where it is to go must be theirs."""
    with site.box.database.read() as connection:
        if not browsing.sees(connection, visit.sight, capture=number):
            raise NotFound("There is no such capture, or it belongs to a project that is not yours.")
        if visit.is_admin:
            return
        is_theirs = visit.may_change(reviewing.goes_to(connection, capture=number))
        if is_theirs and scan is not None:
            study = reviewing.study_of(connection, scan)
            if study is None or not browsing.sees(connection, visit.sight, study=study):
                raise BadInput("There is no such session or series among yours. Nothing was changed.")
            is_theirs = visit.may_change(reviewing.goes_to(connection, study=study))
    if not is_theirs:
        raise NotAllowed("Only administrators, and members of every project concerned, may say this. Nothing changed.")


def _against(judged: Judged) -> tuple[int, int]:
    """Return what speaks against a series, and for it: what it is most likely of comes first."""
    weights = [e.weight for e in judged.evidence]
    return weights.count(Weight.CONTRADICTS), -weights.count(Weight.SUPPORTS)
