"""The readouts of one measurement: what each block's header must say, one by one or many in a numpy step."""

from array import array

import numpy as np

from kspace.records import Verdict
from kspace.twix.layout import Broken
from kspace.twix.mdh import Block, Mdh

_WORTH_A_RUN = 4
"""From so many readouts of one shape on, looking at them in one step is cheaper than one by one."""


class Readouts:
    """Counts a measurement's readouts and holds each to the one before it."""

    def __init__(self, mdh: Mdh, *, uid: int | None) -> None:
        self._mdh = mdh
        self._uid = uid
        """None (a VB header without MeasUID): that of the first readout."""
        self._counter = 0
        self._syncs = 0
        """Synchronous blocks since the last readout; whether they count as readouts is not the same everywhere."""
        self._alike = 0
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
            self._alike = 0
            return
        self._must_follow(block, at=at, what="readout")
        is_alike = (self.samples, self.channels) == (block.samples, block.channels)
        self._alike = self._alike + 1 if is_alike else 0
        self._counter, self._syncs = block.counter, 0
        self.samples, self.channels = block.samples, block.channels
        self.ticks.append(block.tick)

    def take_run(self, data: memoryview) -> int:
        """Count the readouts at the begin of ``data`` that are like the last one; return the bytes taken."""
        size = self._mdh.size(samples=self.samples, channels=self.channels)
        count = len(data) // size if self._alike >= _WORTH_A_RUN else 0
        if count < _WORTH_A_RUN:
            return 0
        mdh = self._mdh
        blocks = np.frombuffer(data, np.uint8, count * size).reshape(count, size)
        words = blocks[:, : mdh.channels + 2].copy().view("<u4")
        follows = np.arange(self._counter + 1, self._counter + 1 + count, dtype=np.uint64)
        alike = (
            (words[:, 0] & Mdh.DMA_LENGTH != 0)
            & (words[:, 1] == self._uid)
            & (words[:, 2] == follows)
            & (words[:, mdh.mask // 4] & (Mdh.ACQEND | Mdh.SYNCDATA) == 0)
            & (words[:, mdh.samples // 4] == (self.samples | self.channels << 16))
        )
        taken = count if alike.all() else int(alike.argmin())
        self.ticks.frombytes(words[:taken, 3].astype(np.uint32).tobytes())
        self._counter += taken
        return taken * size

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
