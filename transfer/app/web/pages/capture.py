"""One capture: its timeline, evidence, parts and receipts; and what a person may do with it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from kspace.errors import BadInput, NotFound
from transfer import operations
from transfer.app.web.access import NotAllowed, Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.pages.look import seen
from transfer.app.web.pages.session import Number
from transfer.app.web.site import Site, site_of, visit_of
from transfer.catalog import browsing, lists
from transfer.states import CaptureState, DeliveryState

router = APIRouter()
_STEPS = {
    "capture.found": "found on the scanner",
    "capture.settled": "looked into: whole and wanted",
    "capture.packed": "packed, each chunk decoded and compared",
    "capture.matched": "joined with its images",
    "capture.planned": "its way decided",
    "capture.delivered": "proved by every archive",
    "capture.retired": "freed from the relay's disk",
    "capture.held": "held",
    "capture.retried": "goes on",
    "capture.grew": "still growing",
    "capture.skipped": "not wanted",
    "delivery.sent": "sent",
    "delivery.verified": "proved, and a receipt signed",
    "delivery.held": "held",
    "delivery.retried": "goes on",
}
_WAY = ("found", "settled", "packed", "joined", "sent", "proved")
_REACHED = {"capture.found": 0, "capture.settled": 1, "capture.packed": 2, "capture.matched": 3, "capture.linked": 3}
_REACHED |= {"delivery.sent": 4, "delivery.verified": 5}
_DONE = {CaptureState.RETIRED, CaptureState.RELEASED, CaptureState.SKIPPED}
_LONGEST = 200


@router.get("/captures/{number}", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number) -> Response:
    """Show one capture."""
    site = site_of(request)
    return site.page(request, "capture.html", {"told": tell(site, visit, number)}, visit=visit)


@router.get("/api/captures/{number}", responses=ANSWERS)
def read(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number) -> dict[str, Any]:
    """Return one capture."""
    return tell(site_of(request), visit, number)


@router.get("/captures/{number}/receipts/{delivery}", include_in_schema=False)
def receipt(request: Request, visit: Annotated[Visit, Depends(visit_of)], number: Number, delivery: Number) -> Response:
    """Give the signed receipt of one delivery, as `kspace receipt` does."""
    site = site_of(request)
    found = next((d for d in _story(site, visit, number)[1] if d["id"] == delivery and d["receipt"]), None)
    if found is None:
        raise NotFound("There is no such receipt: nothing was proved yet, or it is not for you.")
    named = {"Content-Disposition": f'attachment; filename="receipt-{number}-{delivery}.json"'}
    return Response(found["receipt"], media_type="application/json", headers=named)


@router.post("/captures/{number}/{act}", include_in_schema=False)
def act_on(  # noqa: PLR0913, PLR0917 -- the parts of the request
    request: Request,
    visit: Annotated[Visit, Depends(visit_of)],
    number: Number,
    act: Literal["hold", "retry", "take"],
    form: Annotated[str, Form()] = "",
    reason: Annotated[str, Form(max_length=_LONGEST)] = "",
) -> Response:
    """Hold it, let it go on, or take it as it is (damaged, or unwanted by the rules), as the person who asks."""
    demand_own_form(visit, form)
    site = site_of(request)
    _, sent = _story(site, visit, number, is_whole=True)
    if not visit.may_change(sent) or (act == "take" and not visit.is_admin):
        raise NotAllowed("Only administrators, and members of every project it goes to, may do this. Nothing changed.")
    done: dict[str, Any] = {"actor": visit.actor, "clock": site.clock}
    if act == "hold":
        if not reason.strip():
            raise BadInput("Say why, in a few words without patient data. Nothing was changed; go back and try again.")
        operations.hold(site.box.database, str(number), reason=reason.strip(), **done)
    else:
        operations.retry(site.box.database, str(number), as_is=act == "take", **done)
    return RedirectResponse(f"/captures/{number}", 303)


def tell(site: Site, visit: Visit, number: int) -> dict[str, Any]:
    """Return what stands on the page.

    Raises:
        NotFound: there is no such capture, or it is not for the viewer.
    """
    story, sent = _story(site, visit, number)
    capture = seen(site, visit, number)
    look = site.looks.find(capture)
    is_theirs = visit.may_change(story["deliveries"])
    theirs = {d["id"] for d in sent}
    events = [e for e in story["events"] if e["subject"] == "capture" or e["subject_id"] in theirs]
    state = CaptureState(story["state"])
    held = state is CaptureState.HELD or any(d["state"] == CaptureState.HELD for d in sent)
    return {
        **{k: story[k] for k in ("id", "state", "verdict", "sha256", "stored_bytes", "scanner", "size", "mid")},
        "protocol": story["protocol"],
        "path": story["path"] if visit.is_admin else None,  # folders on a scanner may be named after somebody
        "reason": story["reason"] if is_theirs else None,
        "decisions": [{k: d[k] for k in ("step", "reason", "at")} for d in story["decisions"]] if is_theirs else [],
        "matches": [_matched(match, is_all=visit.is_admin) for match in story["matches"] if match["undone_at"] is None],
        "deliveries": [_sent(d) for d in sent],
        "events": [_happened(event, sent, is_theirs=is_theirs) for event in events],
        "way": _way(story, sent, events),
        "quick_look": look and look.told,
        "may_draw": look is None and site.looks.can_draw(capture),
        "may_hold": is_theirs and state not in {CaptureState.HELD, *_DONE},
        "may_retry": is_theirs and held,
        "may_take": visit.is_admin and (state is CaptureState.SKIPPED or (held and story["sha256"] is None)),
    }


def _way(story: dict[str, Any], sent: list[dict[str, Any]], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each step of the way: whether it is behind it as it stands now, and when it was gone last."""
    goes = [d for d in sent if d["state"] != DeliveryState.WITHDRAWN]
    is_packed = story["stored_bytes"] is not None
    is_joined = is_packed and any(match["undone_at"] is None for match in story["matches"])
    is_sent = bool(goes) and all(d["state"] != DeliveryState.QUEUED for d in goes)
    is_proved = bool(goes) and all(d["state"] == DeliveryState.VERIFIED for d in goes)
    is_settled = is_packed or story["state"] not in {CaptureState.FOUND, CaptureState.HELD}
    last = {_REACHED[event["verb"]]: event["at"] for event in events if event["verb"] in _REACHED}
    done = (True, is_settled, is_packed, is_joined, is_sent, is_proved)
    return [
        {"step": name, "is_done": is_done, "at": last.get(step) if is_done else None}
        for step, (name, is_done) in enumerate(zip(_WAY, done, strict=True))
    ]


