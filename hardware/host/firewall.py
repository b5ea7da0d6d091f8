"""nftables rules: what is configured comes in, on the interface it is configured for; everything else is dropped."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, ip_address, ip_network

from hardware.host.cards import Admin, Network, Tap
from hardware.host.records import Door, Facts
from hardware.host.served import doors
from hardware.host.settings import HostSettings
from kspace.errors import ConfigError

_OUT = (80, 443)
"""Archives, and the updates of the system."""


def box_rules(settings: HostSettings, facts: Facts) -> str:
    """Return the whole rule set of the box's own namespace.

    Raises:
        ConfigError: a listener is open to everybody, or listens where no interface is.
    """
    came_in = [
        *(line for door in facts.doors for line in _door(door, settings)),
        *_page(settings),
        *_metrics(settings, facts),
        *_ssh(settings),
        *doors(settings, facts.served),
    ]
    return _SET.format(
        title=f"Firewall of {facts.name}: the whole of it.",
        table="box",
        came_in=_lines(came_in),
        went_out=_lines(_out(settings, facts)),
    )


def tap_rules(tap: Tap) -> str:
    """Return the whole rule set of a tap's namespace: calls to its servers and their answers, nothing else."""
    return _SET.format(
        title=f"Firewall of the tap at {tap.scanner}: nothing may call in, and only its servers are called.",
        table="tap",
        came_in="",
        went_out=_lines(_calls(f'oifname "{tap.interface}" ip saddr {tap.address.ip}', {s.to for s in tap.server})),
    )


_SET = """\
#!/usr/sbin/nft -f
# {title}
flush ruleset

table inet {table} {{
	chain input {{
		type filter hook input priority filter; policy drop;
		ct state invalid drop
		ct state established,related accept
		iif "lo" accept
{came_in}	}}

	chain forward {{
		type filter hook forward priority filter; policy drop;
	}}

	chain output {{
		type filter hook output priority filter; policy drop;
		ct state established,related accept
		oif "lo" accept
{went_out}	}}
}}
"""


def _lines(rules: Iterable[str]) -> str:
    return "".join(f"\t\t{rule}\n" for rule in rules)


def _door(door: Door, settings: HostSettings) -> Iterator[str]:
    host = ip_address(door.host)
    if host.is_loopback:
        return
    network = _network_of(door, settings)
    if not door.allowed:
        raise ConfigError(
            f"The listener {door.title} admits every address, and a firewall cannot tell scanners from others then; "
            "name them in [dicom] allowed_ip."
        )
    callers = _networks(ip_network(given, strict=False) for given in door.allowed)
    yield (
        f'iifname "{network.interface}" ip saddr {callers} ip daddr {network.address.ip} tcp dport {door.port} accept '
        f'comment "DICOM to {door.title}"'
    )


def _network_of(door: Door, settings: HostSettings) -> Network:
    host = ip_address(door.host)
    for network in settings.networks:
        if host == network.address.ip or (host.is_unspecified and network is settings.hospital):
            break
    else:
        raise ConfigError(
            f"The listener {door.title} listens on {host}, which no network of [host] has; correct one of the two."
        )
    if not door.port or any(ip_network(given, strict=False).version == 6 for given in door.allowed):
        raise ConfigError(
            f"The listener {door.title} needs a port of its own and IPv4 callers: the firewall admits no other."
        )
    return network


def _page(settings: HostSettings) -> Iterator[str]:
    if settings.hospital.page_from:
        yield (
            f'iifname "{settings.hospital.interface}" ip saddr {_networks(settings.hospital.page_from)} '
            f'ip daddr {settings.hospital.address.ip} tcp dport {settings.page_port} accept comment "page"'
        )


def _metrics(settings: HostSettings, facts: Facts) -> Iterator[str]:
    """Prometheus asks from where the administrators or the users of that network are."""
    host, _, port = (facts.metrics or "127.0.0.1:0").rpartition(":")
    for network in settings.networks:
        if host == str(network.address.ip):
            callers = network.ssh_from if isinstance(network, Admin) else settings.hospital.page_from
            if not callers:
                raise ConfigError("Nobody may ask for metrics there; name networks in [host.hospital] page_from.")
            yield (
                f'iifname "{network.interface}" ip saddr {_networks(callers)} ip daddr {host} tcp dport {port} accept '
                'comment "metrics"'
            )


def _ssh(settings: HostSettings) -> Iterator[str]:
    if settings.admin:
        yield (
            f'iifname "{settings.admin.interface}" ip saddr {_networks(settings.admin.ssh_from)} '
            f'ip daddr {settings.admin.address.ip} tcp dport 22 accept comment "SSH"'
        )


def _out(settings: HostSettings, facts: Facts) -> Iterator[str]:
    hospital = settings.hospital
    way = f'oifname "{hospital.interface}" ip saddr {hospital.address.ip}'
    for protocol in ("udp", "tcp") if hospital.name_servers else ():
        yield f'{way} ip daddr {_set(hospital.name_servers)} {protocol} dport 53 accept comment "names"'
    yield f'{way} ip daddr {_set(hospital.time_servers)} udp dport 123 accept comment "time"'
    yield f'{way} tcp dport {_set({*_OUT, *facts.out_ports})} accept comment "archives and updates"'
    yield from _calls(way, {*hospital.also_out, *facts.calls, *(share.called for share in settings.share)})


def _calls(way: str, places: Iterable[str]) -> Iterator[str]:
    """Yield a rule for each place; a firewall knows no names, so the port of one is open to every address there."""
    for place in sorted(places):
        host, _, port = place.removeprefix("udp ").rpartition(":")
        protocol = "udp" if place.startswith("udp ") else "tcp"
        try:
            known = f"ip daddr {IPv4Address(host)} "
        except ValueError:
            known = ""
        if not host.startswith("127."):
            yield f"{way} {known}{protocol} dport {port} accept"


def _networks(given: Iterable[object]) -> str:
    """Return a set of networks; nft takes none that overlap."""
    return _set(collapse_addresses(IPv4Network(str(network)) for network in given))


def _set(values: Iterable[object]) -> str:
    return "{ " + ", ".join(map(str, sorted(values, key=_order))) + " }"


def _order(value: object) -> tuple[int, str]:
    return (value, "") if isinstance(value, int) else (0, str(value))
