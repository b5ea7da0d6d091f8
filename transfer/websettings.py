"""The settings of the web page: where it answers, and who signs in with which XNAT."""

from ipaddress import ip_address
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kspace.paths import AbsolutePath
from kspace.secret import Secret


class WebSettings(BaseModel):
    """Where people open the page, and who may."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bind: str = Field(default="127.0.0.1:8080", pattern=r"^(\[[0-9a-fA-F:]+\]|\d{1,3}(\.\d{1,3}){3}):\d{1,5}$")
    """Address and port."""
    tls_cert: AbsolutePath | None = None
    tls_key: AbsolutePath | None = None
    sign_in: tuple[str, ...] = ()
    """The destinations, of kind "xnat", with whose accounts people sign in."""
    admins: tuple[str, ...] = ()
    """``destination/user``: an XNAT's user of that name sees and may do everything here."""
    local_admin: Secret | None = None
    """Where the hash of the local administrator's password stands (`kspace web --hash-password`)."""

    @property
    def host(self) -> str:
        """The address without brackets."""
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 takes any free one."""
        return int(self.bind.rpartition(":")[2])

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key come together")
        if self.port > 65_535:
            raise ValueError("bind names no port")
        if self.tls_cert is None and not ip_address(self.host).is_loopback:
            raise ValueError("passwords are typed here: beyond this machine (127.0.0.1) the page needs tls_cert")
        if not self.sign_in and self.local_admin is None:
            raise ValueError("nobody could sign in: name a destination in sign_in, or a local_admin")
        for admin in self.admins:
            if admin.partition("/")[0] not in self.sign_in or not admin.partition("/")[2]:
                raise ValueError(f"{admin!r} in admins is no destination of sign_in, a slash and a user's name")
        return self