def _story(
    site: Site, visit: Visit, number: int, *, is_whole: bool = False
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the whole story, and its deliveries as far as they are seen."""
    with site.box.database.read() as connection:
        if not browsing.sees(connection, visit.sight, capture=number):
            raise NotFound("There is no such capture, or it belongs to a project that is not yours.")
        story = _discreet(lists.story(connection, number), visit)
    return story, [d for d in story["deliveries"] if is_whole or visit.sight.of(d)]


def _discreet(story: dict[str, Any], visit: Visit) -> dict[str, Any]:
    """Leave out what rules of projects say that the viewer does not see: how they are called is theirs alone."""
    decided = [d for d in story["decisions"] if d["project"] is not None]
    foreign = [d["reason"] for d in decided if not visit.sight.of(d | {"destination": visit.destination})]

    def plain(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
        return [row | {key: row[key] and _without(foreign, row[key])} for row in rows]

    told = {"decisions": plain(story["decisions"], "reason"), "events": plain(story["events"], "detail")}
    return plain([story], "reason")[0] | told


def _without(foreign: list[str], text: str) -> str:
    for said in foreign:
        text = text.replace(said, "A rule of another project decided.")
    return text


def _matched(match: dict[str, Any], *, is_all: bool) -> dict[str, Any]:
    """Return why it is of this scan; what spoke for series of other sessions is not for everybody."""
    shown = {k: match[k] for k in ("certainty", "reason", "actor", "at", "study_id")}
    return shown | {
        "evidence": [{k: e[k] for k in ("number", "clue", "weight", "detail")} for e in match["evidence"] if is_all]
    }


def _sent(delivery: dict[str, Any]) -> dict[str, Any]:
    shown = ("id", "destination", "project", "state", "reason", "place", "verified_at", "parts")
    return {k: delivery[k] for k in shown} | {"has_receipt": delivery["receipt"] is not None}


def _happened(event: dict[str, Any], sent: list[dict[str, Any]], *, is_theirs: bool) -> dict[str, Any]:
    said = _STEPS.get(event["verb"], event["verb"].rpartition(".")[2].replace("_", " "))
    to = next((d["destination"] for d in sent if event["subject"] == "delivery" and d["id"] == event["subject_id"]), "")
    is_told = is_theirs and event["detail"] is not None and " " in event["detail"]  # one word is the name of a stage
    what = f"{to}: {said}" if to else said
    return {"at": event["at"], "what": what, "by": event["actor"], "detail": event["detail"] if is_told else None}
