"""A tap: one scanner's back-end network in a network namespace of its own, with no way out of it."""

from hardware.host.cards import Tap


def namespace(tap: Tap) -> str:
    """Return the name of a tap's network namespace, as in ``ip netns``."""
    return f"tap-{tap.scanner}"


def switch(tap: Tap, *, rules: str) -> str:
    """Return the program that brings a tap ``up`` and ``down``, and watches it; ``rules`` is where its firewall lies.

    Rules and kernel settings are in force before the card is switched on, and the address is taken only where a probe
    (RFC 5227) saw nobody with it: a probe into a dead cable proves nothing, so there must be a carrier. With every
    change of the carrier the proof is over (RFC 5227, section 2.1: a probe at each link-up): the address is given back,
    and taken again by the same way.
    """
    return _SWITCH.format(
        scanner=tap.scanner,
        namespace=namespace(tap),
        card=tap.interface,
        ip=tap.address.ip,
        address=tap.address,
        rules=rules,
        kernel="\n\t\t".join(f"{key}={value} \\" for key, value in _KERNEL.items())[:-2],
    )


_KERNEL = {
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
    "net.ipv4.ip_forward": 0,
    "net.ipv4.conf.all.forwarding": 0,
    "net.ipv4.conf.all.rp_filter": 1,
    "net.ipv4.conf.all.arp_ignore": 2,
    "net.ipv4.conf.all.arp_announce": 2,
    "net.ipv4.conf.all.accept_redirects": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.all.accept_source_route": 0,
    "net.ipv4.icmp_echo_ignore_all": 1,
}
"""ip-sysctl.rst of the kernel: strict reverse path (1); answers to ARP for the own address and net only (2)."""

_SWITCH = """\
#!/bin/sh
# The tap at {scanner}: "up", "watch" or "down". Nothing passes between its network and the others: its card is in a
# namespace of its own, without a route, a name server, DHCP, IPv6 or a listening port.
set -eu
namespace={namespace}
card={card}
probed="/run/$namespace.probed"

inside() {{ ip netns exec "$namespace" "$@"; }}

down() {{
	ip netns delete "$namespace" 2>/dev/null || true
	rm -f "$probed"
}}

refuse() {{
	echo "The tap at {scanner} stays down: $1" >&2
	down
	exit 1
}}

up() {{
	[ -e "/run/netns/$namespace" ] || ip netns add "$namespace"
	inside ip link show "$card" >/dev/null 2>&1 || ip link set "$card" netns "$namespace"
	inside ip link set "$card" down
	inside ip address flush dev "$card"
	inside sysctl -q -e -w \\
		{kernel}
	inside nft -f {rules}
	inside ip link set "$card" arp on up
	take
}}

# How often the carrier came or went so far.
changes() {{
	inside cat "/sys/class/net/$card/carrier_changes"
}}

take() {{
	tries=0
	until [ "$(inside cat "/sys/class/net/$card/carrier" 2>/dev/null)" = 1 ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 8 ] || refuse "$card has no carrier; see the cable and the scanner."
		sleep 1
	done
	changes > "$probed"
	inside arping -q -D -c 3 -w 4 -I "$card" {ip} || refuse "somebody has {ip} already; take another address."
	inside ip address add {address} dev "$card"
}}

# A cable that was out, or a switch that was off, may be on another network now: then the address is probed again.
watch() {{
	while sleep 1; do
		now=$(changes)
		[ "$now" != "$(cat "$probed")" ] || continue
		inside ip address flush dev "$card"
		take
	done
}}

case "${{1-}}" in
	up) up ;;
	watch) watch ;;
	down) down ;;
	*) echo "up, watch or down?" >&2; exit 2 ;;
esac
"""
