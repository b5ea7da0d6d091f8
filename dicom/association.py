"""One association on the accepting side (PS3.8 7 and 9), over a connected socket, in the thread that calls.

pynetdicom's acceptor reads whatever length a PDU claims into memory, waits for the rest of it without limit, makes the
TLS handshake in the thread that accepts, and polls in two threads a connection. Here every wait has an end, and a data
set passes through one buffer.
"""

import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping

from dicom.commands import Command
from dicom.negotiation import AssociateRequest, associate_ac, parse_request
from dicom.pdus import BrokenProtocol, PduType, data_pdus, signal
from kspace.errors import KspaceError

_BUFFER_BYTES = 512 << 10
_MAX_PDU_BYTES = 256 << 10
"""What we ask for. Larger ones are taken too: a fragment is passed on as it comes."""
_MAX_REQUEST_BYTES = 1 << 20
"""128 contexts of 64 transfer syntaxes are a third of it."""
_MAX_COMMAND_BYTES = 64 << 10
_LEAST_BYTES_S = 1000
_WINDOW = 5
"""While a message is under way at least so much must come, on average over so many times the idle time."""
_LINGER_S = 2.0
_LINGER_READS = 64


class AssociationEnded(KspaceError):
    """The peer ended it: aborted, hung up, or was silent for too long."""

    code = "association_ended"


