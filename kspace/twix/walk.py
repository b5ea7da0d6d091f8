"""Is the file whole? A quick check of two small reads, and the full walk, fed with the bytes of the one reading pass.

The end of the data is known only by the ACQEND readout; a size that stands still proves nothing, nor does a reader
that returned. What no walk can see: flipped bits inside samples or text (TWIX has no checksum that helps); against
those only the digest guards, from the first read on.
"""

from array import array
from collections.abc import Callable
from dataclasses import replace
from struct import Struct

import numpy as np

from kspace.records import Audit, Measurement, Verdict
from kspace.twix.header import identify
from kspace.twix.layout import (
    ACQEND,
    DIRECTORY_BYTES,
    DMA_LENGTH,
    SYNCDATA,
    VB_MDH,
    VD_MDH,
    HeaderCut,
    Mdh,
    NotTwix,
    Read,
    Slot,
    directory,
    header_bytes,
    is_vb,
)
from kspace.twix.zeros import ZeroRuns

_WORDS = Struct("<4I")
_WORD = Struct("<I")
_PAIR = Struct("<HH")
_PADDING = 512
"""The host's export fills a file up to a multiple of this."""
_WORTH_A_RUN = 4
"""From so many readouts of one shape on, looking at them in one numpy step is cheaper than one by one."""


def quick_check(read: Read, size: int) -> Audit:
    """Look for the end marker where a whole file has it; small reads only, so a hole in the middle is not seen.

    Returns:
        Audit: complete native or streamed, or what is missing.
    """
    try:
        head = read(0, DIRECTORY_BYTES)
        slots = directory(head, size)
        mdh = VB_MDH if is_vb(head) else VD_MDH
        last = slots[-1]
        header_bytes(read(last.offset, 8), offset=last.offset, size=size)
    except NotTwix as error:
        return Audit(verdict=Verdict.NOT_TWIX, position=0, reason=str(error))
    except HeaderCut as error:
        return Audit(verdict=Verdict.HEADER_CUT, position=error.position, reason=str(error))
    if all(slot.length for slot in slots):
        return _quick_native(read, slots, size)
    tail = read(max(0, size - 64 * 1024), 64 * 1024)
    if mdh is VB_MDH and _ends(tail, len(tail) - mdh.native_end, mdh) == mdh.native_end:
        return _whole(Verdict.COMPLETE_NATIVE, size)
    for at in _streamed_ends(tail, mdh):
        if _ends(tail, at, mdh) == mdh.streamed_end:
            return _whole(Verdict.COMPLETE_STREAMED, size)
    return Audit(verdict=Verdict.NO_END_MARKER, position=size, reason="The file does not end with an end marker.")


