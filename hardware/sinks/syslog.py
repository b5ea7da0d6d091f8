"""Messages to syslog: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587, counted octets), TLS (RFC 5425) or a socket."""

import os
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hardware.records import Severity
from hardware.sinks import Message, NotTold, SinkSettings, Told
from kspace.outward import Trusting, trust
from kspace.paths import AbsolutePath
from kspace.registry import Plugin

_SEVERITY: Mapping[Severity, int] = {Severity.INFO: 6, Severity.WARNING: 4, Severity.CRITICAL: 2}
"""RFC 5424, table 2."""
_FACILITY: Mapping[str, int] = {"user": 1, "daemon": 3, **{f"local{n}": 16 + n for n in range(8)}}
"""RFC 5424, table 1."""
_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST = 1900
"""RFC 5426 asks receivers for 2048 octets."""


class SyslogSettings(SinkSettings, Trusting):
    """Where the log host is, or the socket of the local one."""

    what: ClassVar[str] = "Sink"

    kind: Literal["syslog"] = "syslog"
    transport: Literal["udp", "tcp", "tls", "unix"] = "unix"
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65_535)
    """None: 514 of UDP, 601 of TCP, 6514 of TLS."""
    socket: AbsolutePath = Path("/dev/log")
    facility: str = Field(default="daemon", pattern=f"^({'|'.join(_FACILITY)})$")
    timeout_s: float = Field(default=10.0, gt=0, le=600)

    @property
    def called(self) -> int:
        """Return the port that is called; 0 where none is."""
        return self.port or _PORTS.get(self.transport, 0)

    @model_validator(mode="after")
    def _has_a_host(self) -> "SyslogSettings":
        if (self.transport == "unix") != (self.host is None):
            raise ValueError('transport "unix" has a socket, the others have a host')
        return self


class SyslogSink:
    """Sends one line a message."""

    def __init__(self, settings: SyslogSettings) -> None:
        self._settings = settings

    def answers(self) -> None:
        """Return nothing: only a message shows whether it takes one."""

    def tell(self, message: Message) -> Told:
        """Send it. UDP tells nothing of an arrival; of TCP it counts that the other side closed in order."""
        settings = self._settings
        line = _line(message, settings.facility)
        try:
            if settings.transport == "unix":
                return self._to_socket(line)
            if settings.transport == "udp":
                return self._by_udp(line)
            return self._by_tcp(line)
        except OSError as error:  # ssl.SSLError is one
            reason = error.strerror or type(error).__name__
            raise NotTold(f"The syslog server of {settings.name} does not answer ({reason}).") from error

    def _to_socket(self, line: bytes) -> Told:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(self._settings.timeout_s)
            out.connect(str(self._settings.socket))
            out.send(line)
        return Told(answer=f"{self._settings.socket} took it")

    def _by_udp(self, line: bytes) -> Told:
        place = (self._settings.host, self._settings.called)
        family, kind, number, _, address = socket.getaddrinfo(*place, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, number) as out:
            out.sendto(line, address)
        return Told(answer="sent; UDP does not say whether it came")

    def _by_tcp(self, line: bytes) -> Told:
        settings = self._settings
        place = (settings.host or "", settings.called)
        with socket.create_connection(place, timeout=settings.timeout_s) as plain:
            out = plain if settings.transport == "tcp" else self._secured(plain)
            out.sendall(b"%d %s" % (len(line), line))
            out.shutdown(socket.SHUT_WR)
            try:
                while out.recv(4096):
                    pass
            except TimeoutError:
                return Told(answer="sent; the other side did not close within the time, so nobody knows")
        return Told(answer=f"{settings.host} read it to its end")

    def _secured(self, plain: socket.socket) -> ssl.SSLSocket:
        return trust(self._settings).wrap_socket(plain, server_hostname=self._settings.host)


def _line(message: Message, facility: str) -> bytes:
    priority = _FACILITY[facility] * 8 + (6 if message.kind == "over" else _SEVERITY[message.severity])
    at = message.at.isoformat(timespec="milliseconds")
    host = _printable(message.relay, 255)
    head = f"<{priority}>1 {at} {host} kspace {os.getpid()} {message.kind} - "
    sentences = " | ".join(a.text for a in message.alerts) or " ".join(message.text.split())
    text = f"{message.topic} {message.severity}, {message.count} open, id {message.id}: {sentences}"
    whole = (head + "\ufeff" + _CONTROL.sub(" ", text)).encode()
    return whole[:_MOST].decode(errors="ignore").encode()


def _printable(text: str, most: int) -> str:
    return re.sub(r"[^\x21-\x7e]", "_", text)[:most] or "-"


PLUGIN = Plugin("syslog", SyslogSettings, SyslogSink)
