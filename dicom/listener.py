"""The DICOM listener: a port, how many may call at once, and a thread for each association (PS3.8)."""

import errno
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from dicom.desk import Desk
from dicom.inbox import Inbox
from dicom.incoming import clear
from dicom.reception import Reception
from dicom.settings import ListenerSettings
from dicom.workers import Workers
from kspace.errors import ConfigError

_log = structlog.get_logger()

_LOBBY = 32
"""So many connections more than associations may be at the point of being refused."""
_GRACE_S = 30.0
_BACKLOG = 128
_PAUSE_S = 0.1
_END_S = 5.0


class Listener:
    """One DICOM storage SCP; ``is_open`` is asked before each object is written.

    Objects grow in ``folder`` and stay on the ``shelf``.

    What it answers is decided by ``inbox``, in this process; receiving is done in threads of it, or in processes of
    their own.

    Raises:
        ConfigError: a certificate or key cannot be used.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        inbox: Inbox,
        folder: Path,
        shelf: Path,
        is_open: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._folder = folder
        settings.server_tls()  # what is wrong with it is told here, not by each process
        self._receiving: Reception | Workers
        if settings.processes == 1:
            self._receiving = Reception(settings, folder=folder, shelf=shelf, is_open=is_open)
        else:
            self._receiving = Workers(settings, folder=folder, shelf=shelf, is_open=is_open, at_loss=inbox.lost)
        self._desk = Desk(inbox, seats=settings.max_associations, lobby=_LOBBY)
        self._server: socket.socket | None = None
        self._taking: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def port(self) -> int:
        """Return the TCP port, once started."""
        return self._settings.port if self._server is None else int(self._server.getsockname()[1])

    def start(self) -> None:
        """Return once the port is open.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        clear(self._folder)
        address = (self._settings.host, self._settings.port)
        try:
            family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
            self._server = socket.create_server(address, family=family, backlog=_BACKLOG)
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise ConfigError(f"The DICOM port {where} cannot be opened ({error.strerror}). Choose another.") from error
        self._desk.start()
        self._receiving.start()
        name = f"dicom {self.port}"
        self._taking = threading.Thread(target=self._take_calls, args=(self._server,), name=name, daemon=True)
        self._taking.start()
        is_tls = self._settings.tls_cert is not None
        _log.info("listener.started", port=self.port, ae_title=self._settings.ae_title, tls=is_tls)

    def is_alive(self) -> bool:
        """Return whether calls are taken."""
        is_taking = self._server is not None and self._taking is not None and self._taking.is_alive()
        return is_taking and self._desk.is_alive() and self._receiving.is_alive()

    def stop(self, *, grace_s: float = _GRACE_S) -> None:
        """Take no new connection, let stores under way end for so long, then close the rest."""
        server, self._server = self._server, None
        if server is None:
            return
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        server.close()
        self._ended.set()
        if self._taking is not None:
            self._taking.join(_END_S)  # what it takes at this moment must be among what is stopped
        is_idle = self._receiving.stop(grace_s=grace_s)
        self._desk.stop()
        _log.info("listener.stopped", is_idle=is_idle)

    def _take_calls(self, server: socket.socket) -> None:
        while not self._ended.is_set():
            try:
                connection, address = server.accept()
            except OSError as error:
                if error.errno in {errno.EINVAL, errno.EBADF}:
                    return  # it listens no more (accept(2)), and whoever asks whether it is alive must hear so
                # until a descriptor is free, the same call would fail at once, again and again
                self._ended.wait(_PAUSE_S)
                continue
            try:
                self._hand_on(connection, address[0])
            except (OSError, RuntimeError) as error:
                # no descriptor, process or thread is to be had: this call alone ends
                connection.close()
                _log.error("association.broken", peer=address[0], reason=type(error).__name__)

    def _hand_on(self, connection: socket.socket, peer: str) -> None:
        pipe = self._desk.admit()
        if pipe is None:
            _log.warning("association.broken", peer=peer, reason="too_many_connections")
            connection.close()
        else:
            self._receiving.begin(connection, pipe, peer)
