"""Where the DICOM listener listens, and to whom (TLS as in PS3.15 Annex B)."""

import ssl
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from kspace.errors import ConfigError
from kspace.paths import AbsolutePath


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
    processes: int = Field(default=2, ge=1, le=64)
    """At most so many receive; 1: the relay's own only."""
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
