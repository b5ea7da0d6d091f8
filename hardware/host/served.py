"""Folders that the relay serves to a console by SMB: there one may create, and neither delete nor write again."""

from collections.abc import Iterator, Sequence

from hardware.host.records import Facts, Served
from hardware.host.settings import HostSettings
from kspace.errors import ConfigError

STATE = "/var/lib/kspace-exports"
CONFIG = "etc/kspace/exports.conf"


def samba_conf(settings: HostSettings, facts: Facts) -> str:
    """Return the whole configuration of the Samba that serves them, and nothing else (smb.conf(5), vfs_worm(8)).

    Raises:
        ConfigError: a console cannot reach its folder, or the folder's disk is not the one that is watched.
    """
    for served in facts.served:
        _refuse_misfits(served, settings, facts)
    shares = (
        _SHARE.format(
            name=s.share, path=s.path, user=s.user, address=s.address, scanner=s.scanner, quota=f"{s.quota_gb:g}"
        )
        for s in facts.served
    )
    return _SAMBA.format(address=settings.hospital.address.ip, state=STATE, relay=facts.name) + "".join(shares)


def doors(settings: HostSettings, served: Sequence[Served]) -> Iterator[str]:
    """Yield a firewall rule for each console."""
    for one in served:
        yield (
            f'iifname "{settings.hospital.interface}" ip saddr {one.address} ip daddr {settings.hospital.address.ip} '
            f'tcp dport 445 accept comment "exports of {one.scanner}"'
        )


def commands(settings: HostSettings, facts: Facts) -> str:
    """Return the lines that make accounts, folders, quotas and passwords: a part of INSTALL.txt."""
    if not facts.served:
        return ""
    quota = _QUOTA_ZFS if settings.pool == "zfs" else _QUOTA_XFS
    lines = [_BEGIN.format(state=STATE)]
    for number, one in enumerate(facts.served, start=1):
        given = {
            "user": one.user,
            "path": one.path,
            "account": settings.account,
            "folder": facts.folder,
            "number": 100 + number,
            "share": one.share,
            "quota": int(one.quota_gb * 1e9) // 1024,
            "config": f"/{CONFIG}",
        }
        lines.append((_FOLDER_BEGIN + quota + _FOLDER_END).format(**given))
    return "".join(lines)


def _refuse_misfits(served: Served, settings: HostSettings, facts: Facts) -> None:
    if facts.folder not in served.path.parents:
        raise ConfigError(
            f"The folder that is served to {served.scanner} must lie below {facts.folder}: that disk is watched."
        )
    inner = [*settings.tap, *([settings.admin] if settings.admin else [])]
    for network in inner:
        if served.address in network.address.network:
            raise ConfigError(
                f"The console {served.address} of {served.scanner} is in the network of {network.interface}, from "
                "where nothing may call in; it needs an address in the hospital's network, or other ways."
            )


_SAMBA = """\
# The folders that {relay} serves to consoles. Apart from Debian's own Samba, which is not started.
[global]
server role = standalone server
interfaces = {address}
bind interfaces only = yes
smb ports = 445
disable netbios = yes
server min protocol = SMB2_10
server signing = mandatory
map to guest = never
restrict anonymous = 2
load printers = no
printcap name = /dev/null
disable spoolss = yes
passdb backend = tdbsam
private dir = {state}/private
state directory = {state}
cache directory = {state}
lock directory = /run/kspace-exports
pid directory = /run/kspace-exports
ncalrpc dir = /run/kspace-exports/ncalrpc
follow symlinks = no
max smbd processes = 64
"""

_SHARE = """
# Of {scanner}: at most {quota} GB. From a second after its last byte on, nothing can be written again, renamed or
# deleted from there; the relay deletes it when every archive has proved that it holds it.
[{name}]
path = {path}
read only = no
valid users = {user}
hosts allow = {address}
vfs objects = worm
worm:grace_period = 0
create mask = 0640
force create mode = 0640
directory mask = 0770
force directory mode = 0770
"""

_BEGIN = """
# Folders for consoles: an account, a folder, a quota and a password each. Debian's own Samba stays off.
apt-get install --yes samba samba-vfs-modules
systemctl disable --now smbd nmbd samba-ad-dc winbind 2>/dev/null || true
install -d -m 755 {state} /run/kspace-exports && install -d -m 700 {state}/private
"""
_FOLDER_BEGIN = """\
adduser --system --group --no-create-home --home /nonexistent {user} && adduser {account} {user}
"""
_QUOTA_XFS = """\
install -d -o {account} -g {user} -m 770 {path}
xfs_quota -x -D /dev/null -P /dev/null -c 'project -s -p {path} {number}' -c 'limit -p bhard={quota}k {number}' {folder}
"""
_QUOTA_ZFS = """\
zfs create -p -o quota={quota}K -o mountpoint={path} kspace/exports-{share}
install -d -o {account} -g {user} -m 770 {path}
"""
_FOLDER_END = """\
smbpasswd -c {config} -a {user}  # asks for the password that the console is to sign in with
"""


def unit(facts: Facts, *, locked: str) -> str:
    """Return the service of the Samba that serves the folders: it sees no other of the relay's."""
    return _UNIT.format(
        config=f"/{CONFIG}", folder=facts.folder, paths=" ".join(str(s.path) for s in facts.served), locked=locked
    )


_UNIT = """\
[Unit]
Description=Folders into which consoles export raw files
Wants=network-online.target
After=network-online.target nftables.service
RequiresMountsFor={folder} {paths}

[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/sbin/smbd --foreground --no-process-group --debug-stdout --configfile={config}
Restart=on-failure
RestartSec=5
LimitNOFILE=16384
StateDirectory=kspace-exports
StateDirectoryMode=0755
RuntimeDirectory=kspace-exports
RuntimeDirectoryMode=0755
TemporaryFileSystem={folder}
BindPaths={paths}
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_DAC_OVERRIDE CAP_FOWNER CAP_LEASE CAP_KILL
PrivateDevices=yes
{locked}
RestrictAddressFamilies=AF_INET AF_UNIX AF_NETLINK
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
