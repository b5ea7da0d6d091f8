"""A proxy that passes HTTP on as it is, notes it, and meddles with the requests that a test picks."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

LOSE, CUT, LOSE_ANSWER = "lose the request", "cut it half-way", "pass it on and lose the answer"
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]

    def is_part(self) -> bool:
        """Return whether it carries a part of an upload."""
        return self.method == "PUT" and "partNumber=" in self.path

    def ends_upload(self) -> bool:
        """Return whether it completes an upload."""
        return self.method == "POST" and "uploadId=" in self.path


@dataclass
class Meddler:
    """What was seen, and what is done: ``meddle`` returns one of the words above, a whole answer, or None."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    meddle: Callable[[Seen], str | tuple[int, dict[str, str], bytes] | None] = lambda _: None

    def count(self, which: Callable[[Seen], bool]) -> int:
        """Return how many such requests came."""
        return sum(map(which, self.seen))


@contextmanager
def meddling(target: str) -> Iterator[Meddler]:
    """Run a proxy before a server."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    meddler = Meddler(f"http://127.0.0.1:{server.server_address[1]}")
    server.meddler, server.target = meddler, urlsplit(target).netloc
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield meddler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: on both sides lines are broken on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        meddler = self.server.meddler
        seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        meddler.seen.append(seen)
        what = meddler.meddle(seen)
        size = int(self.headers.get("content-length", 0))
        if what in (LOSE, CUT):
            self.rfile.read(size // 2 if what == CUT else 0)
            return self._hang_up()
        body = self.rfile.read(size)
        if isinstance(what, tuple):
            return self._answer(what[0], what[1], what[2])
        link = http.client.HTTPConnection(self.server.target, timeout=60)
        link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in {"expect", "connection"}:
                link.putheader(name, value)
        link.endheaders(body)
        answer = link.getresponse()
        try:
            data = answer.read()
        except http.client.IncompleteRead as error:  # passed on as it is: too short for what its head says
            data, self.close_connection = error.partial, True
        link.close()
        if what == LOSE_ANSWER:
            return self._hang_up()
        kept = {"connection", "transfer-encoding"}
        return self._answer(answer.status, {k: v for k, v in answer.getheaders() if k.lower() not in kept}, data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 -- the base class looks them up so

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name in headers} and self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
