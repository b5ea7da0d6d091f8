"""The readouts of one measurement: what each block's header must say, one by one or many in a numpy step."""

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kspace.records import Verdict
from kspace.twix.layout import Broken
from kspace.twix.mdh import Block, Mdh

_WORTH_A_RUN = 4
"""From so many readouts on, looking at them in one step is cheaper than one by one."""
_SHAPES = 1024
"""So many shapes are remembered: a file has a handful, a damaged one may have any number."""
_NONE = np.empty((0, 4), np.uint32)
_OTHER_SORT = Mdh.ACQEND | Mdh.SYNCDATA


class _Sizes(dict[int, int]):
    """The bytes of a readout by its shape; 0 where it has no channels."""

    def __init__(self, mdh: Mdh) -> None:
        super().__init__()
        self._mdh = mdh

    def __missing__(self, shape: int) -> int:
        samples, channels = shape & 0xFFFF, shape >> 16
        if len(self) >= _SHAPES:
            self.clear()
        self[shape] = size = self._mdh.size(samples=samples, channels=channels) if channels else 0
        return size


class Readouts:
    """Counts a measurement's readouts and holds each to the one before it."""

    def __init__(self, mdh: Mdh, *, uid: int | None) -> None:
        self._mdh = mdh
        self._sizes = _Sizes(mdh)
        self._head = np.dtype((np.void, mdh.channels + 2))
        self._uid = uid
        """None (a VB header without MeasUID): that of the first readout."""
        self._counter = 0
        self._syncs = 0
        """Synchronous blocks since the last readout; whether they count as readouts is not the same everywhere."""
        self.ticks: array[int] = array("I")
        self.samples = 0
        self.channels = 0

    def size(self, block: Block, *, at: int) -> int:
        """Return the bytes of a block that is no end marker.

        Raises:
            Broken: its header was never written, or gives no size.
        """
        if block.dma == 0:
            message = f"The readout at byte {at} was never written."
            raise Broken(message, verdict=Verdict.UNWRITTEN_HOLE, position=at)
        is_sync = bool(block.mask & Mdh.SYNCDATA)
        of_samples = self._mdh.size(samples=block.samples, channels=block.channels) if block.channels else 0
        size = block.dma if is_sync else of_samples
        if size < self._mdh.smallest or (is_sync and size == of_samples):
            message = f"The block at byte {at} gives itself an impossible size for its sort."
            raise Broken(message, verdict=Verdict.CONTRADICTION, position=at)
        return size

    def take(self, block: Block, *, at: int) -> None:
        """Count a whole block.

        Raises:
            Broken: it belongs to another measurement, or one before it is missing.
        """
        if block.mask & Mdh.SYNCDATA:
            self._syncs += 1
            return
        self._must_follow(block, at=at, what="readout")
        self._counter, self._syncs = block.counter, 0
        self.samples, self.channels = block.samples, block.channels
        self.ticks.append(block.tick)

    def take_run(self, data: memoryview) -> int:
        """Count the whole readouts at the begin of ``data`` that follow each other; return the bytes taken."""
        starts, words = self._run(data)
        if not len(words):
            return 0
        numbers = np.arange(self._counter + 1, self._counter + 1 + len(words))
        follows = (words[:, 1] == self._uid) & (words[:, 2] == numbers) & (words[:, 0] & Mdh.DMA_LENGTH != 0)
        taken = int(follows.argmin())
        if follows[taken]:
            taken = len(words)
        if taken:
            self.ticks.frombytes(words[:taken, 3].tobytes())
            self._counter, self._syncs = self._counter + taken, 0
            shape = int(words[taken - 1, -1])
            self.samples, self.channels = shape & 0xFFFF, shape >> 16
        return starts[taken]

    def _run(self, data: memoryview) -> tuple[Sequence[int], NDArray[np.uint32]]:
        """Return where readouts begin in ``data`` by their own shapes, where the last one ends, and their headers.

        Of one shape, as nearly always, they lie in steps; others are gone through one by one. None are returned where
        they are too few for numpy to be cheaper.
        """
        mdh = self._mdh
        size = self._sizes[mdh.sort_and_shape.unpack_from(data)[1]] if len(data) >= mdh.smallest else 0
        count = len(data) // size if size else 0
        if count >= _WORTH_A_RUN:
            words = np.ndarray((count, (mdh.channels + 2) // 4), np.uint32, data, 0, (size, 4))
            alike = (words[:, -1] == words[0, -1]) & (words[:, mdh.mask // 4] & _OTHER_SORT == 0)
            if not alike[least := int(alike.argmin())]:
                count = least
            if count >= _WORTH_A_RUN:
                return range(0, count * size + 1, size), words[:count]
        starts = self._starts(data)
        if len(starts) <= _WORTH_A_RUN:
            return starts, _NONE
        heads = np.ndarray((starts[-1] - self._head.itemsize + 1,), self._head, data, 0, (1,))[starts[:-1]]
        return starts, heads.view(np.uint32).reshape(len(heads), -1)

    def _starts(self, data: memoryview) -> list[int]:
        at, starts, last = 0, [0], len(data) - self._mdh.smallest
        look, sizes = self._mdh.sort_and_shape.unpack_from, self._sizes
        while at <= last:
            sort, shape = look(data, at)
            size = sizes[shape]
            if sort & _OTHER_SORT or not size:
                break
            at += size
            starts.append(at)
        if at > len(data):
            starts.pop()
        return starts

    def close(self, block: Block, *, at: int) -> bool:
        """Check the end marker; return whether a sender in the reconstruction wrote it, not the host's export.

        Raises:
            Broken: it belongs to another measurement, or readouts before it are missing.
        """
        is_numbered = self._counter < block.counter <= self._counter + 1 + self._syncs
        is_native = is_numbered and block.dma == self._mdh.native_end(block.channels)
        is_streamed = not is_native and block.dma == Mdh.STREAMED_END
        if not (is_streamed and block.counter == 1 and block.uid == self._uid):
            self._must_follow(block, at=at, what="end marker")
        return is_streamed

    def _must_follow(self, block: Block, *, at: int, what: str) -> None:
        if self._uid is None:
            self._uid = block.uid
        if block.uid != self._uid:
            message = f"The {what} at byte {at} carries the number of another measurement."
            raise Broken(message, verdict=Verdict.CONTRADICTION, position=at)
        if not self._counter < block.counter <= self._counter + 1 + self._syncs:
            message = f"The {what} at byte {at} is number {block.counter}, the one before it {self._counter}."
            raise Broken(message, verdict=Verdict.CONTRADICTION, position=at)
