"""HTTP to XNAT: credentials, errors by status, multipart bodies. What XNAT does is cited from NrgXnat/xnat."""

import secrets
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Literal, TypeVar

import httpx
from pydantic import Field

from kspace.errors import ConfigError, DestinationError
from kspace.outward import trust, way_out
from kspace.secret import Secret
from kspace.secretpair import Pair, SecretPair
from transfer.destinations import Body
from transfer.destinations.errors import DestinationDown, Forbidden, Full, Missing, Refused, TooLarge, Unauthorized
from transfer.destinations.reach import Reach, pace_of

T = TypeVar("T")

_CONTENT = {".bin": "application/octet-stream", ".zip": "application/zip"}
_WRITES = frozenset({"PUT", "POST", "DELETE"})
_READ_TRIES = 3
_EVENT_REASON = "k-space relay"
"""Sites that require a change justification answer 500 without one (PersistentWorkflowUtils)."""


_NOT_NOW = frozenset({408, 429, 502, 503, 504})
"""Words of a proxy or a busy server: what was asked may still be done behind it, so nothing is assumed."""
_EXPLAINED: dict[int, tuple[type[DestinationError], str]] = {
    401: (Unauthorized, "refuses the credentials of {user} (401). {waits} Put the right password in its file."),
    403: (Forbidden, "does not let {user} do this (403). {project} Give it the member role there."),
    404: (Missing, "has no such project, session or scan, or hides it from {user} (404). {safe} Open it, then retry."),
    413: (TooLarge, "or a proxy before it refuses bodies of this size (413). {safe} Raise its limit, then retry."),
    507: (Full, "has no room left (507). {waits} Make room there."),
}
_SAFE = "The data are safe in the spool."
_WAITS = "Everything for it waits, nothing is lost, and the relay tries again by itself."
_PROJECT = "What goes to this project waits in the spool, and the relay tries again by itself."


class XnatSettings(Reach):
    """How to reach an XNAT and how to treat it."""

    kind: Literal["xnat"] = "xnat"
    url: str = Field(pattern=r"^https?://[^\s?#@]+$")
    user: str
    alias: Secret | None = None
    """The name of an alias token of the user's, whose secret is the password then (AliasTokenRestlet)."""
    password: Secret
    resource: str = Field(default="KSPACE", pattern=r"^[A-Za-z0-9_-]+$")
    part_bytes: int = Field(default=256_000_000, ge=65_536, le=4_000_000_000)
    auto_archive: bool = True
    timeout_s: float = Field(default=300.0, gt=0)

    @property
    def token(self) -> SecretPair | None:
        """Alias and secret of the alias token, if it signs in with one."""
        return None if self.alias is None else SecretPair(self.alias, self.password)

    @property
    def file_bytes(self) -> int:
        """The largest file: a part is a file here."""
        return self.part_bytes


class _SignIn(httpx.Auth):
    """Basic authentication (RFC 7617) whose password is read anew for each request: putting it right is enough."""

    def __init__(self, settings: XnatSettings) -> None:
        settings.password.reveal()
        self._settings, self._token = settings, settings.token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        given = self._settings
        try:
            user, password = self._token.reveal() if self._token else (given.user, given.password.reveal())
        except ConfigError as error:
            raise Unauthorized(f"Destination {given.name} cannot be signed in to. {_WAITS} {error}") from error
        yield from httpx.BasicAuth(user, password).auth_flow(request)


def _http(settings: XnatSettings, sign_in: httpx.Auth) -> httpx.Client:
    return httpx.Client(
        base_url=settings.url.rstrip("/"),
        auth=sign_in,
        # A browser-like User-Agent would be asked for CSRF tokens (SecureAction#isCsrfTokenOk).
        headers={"User-Agent": f"kspace-relay/{version('kspace-relay')}", "Accept": "*/*"},
        timeout=httpx.Timeout(settings.timeout_s, connect=20.0),
        verify=trust(settings),
        proxy=way_out(settings),
        trust_env=False,
        follow_redirects=False,
    )


