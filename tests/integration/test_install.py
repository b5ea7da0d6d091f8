"""INSTALL.txt, line by line, on a copy of this system that is thrown away: it leads to a box that can start."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from typer.testing import CliRunner

from transfer.app.cli import app

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"apt-get", "update-initramfs", "systemctl reboot", "xfs_quota"}
"""What needs the network, a kernel, a disk, or a machine of its own."""
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
_SERVE = """\
# As the unit has it: the folder alone is seen, and the Samba is this one.
mkdir /mnt/hidden && mount --bind /var/lib/kspace/exports/prisma-1 /mnt/hidden
mount -t tmpfs -o mode=755 hidden /var/lib/kspace && mkdir -p /var/lib/kspace/exports/prisma-1
mount --bind /mnt/hidden /var/lib/kspace/exports/prisma-1
ip link set lo up
for address in 10.1.2.9 10.1.2.3 10.1.2.4; do ip address add $address/32 dev lo; done
caller() { ip route replace local 10.1.2.9 dev lo table local src "$1"; }
ask() { smbclient //10.1.2.9/prisma-1 -U "prisma-1%$1" -c "$2" 2>&1 | grep -o 'NT_STATUS_[A-Z_]*' || echo done; }
serve() {
    command=$(sed -n s/^ExecStart=//p /etc/systemd/system/kspace-exports.service)
    setsid $command >/mnt/smbd 2>&1 </dev/null & samba=$!
    for _ in $(seq 100); do [ "$(ask secret ls)" != done ] || return 0; sleep 0.1; done
    kill $samba; cat /mnt/smbd; exit 1
}
cd /mnt && echo first > a.dat && echo other > b.dat
testparm -s /etc/kspace/exports.conf >/dev/null 2>testparm; grep -ciE 'warning|error|unknown' testparm || true
caller 10.1.2.3 && serve
ask wrong ls
ask secret 'put a.dat' && ask secret 'mkdir sub; cd sub; put b.dat' && sleep 1.1
ask secret 'del a.dat'
ask secret 'put b.dat a.dat'
ask secret 'rename a.dat c.dat'
ask secret 'cd sub; del b.dat'
ask secret 'rmdir sub'
caller 10.1.2.4 && ask secret ls
caller 10.1.2.3
cd /var/lib/kspace/exports/prisma-1 && cat a.dat sub/b.dat
/usr/sbin/runuser -u kspace -- sh -c 'cat a.dat >/dev/null && rm a.dat sub/b.dat && rmdir sub' && ls -A
kill $samba && wait $samba || true
sed -i /worm/d /etc/kspace/exports.conf && serve
cd /mnt && ask secret 'put a.dat' && sleep 1.1 && ask secret 'put b.dat a.dat' && ask secret 'del a.dat'
kill $samba && wait $samba || true
"""
_SERVED = """\
0
NT_STATUS_LOGON_FAILURE
done
done
NT_STATUS_ACCESS_DENIED
NT_STATUS_ACCESS_DENIED
NT_STATUS_ACCESS_DENIED
NT_STATUS_ACCESS_DENIED
NT_STATUS_ACCESS_DENIED
NT_STATUS_ACCESS_DENIED
first
other
done
done
done
"""
"""The last three: without its guard the very same is allowed, so it is the guard that refuses."""


@pytest.fixture(scope="module")
def files(tmp_path_factory, requires) -> Path:
    """Return the files of a box with a share that has a password, and a folder that it serves, as they were written."""
    if os.geteuid():
        pytest.skip("A copy of the system is made by root alone.")
    for program in ("unshare", "systemctl", "nft", "chronyd", "unattended-upgrade", "smbd", "smbclient"):
        requires(program)
    folder, text = tmp_path_factory.mktemp("box"), (ROOT / "relay.example.toml").read_text()
    for was, becomes in {
        "  #credentials =": "  credentials =",
        "  #name_servers = []": '  name_servers = ["10.1.2.1"]',
        "  #serve =": "  serve =",
    }.items():
        assert was in text
        text = text.replace(was, becomes)
    (folder / "relay.toml").write_text(text)
    said = CliRunner().invoke(app, ["host", "files", "-c", str(folder / "relay.toml"), "-o", str(folder / "files")])
    assert said.exit_code == 0, said.output
    return folder / "files"


def lines_of(files: Path) -> tuple[list[str], list[str]]:
    """Return the lines that can run here, with our own places and password, and those that cannot."""
    ours = {"source=": f"source={ROOT}", "settings=": f"settings={files.parent}/relay.toml"}
    told = [line for line in (files / "INSTALL.txt").read_text().splitlines() if line and not line.startswith("#")]
    told = [next((to for begin, to in ours.items() if line.startswith(begin)), line) for line in told]
    told = [re.sub(r"^smbpasswd", r"printf 'secret\\nsecret\\n' | smbpasswd -s", line) for line in told]
    runs = [line for line in told if not line.startswith(tuple(LEFT_OUT))]
    return runs, [line for line in told if line not in runs]


@pytest.fixture(scope="module")
def installed(files) -> list[str]:
    """Return what was looked at, and what the served folder answered, after all lines that can run, twice."""
    runs, _ = lines_of(files)
    folder = f"/opt/kspace/lib/python3.{sys.version_info.minor}/site-packages"
    known = f"rm -r {folder}/setuptools*; echo {sysconfig.get_path('purelib')} > {folder}/here.pth"
    """What the lock names is on this machine already: pip compares the versions, and fetches nothing."""
    at = 1 + next(n for n, line in enumerate(runs) if line.startswith("python3 -m venv"))
    again = [line for line in runs if not line.startswith(("python3 -m venv", "/opt/kspace/bin/pip"))]
    script = [*runs[:at], known, *runs[at:], *again, "echo; echo LOOK", _LOOK, "echo LOOK", _SERVE]
    (files / "lines").write_text("\n".join(script))
    (files.parent / "layer").mkdir()
    enter = ["unshare", "--mount", "--net", "sh", "-c", _ENTER.format(root=ROOT), "sh", files.parent / "layer", files]
    quick = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1"}
    ended = subprocess.run(enter, env=quick, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.partition("\nLOOK\n")[2].split("LOOK\n")


def test_a_person_who_pastes_it_line_by_line_has_a_box(files, installed):
    _, left_out = lines_of(files)
    assert [line.split()[0] for line in left_out] == ["apt-get"] * 3 + [
        "update-initramfs",
        "apt-get",
        "xfs_quota",
        "systemctl",
    ]
    assert installed[0] == _LOOKED


def test_a_console_creates_in_its_folder_and_neither_deletes_nor_writes_again(installed):
    assert installed[1] == _SERVED