class Association:
    """PDUs in and out. Every wait for the peer ends with the socket's timeout, as `AssociationEnded`."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._begin = self._end = 0
        self._left_in_pdu = 0
        self._peer_takes = 0
        self._until: float | None = None
        self._window_s = 0.0
        self._since = 0.0
        """When the message under way, or the time looked at of it, began; 0: none is."""
        self._came = 0
        self.syntaxes: Mapping[int, str] = {}
        """The transfer syntax of each accepted context."""

    def request(self, *, within_s: float) -> AssociateRequest:
        """Return what the peer asks for; the whole of it must be here in time, however it trickles in.

        Raises:
            AssociationEnded: it hung up, or took too long.
            BrokenProtocol: it asks for nothing that can be understood.
        """
        self._until = time.monotonic() + within_s
        kind, length = self._header()
        if kind != PduType.ASSOCIATE_RQ or length > _MAX_REQUEST_BYTES:
            raise BrokenProtocol("A connection began with something else than a request for an association.")
        return parse_request(b"".join(map(bytes, self._stream(length))))

    def accept(self, request: AssociateRequest, answers: Mapping[int, str | int], *, idle_s: float) -> None:
        """Accept it, with a transfer syntax or the reason against it (PS3.8 Table 9-18) for each context.

        From now on the peer may be silent for ``idle_s`` seconds; within a message it must also get on.
        """
        self._until = None
        self._socket.settimeout(idle_s)
        self._window_s = _WINDOW * idle_s
        self.syntaxes = {number: answer for number, answer in answers.items() if isinstance(answer, str)}
        self._peer_takes = request.max_pdu_bytes
        self._send(associate_ac(request, answers, max_pdu_bytes=_MAX_PDU_BYTES))

    def refuse(self, result: int, source: int, reason: int) -> None:
        """Reject the request (PS3.8 9.3.4) and hang up."""
        self._bid_farewell(signal(PduType.ASSOCIATE_RJ, result=result, source=source, reason=reason))

    def abort(self) -> None:
        """Tell the peer that nothing goes on (PS3.8 9.3.8: by the provider, no reason) and hang up."""
        self._bid_farewell(signal(PduType.ABORT, source=2))

    def is_silent(self, for_s: float) -> bool:
        """Return whether nothing at all came from the peer for so long."""
        if self._begin < self._end or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            return False
        return not select.select([self._socket], [], [], for_s)[0]

    def command(self) -> tuple[int, Command] | None:
        """Return the next command and its context, None where the peer releases the association.

        Raises:
            AssociationEnded: the peer aborted, hung up, or was silent for too long.
            BrokenProtocol: what came is no command.
        """
        content, first = bytearray(), None
        self._since = 0.0
        while True:
            fragment = self._fragment(is_release_fine=first is None)
            if fragment is None:
                self._bid_farewell(signal(PduType.RELEASE_RP))
                return None
            context_id, control, length = fragment
            if first is None:
                first, self._since, self._came = context_id, time.monotonic(), 0
            is_sane = control & 1 and context_id == first and context_id in self.syntaxes
            if not is_sane or len(content) + length > _MAX_COMMAND_BYTES:
                raise BrokenProtocol("A command was expected in an accepted context, and something else came.")
            for piece in self._stream(length):
                content += piece
            if control & 2:
                return context_id, Command.parse(bytes(content))

    def data_set(self, context_id: int) -> Iterator[memoryview]:
        """Yield the data set of the command just read, piece by piece; a piece is gone when the next is asked for.

        Raises:
            AssociationEnded: the peer aborted, hung up, or was silent for too long.
            BrokenProtocol: what came is no data set.
        """
        control = 0
        while not control & 2:
            fragment = self._fragment(is_release_fine=False)
            if fragment is None or fragment[0] != context_id or fragment[1] & 1:
                raise BrokenProtocol("A data set was expected, and something else came.")
            _, control, length = fragment
            yield from self._stream(length)

    def send(self, context_id: int, command: bytes, data_set: bytes | None = None) -> None:
        """Send a command, and its data set if it has one."""
        pdus = list(data_pdus(context_id, command, is_command=True, max_pdu_bytes=self._peer_takes))
        if data_set is not None:
            pdus += data_pdus(context_id, data_set, is_command=False, max_pdu_bytes=self._peer_takes)
        self._send(b"".join(pdus))

    def _fragment(self, *, is_release_fine: bool) -> tuple[int, int, int] | None:
        """Return context, control byte and length of the next fragment (PS3.8 9.3.5.1), None for a release."""
        while not self._left_in_pdu:
            kind, self._left_in_pdu = self._header()
            if kind == PduType.ABORT:
                raise AssociationEnded("The peer aborted the association.")
            if kind == PduType.RELEASE_RQ and is_release_fine:
                return None
            if kind != PduType.DATA or self._left_in_pdu < 6:
                raise BrokenProtocol("Data were expected, and something else came.")
        if self._left_in_pdu < 6:
            raise BrokenProtocol("A PDU ends in the middle of a fragment's head.")
        length, context_id, control = struct.unpack(">LBB", self._exactly(6))
        self._left_in_pdu -= 4 + length
        if length < 2 or self._left_in_pdu < 0:
            raise BrokenProtocol("A fragment is longer than the PDU that holds it.")
        return context_id, control, length - 2

    def _header(self) -> tuple[int, int]:
        kind, length = struct.unpack(">BxL", self._exactly(6))
        return kind, length

    def _exactly(self, count: int) -> bytes:
        return b"".join(map(bytes, self._stream(count)))

    def _stream(self, count: int) -> Iterator[memoryview]:
        while count:
            if self._begin == self._end:
                self._fill()
            piece = self._buffer[self._begin : min(self._end, self._begin + count)]
            self._begin += len(piece)
            count -= len(piece)
            yield piece

    def _fill(self) -> None:
        try:
            if self._until is not None:
                self._socket.settimeout(max(self._until - time.monotonic(), 0.001))
            self._begin, self._end = 0, self._socket.recv_into(self._buffer)
        except OSError as error:
            raise AssociationEnded("The connection broke, or was silent for too long.") from error
        if not self._end:
            raise AssociationEnded("The peer hung up.")
        self._came += self._end
        passed = time.monotonic() - self._since
        if self._since and passed > self._window_s:
            if self._came < passed * _LEAST_BYTES_S:
                raise AssociationEnded("A message came so slowly that it would keep its seat for ever.")
            self._since, self._came = self._since + passed, 0

    def _send(self, content: bytes) -> None:
        try:
            self._socket.sendall(content)
        except OSError as error:
            raise AssociationEnded("The connection broke before an answer had left.") from error

    def _bid_farewell(self, last: bytes) -> None:
        """Send the last PDU and let the peer hang up, for a while: a reset could overtake what we sent."""
        self._send(last)
        try:
            self._socket.settimeout(_LINGER_S)
            self._socket.shutdown(socket.SHUT_WR)
            for _ in range(_LINGER_READS):
                if not self._socket.recv_into(self._buffer):
                    break
        except OSError:
            return
