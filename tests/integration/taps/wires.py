"""A hospital of network namespaces: a box with four cards, two scanners with the same addresses, and everybody else."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from tests.servers.shares import samba
from transfer.app.cli import app

SCANNER, USER, ADMIN, HOST = "10.1.2.3", "10.1.2.77", "10.9.0.5", "192.168.2.1"
"""A configured sender and somebody else in the hospital's network, an administrator, and each scanner's host."""
BOX, BOX_ADMIN, TAP = "10.1.2.9", "10.9.0.9", "192.168.2.50"
PORTS = (22, 443, 8010, 8443, 11112)
"""Listened on everywhere, besides the 445 of each scanner's Samba."""
_CALLS = Path(__file__).with_name("calls.py")
_OTHERS = """\
table inet seen {{
	counter foreign {{
	}}
	chain prerouting {{
		type filter hook prerouting priority raw; policy accept;
		iif != "lo" ip saddr != {network} counter name foreign
	}}
}}
"""
"""Counts what comes over the wire from an address of another network."""
_CONFIG = """\
[relay]
name = "box"
folder = "{folder}/relay"
[dicom]
host = "{BOX}"
allowed_ip = ["{SCANNER}"]
[host.hospital]
interface = "lan0"
address = "{BOX}/24"
gateway = "10.1.2.1"
time_servers = ["10.1.2.1"]
page_from = ["{USER}/32"]
[host.admin]
interface = "adm0"
address = "{BOX_ADMIN}/24"
ssh_from = ["{ADMIN}/32"]
"""
_OF_SCANNER = """\
[[scanner]]
name = "{name}"
  [[scanner.source]]
  kind = "smb"
  host = "{place}"
  share = "raw"
  user = "relay"
  password = {{ env = "SCANNER_PASSWORD" }}
[[host.tap]]
scanner = "{name}"
interface = "{card}"
address = "{TAP}/24"
server = [{{ at = "{place}:445", to = "{HOST}:445" }}]
"""


def place(which: str) -> str:
    """Return the box's own address from which a scanner's host is reached."""
    return f"127.7.{ord(which) - ord('a') + 1}.1"


def run(*command: str | Path, **more) -> str:
    """Run a command that must succeed, and return what it printed."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **more)
    assert ended.returncode == 0, f"{command}: {ended.stderr}"
    return ended.stdout


@contextmanager
def within(namespace: str) -> Iterator[None]:
    """Be in a network namespace meanwhile, with this thread and whatever it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as here, Path("/run/netns", namespace).open("rb") as there:
        assert libc.setns(there.fileno(), 0) == 0
        try:
            yield
        finally:
            assert libc.setns(here.fileno(), 0) == 0


def inside(namespace: str) -> tuple[str, ...]:
    """Return what starts a command in a network namespace, and nothing else of it: mounts are seen by all."""
    return ("nsenter", f"--net=/run/netns/{namespace}")


