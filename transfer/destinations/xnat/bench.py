"""The bench a probe works on: a scratch session with one resource of its own, and plain ways to write and look."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from transfer.destinations import Body
from transfer.destinations.errors import DestinationDown, TooLarge
from transfer.destinations.xnat.client import XnatClient

LABEL = "KSPACE-PROBE"
"""Of the scratch subject and session: the same each time, so that little stays where nothing may be deleted."""
ANY_STATUS = tuple({*range(200, 600)} - {401, 413, 502, 503, 504})
"""What a question may come back with; what is left out are answers about the line and not about XNAT."""
_ROUND_TRIPS = 10
"""How long is waited for the other side to notice something, in answers to a small question."""
_OCTETS = {"Content-Type": "application/octet-stream"}


class Bench:
    """Where the questions of one probe are asked."""

    def __init__(self, client: XnatClient, project: str) -> None:
        self.client = client
        self.project = project
        self.left: list[str] = []
        self._never = threading.Event()
        self._session = f"/data/projects/{project}/subjects/{LABEL}/experiments/{LABEL}"
        made = client.request("PUT", self._session, accept=(200, 201), params={"xsiType": "xnat:mrSessionData"})
        self.experiment = f"/data/experiments/{made.text.strip()}"
        self.resource = f"{self.experiment}/resources/PROBE-{secrets.token_hex(4)}"
        begun_at = time.monotonic()
        client.version()
        self._pause_s = min(max(_ROUND_TRIPS * (time.monotonic() - begun_at), 0.1), 2.0)

    def ask(self, method: str, path: str, **how: object) -> httpx.Response:
        """Return whatever XNAT answers."""
        return self.client.request(method, path, accept=ANY_STATUS, **how)  # type: ignore[arg-type]

    def file(self, name: str) -> str:
        """Return the address of a file in the bench's resource."""
        return f"{self.resource}/files/{name}"

    def form(self, name: str, data: bytes, *, overwrite: bool = True) -> httpx.Response:
        """Upload as multipart/form-data, as the relay does."""
        body = Body(size=len(data), md5="", sha256="", blocks=lambda: iter((data,)))
        params = {"overwrite": "true"} if overwrite else {}
        return self.client.send("PUT", self.file(name), body, fields={}, params=params)

    def raw(self, name: str, content: object, *, size: int | None, **headers: str) -> httpx.Response:
        """Upload in the request's body; without a size in chunks."""
        told = {} if size is None else {"Content-Length": str(size)}
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        params = {"overwrite": "true", "inbody": "true"}
        return self.ask("PUT", self.file(name), content=content, headers=_OCTETS | told | named, params=params)

    def cut(self, name: str, data: bytes, *, overwrite: bool) -> None:
        """Begin an upload in the body and break the line half-way."""

        def half() -> Iterator[bytes]:
            yield data[: len(data) // 2]
            self.pause()
            raise _Cut

        params = {"inbody": "true"} | ({"overwrite": "true"} if overwrite else {})
        headers = _OCTETS | {"Content-Length": str(len(data))}
        try:
            self.ask("PUT", self.file(name), content=half(), headers=headers, params=params)
        except (_Cut, DestinationDown):
            self.pause()

    def row(self, name: str) -> dict[str, str] | None:
        """Return a file's row in the resource's list."""
        rows = self.client.rows(f"{self.resource}/files")
        return next((row for row in rows if row["URI"].partition("/files/")[2] == name), None)

    def length(self, name: str) -> int:
        """Return what HEAD says of a file's length; -1 where it says nothing."""
        return int(self.ask("HEAD", self.file(name)).headers.get("content-length", -1))

    def imported(self, zipped: bytes, *, handler: str) -> httpx.Response:
        """Hand a zip to the import service, to wait in the prearchive."""
        params = {"import-handler": handler, "project": self.project, "subject": LABEL, "session": LABEL}
        params |= {"prevent_auto_commit": "true", "overwrite": "append", "overwrite_files": "true"}
        headers = {"Content-Type": "application/zip"}
        return self.ask("POST", "/data/services/import", content=zipped, headers=headers, params=params)

    def refresh(self) -> int:
        """Ask XNAT to take the digests of the bench's resource anew and return the status."""
        options = {"resource": self.resource.replace("/data/", "/archive/", 1), "options": "checksum"}
        return self.ask("POST", "/data/services/refresh/catalog", params=options).status_code

    def takes(self, body: Body) -> bool:
        """Return whether a body of this size gets through; a line that breaks twice at it counts as a refusal."""
        for _ in range(2):
            try:
                self.client.send("PUT", self.file("size.bin"), body, fields={}, params={"overwrite": "true"})
            except TooLarge:
                return False
            except DestinationDown:
                continue
            return True
        return False

    def pause(self) -> None:
        """Wait until the other side has surely noticed."""
        self._never.wait(self._pause_s)

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Remove what may be removed at the end, and note what stays."""
        try:
            yield
        finally:
            for path in (self._session, f"/data/projects/{self.project}/subjects/{LABEL}"):
                if self.ask("DELETE", path, params={"removeFiles": "true"}).is_success:
                    continue
                self.left.append(f"session {LABEL} in project {self.project}, with the resource {self._label}")
                break

    @property
    def _label(self) -> str:
        return self.resource.rpartition("/")[2]


class _Cut(Exception):
    """The line is broken here."""
