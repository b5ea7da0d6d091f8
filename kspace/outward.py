"""How any server outside is reached: whom to trust, who we are, and by which proxy; the same for archives and sinks."""

import ssl
from typing import ClassVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kspace.errors import ConfigError
from kspace.paths import AbsolutePath
from kspace.secret import Secret


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


class Trusting(BaseModel):
    """What the settings of everything that is reached by TLS begin with."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    what: ClassVar[str] = "Server"

    name: str
    ca_file: str | None = None
    client_cert: AbsolutePath | None = None
    """A file (PEM) with the certificate that shows who the relay is, and its key unless `client_key` has it."""
    client_key: AbsolutePath | None = None

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> "Trusting":
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key without client_cert: name the certificate too")
        return self


class Outward(Trusting):
    """What is reached by HTTPS, perhaps by a proxy."""

    proxy: Proxy | None = None


def trust(way: Trusting) -> ssl.SSLContext:
    """Return whom to trust, and who we are, for TLS.

    Raises:
        ConfigError: a file of certificates cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=way.ca_file) if way.ca_file else httpx.create_ssl_context()
        if way.client_cert is not None:
            context.load_cert_chain(way.client_cert, way.client_key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"{way.what} {way.name}: a certificate or key cannot be used ({error.strerror or 'no PEM'}); "
            "see ca_file, client_cert and client_key."
        ) from error
    return context


def way_out(way: Outward) -> httpx.Proxy | None:
    """Return the proxy, signed in to, if there is one. Without one none is used, whatever the environment says.

    Raises:
        ConfigError: its password cannot be read.
    """
    if way.proxy is None:
        return None
    by_tls = trust(way) if way.proxy.url.startswith("https") else None
    return httpx.Proxy(way.proxy.url, auth=way.proxy.sign_in(), ssl_context=by_tls)
