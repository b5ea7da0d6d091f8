"""The line between the relay and the archive: it ends the TLS, counts what crosses it, and breaks as planned."""

import re
import select
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import httpx

from tests.campaign.plan import EVENTS, Fault, Kind

_FILE = re.compile(r"/files/(\d{7})-[^/]+/([^?]+)")
_BLOCK = 16_384
_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Please log in.</body></html>"
_AFTER = {Kind.CUT_AFTER, Kind.RESET_AFTER, Kind.STALL_AFTER}
_PATIENCE_S = 60.0

Harm = Callable[[Fault], Callable[[], None]]
"""Does what strikes everything at once and returns how it is put right."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as they crossed the line; bytes are those of the bodies, times are monotonic."""

    seed: int | None
    name: str
    method: str
    size: int
    sent: int = 0
    got: int = 0
    status: int = 0
    is_whole: bool = False
    ended_at: float = 0.0
    hit_at: float | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing happened to it and it was granted."""
        return self.is_whole and 200 <= self.status < 300


class _Broken(Exception):
    """The connection ends here."""

    def __init__(self, *, with_reset: bool) -> None:
        super().__init__()
        self.with_reset = with_reset


class Line:
    """Listens on ``port`` with ``context`` (which may be replaced), and talks to the server behind without TLS."""

    def __init__(self, context: ssl.SSLContext, *, behind: int, faults: Iterable[Fault], harm: Harm) -> None:
        self.context = context
        self.exchanges: list[Exchange] = []
        self.errors: list[BaseException] = []
        self._behind, self._harm = behind, harm
        self._faults = {fault.seed: fault for fault in faults}
        self._counts: Counter[tuple[int, str]] = Counter()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._open: set[socket.socket] = set()
        self._repairs: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for repair in self._repairs:
            repair.join()

    @property
    def left(self) -> list[Fault]:
        """What was not played yet."""
        return list(self._faults.values())

    def hang_up(self) -> None:
        """Reset every connection."""
        with self._lock:
            found = list(self._open)
        for one in found:
            _shut(one)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        one.settimeout(_PATIENCE_S)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        front = None
        try:
            front = self.context.wrap_socket(one, server_side=True)
            with self._lock:
                self._open.add(front)
            with socket.create_connection(("127.0.0.1", self._behind), timeout=_PATIENCE_S) as back:
                self._carry(_Wire(front), _Wire(back))
        except _Broken as broken:
            if broken.with_reset:
                abort(front)
        except OSError:
            if front is not None:
                abort(front)
        finally:
            with self._lock:
                self._open.discard(front)
            (front or one).close()

    def _carry(self, front: "_Wire", back: "_Wire") -> None:
        while head := front.head():
            method, target, _ = head.split(b" ", 2)
            named = _FILE.search(target.decode())
            exchange = Exchange(
                seed=int(named[1]) if named else None,
                name=named[2] if named else "",
                method=method.decode(),
                size=_length(head) or 0,
            )
            fault = self._due(exchange)
            self.exchanges.append(exchange)
            try:
                self._one(exchange, head, front, back, fault)
            finally:
                exchange.ended_at = time.monotonic()

    def _due(self, exchange: Exchange) -> Fault | None:
        """Return the fault whose turn it is; each is played once."""
        if exchange.seed is None:
            return None
        with self._lock:
            nth = self._counts[exchange.seed, exchange.method]
            self._counts[exchange.seed, exchange.method] += 1
            fault = self._faults.get(exchange.seed)
            if fault is None or (fault.method, fault.nth) != (exchange.method, nth):
                return None
            return self._faults.pop(exchange.seed)

    def _one(self, exchange: Exchange, head: bytes, front: "_Wire", back: "_Wire", fault: Fault | None) -> None:
        act = _Act(self, exchange, fault, head, front)
        is_held = fault is not None and fault.kind in {Kind.PAGE, Kind.TIMED_OUT_EARLY}
        kept, passed = bytearray(), -len(head)
        for block in act.within(_whole(head, front, exchange.size), len(head) + exchange.size, is_answer=False):
            passed += len(block)
            exchange.sent = max(0, passed)
            kept += block if is_held else b""
            if not is_held:
                back.sock.sendall(block)
        if is_held and fault is not None:
            exchange.hit_at = time.monotonic()
            self._answer_instead(fault, bytes(kept), front, exchange)
            return
        answer = back.head()
        if not answer:
            raise _Broken(with_reset=True)
        exchange.status = int(answer.split(b" ", 2)[1])
        length = 0 if exchange.method == "HEAD" else _length(answer) or 0
        if fault is not None and fault.kind is Kind.TIMED_OUT:
            exchange.hit_at, exchange.status = time.monotonic(), 504
            front.sock.sendall(_page(504, b"Gateway Time-out"))
            raise _Broken(with_reset=False)
        passed = -len(answer)
        for block in act.within(_whole(answer, back, length), len(answer) + length, is_answer=True):
            front.sock.sendall(block)
            passed += len(block)
            exchange.got = max(0, passed)
        exchange.is_whole = True

    def _answer_instead(self, fault: Fault, request: bytes, front: "_Wire", exchange: Exchange) -> None:
        """Answer in the archive's place; a proxy that gave up hands the request on all the same, later."""
        is_page = fault.kind is Kind.PAGE
        exchange.status = 200 if is_page else 504
        front.sock.sendall(_page(exchange.status, _PAGE if is_page else b"Gateway Time-out"))
        if not is_page:
            self._later(lambda: self._hand_on(request, fault.seconds))

    def _hand_on(self, request: bytes, after_s: float) -> None:
        self._stop.wait(after_s)
        with socket.create_connection(("127.0.0.1", self._behind), timeout=_PATIENCE_S) as back:
            back.sendall(request)
            _Wire(back).head()

    def strike(self, fault: Fault) -> None:
        """Do harm to everything, and put it right beside whatever goes on."""
        put_right = self._harm(fault)
        self._later(put_right)
        self.hang_up()

    def _later(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except (AssertionError, OSError, httpx.HTTPError) as error:
                self.errors.append(error)

        self._repairs.append(threading.Thread(target=run))
        self._repairs[-1].start()

    def log_out(self, head: bytes) -> None:
        """End the archive's session that a request came with."""
        cookie = re.search(rb"\r\ncookie: *([^\r]+)", head, re.IGNORECASE)
        if cookie is None:
            raise AssertionError("the relay keeps no session")
        url = f"http://127.0.0.1:{self._behind}/data/JSESSION"
        httpx.delete(url, headers={"Cookie": cookie[1].decode()}).raise_for_status()

    def pause(self, seconds: float) -> None:
        """Wait, or until the line is closed."""
        self._stop.wait(seconds)


class _Act:
    """Plays one fault within the bytes of one exchange."""

    def __init__(self, line: Line, exchange: Exchange, fault: Fault | None, head: bytes, front: "_Wire") -> None:
        self._line, self._exchange, self._fault, self._head, self._front = line, exchange, fault, head, front

    def within(self, blocks: Iterable[bytes], size: int, *, is_answer: bool) -> Iterable[bytes]:
        """Pass blocks on, up to the byte where it happens; then it happens, and what is left follows if it may."""
        fault = self._fault
        if fault is None or (fault.kind in _AFTER) is not is_answer:
            yield from blocks
            return
        at, passed, is_struck = int(fault.at * size), 0, False
        for block in blocks:
            if not is_struck and passed + len(block) > at:
                yield block[: at - passed]
                is_struck = True
                self._strike(fault)
                block = block[at - passed :]  # noqa: PLW2901 -- what is left of it
                passed = at
            if is_struck and fault.kind is Kind.TRICKLE:
                for start in range(0, len(block), 2048):
                    self._line.pause(fault.seconds * min(1.0, 2048 / (size - at)))
                    yield block[start : start + 2048]
            else:
                yield block
            passed += len(block)

    def _strike(self, fault: Fault) -> None:
        self._exchange.hit_at = time.monotonic()
        match fault.kind:
            case Kind.CUT | Kind.CUT_AFTER:
                raise _Broken(with_reset=False)
            case Kind.RESET | Kind.RESET_AFTER:
                raise _Broken(with_reset=True)
            case Kind.STALL | Kind.STALL_AFTER:
                waiting = select.poll()
                waiting.register(self._front.sock, select.POLLRDHUP)
                waiting.poll(_PATIENCE_S * 1000)
                raise _Broken(with_reset=False)
            case Kind.DELAY:
                self._line.pause(fault.seconds)
            case kind if kind in EVENTS:
                self._line.strike(fault)
                raise _Broken(with_reset=True)
            case Kind.LOGGED_OUT:
                self._line.log_out(self._head)


class _Wire:
    """A socket read by heads and bodies."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._held = b""

    def head(self) -> bytes:
        """Return a request's or answer's lines up to the empty one; nothing where the other side has gone."""
        while b"\r\n\r\n" not in self._held:
            block = self.sock.recv(_BLOCK)
            if not block:
                return b""
            self._held += block
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def body(self, size: int) -> Iterable[bytes]:
        """Yield so many bytes.

        Raises:
            _Broken: the other side went before.
        """
        while size:
            block = self._held[:size] or self.sock.recv(min(_BLOCK, size))
            self._held = self._held[len(block) :]
            if not block:
                raise _Broken(with_reset=True)
            size -= len(block)
            yield block


def _whole(head: bytes, wire: _Wire, size: int) -> Iterable[bytes]:
    yield head
    yield from wire.body(size)


def _length(head: bytes) -> int | None:
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else None


def _page(status: int, text: bytes) -> bytes:
    return b"HTTP/1.1 %d x\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (status, len(text), text)


def abort(sock: socket.socket) -> None:
    """Let the end of a connection be a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _shut(sock: socket.socket) -> None:
    try:
        abort(sock)
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # it went by itself
