"""The Inbox over a pipe: an association asks, in whatever process it is, and the desk beside the catalog answers.

One pipe for each connection, so that its end (also by SIGKILL) is the connection's end at the desk.
"""

import pickle
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from dicom.commitment import Report
from dicom.inbox import Caller, Received, Refused, Status
from kspace.errors import KspaceError

_LENGTH = struct.Struct("<Q")
_AT_ONCE = 64 << 10


class RelayGone(KspaceError):
    """The process that has the catalog does not answer."""

    code = "relay_gone"


class Pipe:
    """Objects to and from the other end; both ends are this program."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._read = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._line.close()

    def fileno(self) -> int:
        """Return the number of the file."""
        return self._line.fileno()

    def send(self, message: object) -> None:
        """Send one object.

        Raises:
            OSError: the other end is closed.
        """
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._line.sendall(_LENGTH.pack(len(content)) + content)

    def receive(self) -> Any:  # noqa: ANN401 -- whatever was sent
        """Return the next object.

        Raises:
            OSError: the other end is closed.
        """
        length = _LENGTH.size
        while len(self._read) < length or len(self._read) < (length := _LENGTH.size + self._length()):
            piece = self._line.recv(_AT_ONCE)
            if not piece:
                raise ConnectionResetError
            self._read += piece
        message = pickle.loads(memoryview(self._read)[_LENGTH.size :])  # noqa: S301 -- from this program
        self._read = bytearray()  # one asks and waits, so that there is never a second one
        return message

    def _length(self) -> int:
        return int(_LENGTH.unpack_from(self._read)[0])


class InboxCalls:
    """The Inbox as one association sees it.

    Raises:
        RelayGone: by every method, once the other end is closed.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def take_seat(self) -> bool:
        """Return whether one more association may be open."""
        return bool(self._call("take_seat"))

    def accept(self, received: Received) -> Status:
        """Return Success once the row is durable too. What the Inbox raises is raised here."""
        return Status(self._call("accept", received))

    def refuse(self, refused: Refused) -> None:
        """Let a refusal be remembered."""
        self._call("refuse", refused)

    def turn_away(self, caller: Caller, why: str) -> None:
        """Let the refusal of an association be noted."""
        self._call("turn_away", caller, why)

    def promise(self, transaction_uid: str, wanted: Sequence[tuple[str, str]], caller: Caller) -> Status:
        """Return what the Inbox answers to a request for storage commitment."""
        return Status(self._call("promise", transaction_uid, wanted, caller))

    def report(self, transaction_uid: str, caller: Caller) -> Report | None:
        """Return what became of a request, where that is to be told here."""
        report: Report | None = self._call("report", transaction_uid, caller)
        return report

    def reported(self, transaction_uid: str, caller: Caller) -> None:
        """Let it be remembered that the caller took the report."""
        self._call("reported", transaction_uid, caller)

    def _call(self, name: str, *given: object) -> Any:  # noqa: ANN401 -- whatever the method returns
        try:
            self._pipe.send((name, given))
            answer = self._pipe.receive()
        except OSError as error:
            raise RelayGone("The relay has ended; nothing was taken. Send it again.") from error
        if isinstance(answer, Exception):
            raise answer
        return answer
