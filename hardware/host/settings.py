"""[host]: cards, shares and disks of the box, from which its host files are made."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from hardware.host.cards import Admin, Hospital, HostModel, Network, PlainPath, Port, Tap


class Mounted(HostModel):
    """A share of a scanner, mounted read-only where its source looks."""

    scanner: str
    kind: Literal["cifs", "nfs4"] = "cifs"
    server: IPv4Address
    """Its address, or where a tap carries it from."""
    port: Port | None = None
    """None: 445 for cifs, 2049 for nfs4."""
    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_ ./$%-]{0,200}$")
    """The share's name, or the exported folder without its first slash."""
    path: PlainPath
    """The mount point: the path of one of the scanner's sources."""
    credentials: PlainPath | None = None
    """For cifs: a file with ``username=`` and ``password=`` that root alone may read."""

    @property
    def called(self) -> str:
        """Return what is called, ``address:port``."""
        return f"{self.server}:{self.port or (445 if self.kind == 'cifs' else 2049)}"


def _in_its_folder(program: Path) -> Path:
    if program.parts[-2:] != ("bin", "kspace"):
        raise ValueError('this must end in "/bin/kspace": the program is installed into the folder above')
    return program


class HostSettings(HostModel):
    """Everything the host files need besides the rest of the configuration."""

    account: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "kspace"
    program: Annotated[PlainPath, AfterValidator(_in_its_folder)] = Path("/opt/kspace/bin/kspace")
    """It is installed into the folder above ``bin``."""
    config: PlainPath = Path("/etc/kspace/relay.toml")
    page_port: Port = 8443
    pool: Literal["mdadm", "zfs"] = "mdadm"
    disks: tuple[PlainPath, ...] = ()
    """The pool's disks, by /dev/disk/by-id."""
    cache: tuple[PlainPath, ...] = ()
    """Two SSD partitions of the pool's cache, by /dev/disk/by-id."""
    hospital: Hospital
    admin: Admin | None = None
    tap: tuple[Tap, ...] = ()
    share: tuple[Mounted, ...] = ()

    @property
    def networks(self) -> tuple[Network, ...]:
        """Return the networks of the box itself; a tap belongs to its own namespace."""
        return (self.hospital, *((self.admin,) if self.admin else ()))

    @model_validator(mode="after")
    def _are_apart(self) -> "HostSettings":
        cards = [n.interface for n in (*self.networks, *self.tap)]
        for what, given in {
            "interface": cards,
            "tap's scanner": [t.scanner for t in self.tap],
            "place behind a tap": [s.at for t in self.tap for s in t.server],
            "mount point": [str(s.path) for s in self.share],
        }.items():
            if twice := sorted({g for g in given if given.count(g) > 1}):
                raise ValueError(f"each {what} stands once; {', '.join(twice)} stands twice")
        if self.admin and self.admin.address.network.overlaps(self.hospital.address.network):
            raise ValueError("the administrators' network and the hospital's overlap")
        return self

    @model_validator(mode="after")
    def _is_reached(self) -> "HostSettings":
        places = {server.at for tap in self.tap for server in tap.server}
        for share in self.share:
            if share.server.is_loopback and share.called not in places:
                raise ValueError(f"no tap carries {share.called}, where the share of {share.scanner} is")
        hospital = self.hospital
        if hospital.gateway not in hospital.address.network:
            raise ValueError("the gateway is not in the hospital's network")
        for server in (*hospital.name_servers, *hospital.time_servers):
            if server.is_loopback or (self.admin and server in self.admin.address.network):
                raise ValueError(f"the firewall lets nothing out to {server}; name a server in the hospital's network")
        return self
