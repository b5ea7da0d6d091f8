"""Time, journal and updates of the box."""

from hardware.host.records import Facts
from hardware.host.settings import HostSettings


def upkeep_files(settings: HostSettings, facts: Facts) -> dict[str, str]:
    """Return chrony's, journald's and apt's files by path."""
    servers = "".join(f"server {server} iburst\n" for server in settings.hospital.time_servers)
    return {
        "etc/chrony/chrony.conf": _CHRONY.format(servers=servers),
        "etc/systemd/journald.conf.d/kspace.conf": _JOURNAL,
        "etc/apt/apt.conf.d/52kspace": _UPDATES.format(relay=facts.name),
    }


_CHRONY = """\
# A client alone: no port is open for time, and only this box may ask how it stands.
{servers}port 0
bindcmdaddress 127.0.0.1
bindcmdaddress /run/chrony/chronyd.sock
makestep 1 3
rtcsync
leapsectz right/UTC
driftfile /var/lib/chrony/chrony.drift
ntsdumpdir /var/lib/chrony
logdir /var/log/chrony
"""

_JOURNAL = """\
# The logs stay on this box, and never fill its system disk.
[Journal]
Storage=persistent
SystemMaxUse=1G
SystemKeepFree=2G
SystemMaxFileSize=64M
MaxRetentionSec=90day
RateLimitIntervalSec=30s
RateLimitBurst=10000
ForwardToSyslog=no
"""

_UPDATES = """\
// Security updates of {relay} by themselves; the box is restarted by a person, or at night where an update needs it.
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
Unattended-Upgrade::Origins-Pattern {{ "origin=Debian,codename=${{distro_codename}}-security,label=Debian-Security"; }};
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
Unattended-Upgrade::Automatic-Reboot "true";
Unattended-Upgrade::Automatic-Reboot-WithUsers "false";
Unattended-Upgrade::Automatic-Reboot-Time "03:30";
"""
