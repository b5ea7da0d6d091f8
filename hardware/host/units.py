"""systemd units: the relay, its taps and its shares."""

from pathlib import Path

from hardware.host.cards import Tap
from hardware.host.records import Facts
from hardware.host.settings import HostSettings, Mounted
from hardware.host.tap import namespace


def relay(settings: HostSettings, facts: Facts) -> str:
    """Return the relay's service: an account without rights, a read-only system, and a watchdog."""
    mounts = " ".join(unit_of(share.path, "automount") for share in settings.share)
    is_low = any(0 < door.port < 1024 for door in facts.doors)
    return _RELAY.format(
        account=settings.account,
        program=settings.program,
        config=settings.config,
        folder=facts.folder,
        after=f" {mounts}" if mounts else "",
        wants=f"Wants=network-online.target{f' {mounts}' if mounts else ''}",
        ambient="AmbientCapabilities=CAP_NET_BIND_SERVICE\n" if is_low else "",
        bounding="CAP_NET_BIND_SERVICE" if is_low else "",
        locked=LOCKED,
        devices=_ZFS if settings.pool == "zfs" else "PrivateDevices=yes",
    )


def tap_units(tap: Tap, *, switch: str) -> dict[str, str]:
    """Return the units of a tap by name: one keeps it up, and a pair carries what calls each of its servers.

    The carrier is systemd-socket-proxyd(8): it listens on this box alone, and calls from inside the namespace. Its
    socket is there only while the tap is, so that a scanner that is off is an error, not a wait.
    """
    service = f"kspace-tap-{tap.scanner}"
    made = {f"{service}.service": _TAP.format(scanner=tap.scanner, namespace=namespace(tap), switch=switch)}
    for number, server in enumerate(tap.server, start=1):
        given = {
            "scanner": tap.scanner,
            "tap": f"{service}.service",
            "at": server.at,
            "to": server.to,
            "namespace": namespace(tap),
            "locked": LOCKED,
        }
        made[f"{service}-{number}.socket"] = _SOCKET.format(**given)
        made[f"{service}-{number}.service"] = _CARRIER.format(**given)
    return made


def mount(share: Mounted, settings: HostSettings) -> str:
    """Return a share's mount, read-only."""
    tap = next((t for t in settings.tap if share.called in {s.at for s in t.server}), None)
    after = f"kspace-tap-{tap.scanner}.service" if tap else "network-online.target"
    return _MOUNT.format(
        scanner=share.scanner,
        after=after,
        what=_what(share).replace("%", "%%"),
        where=share.path,
        kind=share.kind,
        options=_options(share, settings),
    )


def smart_units(*, program: str) -> dict[str, str]:
    """Return the timer of root that leaves what the disks say of themselves where the relay can read it."""
    return {"kspace-smart.service": _SMART.format(program=program), "kspace-smart.timer": _SMART_TIMER}


def automount(share: Mounted) -> str:
    """Return what mounts a share when it is first looked at, and again after the scanner was off."""
    return _AUTOMOUNT.format(scanner=share.scanner, where=share.path)


def unit_of(path: Path, kind: str) -> str:
    """Return the name of a path's mount unit (systemd.unit(5), "String escaping for inclusion in unit names")."""
    plain = str(path).strip("/")
    kept = "".join(
        "-" if c == "/" else c if (c.isascii() and c.isalnum()) or c in ":_" or (c == "." and i) else f"\\x{ord(c):02x}"
        for i, c in enumerate(plain)
    )
    return f"{kept}.{kind}"


def _what(share: Mounted) -> str:
    return f"//{share.server}/{share.name}" if share.kind == "cifs" else f"{share.server}:/{share.name}"


