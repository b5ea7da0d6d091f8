"""INSTALL.txt, line by line, on a copy of this system that is thrown away: it leads to a box that can start."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from typer.testing import CliRunner

from transfer.app.cli import app

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"apt-get", "update-initramfs", "systemctl reboot"}
"""What needs the network, a kernel, or a machine of its own."""
_ENTER = """\
set -eu
mount -t tmpfs layer "$1"
mkdir -m 755 "$1/upper" "$1/work" "$1/box"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" box "$1/box"
mount --rbind /dev "$1/box/dev"
mount -t proc -o ro proc "$1/box/proc"
mount --bind -o ro {root} "$1/box{root}"
cp -r "$2" "$1/box/usr/local/src/files"
exec chroot "$1/box" sh -eu -c "cd /usr/local/src/files && . ./lines"
"""
_LOOK = """\
cd /etc/systemd/system
stat -c '%U:%G %a %n' /var/lib/kspace /etc/kspace /etc/kspace/relay.toml /etc/kspace/prisma-1.smb
stat -c '%U:%G %a %n' /usr/local/lib/kspace/tap-prisma-1 /etc/systemd/system/kspace.service
systemctl is-enabled kspace kspace-tap-prisma-1.service kspace-smart.timer systemd-networkd nftables chrony
systemd-analyze verify --man=no kspace*.service kspace*.socket kspace*.timer && echo nothing to say
cat /etc/resolv.conf
/usr/sbin/runuser -u kspace -- test -x /usr/local/bin/kspace -a -r /etc/kspace/relay.toml && echo within reach
"""
_LOOKED = """\
kspace:kspace 700 /var/lib/kspace
root:kspace 750 /etc/kspace
root:kspace 640 /etc/kspace/relay.toml
root:root 600 /etc/kspace/prisma-1.smb
root:root 755 /usr/local/lib/kspace/tap-prisma-1
root:root 644 /etc/systemd/system/kspace.service
enabled
enabled
enabled
enabled
enabled
enabled
nothing to say
nameserver 10.1.2.1
within reach
"""


@pytest.fixture
def files(tmp_path, requires) -> Path:
    """Return the files of a box with a share that has a password, as the command line wrote them."""
    if os.geteuid():
        pytest.skip("A copy of the system is made by root alone.")
    for program in ("unshare", "systemctl", "nft", "chronyd", "unattended-upgrade"):
        requires(program)
    text = (ROOT / "relay.example.toml").read_text()
    (tmp_path / "relay.toml").write_text(
        text.replace("  #credentials =", "  credentials =").replace(
            "  #name_servers = []", '  name_servers = ["10.1.2.1"]'
        )
    )
    out = tmp_path / "files"
    said = CliRunner().invoke(app, ["host", "files", "-c", str(tmp_path / "relay.toml"), "-o", str(out)])
    assert said.exit_code == 0, said.output
    return out


def lines_of(files: Path) -> tuple[list[str], list[str]]:
    """Return the lines that can run here, with our own places, and those that cannot."""
    ours = {"source=": f"source={ROOT}", "settings=": f"settings={files.parent}/relay.toml"}
    told = [line for line in (files / "INSTALL.txt").read_text().splitlines() if line and not line.startswith("#")]
    told = [next((to for begin, to in ours.items() if line.startswith(begin)), line) for line in told]
    runs = [line for line in told if not line.startswith(tuple(LEFT_OUT))]
    return runs, [line for line in told if line not in runs]


def test_a_person_who_pastes_it_line_by_line_has_a_box(files, tmp_path):
    runs, left_out = lines_of(files)
    assert [line.split()[0] for line in left_out] == ["apt-get"] * 3 + ["update-initramfs", "systemctl"]
    folder = f"/opt/kspace/lib/python3.{sys.version_info.minor}/site-packages"
    known = f"rm -r {folder}/setuptools*; echo {sysconfig.get_path('purelib')} > {folder}/here.pth"
    """What the lock names is on this machine already: pip compares the versions, and fetches nothing."""
    at = 1 + next(n for n, line in enumerate(runs) if line.startswith("python3 -m venv"))
    again = [line for line in runs if not line.startswith(("python3 -m venv", "/opt/kspace/bin/pip"))]
    script = [*runs[:at], known, *runs[at:], *again, "echo; echo LOOK", _LOOK]
    (files / "lines").write_text("\n".join(script))
    (tmp_path / "layer").mkdir()
    enter = ["unshare", "--mount", "--net", "sh", "-c", _ENTER.format(root=ROOT), "sh", tmp_path / "layer", files]
    quick = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1"}
    ended = subprocess.run(enter, env=quick, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.partition("\nLOOK\n")[2] == _LOOKED
