"""Packing beside what a site would script: ``python -m tests.bench.pack [--gigabytes 4] [--growth 0.1 1 4 20]``.

One multi-coil file, 32 channels x 512 samples, in memory where there is room (/dev/shm), like all that is written, so
that processors are compared and not disks. Ours is the relay's one pass: SHA-256, walk, encode, decode again and
compare every chunk, digest chunks and parts, write. Each contestant is a process of its own; alternating rounds, of
each the least wall-clock and CPU seconds. ``--growth``: ours alone, how time and memory grow with the file, on the
disk, the first two sizes also with 64 channels x 4096 samples. Time and memory are what it takes above the same program
packing nothing.
``--plot FILE`` draws what was measured.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kspace.malloc import keep_large_blocks
from kspace.pack import pack
from kspace.sources.share import Share, ShareSettings
from kspace.twix.synthetic import Synthetic, write_twix
from tests.bars import draw

_SHAPES = {"32 x 512": (32, 512), "64 x 4096": (64, 4096)}
_FEW = 2
_PART_BYTES = 256_000_000
_ENV = {"RESTIC_PASSWORD": "bench", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def make(path: Path, gigabytes: float, shape: tuple[int, int]) -> Path:
    """Write a practice file in which nothing repeats."""
    channels, samples = shape
    readouts = int(gigabytes * 1e9 / (192 + channels * (32 + 8 * samples)))
    write_twix(path, Synthetic(baseline="VD", channels=channels, samples=samples, readouts=readouts))
    return path


def run(command: Sequence[object]) -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: it failed.
    """
    began = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, env=os.environ | _ENV)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def ours(path: Path, target: Path) -> Cost:
    """Pack a file in a process of its own."""
    return run([sys.executable, "-m", "tests.bench.pack", "--one", path, target])


def scripted(path: Path, folder: Path) -> Cost:
    """Hash and compress, one after the other, as a script does."""
    return run(["sh", "-c", f"openssl dgst -sha256 {path} && zstd -q -f -3 -T2 {path} -o {folder / 'peer.zst'}"])


def restic(path: Path, folder: Path) -> Cost:
    """Back it up into a new repository."""
    run(["restic", "init", "-q", "--repo", folder / "restic"])
    return run(["restic", "backup", "-q", "--no-cache", "--repo", folder / "restic", path])


def borg(path: Path, folder: Path) -> Cost:
    """Back it up into a new repository."""
    run(["borg", "init", "-e", "none", folder / "borg"])
    return run(["borg", "create", "-C", "zstd,3", f"{folder / 'borg'}::one", path])


def compare(folder: Path, gigabytes: float, rounds: int, plot: Path | None) -> None:
    """Print every contestant's cost as a share of ours."""
    path = make(folder / "bench.dat", gigabytes, _SHAPES["32 x 512"])
    contestants = {
        "relay": lambda to: ours(path, to / "a.packed"),
        "openssl sha256 && zstd -3 -T2": lambda to: scripted(path, to),
        "restic backup": lambda to: restic(path, to),
        "borg create -C zstd,3": lambda to: borg(path, to),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    stored: dict[str, int] = {}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            to = folder / "out"
            to.mkdir()
            costs[name].append(contestant(to))
            stored[name] = sum(p.stat().st_size for p in to.rglob("*") if p.is_file())
            shutil.rmtree(to)
    size = path.stat().st_size
    sys.stdout.write(f"{size:,} bytes, 32 channels x 512 samples, least of {rounds} rounds\n")
    least = {name: _least(several) for name, several in costs.items()}
    mine = least["relay"]
    for name, one in least.items():
        said = f"{one.wall_s:.1f} s, {one.cpu_s / size * 1e9:.2f} CPU s/GB, {stored[name] / size:.3f} of the bytes"
        ratios = f"relay takes {mine.wall_s / one.wall_s:.2f} of its time, {mine.cpu_s / one.cpu_s:.2f} of its CPU"
        sys.stdout.write(f"{name}: {said}; {ratios}, {stored['relay'] / stored[name]:.2f} of its bytes\n")
    if plot:
        panels = {
            "seconds a GB": {name: one.wall_s / size * 1e9 for name, one in least.items()},
            "CPU seconds a GB": {name: one.cpu_s / size * 1e9 for name, one in least.items()},
            "bytes of the file": {name: stored[name] / size for name in least},
        }
        draw(plot, title=f"Packing one raw file of {size / 1e9:.0f} GB, two processors", panels=panels)


def grow(folder: Path, sizes: Sequence[float], plot: Path | None) -> None:
    """Print what files of several sizes take."""
    (folder / "none.dat").touch()
    idle = ours(folder / "none.dat", folder / "none.packed")
    panels: dict[str, dict[str, float]] = {"seconds a GB": {}, "CPU seconds a GB": {}, "MB of memory": {}}
    for said, shape in _SHAPES.items():
        for gigabytes in sizes if shape == _SHAPES["32 x 512"] else sizes[:_FEW]:
            path = make(folder / "grow.dat", gigabytes, shape)
            cost = ours(path, folder / "grow.packed")
            size = path.stat().st_size / 1e9
            above = (
                (cost.wall_s - idle.wall_s) / size,
                (cost.cpu_s - idle.cpu_s) / size,
                (cost.peak_bytes - idle.peak_bytes) / 1e6,
            )
            name = f"{said}, {size:.3g} GB"
            sys.stdout.write("{}: {:.2f} s/GB, {:.2f} CPU s/GB, {:.0f} MB above idle\n".format(name, *above))
            sys.stdout.flush()
            for measure, value in zip(panels, above, strict=True):
                panels[measure][name] = value
            for left in folder.glob("grow.*"):
                left.unlink()
    if plot:
        draw(plot, title="Packing files of growing size", panels=panels)


def _least(costs: Sequence[Cost]) -> Cost:
    return Cost(min(c.wall_s for c in costs), min(c.cpu_s for c in costs), max(c.peak_bytes for c in costs))


def main() -> None:
    """Pack one file, or compare, or let it grow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--growth", type=float, nargs="+")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", type=Path, nargs=2)
    given = parser.parse_args()
    if given.one:
        keep_large_blocks()
        source, target = given.one
        with Share(ShareSettings(path=source.parent)).open(source.name) as reader:
            pack(reader, size=source.stat().st_size, target=target, cuts=(_PART_BYTES,))
        return
    room = Path("/dev/shm")
    is_roomy = not given.growth and room.exists() and shutil.disk_usage(room).free > 3e9 * given.gigabytes
    with tempfile.TemporaryDirectory(dir=room if is_roomy else None) as name:
        if given.growth:
            grow(Path(name), given.growth, given.plot)
        else:
            compare(Path(name), given.gigabytes, given.rounds, given.plot)


if __name__ == "__main__":
    main()
