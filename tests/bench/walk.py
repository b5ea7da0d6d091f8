"""How fast the walk is beside the readers people use: ``make bench``.

Every reader looks at the header of every readout of the same practice file, from a warm page cache, in the same run.
Ours is fed the whole file, as much at a time as in the one reading pass, and the time inside the walk counts, since the
file is read anyway. The others seek from header to header, as people call them. They look at no sample, the walk looks
for holes in them: its time is told with and without that look.
The least of several alternating runs counts.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mapvbvd
import twixtools

from kspace.twix.synthetic import Synthetic, write_twix
from kspace.twix.walk import Walker
from kspace.twix.zeros import ZeroRuns

_BLOCK = 4 << 20
SHAPES = {
    "VE, 32 channels x 512 samples": ("VD", 32, 512),
    "VE, 4 channels x 128 samples": ("VD", 4, 128),
    "VE, 1 channel x 64 samples": ("VD", 1, 64),
    "VB, 32 channels x 512 samples": ("VB", 32, 512),
    "VB, 4 channels x 256 samples": ("VB", 4, 256),
}


class _NoLook(ZeroRuns):
    """Does not look at samples."""

    def feed(self, data: memoryview, *, at: int) -> None:
        """Let them pass."""


def walk(path: Path, *, zeros: type[ZeroRuns] = ZeroRuns) -> float:
    """Return the seconds that walking adds to a pass over the file."""
    walker, seconds = Walker(path.stat().st_size), 0.0
    walker._zeros = zeros()  # nobody but this bench wants a walk that does not look
    block = bytearray(_BLOCK)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            began = time.perf_counter()
            walker.feed(memoryview(block)[:count])
            seconds += time.perf_counter() - began
    audit = walker.finish()
    if not audit.verdict.is_whole:
        raise AssertionError(audit)
    return seconds


def scan_twixtools(path: Path) -> float:
    """Return the seconds of a scan with twixtools."""
    began = time.perf_counter()
    twixtools.read_twix(str(path), verbose=False)
    return time.perf_counter() - began


def scan_mapvbvd(path: Path) -> float:
    """Return the seconds of a scan with pymapvbvd."""
    began = time.perf_counter()
    mapvbvd.mapVBVD(str(path), quiet=True)
    return time.perf_counter() - began


READERS: dict[str, Callable[[Path], float]] = {
    "the walk": walk,
    "without the look": partial(walk, zeros=_NoLook),
    "twixtools": scan_twixtools,
    "pymapvbvd": scan_mapvbvd,
}


def least(path: Path, *, runs: int) -> dict[str, float]:
    """Return the least seconds of each reader."""
    taken: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(runs):
        for name, reader in READERS.items():
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                taken[name].append(reader(path))
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
            walk_s, bare_s = (seconds[name] / gigabytes for name in ("the walk", "without the look"))
            others = (
                f"{name} {(other_s := seconds[name] / gigabytes):.2f} s ({other_s / walk_s:.0f} and "
                f"{other_s / bare_s:.0f} times)"
                for name in ("twixtools", "pymapvbvd")
            )
            told = f"the walk adds {walk_s:.3f} s, without the look {bare_s:.3f} s; {', '.join(others)}"
            sys.stdout.write(f"{title}, per GB: {told}\n")


if __name__ == "__main__":
    main()
