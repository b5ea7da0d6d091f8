"""New rules for a project: drafted in a form, rehearsed, saved; and older files captured by them."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from kspace.errors import BadInput
from transfer.app.rule_rehearsal import WEEKS, rehearse
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.pages.project import page_of
from transfer.app.web.seen import Name, Seen, demand_seen, listed
from transfer.app.web.site import Site, site_of, visit_of
from transfer.backfilling import backfill
from transfer.catalog.ran import captures_of
from transfer.rulefile import checked, differences, parse, pick, to_toml
from transfer.wishes import Wish

router = APIRouter()
_BARS = 40
_EVER = datetime(1970, 1, 2, tzinfo=UTC)
_FIELDS = ("name", "action", "scanner", "protocols", "dependencies")


class Drafted(BaseModel):
    """What the page's forms may say: rules as TOML or field by field, ticks, and what to do with them."""

    model_config = ConfigDict(extra="ignore")

    form: str = ""
    act: str = Field(default="rehearse", max_length=32)
    weeks: int = Field(default=WEEKS, ge=1, le=52)
    toml: str = ""
    shown: list[str] = []
    tick: list[str] = []
    name: list[str] = []
    action: list[str] = []
    scanner: list[str] = []
    protocols: list[str] = []
    dependencies: list[str] = []
    comment: str = Field(default="", max_length=500)
    after: int = Field(default=0, ge=0, le=1_000_000)
    begun: int | None = Field(default=None, ge=0, le=1_000_000)
    """The version that was in force when the draft was begun."""


class Tried(BaseModel):
    """Rules to rehearse, as `kspace rules show --json` gives them."""

    model_config = ConfigDict(extra="forbid")

    rules: list[dict[str, Any]] = Field(max_length=100)
    weeks: int = Field(default=WEEKS, ge=1, le=52)


Draft = Annotated[Drafted, Form()]


@router.post("/projects/{name}/draft", include_in_schema=False)
def draft(request: Request, visit: Annotated[Visit, Depends(visit_of)], name: Name, given: Draft) -> Response:
    """Change the draft, or show what it would do; nothing is saved."""
    demand_own_form(visit, given.form)
    site = site_of(request)
    seen = demand_seen(site, visit, name, to_change=True)
    act, _, place = given.act.partition("-")
    if act in {"pick", "import", "rehearse", "look"}:
        wishes = _ticked(site, seen, given) if act == "pick" else _drafted(given, name)
        if act != "look":
            return _rehearsal(request, visit, seen, wishes, given)
    else:
        wishes = _arranged(list(_drafted(given, name)), act, int(place) if place.isdecimal() else 0)
    return page_of(request, visit, seen, wishes=wishes, weeks=given.weeks, draft_of=_begun(given, seen))


@router.post("/api/projects/{name}/rehearsal", responses=ANSWERS)
def try_out(request: Request, visit: Annotated[Visit, Depends(visit_of)], name: Name, given: Tried) -> dict[str, Any]:
    """Return what rules would have captured of the last weeks, and what that does to disk and line."""
    site = site_of(request)
    seen = demand_seen(site, visit, name)
    found = rehearse(site.box, name, checked(given.rules), weeks=given.weeks, destination=seen.destination)
    return found | {"protocols": [asdict(one) for one in found["protocols"]]}


@router.post("/projects/{name}/rules", include_in_schema=False)
def save(request: Request, visit: Annotated[Visit, Depends(visit_of)], name: Name, given: Draft) -> Response:
    """Save the rules that were rehearsed."""
    demand_own_form(visit, given.form)
    site = site_of(request)
    demand_seen(site, visit, name, to_change=True)
    if not given.comment.strip():
        raise BadInput("Say in a few words why; go back, the rules are still there. Nothing was changed.")
    wishes, comment = parse(given.toml, project=name), given.comment.strip()
    site.box.rules.save(name, wishes, after=given.after, comment=comment, actor=visit.actor, at=site.clock.now())
    return _back(name)


@router.post("/projects/{name}/backfill", include_in_schema=False)
def capture_older(request: Request, visit: Annotated[Visit, Depends(visit_of)], name: Name, given: Draft) -> Response:
    """Capture what the rules want, nobody captured, and a scanner still has; of the project's own sessions."""
    demand_own_form(visit, given.form)
    site = site_of(request)
    seen = demand_seen(site, visit, name, to_change=True)
    since = site.clock.now() - timedelta(weeks=given.weeks)
    own = captures_of(name, since=since, destination=seen.destination)
    rules = [rule for rule in site.box.rules() if rule.project == name]
    if rules:
        backfill(
            site.box.database,
            rules=rules,
            since=_EVER,
            project=name,
            actor=visit.actor,
            clock=site.clock,
            only=own,
        )
    return _back(name, weeks=given.weeks)


def _begun(given: Drafted, seen: Seen) -> int:
    return seen.in_force.version if given.begun is None else given.begun


def _rehearsal(request: Request, visit: Visit, seen: Seen, wishes: tuple[Wish, ...], given: Drafted) -> Response:
    site = site_of(request)
    found = rehearse(site.box, seen.name, wishes, weeks=given.weeks, destination=seen.destination)
    changes = [one for one in differences(seen.in_force.wishes, wishes) if one["what"] != "same"]
    told = {"seen": seen, "found": found, "changes": changes, "toml": to_toml(wishes), "bars": _BARS}
    return site.page(request, "rehearsal.html", told | {"begun": _begun(given, seen)}, visit=visit)


def _ticked(site: Site, seen: Seen, given: Drafted) -> tuple[Wish, ...]:
    """Return the draft with what was ticked; which scanners ran a protocol is looked up, not believed."""
    wishes = _drafted(given, seen.name)
    ran = {one.name: one.scanners for one in listed(site, seen, wishes, weeks=given.weeks)}
    shown = {name: ran[name] for name in given.shown if name in ran}
    return pick(wishes, ticked=given.tick, shown=shown)


def _drafted(given: Drafted, project: str) -> tuple[Wish, ...]:
    """Return the rules of a form: field by field where it has them, else its TOML."""
    if not given.name:
        return parse(given.toml, project=project)
    columns = [getattr(given, field) for field in _FIELDS]
    if len({len(column) for column in columns}) != 1:
        raise BadInput("The form is not whole. Nothing was changed; load the page anew and try again.")
    rows = [dict(zip(_FIELDS, row, strict=True)) for row in zip(*columns, strict=True)]
    for row in rows:
        row["protocols"] = [line.strip() for line in row["protocols"].splitlines() if line.strip()]
        row["dependencies"] = row["dependencies"] == "yes"
        row["name"], row["scanner"] = row["name"].strip(), row["scanner"].strip()
    return checked(rows)


def _arranged(wishes: list[Wish], act: str, place: int) -> tuple[Wish, ...]:
    """Return the rules with one moved, taken away or added; what cannot be changes nothing."""
    if act == "add":
        names = {wish.name for wish in wishes}
        name = next(name for number in range(1, len(wishes) + 2) if (name := f"rule {number}") not in names)
        wishes.append(Wish(name=name))
    elif place < len(wishes) and act == "remove":
        del wishes[place]
    elif act in {"up", "down"} and 0 <= (other := place + (1 if act == "down" else -1)) < len(wishes) > place:
        wishes[place], wishes[other] = wishes[other], wishes[place]
    return tuple(wishes)


def _back(name: str, *, weeks: int = WEEKS) -> Response:
    return RedirectResponse(f"/projects/{quote(name, safe='')}" + (f"?weeks={weeks}" if weeks != WEEKS else ""), 303)
