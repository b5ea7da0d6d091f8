"""The door: signing in and out, and the description of the JSON for whoever is in."""

import hmac
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from kspace.errors import BadInput
from transfer.app.web.access import NotAllowed, Visit
from transfer.app.web.signin import LOCAL, Given, Refused
from transfer.app.web.site import site_of, visit_of

router = APIRouter()
_FORM = "kspace-form"
"""A cookie with what the form says again: another site's form cannot know it."""


@router.get("/sign-in", include_in_schema=False)
def show(request: Request, next: str = "/") -> Response:  # noqa: A002 -- the word in the address
    """Show the door."""
    return _door(request, back=next)


@router.post("/sign-in", include_in_schema=False)
async def enter(  # noqa: PLR0913, PLR0917 -- the fields of the form
    request: Request,
    where: Annotated[str, Form()] = "",
    user: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    way: Annotated[str, Form()] = "password",
    form: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002 -- the word in the form
) -> Response:
    """Let somebody in, or say why not."""
    site = site_of(request)
    if not hmac.compare_digest(form.encode(), request.cookies.get(_FORM, "").encode()) or not form:
        return _door(request, back=next, said="The form was too old. Nothing was sent on; try again.", status=403)
    address = request.client.host if request.client else ""
    is_token = way == "token"
    given = Given(where=where, user=user.strip(), password=password, is_token=is_token, address=address)
    try:
        visit = await run_in_threadpool(site.door.let_in, given)
    except (Refused, BadInput) as error:
        status = 403 if isinstance(error, Refused) else 400
        return _door(request, back=next, said=str(error), status=status, given=given)
    if (old := request.cookies.get(site.cookie)) is not None:
        site.visits.end(old)
    answer = RedirectResponse(_safe(next), 303)
    site.set_cookie(answer, site.cookie, site.visits.begin(visit))
    return answer


@router.post("/sign-out", include_in_schema=False)
def leave(request: Request, visit: Annotated[Visit, Depends(visit_of)], form: Annotated[str, Form()] = "") -> Response:
    """End the visit, and the token that was issued for it."""
    demand_own_form(visit, form)
    site = site_of(request)
    site.visits.end(request.cookies[site.cookie])
    site.door.note_leaving(visit)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(site.cookie, path="/", secure=site.is_secure, httponly=True, samesite="lax")
    return answer


@router.get("/api/openapi.json", include_in_schema=False, dependencies=[Depends(visit_of)])
def describe(request: Request) -> dict[str, Any]:
    """Describe the JSON (OpenAPI 3.1)."""
    described: dict[str, Any] = request.app.openapi()
    return described


def demand_own_form(visit: Visit, token: str) -> None:
    """See that a form was made for this visit.

    Raises:
        NotAllowed: it was not.
    """
    if not visit.owns_form(token):
        raise NotAllowed("The form is not of this visit. Nothing was changed; load the page anew and try again.")


def _door(request: Request, *, back: str, said: str = "", status: int = 200, given: Given | None = None) -> Response:
    site, form = site_of(request), secrets.token_urlsafe(24)
    told = {
        "said": said,
        "form": form,
        "next": _safe(back),
        "xnats": site.settings.sign_in,
        "local": LOCAL if site.settings.local_admin is not None else None,
        "where": given.where if given else "",
        "user": given.user if given and not given.is_token else "",
        "is_token": given is not None and given.is_token,
    }
    answer = site.page(request, "sign-in.html", told, status=status)
    site.set_cookie(answer, _FORM, form)
    return answer


def _safe(back: str) -> str:
    """Return a place on this site alone: nobody is led away after signing in."""
    is_here = back.startswith("/") and not back.startswith(("//", "/\\")) and back.isprintable()
    return back if is_here else "/"
