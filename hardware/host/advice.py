"""What a person should know before the host files go into their places: what would lock out, or never be found."""

from collections.abc import Iterator
from ipaddress import ip_address

from hardware.host.records import Facts
from hardware.host.settings import HostSettings


def warnings(settings: HostSettings, facts: Facts) -> Iterator[str]:
    """Yield a sentence for each thing that works today and may not tomorrow.

    A card without a MAC address keeps the name that its slot gives it: systemd.net-naming-scheme(7).
    """
    cards = [network.interface for network in (*settings.networks, *settings.tap) if network.mac is None]
    if cards:
        yield (
            f"{', '.join(cards)} without mac: a new kernel or another slot may call a card otherwise, and then the "
            "firewall shuts everybody out, SSH too; enter what `ip link` shows as its address"
        )
    names = sorted({name for name in facts.hosts if _is_name(name)})
    if not settings.hospital.name_servers:
        called = f"{', '.join(names)} and the servers of the system's updates" if names else "the system's updates"
        yield (
            f"no name server: {called} are called by name and will not be found; enter name_servers in "
            "[host.hospital], or addresses"
        )
    if settings.admin is None:
        yield "no [host.admin]: nobody comes in by SSH, only at the console"


def _is_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host != "localhost"
    return False
