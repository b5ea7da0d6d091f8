"""How any destination is reached: proxy, certificates, calendar and limits; the settings that every kind shares."""

import ssl
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kspace.clock import Clock, SystemClock
from kspace.errors import ConfigError
from kspace.paths import AbsolutePath
from kspace.secret import Secret
from kspace.sources.limiting import Limiter
from transfer.destinations.calendar import Period, TimeZone, rate_at

_Block = TypeVar("_Block", bytes, memoryview)


class Proxy(BaseModel):
    """An HTTP proxy on the way there; its credentials come from places of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://[^\s?#@]+$")
    user: str | None = None
    password: Secret | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> "Proxy":
        if (self.user is None) != (self.password is None):
            raise ValueError("a proxy has a user and a password, or neither")
        return self

    def sign_in(self) -> tuple[str, str] | None:
        """Return user and password.

        Raises:
            ConfigError: the password cannot be read.
        """
        return (self.user, self.password.reveal()) if self.user is not None and self.password is not None else None

    def signed_url(self) -> str:
        """Return the URL with the credentials in it, for clients that know no other way; never to be shown.

        Raises:
            ConfigError: the password cannot be read.
        """
        scheme, _, rest = self.url.partition("://")
        user = "".join(f"{quote(word, safe='')}{end}" for word, end in zip(self.sign_in() or (), ":@", strict=False))
        return f"{scheme}://{user}{rest}"


class Reach(BaseModel):
    """What the settings of every kind of destination begin with."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    ca_file: str | None = None
    client_cert: AbsolutePath | None = None
    """A file (PEM) with the certificate that shows who the relay is, and its key unless `client_key` has it."""
    client_key: AbsolutePath | None = None
    proxy: Proxy | None = None
    at_once: int = Field(default=2, ge=1, le=64)
    """How many deliveries to it run at the same time; no other destination shares these workers."""
    limit_mbit_per_s: float | None = Field(default=None, ge=0)
    calendar: tuple[Period, ...] | None = None
    time_zone: TimeZone | None = None

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> "Reach":
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key without client_cert: name the certificate too")
        if not self.limit_mbit_per_s and self.limit_mbit_per_s is not None and not self.calendar:
            raise ValueError("limit_mbit_per_s is 0 and no calendar opens it: nothing could ever go there")
        return self


def trust(reach: Reach) -> ssl.SSLContext:
    """Return whom to trust, and who we are, for TLS.

    Raises:
        ConfigError: a file of certificates cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=reach.ca_file) if reach.ca_file else httpx.create_ssl_context()
        if reach.client_cert is not None:
            context.load_cert_chain(reach.client_cert, reach.client_key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"Destination {reach.name}: a certificate or key cannot be used ({error.strerror or 'no PEM'}); "
            "see ca_file, client_cert and client_key."
        ) from error
    return context


def way_out(reach: Reach) -> httpx.Proxy | None:
    """Return the proxy, signed in to, if there is one. Without one none is used, whatever the environment says.

    Raises:
        ConfigError: its password cannot be read.
    """
    if reach.proxy is None:
        return None
    by_tls = trust(reach) if reach.proxy.url.startswith("https") else None
    return httpx.Proxy(reach.proxy.url, auth=reach.proxy.sign_in(), ssl_context=by_tls)


def pace_of(reach: Reach, clock: Clock | None = None) -> "Pace":
    """Return the one pace that all uploads to this destination share."""
    return Pace(reach, clock or SystemClock())


class Pace:
    """The rate of all uploads to one destination together, as its calendar has it at each moment."""

    def __init__(self, reach: Reach, clock: Clock) -> None:
        self._reach = reach
        self._clock = clock
        self._rate = 0.0
        self._limiter = Limiter(mbit_per_s=self._now, clock=clock)

    def is_open(self) -> bool:
        """Return whether the calendar lets a delivery begin now."""
        return self._asked() > 0

    def paced(self, blocks: Iterator[_Block]) -> Iterator[_Block]:
        """Yield the blocks, each when its turn comes. A body that has begun is finished when the calendar closes."""
        for block in blocks:
            with self._limiter.turn(len(block)):
                pass
            yield block

    def _now(self) -> float:
        self._rate = self._asked() or self._rate
        return self._rate or float("inf")

    def _asked(self) -> float:
        reach = self._reach
        return rate_at(self._clock.now(), reach.calendar or (), zone=reach.time_zone, otherwise=reach.limit_mbit_per_s)
