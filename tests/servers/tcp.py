"""A proxy for any protocol over TCP that cuts, stalls or slows down what the server says; FTP's data lines included."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.campaign.line import abort

_PASSIVE = re.compile(rb"(227 [^(]*\(\d+,\d+,\d+,\d+,)(\d+),(\d+)\)")
_BLOCK = 1 << 16


@dataclass
class Wire:
    """What passed from the server to the client, and what is done to it."""

    port: int = 0
    passed: int = 0
    cut_at: int | None = None
    """Every connection is reset once so many bytes came in all."""
    open: set[socket.socket] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def cut(self) -> None:
        """Reset every connection."""
        with self.lock:
            found, self.open = self.open, set()
        for one in found:
            try:
                abort(one)
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it went by itself

    def count(self, block: bytes) -> bool:
        """Return whether a block may pass."""
        with self.lock:
            self.passed += len(block)
            is_cut = self.cut_at is not None and self.passed >= self.cut_at
            if is_cut:
                self.cut_at = None
        if is_cut:
            self.cut()
        return not is_cut


@contextmanager
def wired(port: int) -> Iterator[Wire]:
    """Run a proxy before a server of this machine."""
    wire = Wire()
    listener = _listen(wire, port, is_lasting=True)
    wire.port = listener.getsockname()[1]
    try:
        yield wire
    finally:
        wire.stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        wire.cut()


def _listen(wire: Wire, port: int, *, is_lasting: bool) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)

    def serve() -> None:
        while not wire.stop.is_set():
            try:
                front, _ = listener.accept()
            except OSError:
                return
            back = socket.create_connection(("127.0.0.1", port), timeout=30)
            back.settimeout(None)
            for end in (front, back):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with wire.lock:
                wire.open |= {front, back}
            for args in ((front, back, False), (back, front, True)):
                threading.Thread(target=_carry, args=(wire, *args), daemon=True).start()
            if not is_lasting:
                listener.close()
                return

    threading.Thread(target=serve, daemon=True).start()
    return listener


def _carry(wire: Wire, one: socket.socket, other: socket.socket, is_answer: bool) -> None:
    try:
        while block := one.recv(_BLOCK):
            if is_answer and (found := _PASSIVE.search(block)):
                data = _listen(wire, int(found[2]) * 256 + int(found[3]), is_lasting=False).getsockname()[1]
                block = block.replace(found[0], found[1] + b"%d,%d)" % divmod(data, 256))
            if is_answer and not wire.count(block):
                return
            other.sendall(block)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the other side has gone
