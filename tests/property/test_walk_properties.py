"""Thousands of ways to break a file: the walk never fails, never hangs, and never calls a broken file whole.

What no walk can see is left out on purpose: bits flipped in samples and texts (TWIX has no checksum that helps), and
zeros where zeros belong.
"""

import faulthandler
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kspace.records import Verdict
from kspace.twix.synthetic import Synthetic, write_twix
from kspace.twix.walk import Walker, quick_check

SPECS = [
    Synthetic(baseline="VB", readouts=14, channels=2, samples=40),
    Synthetic(baseline="VB", readouts=14, channels=2, samples=40, is_streamed=True),
    Synthetic(readouts=14, channels=2, samples=40),
    Synthetic(readouts=14, channels=2, samples=40, is_streamed=True),
    Synthetic(baseline="XA", readouts=3, channels=2, samples=400),
]
REAL = ["vb19-pairs/meas_MID00107_FID33064_sol12.dat", "streamed/04b_GRE_5seg_fast.dat"]
PER_FILE = 600
PER_REAL_FILE = 300


@dataclass(frozen=True)
class Whole:
    """A whole file of one measurement, and where its parts stand (bytes)."""

    data: bytes
    header: int
    first: int
    size: int
    readouts: int
    is_vb: bool

    @property
    def end_marker(self) -> int:
        return self.first + self.size * self.readouts

    @classmethod
    def of(cls, data: bytes) -> "Whole":
        walker = Walker(len(data))
        walker.feed(data)
        assert walker.finish().verdict.is_whole
        (found,) = walker.measurements
        is_vb = found.baseline == "VB"
        per_channel = (128 if is_vb else 32) + 8 * found.samples
        size = (0 if is_vb else 192) + found.channels * per_channel
        return cls(data, found.offset, found.offset + found.header_bytes, size, found.readouts, is_vb)


def _cut(whole: Whole, random: np.random.Generator) -> bytes:
    readout = whole.first + whole.size * random.integers(0, whole.readouts)
    edges = [0, 4, 8, 152, 10_240, 10_248, whole.first, readout, whole.end_marker]
    at = random.choice(
        [random.choice(edges), readout + random.integers(0, whole.size), random.integers(0, whole.first)]
    )
    return whole.data[: min(max(0, at + random.integers(-2, 3)), whole.end_marker)]


def _zero_tail(whole: Whole, random: np.random.Generator) -> bytes:
    at = random.integers(0, whole.end_marker + 1)
    return whole.data[:at] + bytes(len(whole.data) - at)


def _hole(whole: Whole, random: np.random.Generator) -> bytes:
    """Zero 1 KiB and more, in the header's text or among the readouts, as parallel and resumed copies leave it."""
    length = int(random.integers(1024, 8192))
    start = int(random.choice([whole.header, whole.first]))
    at = int(random.integers(start, whole.end_marker - 1024 + 1))
    end = min(at + length, len(whole.data))
    return whole.data[:at] + bytes(end - at) + whole.data[end:]


def _swapped(whole: Whole, random: np.random.Generator) -> bytes:
    """Change the places of two runs of readouts of one length, as blocks written out of order."""
    count = int(random.integers(1, max(2, whole.readouts // 3)))
    a, b = sorted(random.choice(whole.readouts // count, 2, replace=False) * count * whole.size + whole.first)
    run, data = count * whole.size, whole.data
    return data[:a] + data[b : b + run] + data[a + run : b] + data[a : a + run] + data[b + run :]


def _flipped(whole: Whole, random: np.random.Generator) -> bytes:
    """Flip a bit of what a readout says of itself: MeasUID, ScanCounter, its sort, samples, channels.

    Not in the last one: a streamed file would not show that it turned from a readout into synchronous data.
    """
    mask, samples, channels = (20, 28, 30) if whole.is_vb else (40, 48, 50)
    bits = [
        *range(32, 96),
        mask * 8,
        mask * 8 + 5,
        *range(samples * 8, samples * 8 + 16),
        *range(channels * 8, channels * 8 + 16),
    ]
    bit = int(random.choice(bits))
    data = bytearray(whole.data)
    data[whole.first + whole.size * int(random.integers(0, whole.readouts - 1)) + bit // 8] ^= 1 << bit % 8
    return bytes(data)


def _twice(whole: Whole, random: np.random.Generator) -> bytes:
    """Leave a readout out, or in twice; never the last one out, which a streamed file would not show."""
    at = whole.first + whole.size * int(random.integers(0, whole.readouts - 1))
    back = int(random.choice([0, whole.size * 2])) if at > whole.first else 0
    return whole.data[: at + whole.size * (back > 0)] + whole.data[at + (0 if back else whole.size) :]


BREAKS = [_cut, _zero_tail, _hole, _swapped, _flipped, _twice]


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End the whole run, saying where, when a walk goes round in circles."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def _verdict(data: bytes, *, piece: int) -> Verdict:
    walker = Walker(len(data))
    for start in range(0, len(data), piece):
        walker.feed(data[start : start + piece])
    return walker.finish().verdict


def _sweep(whole: Whole, *, seed: int, count: int) -> int:
    random = np.random.default_rng(seed)
    tried = 0
    for number in range(count):
        broken = BREAKS[number % len(BREAKS)](whole, random)
        if broken == whole.data:
            continue
        verdict = _verdict(broken, piece=int(random.choice([1 << 20, 65_536, 9_999])))
        assert not verdict.is_whole, f"{BREAKS[number % len(BREAKS)].__name__} number {number} of seed {seed}"
        quick_check(lambda at, count, data=broken: data[at : at + count], len(broken))
        tried += 1
    return tried


@pytest.mark.parametrize("number", range(len(SPECS)))
def test_no_broken_synthetic_file_is_called_whole(tmp_path, number):
    write_twix(tmp_path / "meas.dat", SPECS[number])
    assert _sweep(Whole.of((tmp_path / "meas.dat").read_bytes()), seed=number, count=PER_FILE) > PER_FILE * 0.9


@pytest.mark.parametrize("name", REAL)
def test_no_broken_real_file_is_called_whole(data_folder, name):
    whole = Whole.of((data_folder / "twix" / name).read_bytes())
    assert _sweep(whole, seed=7, count=PER_REAL_FILE) > PER_REAL_FILE * 0.9


@pytest.mark.parametrize("number", range(len(SPECS)))
def test_any_flipped_bit_is_survived(tmp_path, number):
    """Anywhere at all, headers and directory too: a verdict, whichever, and the same for every split of the feed."""
    write_twix(tmp_path / "meas.dat", SPECS[number])
    data = bytearray((tmp_path / "meas.dat").read_bytes())
    random = np.random.default_rng(number)
    for at in random.integers(0, len(data), 150):
        data[at] ^= 1 << int(random.integers(0, 8))
        assert _verdict(bytes(data), piece=1 << 20) is _verdict(bytes(data), piece=4093)
        quick_check(lambda at, count: bytes(data[at : at + count]), len(data))


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(data=st.binary(max_size=2000), first=st.integers(0, 2**32 - 1), count=st.integers(0, 70))
def test_any_bytes_are_survived_and_never_whole(data, first, count):
    made = first.to_bytes(4, "little") + count.to_bytes(4, "little") + data
    for junk in (data, made, made + bytes(11_000)):
        assert not _verdict(junk, piece=777).is_whole
        assert not quick_check(lambda at, count, junk=junk: junk[at : at + count], len(junk)).verdict.is_whole
