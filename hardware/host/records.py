"""What the host files need to know of the rest of the configuration."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One DICOM listener: where it listens, and who may call it."""

    title: str
    host: str
    port: int
    allowed: tuple[str, ...]
    """Addresses and networks; none: everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A folder that the relay serves to one scanner's console by SMB."""

    scanner: str
    share: str
    path: Path
    address: IPv4Address
    user: str
    quota_gb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The relay, as its host must know it."""

    name: str
    folder: Path
    doors: tuple[Door, ...] = ()
    metrics: str | None = None
    """Where Prometheus asks, ``address:port``."""
    out_ports: tuple[int, ...] = ()
    """TCP ports of archives, proxies and the catalog."""
    calls: tuple[str, ...] = ()
    """``address:port``, or ``udp address:port``, of sources, mail, logs, and consoles."""
    hosts: tuple[str, ...] = ()
    """All that is called, by name or address."""
    served: tuple[Served, ...] = ()
