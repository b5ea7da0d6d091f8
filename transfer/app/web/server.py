"""Serves the page from a thread, beside whatever else the process does."""

import asyncio
import socket
import ssl
import threading

import uvicorn

from kspace.errors import ConfigError
from transfer.app.web import build
from transfer.app.wiring import Box


class WebServer:
    """Answers as [web] says for as long as it runs.

    Raises:
        ConfigError: the address is taken, or the certificate cannot be used.
    """

    def __init__(self, box: Box) -> None:
        settings = box.config.web
        if settings is None:
            raise ConfigError("The configuration has no table [web]; relay.example.toml shows one.")
        self._settings = settings
        self.app = build(box)
        if settings.tls_cert is not None:
            _demand_certificate(str(settings.tls_cert), str(settings.tls_key))
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        try:
            self._socket = socket.create_server((settings.host, settings.port), family=family, backlog=128)
        except OSError as error:
            raise ConfigError(f"The page cannot be served at {settings.bind} ({error.strerror}); see [web].") from error
        # Without it each answer of two pieces waits 40 ms for an acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            self.app,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # its errors quote what was asked
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=2,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=None if settings.tls_key is None else str(settings.tls_key),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        scheme = "http" if self._settings.tls_cert is None else "https"
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"{scheme}://{host}:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Serve from a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it; answers under way have two seconds."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))


def _demand_certificate(cert: str, key: str) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"The page's certificate {cert} with its key cannot be used ({error}).") from error
