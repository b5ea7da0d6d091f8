"""Smaller TWIX files out of a large one: the headers alone, or one measurement, under a directory of their own.

Nothing inside a measurement says where it lies in its file: only the directory does (twixtools ``hdr_def.py``), so a
measurement can be moved as it is.
"""

from collections.abc import Callable, Iterator, Sequence

from kspace.errors import BadInput
from kspace.twix.layout import DIRECTORY_BYTES, moved

Ranges = tuple[tuple[int, int], ...]
"""(start, end) in the file, in bytes, in order."""
_ALIGNED = 512
"""The host begins every measurement at a multiple of this."""


def header_ranges(headers: Sequence[tuple[int, int]]) -> Ranges:
    """Return where the directory, if there is one, and the headers lie, given each header's offset and length."""
    return (*_directory(headers), *((offset, offset + length) for offset, length in headers))


def measurement_ranges(headers: Sequence[tuple[int, int]], number: int, *, size: int) -> Ranges:
    """Return where the directory, if there is one, and the measurement of a number, from 1, lie.

    Raises:
        BadInput: there is no such measurement.
    """
    if not 1 <= number <= len(headers):
        raise BadInput(f"The file holds {len(headers)} measurements, counted from 1; there is no number {number}.")
    ends = [*(offset for offset, _ in headers[1:]), size]
    return (*_directory(headers), (headers[number - 1][0], ends[number - 1]))


def excerpt(read: Callable[[int, int], Iterator[bytes]], ranges: Ranges, *, numbers: Sequence[int]) -> Iterator[bytes]:
    """Yield a file of some of the measurements, each cut to its range; ``read(start, end)`` yields the file's bytes.

    ``numbers`` are theirs, from 1. All bytes are the file's own but for the directory, which lists only these, where
    they now lie. A VB file has no directory, and its one measurement is left as it is.
    """
    if ranges[0] != (0, DIRECTORY_BYTES):
        yield from read(*ranges[0])
        return
    at, places = DIRECTORY_BYTES, []
    for start, end in ranges[1:]:
        places.append((at, end - start))
        at += end - start + -(end - start) % _ALIGNED
    yield moved(b"".join(read(0, DIRECTORY_BYTES)), [n - 1 for n in numbers], places)
    for start, end in ranges[1:]:
        yield from read(start, end)
        if (start, end) != ranges[-1]:
            yield bytes(-(end - start) % _ALIGNED)


def _directory(headers: Sequence[tuple[int, int]]) -> Ranges:
    if not headers:
        raise BadInput("The file holds no measurement that the relay knows of; restore it whole.")
    return ((0, DIRECTORY_BYTES),) if headers[0][0] >= DIRECTORY_BYTES else ()
