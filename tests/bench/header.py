"""How long reading a header takes, and in how much memory: ``KSPACE_TEST_DATA=… python -m tests.bench.header``.

Every real sample file, each in a process of its own that imports nothing else, from a warm page cache; the least of 20
readings, and the process's peak memory, of which the interpreter alone takes the first figure.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from kspace.twix.header import read_head

_RUNS = 20
_PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def read(path: Path) -> str:
    """Return what one file's header took."""
    least = float("inf")
    with path.open("rb", buffering=0) as file:
        size = path.stat().st_size
        for _ in range(_RUNS):
            began = time.perf_counter()
            found = read_head(lambda offset, count: os.pread(file.fileno(), count, offset), size)
            least = min(least, time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    header = sum(one.header_bytes for one in found) / 1e6
    return f"{header:.2f} MB of header: {least * 1000:.1f} ms, {peak:.0f} MB in all"


def main() -> None:
    """Print a line for each sample."""
    if len(sys.argv) > 1:
        sys.stdout.write(f"{sys.argv[1]}: {read(Path(sys.argv[1]))}\n")
        return
    alone = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True).stdout
    sys.stdout.write(f"the interpreter alone: {int(alone) // 1024} MB\n")
    folder = Path(os.environ["KSPACE_TEST_DATA"]) / "twix"
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".dat", ".twix"}):
        subprocess.run([sys.executable, __file__, path.relative_to(folder)], cwd=folder, check=True)


if __name__ == "__main__":
    main()
