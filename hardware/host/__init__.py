"""The files of the host: made from the configuration alone, one module a kind of file."""

import shlex

from hardware.host import firewall, network, served, storage, tap, units, upkeep
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
    if facts.served:
        made[served.CONFIG] = served.samba_conf(settings, facts)
        made["etc/systemd/system/kspace-exports.service"] = served.unit(facts, locked=units.LOCKED)
    made["INSTALL.txt"] = _INSTALL.format(
        services=shlex.join(sorted(_enabled(made))),
        programs=PROGRAMS,
        account=settings.account,
        folder=facts.folder,
        config=settings.config,
        config_folders=" ".join(sorted({"/etc/kspace", str(settings.config.parent)})),
        program=settings.program,
        venv=settings.program.parent.parent,
        packages=_PACKAGES[settings.pool] + (" cifs-utils" if any(s.kind == "cifs" for s in settings.share) else ""),
        secrets=_secrets(settings),
        exports=served.commands(settings, facts),
    )
    return dict(sorted(made.items()))


def _enabled(made: dict[str, str]) -> list[str]:
    return [path.rpartition("/")[2] for path, text in made.items() if "\n[Install]\n" in text]


_PACKAGES = {
    "mdadm": "cryptsetup lvm2 mdadm smartmontools thin-provisioning-tools xfsprogs",
    "zfs": "smartmontools zfs-dkms zfsutils-linux",
}

_INSTALL = """\
# How a fresh Debian 12 becomes the box: paste line by line, as root, at the console (the network changes on the way),
# in this folder. Everything up to the last line can be done twice.

# 1. Where the checkout of the program is, and the configuration that these files were made from. Enter yours.
umask 022
source=/usr/local/src/kspace-relay
settings=/usr/local/src/relay.toml

# 2. What the system needs, while it still has its old network.
apt-get update
apt-get install --yes chrony iproute2 iputils-arping nftables openssh-server python3-venv unattended-upgrades
apt-get install --yes {packages}

# 3. The account and its folders.
adduser --system --group --home {folder} {account}
install -d -o {account} -g {account} -m 700 {folder}
install -d -o root -g {account} -m 750 {config_folders}

# 4. The program, exactly as its lock says.
python3 -m venv {venv}
{venv}/bin/pip install --no-deps --require-hashes -r "$source/requirements.lock"
{venv}/bin/pip install --no-deps --no-build-isolation "$source"
ln -sf {program} /usr/local/bin/kspace

# 5. The pool: read POOL.sh, complete it, run it, see that {folder} is on it. It is run once.
# 6. The configuration, and the passwords that it names: each into a file of its own, as here. It must load.
install -o root -g {account} -m 640 "$settings" {config}
{secrets}kspace host files -c {config}

# 7. These files into their places.
cp -r --no-preserve=mode,ownership --remove-destination etc usr /
chmod 755 /{programs}*
nft -c -f /etc/nftables.conf
update-initramfs -u
{exports}systemctl disable --now networking ifupdown-pre systemd-timesyncd avahi-daemon 2>/dev/null || true
systemctl enable systemd-networkd systemd-networkd-wait-online nftables chrony ssh unattended-upgrades
systemctl enable {services}

# 8. From here on the box is as configured. After it: kspace host accept -c {config}
systemctl reboot
"""


def _secrets(settings: HostSettings) -> str:
    """Return what makes the files of root's own secrets; the relay's are named by the configuration."""
    files = sorted({str(share.credentials) for share in settings.share if share.credentials})
    made = "[ -e {0} ] || install -m 600 /dev/null {0}  # then write username= and password= into it\n"
    return "".join(made.format(file) for file in files)
