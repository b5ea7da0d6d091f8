"""How small and how fast the TWIX-aware codec is beside zstd: ``KSPACE_TEST_DATA=… python -m tests.bench.codec``.

Sizes: the measurement data of every whole real file (everything behind the last header), each alone. Speed: practice
readouts in chunks of 16 MiB, CPU seconds of one core, the least of several alternating runs.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import zstandard

from kspace.chunks import MAX_CHUNK_BYTES
from kspace.codecs.twx import Twx, TwxSettings
from kspace.malloc import keep_large_blocks
from kspace.twix.synthetic import Synthetic, write_twix
from kspace.twix.walk import Walker

_RUNS = 5
_BYTES = 64_000_000
_LEVELS = (1, 3, 19)
_SHAPES = ((32, 512), (64, 4096), (4, 128), (1, 64))


def measured(path: Path) -> tuple[bool, bytes]:
    """Return whether a file is whole, and its bytes behind the last header."""
    data = path.read_bytes()
    walker = Walker(len(data))
    walker.feed(data)
    return walker.finish().verdict.is_whole, data[walker.header_edges[-1] if walker.header_edges else 0 :]


def sizes(folder: Path) -> None:
    """Print each file's sizes and their sums, as shares of zstd's."""
    twx, totals = Twx(TwxSettings()), [0] * (len(_LEVELS) + 1)
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".dat", ".twix"}):
        is_whole, data = measured(path)
        if is_whole:
            packed = [zstandard.compress(data, level) for level in _LEVELS]
            row = [len(twx.encode(data)), *map(len, packed)]
            totals = [a + b for a, b in zip(totals, row, strict=True)]
            sys.stdout.write(f"{path.name}: {told(row)}\n")
    sys.stdout.write(f"all: {told(totals)}\n")


def told(row: Sequence[int]) -> str:
    """Return a row of sizes as ratios."""
    others = (f"{row[0] / size:.3f} of zstd -{level}" for level, size in zip(_LEVELS, row[1:], strict=True))
    return f"twx {row[0]:,} bytes, {', '.join(others)}"


def least(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the least CPU seconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_RUNS):
        for name, run in runs.items():
            began = time.process_time()
            run()
            taken[name].append(time.process_time() - began)
    return {name: min(seconds) for name, seconds in taken.items()}


def speed(path: Path, channels: int, samples: int) -> None:
    """Print a line for readouts of one shape."""
    readout = 192 + channels * (32 + 8 * samples)
    write_twix(path, Synthetic(baseline="VD", channels=channels, samples=samples, readouts=_BYTES // readout))
    _, data = measured(path)
    step = MAX_CHUNK_BYTES // readout * readout
    chunks = [data[at : at + step] for at in range(0, len(data) - step, step)]
    twx, decoder = Twx(TwxSettings()), zstandard.ZstdDecompressor()
    one, three = (zstandard.ZstdCompressor(level=level) for level in (1, 3))
    ours, theirs = [twx.encode(chunk) for chunk in chunks], [three.compress(chunk) for chunk in chunks]
    seconds = least(
        {
            "twx": lambda: [twx.encode(chunk) for chunk in chunks],
            "zstd -1": lambda: [one.compress(chunk) for chunk in chunks],
            "zstd -3": lambda: [three.compress(chunk) for chunk in chunks],
            "twx back": lambda: [twx.decode(s, raw_bytes=len(c)) for s, c in zip(ours, chunks, strict=True)],
            "zstd back": lambda: [decoder.decompress(stored) for stored in theirs],
        }
    )
    megabytes = sum(map(len, chunks)) / 1e6
    said = (
        f"encodes {megabytes / seconds['twx']:.0f} MB/s",
        f"{seconds['zstd -3'] / seconds['twx']:.1f} times zstd -3",
        f"{seconds['zstd -1'] / seconds['twx']:.2f} times zstd -1",
        f"decodes {megabytes / seconds['twx back']:.0f} MB/s",
        f"{seconds['zstd back'] / seconds['twx back']:.2f} times zstd -3",
    )
    sys.stdout.write(f"{channels} channels x {samples} samples: {', '.join(said)}\n")


def main() -> None:
    """Print both tables."""
    keep_large_blocks()
    sizes(Path(os.environ["KSPACE_TEST_DATA"]) / "twix")
    with tempfile.TemporaryDirectory() as folder:
        for channels, samples in _SHAPES:
            speed(Path(folder) / "bench.dat", channels, samples)


if __name__ == "__main__":
    main()
