"""How fast a restore is beside stock tools, and how much memory it takes: ``make bench``.

The archive is a folder on the same disk, so that only the work counts: read, check each chunk, decode, write, hash the
whole. The peer does the same with ``zstd`` and ``sha256sum``, on chunks of zstd; it checks no chunk. The least of
several alternating runs counts. Memory is the peak of a process of its own (ru_maxrss) above one that restores 1 MB.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kspace.manifest import write_manifest
from kspace.pack import pack
from kspace.sources.share import PLUGIN as SHARE
from kspace.twix.synthetic import Synthetic, write_twix
from transfer.destinations import Stored
from transfer.destinations.errors import NotHeld
from transfer.restore import restore
from transfer.stages.cutting import cut_parts

_PART_BYTES = 64_000_000
_READOUT_BYTES = 192 + 32 * (32 + 8 * 512)
_PEER = "cat part-*.bin | zstd -dc | tee ../peer.dat | sha256sum"


class Folder:
    """What a restore asks of an archive, on a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def listing(self, _place: str) -> dict[str, Stored]:
        return {f"{self.path.name}/{p.name}": Stored(size=p.stat().st_size, md5=None) for p in self.path.iterdir()}

    @contextmanager
    def read(self, _place: str, name: str) -> Iterator[Iterator[bytes]]:
        path = self.path.parent / name
        if not path.exists():
            raise NotHeld(name)
        with path.open("rb") as handle:
            yield iter(lambda: handle.read(1 << 18), b"")


def archived(folder: Path, megabytes: int, *, codec: str) -> Path:
    """Pack a practice file and cut it into parts; return the capture's folder."""
    source, packed = folder / "scanner" / "meas.dat", folder / "1.packed"
    source.parent.mkdir(parents=True)
    readouts = max(2, megabytes * 1_000_000 // _READOUT_BYTES)
    write_twix(source, Synthetic(channels=32, samples=512, readouts=readouts))
    with SHARE.build(SHARE.settings(path=source.parent)).open("meas.dat") as reader:
        found = pack(reader, size=source.stat().st_size, target=packed, codec=codec)
    source.unlink()
    capture = folder / f"0000001-{found.sha256[:12]}"
    capture.mkdir()
    with packed.open("rb") as handle:
        for part in cut_parts(packed, found.chunks, part_bytes=_PART_BYTES, progress=lambda: None):
            (capture / part.name).write_bytes(handle.read(part.size))
    (capture / "manifest.json").write_bytes(write_manifest(found, source_name=None))
    packed.unlink()
    return capture


def ours(capture: Path) -> float:
    """Restore once and return the seconds."""
    target = capture.parent / "ours.dat"
    target.unlink(missing_ok=True)
    began = time.perf_counter()
    restore(
        Folder(capture), place="", folder=capture.name, sha256_expected=capture.name.partition("-")[2], target=target
    )  # fmt: skip
    return time.perf_counter() - began


def stock(capture: Path) -> float:
    """Restore once with stock tools and return the seconds."""
    began = time.perf_counter()
    subprocess.run(["sh", "-c", _PEER], cwd=capture, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def peak(capture: Path) -> int:
    """Return the peak memory in bytes of a process that restores once."""
    said = subprocess.run([sys.executable, __file__, "--once", capture], check=True, capture_output=True, text=True)
    return int(said.stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", type=Path)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    if given.once:
        ours(given.once)
        sys.stdout.write(str(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
        return
    with tempfile.TemporaryDirectory() as name:
        idle = peak(archived(Path(name) / "idle", 1, codec="auto"))
        for megabytes, codec in ((given.megabytes, "zstd"), (given.megabytes, "auto"), (4 * given.megabytes, "auto")):
            capture = archived(Path(name) / f"{megabytes}-{codec}", megabytes, codec=codec)
            said = f"{megabytes:,} MB, {codec}: {ours(capture):.2f} s, peak {(peak(capture) - idle) / 1e6:.0f} MB more"
            if codec == "zstd":
                pairs = [(ours(capture), stock(capture)) for _ in range(given.runs)]
                mine, theirs = (min(column) for column in zip(*pairs, strict=True))
                said += f"; at best {mine:.2f} s, zstd and sha256sum {theirs:.2f} s, ratio {mine / theirs:.2f}"
            sys.stdout.write(f"{said}\n")


if __name__ == "__main__":
    main()
