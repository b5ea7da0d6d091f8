"""What every answer carries against misuse, and how an error is told: what happened, what is safe, what to do."""

from http import HTTPStatus
from types import MappingProxyType
from urllib.parse import quote, urlsplit

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from kspace.errors import BadInput, KspaceError, NotFound
from transfer.app.web.access import NotAllowed, NotSignedIn
from transfer.app.web.signin import Refused
from transfer.catalog.database import CatalogDown

HEADERS = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
)
_STATUS = {
    NotSignedIn: HTTPStatus.UNAUTHORIZED,
    NotAllowed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    CatalogDown: HTTPStatus.SERVICE_UNAVAILABLE,
    Refused: HTTPStatus.FORBIDDEN,
    BadInput: HTTPStatus.BAD_REQUEST,
}
_SAID = {
    HTTPStatus.NOT_FOUND: "There is no such page. Nothing was changed; go back, or to the home page.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This page does not take that. Nothing was changed.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Something in the address or the form cannot be. Nothing was changed.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "That is too much for a form. Nothing was changed.",
    HTTPStatus.FORBIDDEN: "The request did not come from this page. Nothing was changed; open the page and try again.",
}
_BROKEN = (
    "The page failed; that is a mistake of the program. What was captured and delivered is not touched by it: the "
    "relay works on. Go back, or see `kspace status` on the relay."
)
_MOST_BYTES = 65_536


def refusal(request: Request) -> Response | None:
    """Return the answer to a request that no form of this page sends, or None."""
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return None
    origin, host = request.headers.get("origin"), request.headers.get("host")
    if origin is not None and urlsplit(origin).netloc != host:
        return _told(request, HTTPStatus.FORBIDDEN, _SAID[HTTPStatus.FORBIDDEN])
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > _MOST_BYTES:
        return _told(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _SAID[HTTPStatus.REQUEST_ENTITY_TOO_LARGE])
    return None


async def explain(request: Request, error: Exception) -> Response:
    """Return the page of an error, or its JSON; who is not signed in is sent to the door."""
    if isinstance(error, NotSignedIn) and not _is_json(request):
        back = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""), safe="")
        return RedirectResponse(f"/sign-in?next={back}" if request.method == "GET" else "/sign-in", 303)
    if isinstance(error, KspaceError):
        status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
        return _told(request, status, str(error))
    if isinstance(error, RequestValidationError | DataError):  # PostgreSQL holds no NUL in a text
        return _told(request, HTTPStatus.UNPROCESSABLE_ENTITY, _SAID[HTTPStatus.UNPROCESSABLE_ENTITY])
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return _told(request, status, _SAID.get(status, str(error.detail)), headers=error.headers)
    answer = _told(request, HTTPStatus.INTERNAL_SERVER_ERROR, _BROKEN)
    answer.headers.update(HEADERS)  # this one passes by what puts them on all others
    return answer


def _is_json(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _told(request: Request, status: HTTPStatus, said: str, *, headers: object = None) -> Response:
    if _is_json(request):
        answer: Response = JSONResponse({"error": said}, status)
    else:
        site = request.app.state.site
        answer = site.page(request, "error.html", {"said": said, "status": status.value}, status=status.value)
    if isinstance(headers, dict):
        answer.headers.update(headers)
    return answer
