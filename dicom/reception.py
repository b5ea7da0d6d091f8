"""What one process does with the connections it is given: TLS, who may call, and an association's services."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

import structlog

from dicom.association import Association
from dicom.calls import InboxCalls, Pipe
from dicom.inbox import Caller
from dicom.incoming import Intake
from dicom.negotiation import AssociateRequest
from dicom.pdus import BrokenProtocol
from dicom.services import Services, answers_to
from dicom.settings import ListenerSettings
from dicom.shelf import Shelf
from kspace.errors import KspaceError

_log = structlog.get_logger()

_GREETING_S = 30.0
"""So long a new connection may take for TLS and its request (the ARTIM timer of PS3.8 9.1.5)."""
_END_S = 5.0

_NOT_UNDERSTOOD, _NOT_HERE, _NOT_CALLED, _NOT_CALLING = (1, 2, 2), (1, 1, 1), (1, 1, 7), (1, 1, 3)
_TOO_MANY = (2, 3, 2)
"""Result, source and reason of a rejection (PS3.8 Table 9-21)."""
_SAID = {
    _NOT_UNDERSTOOD: "it asked for what is no DICOM application",
    _NOT_HERE: "its address is none of allowed_ip",
    _NOT_CALLED: "it called by another AE title than ae_title",
    _NOT_CALLING: "its AE title is none of allowed_ae",
    _TOO_MANY: "max_associations were open",
}


class Reception:
    """Serves connections, each in a thread of its own that calls ``at_end`` after it.

    Raises:
        ConfigError: a certificate or key cannot be used.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        folder: Path,
        shelf: Path,
        is_open: Callable[[], bool],
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._at_end = at_end
        self._shelf = Shelf(shelf)
        self._intake = Intake(folder, is_open=is_open)
        self._networks = [ip_network(text, strict=False) for text in settings.allowed_ip]
        self._tls = settings.server_tls()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._changed = threading.Lock()

    def start(self) -> None:
        """Do nothing: threads begin with their connections."""

    def is_alive(self) -> bool:
        """Return True: nothing need be looked after."""
        return True

    def begin(self, connection: socket.socket, pipe: Pipe, peer: str) -> None:
        """Serve a connection in a thread of its own; at the end both connection and pipe are closed."""
        thread = threading.Thread(target=self._serve, args=(connection, pipe, peer), daemon=True)
        with self._changed:
            thread.start()
            self._open[thread] = connection

    def stop(self, *, grace_s: float) -> bool:
        """Let stores under way end for so long, then hang up; return whether all had ended."""
        is_idle = self._intake.wait_idle(grace_s)
        with self._changed:
            left = dict(self._open)
        for connection in left.values():
            with suppress(OSError):  # it may have ended by itself
                connection.shutdown(socket.SHUT_RDWR)
        for thread in left:
            thread.join(_END_S)
        return is_idle

    def _serve(self, connection: socket.socket, pipe: Pipe, peer: str) -> None:
        try:
            with pipe, self._dressed(connection) as dressed:
                dressed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                dressed.settimeout(_GREETING_S)
                if isinstance(dressed, ssl.SSLSocket):
                    dressed.do_handshake()
                self._converse(Association(dressed), peer, InboxCalls(pipe))
        except (KspaceError, OSError) as error:
            _log.warning("association.broken", peer=peer, reason=getattr(error, "code", type(error).__name__))
        finally:
            with self._changed:
                del self._open[threading.current_thread()]
            self._at_end()

    def _dressed(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        dressed = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._changed:
            self._open[threading.current_thread()] = dressed
        return dressed

    def _converse(self, association: Association, peer: str, inbox: InboxCalls) -> None:
        request = association.request(within_s=_GREETING_S)
        caller = Caller(request.calling_ae, request.called_ae, peer)
        refusal = self._refusal(request, peer)
        if refusal is None and not inbox.take_seat():
            refusal = _TOO_MANY
        if refusal is not None:
            _log.warning("association.refused", peer=peer, reason=refusal)
            inbox.turn_away(caller, _SAID[refusal])
            association.refuse(*refusal)
            return
        try:
            association.accept(request, answers_to(request), idle_s=self._settings.idle_s)
            services = Services(association, caller=caller, inbox=inbox, intake=self._intake, shelf=self._shelf)
            services.run(self._settings.idle_s)
        except BrokenProtocol:
            association.abort()
            raise

    def _refusal(self, request: AssociateRequest, peer: str) -> tuple[int, int, int] | None:
        settings = self._settings
        if not request.is_understood:
            return _NOT_UNDERSTOOD
        if not self._may_call(peer):
            return _NOT_HERE
        if not settings.any_called_ae and request.called_ae != settings.ae_title:
            return _NOT_CALLED
        if settings.allowed_ae and request.calling_ae not in settings.allowed_ae:
            return _NOT_CALLING
        return None

    def _may_call(self, address: str) -> bool:
        if not self._networks:
            return True
        peer = ip_address(address.partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._networks)
