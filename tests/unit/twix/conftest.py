"""Small synthetic TWIX files of every family, and the walk over bytes in pieces of any size."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from kspace.records import Audit, Measurement
from kspace.twix.synthetic import Synthetic, write_twix
from kspace.twix.walk import Walker

Walked = tuple[Audit, tuple[Measurement, ...]]


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> Callable[..., bytes]:
    """Return the bytes of a synthetic file."""
    folder = tmp_path_factory.mktemp("twix")

    def write(*specs: Synthetic) -> bytes:
        path = folder / "meas.dat"
        write_twix(path, *specs)
        return path.read_bytes()

    return write


@pytest.fixture(scope="session")
def walk() -> Callable[..., Walked]:
    """Walk bytes, fed at once or cut at the given offsets."""

    def walked(data: bytes, *, cuts: Iterable[int] = ()) -> Walked:
        walker = Walker(len(data))
        edges = [0, *sorted(cuts), len(data)]
        for start, end in pairwise(edges):
            walker.feed(memoryview(data)[start:end])
        return walker.finish(), walker.measurements

    return walked


@pytest.fixture(scope="session")
def twix_folder(data_folder) -> Path:
    return data_folder / "twix"
