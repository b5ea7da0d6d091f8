"""Runs a sandbox: in a thread for tests and the demonstration, or as a process of its own."""

import asyncio
import contextlib
import functools
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from kspace.clock import Clock, SystemClock
from kspace.errors import ConfigError
from transfer.sandbox.app import build_app, open_site
from transfer.sandbox.settings import SandboxSettings


class Sandbox:
    """An XNAT-compatible server on this machine; not XNAT, and it says so.

    The site lives under ``root``: another Sandbox over the same folder continues it. As a context manager it serves
    from a thread; ``serve_forever`` serves from the calling thread until the process is told to stop.

    Raises:
        ConfigError: the address is taken.
    """

    def __init__(self, root: Path, settings: SandboxSettings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or SandboxSettings()
        self._site = open_site(root, self.settings, clock=clock or SystemClock())
        self._socket = _listen(self.settings)
        config = uvicorn.Config(
            build_app(self._site),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("Server", "k-space-relay-sandbox")],
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}"

    def serve_forever(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._run()
        finally:
            self._close()
        self._demand_no_deletes()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._close()
        if kind is None:
            self._demand_no_deletes()

    def _demand_no_deletes(self) -> None:
        if self._site.deletes:
            raise AssertionError(f"overwrite=delete was asked for, {self._site.deletes} times")

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def _close(self) -> None:
        self._socket.close()
        self._site.store.close()


def _listen(settings: SandboxSettings) -> socket.socket:
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=128)
    except OSError as error:
        raise ConfigError(
            f"The sandbox cannot listen on {settings.host}:{settings.port}; choose another port."
        ) from error
    # asyncio sets this only on sockets whose protocol number is given; without it each answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Protocol(H11Protocol):
    """uvicorn's HTTP, with a way to cut the connection: ``scope["reset"]()``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = functools.partial(_with_reset, self.app, transport.abort)


async def _with_reset(app: ASGIApp, reset: object, scope: Scope, receive: Receive, send: Send) -> None:
    await app({**scope, "reset": reset}, receive, send)
