"""The network cards of the box, each with its own network: the hospital's, the administrators', the taps."""

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from kspace.paths import AbsolutePath

_RESERVED = frozenset(map(IPv4Address, ("192.168.2.1", "192.168.2.2", "192.168.2.3")))
"""On every Siemens back-end network: .1 is the host, .2 (VD, VE, XA) or .3 (VB) the reconstructor."""

InterfaceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,14}$")]
"""As the kernel has it (IFNAMSIZ), without what a shell or a rule would read otherwise."""
_Mac = Annotated[str, Field(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]
Port = Annotated[int, Field(ge=1, le=65_535)]


def _is_place(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not (port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError('this must be "address:port"')
    IPv4Address(host)
    return text


Place = Annotated[str, AfterValidator(_is_place)]
"""``address:port``, IPv4: where there is no name server, there are no names."""


def _plain(path: Path) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9._/@+-]+", str(path)):
        raise ValueError("letters, digits and . _ - @ + alone: it stands in units and commands")
    return path


PlainPath = Annotated[AbsolutePath, AfterValidator(_plain)]
"""A path that stands as it is in a unit, a rule or a command."""


class HostModel(BaseModel):
    """A table of [host]."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(HostModel):
    """One network card and its static address: there is no DHCP, no router advertisement and no IPv6 on any."""

    interface: InterfaceName
    mac: _Mac | None = None
    """With it the card gets this name whatever slot it sits in."""
    address: IPv4Interface


class Hospital(Network):
    """The network of scanners, users and the way out."""

    gateway: IPv4Address
    name_servers: tuple[IPv4Address, ...] = ()
    time_servers: tuple[IPv4Address, ...] = Field(min_length=1)
    page_from: tuple[IPv4Network, ...] = ()
    """Networks whose users may open the page; none: the page is for this machine alone."""
    also_out: tuple[Place, ...] = ()
    """What else may be called from the box, such as a mail relay."""


class Admin(Network):
    """The administrators' network: SSH and nothing else."""

    ssh_from: tuple[IPv4Network, ...] = Field(min_length=1)


class Server(HostModel):
    """A server behind a tap: what calls ``at`` on this box is carried ``to`` it, from inside the tap's namespace."""

    at: Place
    to: Place

    @model_validator(mode="after")
    def _is_of_this_box(self) -> "Server":
        if not IPv4Address(self.at.split(":")[0]).is_loopback:
            raise ValueError(f"{self.at} must begin with 127: nobody but this box may call it")
        return self

    @property
    def address(self) -> IPv4Address:
        """Return the server's own address."""
        return IPv4Address(self.to.split(":")[0])


class Tap(Network):
    """A card on one scanner's back-end network, in a network namespace of its own."""

    scanner: str
    server: tuple[Server, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _takes_nobody_s_place(self) -> "Tap":
        here = self.address
        if here.ip in _RESERVED or here.ip in {here.network.network_address, here.network.broadcast_address}:
            raise ValueError(
                f"{here.ip} belongs to the scanner's host or reconstructor, or is no address of a card; take another"
            )
        if any(server.address not in here.network or server.address == here.ip for server in self.server):
            raise ValueError(f"the servers of {self.scanner} must be other addresses in {here.network}")
        return self
