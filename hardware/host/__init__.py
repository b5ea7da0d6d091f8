"""The files of the host: made from the configuration alone, one module a kind of file."""

import shlex

from hardware.host import firewall, network, storage, tap, units, upkeep
from hardware.host.records import Facts
from hardware.host.settings import HostSettings

PROGRAMS = "usr/local/lib/kspace/"
"""What lies here is a program, not a text."""


def host_files(settings: HostSettings, facts: Facts) -> dict[str, str]:
    """Return every file of the host by its path below the root; what lies at the root itself is for people.

    Raises:
        ConfigError: the firewall cannot admit exactly what is configured.
    """
    made = {
        "etc/systemd/system/kspace.service": units.relay(settings, facts),
        "etc/nftables.conf": firewall.box_rules(settings, facts),
        **network.network_files(settings),
        **upkeep.upkeep_files(settings, facts),
        "NETWORK.txt": network.plan(settings, facts),
        "POOL.sh": storage.pool_commands(settings, facts),
    }
    made[f"{PROGRAMS}smart"] = units.SMART
    for name, text in units.smart_units(program=f"/{PROGRAMS}smart").items():
        made[f"etc/systemd/system/{name}"] = text
    for share in settings.share:
        place = "etc/systemd/system/"
        made[place + units.unit_of(share.path, "mount")] = units.mount(share, settings)
        made[place + units.unit_of(share.path, "automount")] = units.automount(share)
    for one in settings.tap:
        rules, switch = f"etc/kspace/tap-{one.scanner}.nft", f"{PROGRAMS}tap-{one.scanner}"
        made[rules] = firewall.tap_rules(one)
        made[switch] = tap.switch(one, rules=f"/{rules}")
        made |= {f"etc/systemd/system/{unit}": text for unit, text in units.tap_units(one, switch=f"/{switch}").items()}
    made["INSTALL.txt"] = _INSTALL.format(
        services=shlex.join(sorted(_enabled(made))),
        programs=PROGRAMS,
        account=settings.account,
        folder=facts.folder,
        config=settings.config,
        packages=_PACKAGES[settings.pool] + (" cifs-utils" if any(s.kind == "cifs" for s in settings.share) else ""),
    )
    return dict(sorted(made.items()))


def _enabled(made: dict[str, str]) -> list[str]:
    return [path.rpartition("/")[2] for path, text in made.items() if "\n[Install]\n" in text]


_PACKAGES = {
    "mdadm": "cryptsetup lvm2 mdadm smartmontools thin-provisioning-tools xfsprogs",
    "zfs": "smartmontools zfs-dkms zfsutils-linux",
}

_INSTALL = """\
# How these files get into their places. As root, in this folder, from a console: the network changes on the way.
apt-get install --yes chrony iproute2 iputils-arping nftables openssh-server unattended-upgrades {packages}
adduser --system --group --home {folder} {account}
install -d -o root -g {account} -m 750 /etc/kspace
# The pool first: read POOL.sh, complete it, run it. Then the configuration: {config}.
cp -r --no-preserve=mode,ownership etc usr /
chmod 755 /{programs}*
systemctl disable --now networking ifupdown-pre systemd-timesyncd avahi-daemon 2>/dev/null || true
sysctl --system && systemctl daemon-reload
systemctl enable systemd-networkd systemd-networkd-wait-online nftables chrony unattended-upgrades
systemctl enable {services}
nft -c -f /etc/nftables.conf && systemctl reboot
# And then: kspace host accept -c {config}
"""
