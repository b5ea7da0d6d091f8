"""Where readouts lie in a piece of a file, as runs of one shape: for looking at their bytes, not for judging them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kspace.twix.mdh import VB_MDH, VD_MDH, Mdh

LAYOUTS = (VD_MDH, VB_MDH)
_LEAST_SAMPLES = 16
"""A readout of fewer is not worth being told apart, and is most likely none."""
_OTHER_SORT = Mdh.ACQEND | Mdh.SYNCDATA


@dataclass(frozen=True, slots=True)
class Run:
    """Readouts of one shape, back to back."""

    at: int
    """Where the first begins in the piece, bytes."""
    count: int
    channels: int
    samples: int
    """Complex samples a channel."""

    def end(self, mdh: Mdh) -> int:
        """Return where the last one ends in the piece, bytes."""
        return self.at + self.count * mdh.size(samples=self.samples, channels=self.channels)

    def values(self, data: memoryview, mdh: Mdh) -> NDArray[np.float32]:
        """Return the samples in place: readouts x channels x real and imaginary parts in turn."""
        channel = mdh.channel_header + 8 * self.samples
        shape, steps = (self.count, self.channels, 2 * self.samples), (mdh.header + self.channels * channel, channel, 4)
        return np.ndarray(shape, "<f4", data, self.at + mdh.header + mdh.channel_header, steps)

    def headers(self, data: memoryview, mdh: Mdh) -> Iterator[NDArray[np.uint32]]:
        """Yield everything else in place: readouts x words, if there are any, and readouts x channels x words."""
        channel = mdh.channel_header + 8 * self.samples
        step = mdh.header + self.channels * channel
        if mdh.header:
            yield np.ndarray((self.count, mdh.header // 4), "<u4", data, self.at, (step, 4))
        shape, steps = (self.count, self.channels, mdh.channel_header // 4), (step, channel, 4)
        yield np.ndarray(shape, "<u4", data, self.at + mdh.header, steps)


def runs_in(data: memoryview) -> tuple[Mdh, list[Run]]:
    """Return the family whose readouts account for most of the bytes, and its runs in their order, if there are any."""
    found = ((mdh, list(_runs(data, mdh))) for mdh in LAYOUTS)
    return max(found, key=lambda one: sum(run.end(one[0]) - run.at for run in one[1]))


def _runs(data: memoryview, mdh: Mdh) -> Iterator[Run]:
    at = 0
    while at + mdh.smallest <= len(data):
        block = mdh.block(data, at)
        if block.mask & _OTHER_SORT:
            if block.mask & Mdh.ACQEND or block.dma < mdh.smallest:
                return
            at += block.dma
            continue
        if not block.channels or block.samples * block.channels < _LEAST_SAMPLES:
            return
        run = Run(at, _count(data, at, mdh), block.channels, block.samples)
        if not run.count:
            return
        yield run
        at = run.end(mdh)


def _count(data: memoryview, at: int, mdh: Mdh) -> int:
    """Return how many whole readouts of the first one's shape follow each other."""
    _, shape = mdh.sort_and_shape.unpack_from(data, at)
    size = mdh.size(samples=shape & 0xFFFF, channels=shape >> 16)
    most, count, window = (len(data) - at) // size, 0, 1
    while count < most:
        looked = min(window, most - count)
        first = at + count * size
        shapes = np.ndarray((looked,), "<u4", data, first + mdh.samples, (size,))
        sorts = np.ndarray((looked,), "<u4", data, first + mdh.mask, (size,))
        is_alike = (shapes == shape) & (sorts & _OTHER_SORT == 0)
        if not is_alike.all():
            return count + int(is_alike.argmin())
        count, window = count + looked, window * 8
    return count
