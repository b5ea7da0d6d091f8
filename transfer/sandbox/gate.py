"""The gate every request passes: log-in, cookies, and the answers XNAT's security filters give."""

import base64
import binascii
import re
from http.cookies import SimpleCookie

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transfer.sandbox.guard import Guard, Login
from transfer.sandbox.settings import SandboxSettings
from transfer.sandbox.tables import status_page

OPEN = re.compile(r"/$|/app/template/Login\.vm$|/data/services/auth$|/xapi/siteConfig/buildInfo|/sandbox/")
BROWSER = re.compile(r"MSIE|Mozilla|AppleWebKit|Opera")
SWALLOWED_BYTES = 2 * 1024 * 1024
"""Tomcat's maxSwallowSize: what it still reads of a body that nobody wanted before it cuts the connection."""


class Gate:
    """Finds the caller and puts the session into ``scope["login"]`` (None where an open URL needs none).

    Source: XnatBasicAuthenticationFilter, XnatAuthenticationEntryPoint, XnatExpiredPasswordFilter (the cookie),
    XnatInitCheckFilter, SecureAction#isCsrfTokenOk.
    """

    def __init__(self, app: ASGIApp, *, guard: Guard, settings: SandboxSettings) -> None:
        self._app, self._guard, self._settings = app, guard, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through or answer it here."""
        if scope["path"].startswith("/REST/"):
            scope["path"] = scope["path"].replace("/REST/", "/data/", 1)
        request = Request(scope)
        fresh = None
        try:
            login = self._guard.resume(_cookie(request))
            if login is None and (basic := _basic(request)):
                login = fresh = self._guard.open(self._guard.check(*basic))
            elif basic := _basic(request):
                self._guard.check(*basic)
            self._refuse_early(login)
            _refuse_forged(request, login)
        except HTTPException as refused:
            await self._refuse(request, refused)(scope, receive, send)
            return
        if login is None and not OPEN.match(request.url.path):
            await self._unknown(request)(scope, receive, send)
            return
        scope["login"] = login
        await self._app(scope, receive, self._with_cookies(send, login, fresh=fresh))

    def _with_cookies(self, send: Send, login: Login | None, *, fresh: Login | None) -> Send:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start" and login:
                headers = MutableHeaders(scope=message)
                if fresh:
                    headers.append("set-cookie", f"JSESSIONID={fresh.id}; Path=/; HttpOnly")
                now_ms, timeout_ms = int(self._guard.now() * 1000), int(self._settings.session_timeout_s * 1000)
                headers.append("set-cookie", f'SESSION_EXPIRATION_TIME="{now_ms},{timeout_ms}"; Path=/')
            await send(message)

        return send_more

    def _refuse_early(self, login: Login | None) -> None:
        """Refuse (403) an expired password, and everybody on a site that is not set up."""
        if login and login.user.is_expired:
            raise HTTPException(403, "Your password has expired. Please update it by logging into the web interface.")
        if login and not self._settings.is_initialized:
            raise HTTPException(403, "The site has not been initialized.")

    def _refuse(self, request: Request, refused: HTTPException) -> Response:
        page = status_page(refused.status_code, refused.detail)
        if refused.status_code == 401 and not BROWSER.search(request.headers.get("user-agent", "")):
            page.headers["www-authenticate"] = f'Basic realm="{self._settings.site_id}"'
        return page

    def _unknown(self, request: Request) -> Response:
        if request.headers.get("x-requested-with") == "XMLHttpRequest":
            return Response(status_code=401)
        if BROWSER.search(request.headers.get("user-agent", "")):
            return RedirectResponse("/app/template/Login.vm", status_code=302)
        return self._refuse(request, HTTPException(401, "Full authentication is required to access this resource"))


class Swallow:
    """Cuts the connection after an answer given while more than 2 MiB of the body were still unread.

    So a refusal of a large upload can reach the client as a reset (Tomcat, maxSwallowSize).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is read, look at what is left."""
        length = int(Request(scope).headers.get("content-length", "0") or 0)
        unread = length

        async def counted() -> Message:
            nonlocal unread
            message = await receive()
            unread -= len(message.get("body", b""))
            return message

        await self._app(scope, counted, send)
        if unread > SWALLOWED_BYTES:
            scope["reset"]()


def _cookie(request: Request) -> str | None:
    jar = SimpleCookie(request.headers.get("cookie", ""))
    return jar["JSESSIONID"].value if "JSESSIONID" in jar else None


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise HTTPException(401, "Login attempt failed. Please try again.") from error
    return name, password


def _refuse_forged(request: Request, login: Login | None) -> None:
    writes = request.method in {"PUT", "POST", "DELETE"} and not OPEN.match(request.url.path)
    is_browser = BROWSER.search(request.headers.get("user-agent", ""))
    if login and writes and is_browser and request.query_params.get("XNAT_CSRF") != login.csrf:
        raise HTTPException(403, "Invalid CSRF token.")
