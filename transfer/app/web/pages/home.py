"""Home: is everything captured, what needs a person, what is at risk, how full are the pools, what moves now."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from hardware.records import Severity
from transfer.app.box_report import pool_reports
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.site import Site, site_of, visit_of
from transfer.app.web.wording import number
from transfer.catalog import figures, glance, lists
from transfer.catalog.throttles import throttles
from transfer.states import CaptureState

router = APIRouter()
_ALERTS = 5
_FORESEEN_S = 30 * 86_400.0


@router.get("/", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Show how everything stands."""
    site = site_of(request)
    return site.page(request, "home.html", {"home": tell(site, visit)}, visit=visit)


@router.get("/api/home", responses=ANSWERS)
def read(request: Request, visit: Annotated[Visit, Depends(visit_of)]) -> dict[str, Any]:
    """Return how everything stands that the caller may see."""
    return tell(site_of(request), visit)


def tell(site: Site, visit: Visit) -> dict[str, Any]:
    """Return what stands on the page."""
    now, sight = site.clock.now(), visit.sight
    with site.box.database.read() as connection:
        held, waiting = glance.waiting_for_a_person(connection, sight)
        risk = site.risks.look(connection, sight, now=now)
        moves = glance.moving(connection, sight, now=now)
        told = {
            "at": now,
            "images_need_a_person": glance.images_waiting_for_a_person(connection, sight),
            "needs_a_person": {"number": held, "newest": [_plain(row, visit) for row in waiting]},
            "at_risk": risk | {"oldest": [_plain(row, visit) for row in risk["oldest"]]},
            "moves": moves,
        }
        if visit.is_admin:
            stands = figures.standing(connection)
            packed, proved = glance.pace(connection, now=now)
            told |= {
                "captures": {state.value: stands["captures"].get((state,), 0) for state in CaptureState},
                "lost": figures.lost(connection),
                "backlog_bytes": sum(stands["backlog_bytes"].values()) + sum(stands["image_backlog"].values()),
                "packed_bytes_per_s": packed,
                "proved_bytes_per_s": proved,
                "proved_by": _proved_by(sum(stands["backlog_bytes"].values()), proved, now),
                "alerts": _alerts(lists.alerts(connection)),
                "paused": [
                    {"what": what.replace(":", " "), "by": one.actor, "at": one.at}
                    for what, one in throttles(connection).items()
                    if one.is_paused
                ],
            }
    if visit.is_admin:
        pools = pool_reports(site.box)
        told["pools"] = [{"line": pool.line, "percent": pool.percent, "mode": pool.mode} for pool in pools]
    return told | {"verdict": _verdict(told)}


def _verdict(told: dict[str, Any]) -> dict[str, str]:
    """Return the answer in one look: the worst that there is, and what that means."""
    lost, alerts = told.get("lost", {"scanner": 0, "archive": 0}), told.get("alerts", {"unseen": 0})
    files, images, late = told["needs_a_person"]["number"], told["images_need_a_person"], told["at_risk"]["number"]
    if sum(lost.values()):
        where = f"{lost['scanner']:,} gone from a scanner before their capture, {lost['archive']:,} from an archive."
        return {"grade": "bad", "title": f"{sum(lost.values()):,} lost", "text": f"{where} The alerts say which."}
    if files or images:
        what = [number(files, "raw file")] * (files > 0) + [f"the images of {number(images, 'session')}"] * (images > 0)
        title = f"{files + images:,} {'needs' if files + images == 1 else 'need'} a person"
        text = f"{' and '.join(what)}. Everything else goes by itself, and nothing that is held is deleted."
        return {"grade": "bad", "title": title, "text": text}
    if alerts["unseen"]:
        text = "Nobody has said yet that they see to it."
        return {"grade": "warn", "title": f"{number(alerts['unseen'], 'alert')} open", "text": text}
    if late:
        first = told["at_risk"]["first_in_s"]
        by = "" if first is None else f" The first may be overwritten in {first / 3600:.0f} hours."
        text = f"Only the scanner has it, for a day, after failed attempts, or not for long any more.{by}"
        return {"grade": "warn", "title": f"{late:,} at risk", "text": text}
    return {"grade": "good", "title": "All is well", "text": "Nothing needs a person or waits too long on a scanner."}


def _proved_by(left_bytes: float, bytes_per_s: float, now: datetime) -> datetime | None:
    """Return when all raw data that wait are proved at this rate; None: there is none, or nobody can tell."""
    left_s = left_bytes / bytes_per_s if bytes_per_s else 0.0
    return now + timedelta(seconds=left_s) if 0 < left_s < _FORESEEN_S else None


def _alerts(found: list[lists.Row]) -> dict[str, Any]:
    """Count them, and show those first that nobody sees to."""
    grades = ("critical", "warning", "info")
    order = sorted(found, key=lambda one: (one["actor"] is not None, grades.index(one["severity"])))
    return {
        "number": len(found),
        "unseen": sum(one["actor"] is None and one["severity"] != Severity.INFO for one in found),
        "first": [{k: one[k] for k in ("id", "severity", "text", "raised_at", "actor")} for one in order[:_ALERTS]],
    }


def _plain(row: glance.Row, visit: Visit) -> glance.Row:
    return row if visit.is_admin else row | {"reason": None}  # a reason may name another project's rule