@dataclass(frozen=True)
class Hospital:
    """Every namespace by its part, and the files of the host as the command line wrote them."""

    folder: Path
    prefix: str

    def name(self, part: str) -> str:
        """Return the namespace of a part; a tap's is named by the relay after its scanner."""
        return f"tap-{self.scanner(part[-1])}" if part.startswith("tap") else f"{self.prefix}{part}"

    def scanner(self, which: str) -> str:
        """Return the name of scanner ``a``, ``b``, …"""
        return f"{self.prefix}{which}"

    def inside(self, part: str) -> tuple[str, ...]:
        """Return what starts a command in the part's namespace."""
        return inside(self.name(part))

    def file(self, path: str) -> Path:
        """Return a file of the host."""
        return self.folder / "files" / path

    def unit(self, which: str, name: str, key: str) -> str:
        """Return a setting of the units that the relay made for a tap."""
        text = self.file(f"etc/systemd/system/kspace-tap-{self.scanner(which)}{name}").read_text()
        return next(line for line in text.splitlines() if line.startswith(f"{key}=")).partition("=")[2]

    @contextmanager
    def carrier(self, which: str) -> Iterator[None]:
        """Carry calls through a tap as systemd does by the units: one listens, the other calls from inside."""
        namespace = Path(self.unit(which, "-1.service", "NetworkNamespacePath")).name
        activate = ["systemd-socket-activate", "-l", self.unit(which, "-1.socket", "ListenStream")]
        command = [*activate, *inside(namespace), *self.unit(which, "-1.service", "ExecStart").split()]
        process = subprocess.Popen([*self.inside("box"), *command], stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)

    def tap(self, which: str, way: str) -> subprocess.Popen:
        """Begin to bring a tap up or down, by the program that the relay made."""
        program = self.file(f"usr/local/lib/kspace/tap-{self.scanner(which)}")
        here = self.folder / f"tap-{which}"
        here.write_text(program.read_text().replace("/etc/kspace/", f"{self.file('etc/kspace')}/"))
        return subprocess.Popen([*self.inside("box"), "sh", here, way], stderr=subprocess.PIPE, text=True)

    def calls(self, part: str, places: list[tuple[str, str, int]]) -> subprocess.Popen:
        """Begin to call places from a part; the answer is what it prints."""
        command = [*self.inside(part), sys.executable, str(_CALLS), "call", json.dumps(places)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def foreign_packets(self, part: str) -> int:
        """Return how many packets a part got from addresses of other networks."""
        told = json.loads(run(*self.inside(part), "nft", "-j", "list", "counter", "inet", "seen", "foreign"))
        return told["nftables"][-1]["counter"]["packets"]


@contextmanager
def hospital(folder: Path, requires: Callable[[str], str], scanners: str) -> Iterator[Hospital]:
    """Build it, with a scanner for each letter; the box's own cards are up and its firewall is in force, no tap is."""
    built = Hospital(folder, f"t{os.getpid()}")
    _write_files(built, scanners)
    with ExitStack() as stack:
        for part in ("box", "lan", "adm", *scanners):
            run("ip", "netns", "add", built.name(part))
            stack.callback(run, "ip", "netns", "delete", built.name(part))
            run("ip", "-n", built.name(part), "link", "set", "lo", "up")
        for which in scanners:
            stack.callback(lambda which=which: built.tap(which, "down").wait(30))
        _plug(built, "lan0", "lan", BOX, (SCANNER, USER))
        _plug(built, "adm0", "adm", BOX_ADMIN, (ADMIN,))
        for which in scanners:
            _plug(built, f"tap{which}", which, None, (HOST,))
            (folder / which).mkdir()
            (folder / which / f"{which}.dat").write_bytes(f"raw data of scanner {which}".encode())
            own = folder / f"samba-{which}"
            options = f"interfaces = {HOST} 127.0.0.1\nncalrpc dir = {own}/ncalrpc\npid directory = {own}/pid"
            with within(built.name(which)):
                stack.enter_context(samba(folder / which, at=own, requires=requires, options=options, port=445))
        run(*built.inside("box"), requires("nft"), "-f", built.file("etc/nftables.conf"))
        yield built


def _write_files(built: Hospital, scanners: str) -> None:
    text = _CONFIG.format(folder=built.folder, BOX=BOX, SCANNER=SCANNER, USER=USER, BOX_ADMIN=BOX_ADMIN, ADMIN=ADMIN)
    for which in scanners:
        name = built.scanner(which)
        text += _OF_SCANNER.format(name=name, place=place(which), card=f"tap{which}", TAP=TAP, HOST=HOST)
    (built.folder / "relay.toml").write_text(text)
    config, files = str(built.folder / "relay.toml"), str(built.folder / "files")
    said = CliRunner().invoke(app, ["host", "files", "-c", config, "-o", files])
    assert said.exit_code == 0, said.output


def _plug(built: Hospital, card: str, part: str, ours: str | None, theirs: tuple[str, ...]) -> None:
    """Join a card of the box to a part, which sends everything it does not know to the box."""
    box, other = built.name("box"), built.name(part)
    run("ip", "link", "add", card, "netns", box, "type", "veth", "peer", "name", "wire", "netns", other)
    for address in theirs:
        run("ip", "-n", other, "address", "add", f"{address}/24", "dev", "wire")
    run("ip", "-n", other, "link", "set", "wire", "up")
    if ours:
        run("ip", "-n", box, "address", "add", f"{ours}/24", "dev", card)
        run("ip", "-n", box, "link", "set", card, "up")
    run("ip", "-n", other, "route", "add", "default", "via", ours or TAP)
    network = f"{theirs[0].rpartition('.')[0]}.0/24"
    run(*built.inside(part), "nft", "-f", "-", input=_OTHERS.format(network=network))
