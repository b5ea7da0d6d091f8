"""The DICOM listener: a port, who may call, and a thread for each association (PS3.8; TLS as in PS3.15 Annex B)."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dicom.association import Association
from dicom.inbox import Caller, Inbox
from dicom.incoming import Intake
from dicom.negotiation import AssociateRequest
from dicom.pdus import BrokenProtocol
from dicom.services import Services, answers_to
from kspace.errors import ConfigError, KspaceError
from kspace.paths import AbsolutePath

_log = structlog.get_logger()

_GREETING_S = 30.0
"""So long a new connection may take for TLS and its request (the ARTIM timer of PS3.8 9.1.5)."""
_LOBBY = 32
"""So many connections more than associations may be at the point of being refused."""
_GRACE_S = 30.0
_END_S = 5.0
_BACKLOG = 128

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


def _is_network(text: str) -> str:
    ip_network(text, strict=False)
    return text


AeTitle = Annotated[str, Field(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")]
"""PS3.5 6.2: at most 16 characters, no backslash, no leading or trailing space."""
_Network = Annotated[str, AfterValidator(_is_network)]
_Address = Annotated[str, Field(pattern=r"^\S+:\d{1,5}$")]


class ListenerSettings(BaseModel):
    """Where the listener listens and to whom. Empty lists admit everybody who reaches it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = "KSPACE"
    any_called_ae: bool = False
    """True: answer to every called AE title (routes may tell them apart), not only to our own."""
    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65_535)
    """0: any free port."""
    allowed_ae: tuple[AeTitle, ...] = ()
    allowed_ip: tuple[_Network, ...] = ()
    """Addresses or networks, ``10.1.2.3`` or ``10.1.2.0/24``."""
    max_associations: int = Field(default=16, ge=1, le=256)
    idle_s: float = Field(default=60.0, gt=0)
    """A connection that is silent for so long is ended."""
    tls_cert: AbsolutePath | None = None
    """The listener's certificate (PEM); with it, only TLS 1.2 and later is spoken."""
    tls_key: AbsolutePath | None = None
    tls_ca: AbsolutePath | None = None
    """With it, only callers with a certificate of these authorities are let in."""
    report_to: dict[AeTitle, _Address] | None = None
    """Where reports of storage commitment go, ``host:port`` by AE title."""
    commit_when: Literal["archived", "here: a failing disk then loses what the scanner deleted"] = "archived"
    """When an instance counts as committed: in every archive it is for, or as soon as it lies durable here."""
    commit_within_s: float = Field(default=3 * 86_400.0, gt=0)
    """After so long, what is not committed yet is reported as failed."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> "ListenerSettings":
        if self.tls_cert is None and (self.tls_key or self.tls_ca):
            raise ValueError("tls_key and tls_ca need tls_cert: without it the listener speaks no TLS")
        return self

    @property
    def commits_here(self) -> bool:
        """Return whether a promise is kept as soon as the instance is durable on this machine."""
        return self.commit_when != "archived"

    def server_tls(self) -> ssl.SSLContext | None:
        """Return what callers are met with, None for plain DICOM.

        Raises:
            ConfigError: a certificate or key cannot be used.
        """
        return self._tls(ssl.PROTOCOL_TLS_SERVER)

    def client_tls(self) -> ssl.SSLContext | None:
        """Return what reports are sent with, None for plain DICOM.

        Raises:
            ConfigError: a certificate or key cannot be used.
        """
        return self._tls(ssl.PROTOCOL_TLS_CLIENT)

    def _tls(self, side: "ssl._SSLMethod") -> ssl.SSLContext | None:
        if self.tls_cert is None:
            return None
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
            if self.tls_ca is not None:
                context.load_verify_locations(self.tls_ca)
                context.check_hostname = False  # stations are known by the authority they share, as IHE ATNA does it
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                f"The DICOM listener's certificate or key cannot be used ({error.strerror or error}). See tls_cert, "
                "tls_key and tls_ca."
            ) from error
        if side is ssl.PROTOCOL_TLS_CLIENT and self.tls_ca is None:
            context.load_default_certs()
        return context


class Listener:
    """One DICOM storage SCP in threads of its own; ``is_open`` is asked before each object is written."""

    def __init__(
        self, settings: ListenerSettings, *, inbox: Inbox, folder: Path, is_open: Callable[[], bool] = lambda: True
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._intake = Intake(folder, is_open=is_open)
        self._networks = [ip_network(text, strict=False) for text in settings.allowed_ip]
        self._tls = settings.server_tls()
        self._server: socket.socket | None = None
        self._taking: threading.Thread | None = None
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._seats = threading.BoundedSemaphore(settings.max_associations)
        self._changed = threading.Lock()

    @property
    def port(self) -> int:
        """Return the TCP port, once started."""
        return self._settings.port if self._server is None else int(self._server.getsockname()[1])

    def start(self) -> None:
        """Return once the port is open.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        self._intake.clear()
        address = (self._settings.host, self._settings.port)
        try:
            family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
            self._server = socket.create_server(address, family=family, backlog=_BACKLOG)
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise ConfigError(f"The DICOM port {where} cannot be opened ({error.strerror}). Choose another.") from error
        name = f"dicom {self.port}"
        self._taking = threading.Thread(target=self._take_calls, args=(self._server,), name=name, daemon=True)
        self._taking.start()
        _log.info("listener.started", port=self.port, ae_title=self._settings.ae_title, tls=self._tls is not None)

    def is_alive(self) -> bool:
        """Return whether calls are taken."""
        return self._server is not None and self._taking is not None and self._taking.is_alive()

    def stop(self, *, grace_s: float = _GRACE_S) -> None:
        """Take no new connection, let stores under way end for so long, then close the rest."""
        server, self._server = self._server, None
        if server is None:
            return
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        server.close()
        is_idle = self._intake.wait_idle(grace_s)
        with self._changed:
            left = dict(self._threads)
        for connection in left.values():
            with suppress(OSError):  # it may have ended by itself
                connection.shutdown(socket.SHUT_RDWR)
        for thread in left:
            thread.join(_END_S)
        _log.info("listener.stopped", is_idle=is_idle)

    def _take_calls(self, server: socket.socket) -> None:
        while self._server is server:
            try:
                connection, address = server.accept()
                if self._tls is not None:  # only dressed here: nothing is read before it has a thread of its own
                    connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            except OSError:
                continue
            with self._changed:
                is_full = len(self._threads) >= self._settings.max_associations + _LOBBY
                if not is_full:
                    thread = threading.Thread(target=self._serve, args=(connection, address[0]), daemon=True)
                    self._threads[thread] = connection
            if is_full:
                connection.close()
            else:
                thread.start()

    def _serve(self, connection: socket.socket, peer: str) -> None:
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.settimeout(_GREETING_S)
                if isinstance(connection, ssl.SSLSocket):
                    connection.do_handshake()
                self._converse(Association(connection), peer)
        except (KspaceError, OSError) as error:
            _log.warning("association.broken", peer=peer, reason=getattr(error, "code", type(error).__name__))
        finally:
            with self._changed:
                self._threads.pop(threading.current_thread(), None)

    def _converse(self, association: Association, peer: str) -> None:
        request = association.request(within_s=_GREETING_S)
        caller = Caller(request.calling_ae, request.called_ae, peer)
        refusal = self._refusal(request, peer)
        if refusal is None and not self._seats.acquire(blocking=False):
            refusal = _TOO_MANY
        if refusal is not None:
            _log.warning("association.refused", peer=peer, reason=refusal)
            self._inbox.turn_away(caller, _SAID[refusal])
            association.refuse(*refusal)
            return
        try:
            association.accept(request, answers_to(request), idle_s=self._settings.idle_s)
            Services(association, caller=caller, inbox=self._inbox, intake=self._intake).run(self._settings.idle_s)
        except BrokenProtocol:
            association.abort()
            raise
        finally:
            self._seats.release()

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