class Walker:
    """Steps through every readout of every measurement as the bytes pass by; never raises on what they say.

    Memory stays flat: it holds one measurement's header at most (about a megabyte), and one tick a readout.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._fed = 0
        self._next = 0
        """Where the next thing to look at begins."""
        self._held = b""
        """Bytes from `_next` on that came with earlier feeds, while there were too few of them."""
        self._step: Callable[[memoryview, int], bool] = self._begin
        self._mdh = VD_MDH
        self._slots: tuple[Slot, ...] = ()
        self._found: list[Measurement] = []
        self._audit: Audit | None = None
        self._zeros = ZeroRuns()
        self._scanned_to = 0
        self._streamed = False
        self.header_edges: tuple[int, ...] = ()
        self._border = 0
        self._data_end = 0
        """Where the last end marker that was read ends."""

    @property
    def border(self) -> int:
        """The greatest offset fed so far at which a block ends; behind damage every cut is as good."""
        if self._audit is not None:
            return self._fed
        reached = self._next if self._step == self._block else self._data_end
        return reached if reached <= self._fed else self._border

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """What was found so far: identity, counts and ticks."""
        return tuple(self._found)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes, in pieces of any size."""
        view = memoryview(data).cast("B")
        base, self._fed = self._fed, self._fed + len(view)
        while self._audit is None and self._next < self._fed and self._step(view, base):
            pass
        if self._step == self._block and self._audit is None:
            self._scan(view, base, self._fed)

    def finish(self) -> Audit:
        """Return the verdict once every byte was fed."""
        if self._audit is None:
            self._audit = self._at_the_end()
        return self._audit

    # --- steps: each looks at what begins at `_next`; False: more bytes are needed ------------------------------------

    def _begin(self, view: memoryview, base: int) -> bool:
        if (head := self._peek(view, base, 8)) is None:
            return False
        try:
            vb = is_vb(head)
        except NotTwix as error:
            return self._end(Verdict.NOT_TWIX, 0, str(error))
        if vb:
            self._mdh, self._slots = VB_MDH, directory(head, self._size)
            self._step = self._header
            return True
        self._step = self._directory
        return True

    def _directory(self, view: memoryview, base: int) -> bool:
        if (head := self._peek(view, base, DIRECTORY_BYTES)) is None:
            return False
        try:
            self._slots = directory(head, self._size)
        except HeaderCut as error:
            return self._end(Verdict.HEADER_CUT, error.position, str(error))
        self.header_edges = (DIRECTORY_BYTES,)
        return self._go_on(self._slots[0].offset, self._header)

    def _header(self, view: memoryview, base: int) -> bool:
        slot = self._slots[len(self._found)]
        if (head := self._peek(view, base, 8)) is None:
            return False
        try:
            length = header_bytes(head, offset=slot.offset, size=self._size)
            if (head := self._peek(view, base, length)) is None:
                return False
            measurement = identify(head, slot=slot, index=len(self._found))
        except HeaderCut as error:
            return self._end(Verdict.HEADER_CUT, error.position, str(error))
        self._found.append(measurement)
        self._uid = measurement.mid if slot.mid is None else slot.mid
        self._ticks: array[int] = array("I")
        self._shape = (0, 0)
        self._alike = 0
        end = slot.offset + length
        self.header_edges += (slot.offset, end)
        self._scanned_to = end
        self._zeros.restart()
        self._zeros.feed(memoryview(head), at=slot.offset)
        return self._go_on(end, self._block)

    def _block(self, view: memoryview, base: int) -> bool:  # noqa: PLR0911 -- one return a verdict
        mdh, at, limit = self._mdh, self._next, self._limit()
        if at + mdh.smallest > limit:
            return self._no_block(at, limit)
        self._border = at
        if (head := self._peek(view, base, mdh.smallest)) is None:
            return False
        dma, uid, counter, tick = _WORDS.unpack_from(head)
        (mask,) = _WORD.unpack_from(head, mdh.mask)
        samples, channels = _PAIR.unpack_from(head, mdh.samples)
        if dma & DMA_LENGTH == 0:
            return self._end(Verdict.UNWRITTEN_HOLE, at, f"A readout's header at byte {at} was never written.")
        if mask & ACQEND:
            return self._acqend(view, base, dma=dma & DMA_LENGTH, uid=uid, counter=counter, channels=channels)
        is_sync = bool(mask & SYNCDATA)
        size = dma & DMA_LENGTH if is_sync else mdh.size(samples=samples, channels=channels)
        if size < mdh.smallest or (channels == 0 and not is_sync):
            return self._end(Verdict.CONTRADICTION, at, f"The block at byte {at} gives itself no size.")
        if at + size > limit:
            return self._too_long(at, limit)
        if not is_sync and (uid != self._uid or counter != len(self._ticks) + 1):
            what = "another measurement's number" if uid != self._uid else "a readout counter out of order"
            return self._end(Verdict.CONTRADICTION, at, f"The readout at byte {at} carries {what}.")
        if is_sync:
            return self._go_on(at + size, self._block)
        self._alike = self._alike + 1 if self._shape == (samples, channels) else 0
        self._shape = (samples, channels)
        self._ticks.append(tick)
        self._next, self._held = at + size, b""
        if self._alike >= _WORTH_A_RUN:
            self._run(view, base, size, limit)
        return True

    def _run(self, view: memoryview, base: int, size: int, limit: int) -> None:
        """Take every further whole readout of the same shape in this feed in one step."""
        at = self._next
        count = (min(self._fed, limit) - at) // size if at >= base else 0
        if count < _WORTH_A_RUN:
            return
        mdh = self._mdh
        blocks = np.frombuffer(view, np.uint8, count * size, at - base).reshape(count, size)
        words = blocks[:, : mdh.channels + 2].copy().view("<u4")
        shape = self._shape[0] | self._shape[1] << 16
        expected = np.arange(len(self._ticks) + 1, len(self._ticks) + 1 + count, dtype=np.uint64)
        alike = (
            (words[:, 0] & DMA_LENGTH != 0)
            & (words[:, 1] == (self._uid or 0))
            & (words[:, 2] == expected)
            & (words[:, mdh.mask // 4] & (ACQEND | SYNCDATA) == 0)
            & (words[:, mdh.samples // 4] == shape)
        )
        taken = count if alike.all() else int(alike.argmin())
        self._ticks.frombytes(words[:taken, 3].astype(np.uint32).tobytes())
        self._next = at + taken * size

    def _acqend(self, view: memoryview, base: int, *, dma: int, uid: int, counter: int, channels: int) -> bool:  # noqa: PLR0913 -- the fields of the end marker
        at, mdh = self._next, self._mdh
        self._scan(view, base, at)
        is_streamed = dma == mdh.streamed_end
        end = at + (mdh.header or mdh.channel_header * max(channels, 1)) if is_streamed else at + dma
        slot, readouts = self._slots[len(self._found) - 1], len(self._ticks)
        samples, used = self._shape
        self._found[-1] = replace(self._found[-1], readouts=readouts, channels=used, samples=samples, ticks=self._ticks)
        self._streamed = self._streamed or is_streamed
        if uid != self._uid or counter != (1 if is_streamed else readouts + 1):
            return self._end(Verdict.CONTRADICTION, at, f"The end marker at byte {at} is not of this measurement.")
        if end > self._size:
            return self._end(Verdict.CUT_IN_READOUT, at, "The file ends inside its end marker.")
        if slot.length and end != slot.offset + slot.length:
            return self._end(Verdict.CONTRADICTION, at, "The directory promises another length than the data have.")
        if not is_streamed and dma != mdh.native_end:
            return self._end(Verdict.CONTRADICTION, at, "The end marker gives itself an unknown length.")
        self._data_end = end
        if len(self._found) < len(self._slots):
            return self._go_on(self._slots[len(self._found)].offset, self._header)
        return self._go_on(end, self._tail)

    def _tail(self, _view: memoryview, _base: int) -> bool:
        self._next = self._size
        return False

    # --- what they share ----------------------------------------------------------------------------------------------

    def _peek(self, view: memoryview, base: int, count: int) -> bytes | None:
        at = self._next
        if at >= base:
            if at + count <= self._fed:
                return bytes(view[at - base : at - base + count])
            self._held = bytes(view[at - base :])
            return None
        if at + count <= self._fed:
            return self._held + bytes(view[: count - len(self._held)])
        self._held += bytes(view)
        return None

    def _go_on(self, at: int, step: Callable[[memoryview, int], bool]) -> bool:
        self._next, self._step, self._held = at, step, b""
        return True

    def _limit(self) -> int:
        slot, number = self._slots[len(self._found) - 1], len(self._found)
        if slot.length:
            return min(self._size, slot.offset + slot.length)
        return self._slots[number].offset if number < len(self._slots) else self._size

    def _scan(self, view: memoryview, base: int, to: int) -> None:
        start = max(self._scanned_to, base)
        if to > start:
            self._zeros.feed(view[start - base : to - base], at=start)
            self._scanned_to = to

    def _end(self, verdict: Verdict, position: int, reason: str) -> bool:
        self._keep_what_was_read()
        self._audit = Audit(verdict=verdict, position=position, reason=reason)
        return False

    def _no_block(self, at: int, limit: int) -> bool:
        if limit < self._size:
            return self._end(Verdict.CONTRADICTION, at, "The directory ends a measurement that has no end marker.")
        if at == limit:
            return self._end(Verdict.NO_END_MARKER, at, "The file ends after a readout, without an end marker.")
        return self._end(Verdict.CUT_IN_READOUT, at, "The file ends inside a readout's header.")

    def _too_long(self, at: int, limit: int) -> bool:
        if limit < self._size:
            return self._end(Verdict.CONTRADICTION, at, f"The readout at byte {at} overruns its measurement.")
        return self._end(Verdict.CUT_IN_READOUT, at, f"The file ends inside the readout that begins at byte {at}.")

    def _keep_what_was_read(self) -> None:
        if self._found and self._step == self._block and not self._found[-1].readouts:
            samples, channels = self._shape
            self._found[-1] = replace(
                self._found[-1], readouts=len(self._ticks), channels=channels, samples=samples, ticks=self._ticks
            )

    def _at_the_end(self) -> Audit:
        if self._fed < self._size:
            reason = f"Only {self._fed} of {self._size} bytes were read."
            return Audit(verdict=Verdict.CUT_IN_READOUT, position=self._fed, reason=reason)
        if self._step == self._tail:
            return self._judge_tail()
        if self._step == self._block:
            self._no_block(self._next, self._size)
        elif self._size < 8:
            self._end(Verdict.NOT_TWIX, 0, "The file is shorter than eight bytes.")
        else:
            self._end(Verdict.HEADER_CUT, self._fed, "The file ends inside its header.")
        return self._audit or self._judge_tail()

    def _judge_tail(self) -> Audit:
        end = self._data_end
        if self._mdh is VB_MDH:
            # A sender in the reconstruction was seen to leave one empty header behind its end marker.
            padded = end + VB_MDH.channel_header if self._streamed else end
        else:
            padded = end if self._streamed else -(-end // _PADDING) * _PADDING
        if self._size not in {end, padded}:
            reason = f"{self._size - end} bytes follow the end marker that no directory knows."
            return Audit(verdict=Verdict.CONTRADICTION, position=end, reason=reason)
        if self._zeros.found is not None:
            at, length = self._zeros.found
            reason = f"{length} zero bytes in a row at byte {at}; no scanner writes that into headers or samples."
            return Audit(verdict=Verdict.SUSPECT_HOLE, position=at, reason=reason)
        return _whole(Verdict.COMPLETE_STREAMED if self._streamed else Verdict.COMPLETE_NATIVE, self._size)


def _whole(verdict: Verdict, size: int) -> Audit:
    return Audit(verdict=verdict, position=size, reason="Every measurement ends with its end marker.")


def _quick_native(read: Read, slots: tuple[Slot, ...], size: int) -> Audit:
    for slot in slots:
        end = slot.offset + slot.length
        if end > size:
            reason = f"The directory promises {end} bytes, the file has {size}."
            return Audit(verdict=Verdict.CUT_IN_READOUT, position=size, reason=reason)
        at = end - VD_MDH.native_end
        if at < 0 or _ends(read(at, VD_MDH.smallest), 0, VD_MDH) != VD_MDH.native_end:
            reason = "There is no end marker where the directory says the data end."
            return Audit(verdict=Verdict.NO_END_MARKER, position=max(at, 0), reason=reason)
    return _whole(Verdict.COMPLETE_NATIVE, size)


def _streamed_ends(tail: bytes, mdh: Mdh) -> list[int]:
    if mdh.header:
        return [len(tail) - mdh.header]
    step = mdh.channel_header
    return [len(tail) - step * channels for channels in range(1, len(tail) // step + 1)]


def _ends(block: bytes, at: int, mdh: Mdh) -> int | None:
    """Return the DMA length of the end marker at a place, or None where there is none."""
    if at < 0 or at + mdh.smallest > len(block):
        return None
    if not _WORD.unpack_from(block, at + mdh.mask)[0] & ACQEND:
        return None
    return int(_WORD.unpack_from(block, at)[0] & DMA_LENGTH)
