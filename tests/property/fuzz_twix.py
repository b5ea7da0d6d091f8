"""A coverage-guided fuzzer for the header and the walk: ``python fuzz_twix.py CORPUS -max_total_time=60``.

CORPUS is where inputs that reach something new are kept; more folders to begin with may follow (real files, with
``-max_len=1400000``), and small practice files of every kind are added. What must hold for any bytes:
only our own errors are raised, any split of the feed gives one verdict, a border never lies beyond what was fed, and
what the walk calls whole the quick check calls whole too.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["kspace.twix"]):
    from kspace.errors import KspaceError
    from kspace.twix.header import read_head
    from kspace.twix.synthetic import Synthetic, write_twix
    from kspace.twix.walk import Walker, quick_check


def seed(folder: Path) -> None:
    """Write small practice files of every kind into a corpus."""
    small = {"readouts": 6, "channels": 2, "samples": 16}
    kinds = [
        [Synthetic(baseline="VB", **small)],
        [Synthetic(baseline="VD", **small)],
        [Synthetic(baseline="XA", study_uid="1.2.3", **small)],
        [Synthetic(baseline="VD", mid=5, **small), Synthetic(baseline="VD", **small)],
        [Synthetic(baseline="VD", is_streamed=True, **small)],
        [Synthetic(baseline="VB", is_streamed=True, **small)],
    ]
    for number, measurements in enumerate(kinds):
        write_twix(folder / f"seed-{number}.dat", *measurements)


def judged(data: bytes, step: int) -> tuple[object, ...]:
    """Walk the bytes in steps of one size."""
    walker = Walker(len(data))
    for start in range(0, len(data), step):
        walker.feed(data[start : start + step])
        assert walker.border <= min(len(data), start + step)
    audit = walker.finish()
    return audit, [(m.readouts, m.channels, m.samples, m.ticks) for m in walker.measurements]


def one_input(data: bytes) -> None:
    """Hold everything that must hold for any bytes."""

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    with contextlib.suppress(KspaceError):
        read_head(read, len(data))
    whole = judged(data, max(1, len(data)))
    assert whole == judged(data, 1021)
    audit = quick_check(read, len(data))
    if whole[0].verdict.is_whole:  # type: ignore[attr-defined]
        assert audit.verdict.is_whole, (whole[0], audit)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        seed(Path(name))
        atheris.Setup([*sys.argv, name], one_input)
        atheris.Fuzz()
