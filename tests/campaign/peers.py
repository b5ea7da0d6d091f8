"""What the same cuts cost other clients: ``python -m tests.campaign.peers --seeds 1-500``; needs curl and rsync.

The clients send one file to the same archive over the same kind of line, cut at the same place of the file, and try
again until it is there: curl and xnatpy, which know whole files; and rsync to its daemon with --append, which goes on
where the other side's file ends. Only cuts and resets are played. Bytes are those that crossed the line.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import httpx
import requests
import xnat
from xnat.exceptions import XNATUploadError

from tests.campaign.line import Line, abort
from tests.campaign.plan import CUTS, Fault, Kind, plan_of
from tests.campaign.trust import Authority
from tests.integration.relay import free_port, wait_until
from transfer.sandbox import Sandbox, SandboxSettings

_PARTS = 7
"""In how many parts the relay sends a file of the campaign; a cut in its n-th request lies so far into the file."""
_TRIES = 6
_FILE_BYTES = 16_000_000
_RSYNCD = "port = {port}\naddress = 127.0.0.1\nuse chroot = no\n{user}[up]\npath = {folder}\nread only = no\n"
Send = Callable[[Fault], None]
Client = Callable[[str, Path, Path], Send]


def cuts(seeds: Sequence[int]) -> list[Fault]:
    """Return the cuts among the seeds' interruptions, placed in the one request of a client that knows whole files."""
    plans = [plan_of(seed) for seed in seeds]
    return [
        replace(plan, nth=0, at=plan.at if plan.kind in {Kind.CUT_AFTER, Kind.RESET_AFTER} else _into(plan))
        for plan in plans
        if plan.kind in CUTS and plan.method == "PUT"
    ]


def _into(plan: Fault) -> float:
    return (plan.nth + plan.at) / _PARTS


def by_curl(url: str, file: Path, ca_file: Path) -> Send:
    """Send with curl, which tries again by itself."""
    told = ("curl", "-sS", "--fail", "--cacert", ca_file, "-u", "relay:relay", "-H", "Expect:", "-X", "PUT")
    again = ("--retry", _TRIES, "--retry-all-errors", "--retry-delay", 1, "-F", f"file=@{file}")

    def send(fault: Fault) -> None:
        command = [*told, *again, f"{url}/files/{fault.seed:07d}-curl/whole.dat?overwrite=true"]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)

    return send


def by_xnatpy(url: str, file: Path, ca_file: Path) -> Send:
    """Send with xnatpy, called again by whoever uses it."""
    os.environ["REQUESTS_CA_BUNDLE"] = str(ca_file)
    server, _, path = url.partition("/data/")
    session = xnat.connect(server, user="relay", password="relay")

    def send(fault: Fault) -> None:
        to = f"/data/{path}/files/{fault.seed:07d}-xnatpy/whole.dat"
        for _ in range(_TRIES):
            try:
                session.upload_file(to, file, overwrite=True, verbose=False)
            except (requests.RequestException, XNATUploadError):
                continue
            return
        raise AssertionError(f"{fault}: xnatpy gave up")

    return send


def over_http(folder: Path, faults: Sequence[Fault], client: Client) -> list[float]:
    """Return what each cut had a client send again, as a fraction of the file."""
    file, authority = folder / "whole.dat", Authority(folder, "localhost")
    file.write_bytes(os.urandom(_FILE_BYTES))
    port = free_port()
    with Sandbox(folder / "archive", SandboxSettings(port=port)) as sandbox:
        place = _place(sandbox.url)
        with Line(authority.server(), behind=port, faults=faults, harm=_none) as line:
            send = client(f"https://localhost:{line.port}{place}", file, authority.ca_file)
            for fault in faults:
                send(fault)
            assert not line.left
            sent = {fault.seed: [e.sent for e in line.exchanges if e.seed == fault.seed] for fault in faults}
    return [(sum(sizes) - max(sizes)) / _FILE_BYTES for sizes in sent.values()]


def _place(url: str) -> str:
    with httpx.Client(base_url=url, auth=("relay", "relay")) as client:
        path, kind = "/data/projects/DEMO/subjects/S/experiments/E", {"xsiType": "xnat:mrSessionData"}
        place = f"/data/experiments/{client.put(path, params=kind).raise_for_status().text}/resources/WHOLE"
        client.put(place).raise_for_status()
    return place


