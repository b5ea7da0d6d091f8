"""Where the time of a pack goes: ``python -m tests.bench.steps [--plot FILE]``.

Each step of the one pass by itself, over the same practice file of 32 channels x 512 samples in memory, in the chunks
that a pack makes of it: CPU seconds of one core a GB of the file, the least of several runs; at the end their sum,
beside what the whole pass takes with its threads.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

from kspace.codecs.twx import Twx, TwxSettings
from kspace.cutting import Cutter
from kspace.malloc import keep_large_blocks
from kspace.pack import pack
from kspace.records import Packed
from kspace.sources.share import Share, ShareSettings
from kspace.twix.synthetic import Synthetic, write_twix
from kspace.twix.walk import Walker
from tests.bars import draw

_CHANNELS, _SAMPLES, _READOUTS = 32, 512, 7500
_RUNS, _BLOCK, _WALKED, _PART_BYTES = 5, 1 << 20, 4 << 20, 256_000_000


def least(step: Callable[[], object]) -> float:
    """Return the least CPU seconds a step takes."""
    taken = []
    for _ in range(_RUNS):
        began = time.process_time()
        step()
        taken.append(time.process_time() - began)
    return min(taken)


def steps(path: Path, packed: Packed, out: Path) -> dict[str, Callable[[], object]]:
    """Return each step of a pack, ready to be run by itself."""
    raw = memoryview(path.read_bytes())
    ends = list(accumulate(chunk.raw_bytes for chunk in packed.chunks))
    chunks = [raw[end - chunk.raw_bytes : end] for chunk, end in zip(packed.chunks, ends, strict=True)]
    twx = Twx(TwxSettings())
    stored = [twx.encode(chunk) for chunk in chunks]
    again = [twx.decode(code, raw_bytes=len(chunk)) for code, chunk in zip(stored, chunks, strict=True)]

    def read() -> None:
        with Share(ShareSettings(path=path.parent)).open(path.name) as reader:
            each(lambda at: reader.read(at, _BLOCK), range(0, len(raw), _BLOCK))

    def digest() -> None:
        whole = sha256()
        each(lambda at: whole.update(raw[at : at + _BLOCK]), range(0, len(raw), _BLOCK))

    def walk() -> None:
        walker = Walker(len(raw))
        each(lambda at: walker.feed(raw[at : at + _WALKED]), range(0, len(raw), _WALKED))

    def write() -> None:
        with out.open("wb") as file:
            each(file.write, stored)

    return {
        "read": read,
        "SHA-256 of the file": digest,
        "walk": walk,
        "encode": lambda: each(twx.encode, chunks),
        "decode again": lambda: each(lambda code, chunk: twx.decode(code, raw_bytes=len(chunk)), stored, chunks),
        "compare": lambda: each(lambda one, other: one.startswith(other), again, chunks),
        "SHA-256 of chunks": lambda: each(sha256, stored),
        "MD5 and SHA-256 of parts": lambda: each(Cutter(_PART_BYTES).add, packed.chunks, stored),
        "write": write,
    }


def each(act: Callable[..., object], *many: Iterable[object]) -> None:
    """Do it with each, and keep nothing of it."""
    deque(map(act, *many), maxlen=0)


def main() -> None:
    """Print every step and the whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    keep_large_blocks()
    room = Path("/dev/shm")
    is_roomy = room.exists() and shutil.disk_usage(room).free > 3e9
    with tempfile.TemporaryDirectory(dir=room if is_roomy else None) as name:
        path, target = Path(name) / "bench.dat", Path(name) / "a.packed"
        write_twix(path, Synthetic(baseline="VD", channels=_CHANNELS, samples=_SAMPLES, readouts=_READOUTS))
        size = path.stat().st_size

        def whole() -> Packed:
            with Share(ShareSettings(path=path.parent)).open(path.name) as reader:
                return pack(reader, size=size, target=target, cuts=(_PART_BYTES,), of=str(time.monotonic()))

        alone = {what: least(step) / size * 1e9 for what, step in steps(path, whole(), Path(name) / "out").items()}
        told = alone | {"all of these": sum(alone.values()), "the whole pass": least(whole) / size * 1e9}
    for what, seconds in told.items():
        sys.stdout.write(f"{what}: {seconds:.2f} CPU s/GB\n")
    if given.plot:
        draw(given.plot, title="Where the time of a pack goes", panels={"CPU seconds a GB": told}, form="{:.2f}")


if __name__ == "__main__":
    main()
