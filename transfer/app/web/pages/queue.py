"""The queue: what waits and goes, per scanner and destination; pause, limit and turn, for administrators."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from kspace.errors import BadInput, NotFound
from transfer import destinations, operations
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.site import Site, admin_of, site_of
from transfer.catalog import queue
from transfer.catalog.throttles import Throttle, throttles
from transfer.config import settings_of

router = APIRouter()
_FIRST, _PAGE = 8, 50
_TURNS = {"first": 10, "usual": 0, "last": -10}
Line = Annotated[str, Query(max_length=80)]
After = Annotated[str, Query(pattern=r"^(-?\d{1,6}\.\d{1,17}\.\d{1,9})?$")]


@router.get("/queue", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(admin_of)], line: Line = "", after: After = "") -> Response:
    """Show the queue, or one line of it."""
    site = site_of(request)
    told = {"told": tell(site, line, after), "line": line, "turns": _TURNS}
    return site.page(request, "queue.html", told, visit=visit)


@router.get("/api/queue", responses=ANSWERS, dependencies=[Depends(admin_of)])
def read(request: Request, line: Line = "", after: After = "") -> dict[str, Any]:
    """Return the queue, or one ``line`` of it, where ``after`` of one page asks for the next."""
    return tell(site_of(request), line, after)


@router.post("/queue/steer", include_in_schema=False)
def steer(  # noqa: PLR0913, PLR0917 -- the fields of the form
    request: Request,
    visit: Annotated[Visit, Depends(admin_of)],
    what: Annotated[str, Form(max_length=80)] = "",
    act: Annotated[Literal["pause", "resume", "limit"], Form()] = "resume",
    mbit_per_s: Annotated[str, Form(max_length=16)] = "",
    form: Annotated[str, Form()] = "",
) -> Response:
    """Pause, resume or slow down a scanner or a destination."""
    demand_own_form(visit, form)
    steering = site_of(request).box.steering()
    if act == "limit":
        steering.limit(what, _rate(mbit_per_s), actor=visit.actor)
    else:
        {"pause": steering.pause, "resume": steering.resume}[act](what, actor=visit.actor)
    return RedirectResponse("/queue", 303)


@router.post("/queue/turn", include_in_schema=False)
def prefer(
    request: Request,
    visit: Annotated[Visit, Depends(admin_of)],
    reference: Annotated[str, Form(max_length=12)] = "",
    turn: Annotated[Literal["first", "usual", "last"], Form()] = "usual",
    form: Annotated[str, Form()] = "",
) -> Response:
    """Let work go before, or after, all other work."""
    demand_own_form(visit, form)
    site = site_of(request)
    priority = _TURNS[turn]
    operations.prefer(site.box.database, reference, priority=priority, actor=visit.actor, clock=site.clock)
    return RedirectResponse("/queue", 303)


def tell(site: Site, line: str, after: str) -> dict[str, Any]:
    """Return what stands on the page.

    Raises:
        NotFound: nothing of this name is configured.
    """
    now, limits = site.clock.now(), _limits(site)
    if line and line not in limits:
        raise NotFound("Nothing that is configured is called so.")
    with site.box.database.read() as connection:
        waiting, said = queue.lines(connection, now=now), throttles(connection)
        stopped = queue.pauses(connection, now=now)
        asked = {line: _PAGE} if line else dict.fromkeys(limits, _FIRST)
        next_up = {n: queue.turns(connection, n, after=after or None, limit=most) for n, most in asked.items()}
    nothing = {"bytes": 0, "waits": 0, "at_work": 0, "held": 0}
    told = [
        {"line": name, "kind": name.partition(":")[0], "name": name.partition(":")[2]}
        | waiting.get(name, nothing)
        | _steered(said.get(name, Throttle()), limits[name])
        | {"stopped": [one for one in stopped if _is_of(one["what"], name)], "turns": found}
        for name, found in next_up.items()
    ]
    last = next_up[line][-1]["cursor"] if line and len(next_up[line]) == _PAGE else None
    return {"at": now, "lines": told, "after": last}


def _steered(throttle: Throttle, ceiling: float | None) -> dict[str, Any]:
    return {
        "is_paused": throttle.is_paused,
        "said_by": throttle.actor or None,
        "said_at": throttle.at,
        "limit_mbit_per_s": throttle.mbit_per_s,
        "configured_mbit_per_s": ceiling,
    }


def _is_of(what: str, line: str) -> bool:
    """Return whether a pause (``source:prisma/1``, ``project:central/P``) stops something of a line."""
    kind, _, name = line.partition(":")
    own = {"scanner": f"source:{name}/", "destination": f"project:{name}/"}[kind]
    return what == line or what.startswith(own)


def _limits(site: Site) -> dict[str, float | None]:
    config = site.box.config
    found: dict[str, float | None] = {f"scanner:{s.name}": s.limit_mbit_per_s for s in config.scanner}
    reaches = [settings_of(destinations, given) for given in config.destination]
    return found | {f"destination:{reach.name}": reach.limit_mbit_per_s for reach in reaches}


def _rate(given: str) -> float | None:
    try:
        return float(given) if given.strip() else None
    except ValueError:
        raise BadInput("Give the limit as a number of Mbit/s, or nothing for the configured one.") from None