def _none(_: Fault) -> Callable[[], None]:
    raise AssertionError("only cuts are played")


class _Pipe:
    """Passes bytes to a server and back, counts those to it, and breaks once, after so many of them."""

    def __init__(self, behind: int) -> None:
        self.sent, self.cut_at, self.with_reset = 0, -1, False
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            front, _ = self._listener.accept()
            back = socket.create_connection(("127.0.0.1", self._behind))
            threading.Thread(target=self._back, args=(back, front), daemon=True).start()
            self._forth(front, back)

    def _forth(self, front: socket.socket, back: socket.socket) -> None:
        with front, back:
            passed = 0
            while block := _read(front):
                self.sent += len(block)
                passed += len(block)
                if 0 <= self.cut_at < passed:
                    back.sendall(block[: len(block) - (passed - self.cut_at)])
                    self.cut_at = -1
                    if self.with_reset:
                        abort(front)
                    return
                back.sendall(block)

    def _back(self, back: socket.socket, front: socket.socket) -> None:
        try:
            while block := _read(back):
                front.sendall(block)
        except OSError:
            return


def _read(sock: socket.socket) -> bytes:
    try:
        return sock.recv(16_384)
    except OSError:
        return b""


@contextmanager
def _rsync_daemon(folder: Path) -> Iterator[int]:
    port = free_port()
    (folder / "up").mkdir()
    user = "uid = root\ngid = root\n" if os.geteuid() == 0 else ""
    (folder / "rsyncd.conf").write_text(_RSYNCD.format(port=port, folder=folder / "up", user=user))
    command = ["rsync", "--daemon", "--no-detach", f"--config={folder / 'rsyncd.conf'}"]
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, within_s=20)
        yield port
    finally:
        daemon.kill()
        daemon.wait()


def by_rsync(folder: Path, faults: Sequence[Fault]) -> list[float]:
    """Return what each cut had rsync send again, as a fraction of the file; what is cut after the work, at its end."""
    file, costs = folder / "whole.dat", []
    file.write_bytes(os.urandom(_FILE_BYTES))
    with _rsync_daemon(folder) as port:
        pipe = _Pipe(port)

        def send(name: str) -> int:
            pipe.sent = 0
            told = ["rsync", "--append", "--timeout=10", str(file), f"rsync://127.0.0.1:{pipe.port}/up/{name}"]
            for _ in range(_TRIES):
                if subprocess.run(told, capture_output=True, check=False).returncode == 0:
                    return pipe.sent
            raise AssertionError(f"{name}: rsync gave up")

        undisturbed = send("undisturbed.dat")
        for fault in faults:
            is_after = fault.kind in {Kind.CUT_AFTER, Kind.RESET_AFTER}
            pipe.cut_at = int((1.0 if is_after else fault.at) * _FILE_BYTES)
            pipe.with_reset = fault.kind in {Kind.RESET, Kind.RESET_AFTER}
            costs.append((send(f"{fault.seed}.dat") - undisturbed) / _FILE_BYTES)
            assert (folder / "up" / f"{fault.seed}.dat").read_bytes() == file.read_bytes()
    return costs


def main() -> None:
    """Play the cuts to each client and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-500")
    first, _, last = parser.parse_args().seeds.partition("-")
    faults = cuts(range(int(first), int(last or first) + 1))
    clients: dict[str, Callable[[Path], list[float]]] = {
        "curl --retry, whole file": lambda folder: over_http(folder, faults, by_curl),
        "xnatpy, called again, whole file": lambda folder: over_http(folder, faults, by_xnatpy),
        "rsync --append to its daemon": lambda folder: by_rsync(folder, faults),
    }
    sys.stdout.write("| client | cuts | sent again a cut, of the file: mean | median | most |\n|---|---|---|---|---|\n")
    for name, play in clients.items():
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            again = play(Path(folder))
        sys.stdout.write(
            f"| {name} | {len(again)} | {sum(again) / len(again):.3f} | {median(again):.3f} | {max(again):.3f} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
