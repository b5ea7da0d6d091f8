"""`python -m tests.bench.sources [GB [RUNS]]`: how fast a file is read by each source, beside stock clients in one run.

All servers are on this machine and their file is in its memory, so that what is measured is the client: MB/s, its own
CPU seconds, and the ratio to the stock client of the same protocol. Nothing is written; clients write to /dev/null.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.conformance.sources.conftest import Park

_BLOCK = 1 << 20
_MB = 1e6


def main() -> None:
    """Print a table."""
    gigabytes, runs = (*sys.argv[1:], *("1", "3")[len(sys.argv) - 1 :])[:2]
    size = int(float(gigabytes) * 1e9)
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sources-")))
        (base / "raw").mkdir()
        park = Park(base, _found, stack)
        folder = park.folder()
        _write(folder / "1200.dat", size)
        _say("source", "MB/s", "CPU s", "beside", "MB/s", "CPU s", "of its speed")
        for kind, peers in _peers(park, folder).items():
            own = _best(lambda kind=kind: _read(park, kind, folder, size), resource.RUSAGE_SELF, int(runs))
            for name, command in peers.items():
                other = _best(lambda command=command: _run(command), resource.RUSAGE_CHILDREN, int(runs))
                _say(kind, *_figures(size, own), name, *_figures(size, other), f"{other[0] / own[0]:.2f}")


def _peers(park: Park, folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return by kind of source the stock clients that read the same file from the same server."""
    ports = {kind: str(park.server(kind).port) for kind in ("smb", "sftp", "ftp", "vsftpd")}
    at, file = park.base / "servers" / "sftp", f"{folder.name}/1200.dat"
    ssh = ["-i", f"{at}/id", "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={at}/known"]
    shell = f"ssh -p {ports['sftp']} {' '.join(ssh)} -o LogLevel=ERROR"
    here = f"{park.settings('sftp', folder)['user']}@127.0.0.1"
    smb = ["smbclient", "-p", ports["smb"], "-U", "relay%secret", "//127.0.0.1/raw", "-c", f"get {file} /dev/null"]
    curl = ["curl", "-s", "-o", "/dev/null"]
    return {
        "share": {"cp": ["cp", str(folder / "1200.dat"), "/dev/null"], "rsync": _rsync(park, "", str(folder))},
        "smb": {"smbclient": smb},
        "sftp": {
            "sftp": ["sftp", "-q", "-P", ports["sftp"], *ssh, f"{here}:{file}", "/dev/null"],
            "rsync over ssh": _rsync(park, shell, f"{here}:{folder}"),
        },
        "ftp": {"curl": [*curl, "--user", "relay:secret", f"ftp://127.0.0.1:{ports['ftp']}/{file}"]},
        "vsftpd": {"curl": [*curl, f"ftp://127.0.0.1:{ports['vsftpd']}/{file}"]},
    }


def _rsync(park: Park, shell: str, source: str) -> list[str]:
    """rsync writes what it reads: there is no other way to let it read."""
    return [
        "rsync",
        "--whole-file",
        "--inplace",
        "-I",
        *(["-e", shell] if shell else []),
        f"{source}/1200.dat",
        f"{park.base}/copy",
    ]


def _read(park: Park, kind: str, folder: Path, size: int) -> None:
    at = 0
    with park.wrapped(kind, folder).open("1200.dat") as reader:
        while block := reader.read(at, _BLOCK):
            at += len(block)
    if at != size:
        raise SystemExit(f"{kind} read {at} bytes of {size}")


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _best(work: Callable[[], None], whose: int, number: int) -> tuple[float, float]:
    """Return the seconds of the fastest run, and its CPU seconds."""
    runs = []
    for _ in range(number):
        before, began = _cpu(whose), time.monotonic()
        work()
        runs.append((time.monotonic() - began, _cpu(whose) - before))
    return min(runs)


def _cpu(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def _figures(size: int, run: tuple[float, float]) -> tuple[str, str]:
    return f"{size / run[0] / _MB:.0f}", f"{run[1]:.2f}"


def _write(path: Path, size: int) -> None:
    block = os.urandom(_BLOCK)
    with path.open("wb") as out:
        for start in range(0, size, _BLOCK):
            out.write(block[: size - start])


def _found(program: str) -> str:
    path = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if path is None:
        raise SystemExit(f"The program {program} is not installed; `make test` installs it.")
    return path


def _say(*columns: str) -> None:
    widths = (8, 6, 6, 15, 6, 6, 6)
    sys.stdout.write("  ".join(f"{c:>{w}}" for c, w in zip(columns, widths, strict=True)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