class XnatClient:
    """One signed-in client, as the relay's account or as somebody else; safe to share between threads."""

    def __init__(self, settings: XnatSettings, *, sign_in: httpx.Auth | None = None) -> None:
        self._settings = settings
        self._http = _http(settings, sign_in or _SignIn(settings))
        self.pace = pace_of(settings)

    def request(  # noqa: PLR0913 -- the parts of a request
        self,
        method: str,
        path: str,
        *,
        accept: tuple[int, ...] = (200,),
        content: Any = None,  # noqa: ANN401 -- whatever httpx takes
        headers: dict[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Return the answer if its status is one of ``accept``; every other status is an error of its class.

        What only reads is asked again at once when the line breaks, so that a proof of many parts gets to its end.
        """
        is_write = method in _WRITES
        query = {**(params or {}), **({"event_reason": _EVENT_REASON} if is_write else {})}

        def ask() -> httpx.Response:
            return self._accepted(
                self._http.request(method, path, params=query, content=content, headers=headers), accept
            )

        return self._steadily(ask, tries=1 if is_write else _READ_TRIES)

    def rows(self, path: str, params: Mapping[str, str] | None = None) -> list[dict[str, str]]:
        """Return the rows of a listing; every value is a string (JSONTableRepresentation)."""
        answer = self.request("GET", path, params={**(params or {}), "format": "json"})
        try:
            rows: list[dict[str, str]] = answer.json()["ResultSet"]["Result"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._down("an answer that is no listing") from error
        return rows

    def send(  # noqa: PLR0913 -- the parts of a request
        self,
        method: str,
        path: str,
        body: Body,
        *,
        fields: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200,),
    ) -> httpx.Response:
        """Send form fields and one file as multipart/form-data.

        XNAT spools such a body before it touches the archive, so a broken link leaves no partial file there
        (SecureResource#getFileWritersAndLoadParams).
        """
        boundary = secrets.token_hex(16)
        opening = f'--{boundary}\r\nContent-Disposition: form-data; name="'
        head = "".join(f'{opening}{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
        head += f'{opening}file"; filename="upload{body.suffix}"\r\nContent-Type: {_CONTENT[body.suffix]}\r\n\r\n'
        before, after = head.encode(), f"\r\n--{boundary}--\r\n".encode()

        def framed() -> Iterator[bytes]:
            yield before
            yield from self.pace.paced(body.blocks())
            yield after

        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(before) + body.size + len(after)),
        }
        return self.request(method, path, accept=accept, content=framed(), headers=headers, params=params)

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """Read one file block by block."""
        try:
            with self._opened(path) as blocks:
                yield blocks
        except httpx.HTTPError as error:
            raise self._down(type(error).__name__) from error

    def sha256(self, path: str) -> str:
        """Read one file and return its digest; from its start again, at once, when the line breaks."""

        def read() -> str:
            digest = sha256()
            with self._opened(path) as blocks:
                for block in blocks:
                    digest.update(block)
            return digest.hexdigest()

        return self._steadily(read, tries=_READ_TRIES)

    def check(self) -> str:
        """Return one line about the server after signing in."""
        self._demand_own(self.request("GET", "/data/auth"))
        return f"signed in to XNAT {self.version()} as {self._settings.user}"

    def demand(self, pair: Pair) -> None:
        """See that the archive takes other credentials of the same account, in a session of their own.

        Raises:
            Unauthorized: it does not.
            DestinationError: it cannot be asked.
        """
        with _http(self._settings, httpx.BasicAuth(*pair)) as alone:
            answer = self._steadily(lambda: alone.get("/data/auth"), tries=_READ_TRIES)
        self._demand_own(self._accepted(answer, (200,)))

    def _demand_own(self, answer: httpx.Response) -> None:
        if self._settings.user not in answer.text:
            raise Unauthorized(f"{self._name} answers as somebody else than {self._settings.user!r}; see its log-in.")

    def version(self) -> str:
        """Return the version the server tells of itself (SiteConfigApi)."""
        try:
            return str(self.request("GET", "/xapi/siteConfig/buildInfo").json()["version"])
        except (ValueError, KeyError, TypeError):
            return "of unknown version"

    def server_date(self) -> str | None:
        """Return the server's own time as its Date header says it (RFC 9110, section 6.6.1)."""
        said: str | None = self.request("GET", "/data/auth").headers.get("date")
        return said

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @contextmanager
    def _opened(self, path: str) -> Iterator[Iterator[bytes]]:
        with self._http.stream("GET", path) as answer:
            if answer.status_code != httpx.codes.OK:
                answer.read()
            self._accepted(answer, (200,))
            yield answer.iter_raw(1 << 18)

    def _steadily(self, work: Callable[[], T], *, tries: int) -> T:
        """Do what may be done again when the line breaks; whoever let one try time out is not asked again now."""
        for left in reversed(range(tries)):
            try:
                return work()
            except httpx.HTTPError as error:
                if not left or isinstance(error, httpx.TimeoutException):
                    raise self._down(type(error).__name__) from error
        raise AssertionError("the last try returns or raises")

    @property
    def _name(self) -> str:
        return f"Destination {self._settings.name}"

    def _accepted(self, answer: httpx.Response, accept: tuple[int, ...]) -> httpx.Response:
        if answer.status_code in accept:
            # A log-in page after an expired session, or a proxy's own page, comes with 200 as well. XNAT itself names
            # lists of duplicates text/html (FileList#handlePut), so of what was read only the text tells.
            is_read = answer.is_stream_consumed and answer.request.method != "HEAD"
            says_page = answer.headers.get("content-type", "").startswith("text/html")
            if answer.is_success and (b"<html" in answer.content[:200].lower() if is_read else says_page):
                raise self._down("a page for people instead of data")
            return answer
        raise self._error(answer)

    def _error(self, answer: httpx.Response) -> DestinationError:
        status = answer.status_code
        if (how := self._not_now(status)) is not None:
            return self._down(how)
        if status in _EXPLAINED:
            kind, what = _EXPLAINED[status]
            return kind(
                f"{self._name} {what.format(user=self._settings.user, safe=_SAFE, waits=_WAITS, project=_PROJECT)}"
            )
        # What the server says may name somebody, so only the status is told on.
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return DestinationError(f"{self._name} failed (status {status}); the relay looks and tries again.")
        return Refused(f"{self._name} refused (status {status}). {_SAFE} See its log, then retry.")

    def _not_now(self, status: int) -> str | None:
        """Return what speaks for asking again later, where a status says nothing about what was asked."""
        if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            return "the proxy wants other credentials, status 407"
        if httpx.codes.is_redirect(status):
            return f"status {status}, another address: its log-in page, or the url is wrong"
        if status == httpx.codes.NOT_FOUND and not self._is_xnat():
            return "status 404 for everything: XNAT has not started there, or the url is wrong"
        return f"status {status}" if status in _NOT_NOW else None

    def _is_xnat(self) -> bool:
        """Return whether an XNAT answers: only then "not found" is its word about a session or a file.

        What asks nobody to sign in is its build (SiteConfigApi); a container whose application has not started, and a
        proxy that knows no such host, say 404 to that as well.
        """
        try:
            return "version" in self._http.get("/xapi/siteConfig/buildInfo").raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            return False

    def _down(self, how: str) -> DestinationDown:
        return DestinationDown(f"{self._name} does not answer as it should ({how}). {_WAITS}")
