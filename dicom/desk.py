"""The one place where a listener's associations, in whatever process they are, have their calls answered."""

import selectors
import socket
import threading
from collections.abc import Callable, Sequence

import structlog

from dicom.calls import Pipe
from dicom.inbox import Inbox, Received
from kspace.errors import BadInput, KspaceError

_log = structlog.get_logger()

_END_S = 5.0


class _Call:
    """One connection's end at the desk."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.is_seated = False


class Desk:
    """Counts connections and associations, and answers their calls in one thread.

    What several associations bring at the same time is accepted together, for one commit of the catalog.
    """

    def __init__(self, inbox: Inbox, *, seats: int, lobby: int) -> None:
        self._inbox = inbox
        self._most_seats = seats
        self._most = seats + lobby
        self._seated = 0
        self._selector = selectors.DefaultSelector()
        self._bell, self._rope = socket.socketpair()
        self._answering = threading.Thread(target=self._answer, name="dicom desk", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._answering.start()

    def is_alive(self) -> bool:
        """Return whether calls are answered."""
        return self._answering.is_alive()

    def stop(self) -> None:
        """Answer nothing more."""
        self._rope.close()
        self._answering.join(_END_S)

    def admit(self) -> Pipe | None:
        """Return a new connection's own end of its pipe, None where too many are open."""
        if len(self._selector.get_map()) > self._most:
            return None
        here, there = socket.socketpair()
        self._selector.register(here, selectors.EVENT_READ, _Call(Pipe(here)))
        return Pipe(there)

    def _answer(self) -> None:
        while True:
            brought: list[tuple[_Call, Received]] = []
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                self._listen(key.data, brought)
            if brought:
                outcomes = _outcome(self._inbox.accept, [[received for _, received in brought]])
                self._tell(brought, outcomes)

    def _listen(self, call: _Call, brought: list[tuple[_Call, Received]]) -> None:
        try:
            name, given = call.pipe.receive()
            if name == "accept":
                brought.append((call, *given))
                return
            function = getattr(self._inbox, name) if name != "take_seat" else lambda: self._take_seat(call)
            call.pipe.send(_outcome(function, given))
        except OSError:
            self._leave(call)

    def _tell(self, brought: Sequence[tuple[_Call, Received]], outcomes: object) -> None:
        each = outcomes if isinstance(outcomes, list) else [outcomes] * len(brought)
        for (call, _), outcome in zip(brought, each, strict=True):
            try:
                call.pipe.send(_plain(outcome) if isinstance(outcome, KspaceError) else outcome)
            except OSError:  # it is durable, and its sender will send it again
                self._leave(call)

    def _take_seat(self, call: _Call) -> bool:
        if self._seated >= self._most_seats:
            return False
        self._seated += 1
        call.is_seated = True
        return True

    def _leave(self, call: _Call) -> None:
        self._selector.unregister(call.pipe)
        self._seated -= call.is_seated
        with call.pipe:
            pass


def _outcome(function: Callable[..., object], given: Sequence[object]) -> object:
    """Return what a call returns, or raises, as an error that every process knows."""
    try:
        return function(*given)
    except KspaceError as error:
        return _plain(error)
    except Exception as error:  # noqa: BLE001 -- a mistake of ours refuses one image, and ends no association
        _log.error("inbox.failed", error=type(error).__name__)  # without its text, which may quote values
        return RuntimeError("The relay failed.")


def _plain(error: KspaceError) -> KspaceError:
    return BadInput(str(error)) if isinstance(error, BadInput) else KspaceError(str(error))