def _options(share: Mounted, settings: HostSettings) -> str:
    kept = ["ro", "nosuid", "nodev", "noexec", "soft", "_netdev", f"port={share.called.split(':')[1]}"]
    if share.kind == "cifs":
        kept += [f"uid={settings.account}", "file_mode=0400", "dir_mode=0500", "vers=3.0", "cache=none"]
        kept += [f"credentials={share.credentials}"] if share.credentials else ["guest"]
    else:
        kept += ["timeo=100", "retrans=2"]
    return ",".join(kept)


LEFT_IN = "/run/kspace-smart"
SMART = """\
#!/bin/sh
# Leaves what smartctl says of each disk in the folder $RUNTIME_DIRECTORY. A sleeping disk is not woken.
set -eu
cd "$RUNTIME_DIRECTORY"
left() { mv "$1.new" "$1.json"; }
smartctl --json=c --scan-open > scan.new || true
smartctl --scan-open | while read -r disk _ kind _; do
	name=$(basename "$disk")
	smartctl --json=c -H -A -n standby,0 -d "$kind" "$disk" > "$name.new" || true
	left "$name"
done
left scan
"""
_ZFS = "DevicePolicy=closed\nDeviceAllow=/dev/zfs rw"

_SMART = """\
[Unit]
Description=What the disks say of themselves, for the relay

[Service]
Type=oneshot
ExecStart={program}
RuntimeDirectory=kspace-smart
RuntimeDirectoryPreserve=yes
UMask=0022
TimeoutStartSec=300
CapabilityBoundingSet=CAP_SYS_RAWIO CAP_SYS_ADMIN CAP_DAC_OVERRIDE
NoNewPrivileges=yes
PrivateNetwork=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=strict
ProtectKernelModules=yes
ProtectKernelLogs=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK
"""

_SMART_TIMER = """\
[Unit]
Description=What the disks say of themselves, every ten minutes

[Timer]
OnBootSec=30
OnUnitActiveSec=600

[Install]
WantedBy=timers.target
"""

LOCKED = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077"""
"""What every service of the relay is denied (systemd.exec(5))."""

_RELAY = """\
[Unit]
Description=k-space relay
{wants}
After=network-online.target time-sync.target nftables.service{after}
RequiresMountsFor={folder}

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=120
TimeoutStartSec=900
User={account}
Group={account}
ExecStart={program} serve -c {config}
Restart=always
RestartSec=5
TimeoutStopSec=90
OOMPolicy=stop
{ambient}CapabilityBoundingSet={bounding}
ReadWritePaths={folder}
{devices}
{locked}
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallFilter=~@privileged @obsolete
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""

_TAP = """\
[Unit]
Description=Tap at {scanner}, in the network namespace {namespace}
After=systemd-networkd.service nftables.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStartPre={switch} up
ExecStart={switch} watch
ExecStopPost={switch} down
Restart=always
RestartSec=60

[Install]
WantedBy=multi-user.target
"""

_SOCKET = """\
[Unit]
Description=What calls {to} behind the tap at {scanner}
DefaultDependencies=no
BindsTo={tap}
After={tap}
Conflicts=shutdown.target
Before=shutdown.target

[Socket]
ListenStream={at}

[Install]
WantedBy={tap}
"""

_CARRIER = """\
[Unit]
Description=Carries calls to {to} from inside the tap at {scanner}
BindsTo={tap}
After={tap}

[Service]
ExecStart=/lib/systemd/systemd-socket-proxyd --connections-max=32 {to}
NetworkNamespacePath=/run/netns/{namespace}
DynamicUser=yes
CapabilityBoundingSet=
PrivateDevices=yes
{locked}
PrivateUsers=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET
SystemCallFilter=~@privileged @resources
"""

_MOUNT = """\
[Unit]
Description=Raw files of {scanner}, read-only
Wants={after}
After={after}

[Mount]
What={what}
Where={where}
Type={kind}
Options={options}
TimeoutSec=60
"""

_AUTOMOUNT = """\
[Unit]
Description=Raw files of {scanner}, mounted when they are looked at

[Automount]
Where={where}

[Install]
WantedBy=multi-user.target
"""
