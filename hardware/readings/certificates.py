"""When certificates end: the relay's own (files) and those that servers show."""

import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from cryptography import x509
from pydantic import Field

from hardware.readings import NoAnswer, ReaderSettings
from hardware.records import Limit, Reading
from kspace.clock import Clock, SystemClock
from kspace.registry import Plugin

_DAY_S = 86_400.0


class CertificateSettings(ReaderSettings):
    """Which certificates, besides those that the configuration names; and how long before the end to warn."""

    every_s: float = Field(default=21_600.0, ge=1)
    timeout_s: float = Field(default=10.0, gt=0)
    warn_days: float = Field(default=30.0, gt=0)
    files: tuple[Path, ...] = ()
    servers: tuple[Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[^\s:]+):\d{1,5}$")], ...] = ()
    """``host:port``, where a server shows its certificate."""


class CertificateReader:
    """Reads the day after which a certificate is not valid any more (X.509, RFC 5280 4.1.2.5)."""

    def __init__(self, settings: CertificateSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self.limits = (
            Limit(
                key="certificate",
                what="certificate_valid_seconds",
                warning=settings.warn_days * _DAY_S,
                critical=settings.warn_days * _DAY_S / 10,
                is_low=True,
                text="The certificate {of} {said}. Renew it: afterwards nobody trusts it, and what goes over it waits.",
            ),
        )

    def read(self) -> Iterator[Reading]:
        """Yield for how long each certificate is still valid.

        Raises:
            NoAnswer: one cannot be read; the others were yielded.
        """
        unread, now = [], self._clock.now()
        for name, pem in self._all():
            try:
                ends_at = x509.load_pem_x509_certificate(pem()).not_valid_after_utc
            except (OSError, ValueError):
                unread.append(name)
                continue
            left_s = (ends_at - now).total_seconds()
            said = f"ends on {ends_at:%Y-%m-%d}" if left_s > 0 else f"ended on {ends_at:%Y-%m-%d}"
            yield Reading(what="certificate_valid_seconds", of=name, value=left_s, said=said)
        if unread:
            raise NoAnswer(f"The certificate of {', '.join(unread)} cannot be read; when it ends is not watched.")

    def _all(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        for file in self._settings.files:
            yield file.name, file.read_bytes
        for server in self._settings.servers:
            host, _, port = server.rpartition(":")
            yield server, partial(_shown, host.strip("[]"), int(port), self._settings.timeout_s)


def _shown(host: str, port: int, timeout_s: float) -> bytes:
    """Ask for the certificate alone, trusted or not: nothing is sent over the connection."""
    return ssl.get_server_certificate((host, port), timeout=timeout_s).encode()


PLUGIN = Plugin("certificates", CertificateSettings, CertificateReader)
