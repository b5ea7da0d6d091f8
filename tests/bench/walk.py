"""How fast the walk is beside the readers people use: ``make bench``.

Every reader looks at the header of every readout of the same practice file, from a warm page cache, in the same run;
ours is fed the whole file in blocks of 1 MiB, as in the one reading pass, and what it adds to reading counts, since the
file is read anyway. The others seek from header to header. The least of several alternating runs counts.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import mapvbvd
import twixtools

from kspace.twix.synthetic import Synthetic, write_twix
from kspace.twix.walk import Walker

_BLOCK = 1 << 20
SHAPES = {
    "VE, 32 channels x 512 samples": ("VD", 32, 512),
    "VE, 4 channels x 128 samples": ("VD", 4, 128),
    "VB, 32 channels x 512 samples": ("VB", 32, 512),
}


def ours(path: Path) -> int:
    """Walk a file and return its readouts."""
    walker = Walker(path.stat().st_size)
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            walker.feed(block)
    audit = walker.finish()
    if not audit.verdict.is_whole:
        raise AssertionError(audit)
    return walker.measurements[-1].readouts


def only_reading(path: Path) -> int:
    """Read a file as `ours` does, for what the walk adds."""
    with path.open("rb", buffering=0) as file:
        return sum(len(block) for block in iter(lambda: file.read(_BLOCK), b""))


def scan_twixtools(path: Path) -> int:
    """Scan with twixtools."""
    return len(twixtools.read_twix(str(path), parse_pmu=False, parse_geometry=False, verbose=False)[-1]["mdb"])


def scan_mapvbvd(path: Path) -> int:
    """Scan with pymapvbvd."""
    found = mapvbvd.mapVBVD(str(path), quiet=True)
    return int((found[-1] if isinstance(found, list) else found).image.NAcq)


READERS: dict[str, Callable[[Path], int]] = {
    "reading": only_reading,
    "ours": ours,
    "twixtools": scan_twixtools,
    "pymapvbvd": scan_mapvbvd,
}


def least(path: Path, *, runs: int) -> dict[str, float]:
    """Return the least seconds of each reader."""
    taken: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(runs):
        for name, reader in READERS.items():
            began = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                reader(path)
            taken[name].append(time.perf_counter() - began)
    return {name: min(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Measure every shape and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for title, (baseline, channels, samples) in SHAPES.items():
            path = Path(folder) / "bench.dat"
            readouts = given.megabytes * 1_000_000 // (192 + channels * (32 + 8 * samples))
            write_twix(
                path,
                Synthetic(
                    baseline="VB" if baseline == "VB" else "VD", channels=channels, samples=samples, readouts=readouts
                ),
            )
            gigabytes = path.stat().st_size / 1e9
            seconds = least(path, runs=given.runs)
            walk = (seconds["ours"] - seconds["reading"]) / gigabytes
            others = (
                f"{name} {seconds[name] / gigabytes:.2f} s ({seconds[name] / gigabytes / walk:.0f} times the walk)"
                for name in ("twixtools", "pymapvbvd")
            )
            sys.stdout.write(f"{title}, per GB: the walk adds {walk:.3f} s to reading; {', '.join(others)}\n")


if __name__ == "__main__":
    main()
