"""Log-in, log-out and alias tokens by REST. Source: UserSession, UserAuth, AuthenticationRestlet, AliasTokenRestlet."""

from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from transfer.sandbox.multipart import receive_form
from transfer.sandbox.site import Site, caller
from transfer.sandbox.tables import plain

T = TypeVar("T")


class Accounts:
    """Answers the URLs about the caller's own session and tokens."""

    def __init__(self, site: Site) -> None:
        self._site, self._guard = site, site.guard

    def routes(self) -> list[Route]:
        """Return the routes; /REST answers as /data."""
        tokens = "/data/services/tokens"
        return [
            Route("/data/JSESSION", self.session, methods=["GET", "POST", "DELETE"]),
            Route("/data/auth", self.auth),
            Route("/data/services/auth", self.log_in, methods=["PUT", "POST"]),
            Route(f"{tokens}/issue", self.issue),
            Route(f"{tokens}/issue/user/{{name}}", self.issue),
            Route(f"{tokens}/show", self.show),
            Route(f"{tokens}/validate/{{alias}}", self.validate),
            Route(f"{tokens}/validate/{{alias}}/{{secret}}", self.validate),
            Route(f"{tokens}/invalidate/{{alias}}", self.invalidate),
        ]

    async def session(self, request: Request) -> Response:
        """GET or POST: the session id, with ``CSRF=true`` also the token. DELETE: log out."""
        login = request.scope["login"]
        if request.method == "DELETE":
            self._guard.close(login.id)
            return plain()
        csrf = f"; XNAT_CSRF={login.csrf}" if request.query_params.get("CSRF") == "true" else ""
        return plain(login.id + csrf)

    async def auth(self, request: Request) -> Response:
        """Say who is logged in."""
        return plain(f"User '{caller(request).name}' is logged in")

    async def log_in(self, request: Request) -> Response:
        """Open a session for a user name and a password in a form body."""
        form = await receive_form(request, self._site.scratch)
        user = self._guard.check(form.fields.get("username", ""), form.fields.get("password", ""))
        login = self._guard.open(user)
        response = plain(login.id)
        response.headers["set-cookie"] = f"JSESSIONID={login.id}; Path=/; HttpOnly"
        return response

    async def issue(self, request: Request) -> Response:
        """Issue a token to the caller, or by an admin to somebody else."""
        user, name = caller(request), request.path_params.get("name")
        if name not in {None, user.name} and not user.admin:
            raise HTTPException(403, "Only administrators issue tokens for others.")
        owner = next((u for u in self._site.settings.users if u.name == (name or user.name)), None)
        return JSONResponse(self._guard.issue(_known(owner)))

    async def show(self, request: Request) -> Response:
        """List the caller's live tokens, as they were issued."""
        return JSONResponse(self._guard.tokens(caller(request)))

    async def validate(self, request: Request) -> Response:
        """Say whose token it is; an empty object where the secret does not fit."""
        if "secret" not in request.path_params:
            raise HTTPException(401, "You must specify both the alias and the secret.")
        user = self._guard.alias(request.path_params["alias"], request.path_params["secret"])
        return JSONResponse({"valid": user.name} if user else {})

    async def invalidate(self, request: Request) -> Response:
        """End a token of the caller's own."""
        owner = _known(self._guard.alias(request.path_params["alias"]))
        if owner != caller(request) and not caller(request).admin:
            raise HTTPException(403, "The token belongs to another user.")
        self._guard.invalidate(request.path_params["alias"])
        return JSONResponse({"result": "OK"})


def _known(found: T | None) -> T:
    if found is None:
        raise HTTPException(404, "Unknown alias or user.")
    return found
