"""The network plan: systemd-networkd's files, kernel settings, and a table of what is plugged where."""

from collections.abc import Iterator

from hardware.host.cards import Hospital, Network
from hardware.host.records import Facts
from hardware.host.settings import HostSettings
from hardware.host.tap import namespace


def network_files(settings: HostSettings) -> dict[str, str]:
    """Return the files of every card by path; the cards of taps are left to their namespaces."""
    made = {}
    for network in settings.networks:
        made[f"etc/systemd/network/20-{network.interface}.network"] = _NETWORK.format(
            card=network.interface, address=network.address, way_out=_way_out(network)
        )
    for tap in settings.tap:
        made[f"etc/systemd/network/20-{tap.interface}.network"] = _UNMANAGED.format(
            card=tap.interface, scanner=tap.scanner
        )
    for named in (*settings.networks, *settings.tap):
        if named.mac:
            made[f"etc/systemd/network/10-{named.interface}.link"] = _LINK.format(card=named.interface, mac=named.mac)
    made["etc/sysctl.d/60-kspace.conf"] = "".join(f"{key} = {value}\n" for key, value in _KERNEL.items())
    servers = "".join(f"nameserver {server}\n" for server in settings.hospital.name_servers)
    made["etc/resolv.conf"] = servers or "# No name server is configured.\n"
    return made


def plan(settings: HostSettings, facts: Facts) -> str:
    """Return the table of cards, networks, and who may call whom, for the people who plug cables and open doors."""
    rows = [("card", "network", "address", "comes in", "goes out"), *_rows(settings, facts)]
    widths = [max(len(row[n]) for row in rows) for n in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([f"Network plan of {facts.name}. Nothing is passed on between networks.", "", lines[0], rule]) + (
        "\n" + "\n".join(lines[1:]) + "\n"
    )


def _rows(settings: HostSettings, facts: Facts) -> Iterator[tuple[str, str, str, str, str]]:
    hospital, admin = settings.hospital, settings.admin
    came_in = [f"DICOM {d.port} from {' '.join(d.allowed)}" for d in facts.doors if not d.host.startswith("127.")]
    came_in += [f"exports (SMB 445) from {served.address}" for served in facts.served]
    if hospital.page_from:
        came_in.append(f"page {settings.page_port} from {' '.join(map(str, hospital.page_from))}")
    metrics, _, port = (facts.metrics or "").rpartition(":")
    asked = {str(n.address.ip): [f"metrics {port}"] if metrics == str(n.address.ip) else [] for n in settings.networks}
    came_in += asked[str(hospital.address.ip)]
    went_out = [
        "names, time, HTTPS" if hospital.name_servers else "time, HTTPS",
        *sorted({*hospital.also_out, *facts.calls, *(s.called for s in settings.share)}),
    ]
    went_out = [called for called in went_out if not called.startswith("127.")]
    yield hospital.interface, "hospital", str(hospital.address), _several(came_in), _several(went_out)
    if admin:
        came_in = [f"SSH 22 from {' '.join(map(str, admin.ssh_from))}", *asked[str(admin.address.ip)]]
        yield admin.interface, "administrators", str(admin.address), _several(came_in), "nothing"
    for tap in settings.tap:
        calls = [f"{server.to} (at {server.at})" for server in tap.server]
        yield (
            tap.interface,
            f"back end of {tap.scanner} ({namespace(tap)})",
            str(tap.address),
            "nothing",
            _several(calls),
        )


def _several(given: list[str]) -> str:
    return ", ".join(given) or "nothing"


def _way_out(network: Network) -> str:
    return f"Gateway={network.gateway}\n" if isinstance(network, Hospital) else ""


_NETWORK = """\
[Match]
Name={card}

[Network]
DHCP=no
LinkLocalAddressing=no
IPv6AcceptRA=no
LLMNR=no
MulticastDNS=no
IPForward=no
{way_out}
[Address]
Address={address}
DuplicateAddressDetection=ipv4
"""

_UNMANAGED = """\
# The tap at {scanner}: its own service moves this card into a namespace of its own.
[Match]
Name={card}

[Link]
Unmanaged=yes
ActivationPolicy=manual
"""

_LINK = """\
[Match]
PermanentMACAddress={mac}

[Link]
Name={card}
"""

_KERNEL = {
    "net.ipv4.ip_forward": 0,
    "net.ipv4.conf.all.forwarding": 0,
    "net.ipv6.conf.all.forwarding": 0,
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
    "net.ipv4.conf.all.rp_filter": 1,
    "net.ipv4.conf.all.arp_ignore": 1,
    "net.ipv4.conf.all.arp_announce": 2,
    "net.ipv4.conf.all.accept_redirects": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.all.accept_source_route": 0,
    "kernel.dmesg_restrict": 1,
    "kernel.kptr_restrict": 2,
    "fs.protected_fifos": 2,
    "fs.protected_regular": 2,
}
"""Cards answer for their own address alone (ip-sysctl.rst of the kernel), and nothing is passed on."""
