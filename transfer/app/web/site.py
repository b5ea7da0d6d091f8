"""What all pages stand on: the relay, the door, the visits, the templates; and who asks."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from kspace.errors import BadInput
from transfer import destinations
from transfer.app.looks import QuickLooks
from transfer.app.sizing import size_from_history
from transfer.app.web.access import NotAllowed, NotSignedIn, Tries, Visit, Visits
from transfer.app.web.keeping import Kept
from transfer.app.web.risk import Risks
from transfer.app.web.signin import Door
from transfer.app.web.tokens import People, Tokens
from transfer.app.web.wording import day, number, prose, size, when, word
from transfer.app.wiring import Box
from transfer.config import settings_of

_TEMPLATES = Path(__file__).parent / "templates"


class Site:
    """One relay's pages."""

    def __init__(self, box: Box) -> None:
        settings = box.config.web
        if settings is None:
            raise AssertionError("no page without [web]")
        given = {d["name"]: d for d in box.config.destination}
        xnats = {name: settings_of(destinations, given[name]) for name in settings.sign_in}
        self.box = box
        self.settings = settings
        self.clock = box.clock
        self.visits = Visits(xnats, clock=box.clock)
        people = People(xnats=xnats, admins=settings.admins, has_local=settings.local_admin is not None)
        self.looks = QuickLooks(box)
        self.risks = Risks(box)
        self.lasts = Kept(partial(_lasts, box), lasts=timedelta(hours=1), now=box.clock.now)
        self.tests = Tries(most=6, within=timedelta(minutes=2), now=box.clock.now)
        self.tokens = Tokens(people, database=box.database, clock=box.clock)
        self.door = Door(settings, xnats, database=box.database, clock=box.clock)
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: dict[str, Callable[..., object]] = {
            "size": size,
            "when": when,
            "day": day,
            "word": word,
            "number": number,
            "prose": prose,
        }
        self._templates.filters.update(filters)

    @property
    def cookie(self) -> str:
        """The name of the visit's cookie; the prefix lets no other host and no plain HTTP set it (RFC 6265bis)."""
        return "__Host-kspace" if self.is_secure else "kspace"

    @property
    def is_secure(self) -> bool:
        """Whether the page is served by TLS."""
        return self.settings.tls_cert is not None

    def page(
        self, request: Request, template: str, told: Mapping[str, Any], *, visit: Visit | None = None, status: int = 200
    ) -> HTMLResponse:
        """Return a page."""
        path = request.url.path
        common = {"visit": visit, "relay": self.box.config.relay.name, "path": path, "site": self.box.config.relay.site}
        return HTMLResponse(self._templates.get_template(template).render(common | dict(told)), status)

    def set_cookie(self, answer: Response, name: str, value: str) -> None:
        """Let a browser keep a value until it is closed, out of reach of scripts and other sites."""
        answer.set_cookie(name, value, secure=self.is_secure, httponly=True, samesite="lax", path="/")


def _lasts(box: Box) -> list[str]:
    """Return in sentences how long the box lasts without its line, by what it saw; or why nobody can say."""
    try:
        return [*size_from_history(box).sentences()]
    except BadInput as error:
        return [str(error)]


def site_of(request: Request) -> Site:
    """Return the site that is asked."""
    site: Site = request.app.state.site
    return site


def visit_of(request: Request) -> Visit:
    """Return who asks.

    Raises:
        NotSignedIn: nobody that is known.
    """
    site = site_of(request)
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        if request.method != "GET":
            raise NotAllowed("A token reads and changes nothing. Sign in to change something.")
        return site.tokens.visit(given.strip())
    key = request.cookies.get(site.cookie)
    if key is None:
        raise NotSignedIn("You are not signed in. Nothing was changed.")
    return site.visits.of(key, is_click=request.headers.get("X-Renewal") is None)


def admin_of(visit: Annotated[Visit, Depends(visit_of)]) -> Visit:
    """Return the administrator who asks.

    Raises:
        NotAllowed: it is somebody else.
    """
    if not visit.is_admin:
        raise NotAllowed("Only administrators see this. Ask one of yours; they are named in the relay's configuration.")
    return visit
