"""Is the file whole? A quick check of small reads, and the full walk, fed with the bytes of the one reading pass.

The end of the data is known only by the ACQEND readout; a size that stands still proves nothing, nor does a reader that
returned. What no walk can see: flipped bits inside samples or text (TWIX has no checksum that helps), and a hole inside
one block of synchronous data; against those only the digest guards, from the first read on.
"""

from collections.abc import Callable
from dataclasses import replace

from kspace.records import Audit, Measurement, Verdict
from kspace.twix.header import Read, identify
from kspace.twix.layout import DIRECTORY_BYTES, Broken, NotTwix, Slot, directory, header_bytes, is_vb
from kspace.twix.mdh import VB_MDH, VD_MDH, Block, Mdh
from kspace.twix.readouts import Readouts
from kspace.twix.zeros import ZeroRuns

_PADDING = 512
"""The host's export fills a VD+ file up to a multiple of this; measurements begin at one."""
_TAIL_BYTES = 64 << 10
"""Room for the end marker of 255 channels, which on VB has a header for each."""
_HOLE = 1024
"""Zeros in an end marker that no scanner writes; what else it holds is left over from the host's memory."""
_SLOT_BYTES, _SLOT_PROTOCOL, _PROTOCOL_BYTES = 152, 8 + 88, 64


def quick_check(read: Read, size: int) -> Audit:
    """Look for the end marker where a whole file has it: two small reads, so a hole in the middle is not seen.

    Returns:
        Audit: complete native or streamed, or what is missing.
    """
    try:
        slots = directory(read(0, DIRECTORY_BYTES), size)
        if all(slot.length for slot in slots):
            return _quick_listed(read, slots, size)
        tail = read(max(0, size - _TAIL_BYTES), _TAIL_BYTES)
        if (verdict := (_vb_end if slots[0].is_vb else _vd_end)(tail)) is not None:
            return _whole(verdict, size)
        header_bytes(read(slots[-1].offset, 8), offset=slots[-1].offset, size=size)
    except Broken as broken:
        return broken.audit
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
        self._border = 0
        """Where the last one began, which is a border too when the next one lies beyond what was fed."""
        self._held = bytearray()
        """Bytes from `_next` on that came with earlier feeds, while there were too few of them."""
        self._step: Callable[[memoryview, int], bool] = self._begin
        self._mdh = VD_MDH
        self._slots: tuple[Slot, ...] = ()
        self._found: list[Measurement] = []
        self._readouts: list[Readouts] = []
        self._audit: Audit | None = None
        self._zeros = ZeroRuns()
        self._scanned_to = size
        self._is_streamed = False
        self.header_edges: tuple[int, ...] = ()
        """Offsets known so far at which the directory or a measurement's header begins or ends, rising."""

    @property
    def border(self) -> int:
        """The greatest offset fed so far at which a block ends; behind damage every cut is as good."""
        if self._audit is not None:
            return self._fed
        return self._next if self._next <= self._fed else self._border

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """What was found so far: identity, ticks, and channels and samples of the last readout."""
        return tuple(
            replace(m, readouts=len(r.ticks), channels=r.channels, samples=r.samples, ticks=r.ticks)
            for m, r in zip(self._found, self._readouts, strict=True)
        )

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes, in pieces of any size."""
        view = memoryview(data).cast("B")
        base, self._fed = self._fed, self._fed + len(view)
        if self._audit is not None:
            return
        try:
            while self._next < self._fed and self._step(view, base):
                pass
        except Broken as broken:
            self._audit = broken.audit
            return
        self._scan(view, base, self._fed)
        if self._step != self._tail:
            self._held += view[max(self._next - base, 0) :]

    def finish(self) -> Audit:
        """Return the verdict once every byte was fed."""
        if self._audit is None:
            try:
                self._audit = self._judge()
            except Broken as broken:
                self._audit = broken.audit
        return self._audit

    # --- steps: each looks at what begins at `_next`; False: more bytes are needed ------------------------------------

    def _begin(self, view: memoryview, base: int) -> bool:
        if (head := self._peek(view, base, min(8, self._size))) is None:
            return False
        if not is_vb(head):
            return self._go_on(0, self._directory)
        self._mdh, self._slots = VB_MDH, directory(head, self._size)
        return self._go_on(0, self._header)

    def _directory(self, view: memoryview, base: int) -> bool:
        if (head := self._peek(view, base, min(DIRECTORY_BYTES, self._size))) is None:
            return False
        self._slots = directory(head, self._size)
        self._add_edges(DIRECTORY_BYTES, *(slot.offset for slot in self._slots))
        return self._go_on(DIRECTORY_BYTES, self._padding)

    def _padding(self, _view: memoryview, _base: int) -> bool:
        return self._go_on(self._slots[len(self._found)].offset, self._header)

    def _header(self, view: memoryview, base: int) -> bool:
        slot = self._slots[len(self._found)]
        if (head := self._peek(view, base, 8)) is None:
            return False
        length = header_bytes(head, offset=slot.offset, size=self._size)
        if (head := self._peek(view, base, length)) is None:
            return False
        measurement = identify(head, slot=slot, index=len(self._found))
        self._found.append(measurement)
        self._readouts.append(Readouts(self._mdh, uid=measurement.mid))
        self._zeros.feed(memoryview(head), at=slot.offset)
        self._scanned_to = slot.offset + length
        self._add_edges(slot.offset + length)
        return self._go_on(slot.offset + length, self._block)

    def _block(self, view: memoryview, base: int) -> bool:
        mdh, at, limit, readouts = self._mdh, self._next, self._limit(), self._readouts[-1]
        if at >= base and (taken := readouts.take_run(view[at - base : limit - base])):
            return self._go_on(at + taken, self._block)
        if at + mdh.smallest > limit:
            raise self._short(at, limit)
        if (head := self._peek(view, base, mdh.smallest)) is None:
            return False
        block = mdh.block(head)
        if block.dma and block.mask & Mdh.ACQEND:
            self._scan(view, base, at)
            self._zeros.close(at=at)
            self._scanned_to = self._size
            self._step = self._end_marker
            return True
        end = at + readouts.size(block, at=at)
        if end > limit:
            raise self._short(at, limit)
        readouts.take(block, at=at)
        if block.mask & Mdh.SYNCDATA:
            self._scan(view, base, at)
            self._zeros.close(at=at)
            self._scanned_to = end  # no samples, and zeros are normal there
        return self._go_on(end, self._block)

    def _end_marker(self, view: memoryview, base: int) -> bool:
        at, mdh, slot = self._next, self._mdh, self._slots[len(self._found) - 1]
        if (head := self._peek(view, base, mdh.smallest)) is None:
            return False
        block = mdh.block(head)
        self._is_streamed = self._readouts[-1].close(block, at=at)
        end = at + (self._bare(block.channels, at) if self._is_streamed else block.dma)
        if end > self._size:
            message = "The file ends inside its end marker."
            raise Broken(message, verdict=Verdict.CUT_IN_READOUT, position=self._size)
        if slot.length and end != slot.offset + slot.length:
            message = f"The directory ends the measurement at byte {slot.offset + slot.length}, its data end at {end}."
            raise Broken(message, verdict=Verdict.CONTRADICTION, position=at)
        if (stored := self._peek(view, base, end - at)) is None:
            return False
        if bytes(_HOLE) in stored:
            message = f"The end marker at byte {at} was not written to its end."
            raise Broken(message, verdict=Verdict.UNWRITTEN_HOLE, position=at)
        is_last = len(self._found) == len(self._slots)
        return self._go_on(end, self._tail if is_last else self._padding)

    def _tail(self, _view: memoryview, _base: int) -> bool:
        """Let pass what follows the last end marker; `_must_end_here` looks at how much it was."""
        return False

    # --- what they share ----------------------------------------------------------------------------------------------

    def _peek(self, view: memoryview, base: int, count: int) -> bytes | None:
        """Return ``count`` bytes from `_next` on, or None while not all of them were fed."""
        start = self._next - base
        if start + count > len(view):
            return None
        return bytes(self._held[:count]) + bytes(view[max(start, 0) : max(start + count, 0)])

    def _go_on(self, at: int, step: Callable[[memoryview, int], bool]) -> bool:
        del self._held[: at - self._next]
        self._border, self._next, self._step = self._next, at, step
        return True

    def _add_edges(self, *edges: int) -> None:
        self.header_edges = tuple(sorted([*self.header_edges, *edges]))

    def _limit(self) -> int:
        number = len(self._found)
        slot = self._slots[number - 1]
        if slot.length:
            return min(self._size, slot.offset + slot.length)
        return self._slots[number].offset if number < len(self._slots) else self._size

    def _scan(self, view: memoryview, base: int, to: int) -> None:
        """Look for zeros up to ``to``, from where the last look ended."""
        if to > self._scanned_to:
            self._zeros.feed(view[self._scanned_to - base : to - base], at=self._scanned_to)
            self._scanned_to = to

    def _short(self, at: int, limit: int) -> Broken:
        if at == limit:
            message = f"The data end at byte {at}, after a readout, without an end marker."
            return Broken(message, verdict=Verdict.NO_END_MARKER, position=at)
        if limit < self._size:
            message = f"The directory ends a measurement at byte {limit}, inside the readout that begins at {at}."
            return Broken(message, verdict=Verdict.CONTRADICTION, position=at)
        message = f"The file ends inside the readout that begins at byte {at}."
        return Broken(message, verdict=Verdict.CUT_IN_READOUT, position=at)

    def _bare(self, channels: int, at: int) -> int:
        """Return what a sender in the reconstruction stores of an end marker: bare headers, on VB one a channel.

        As many as the marker itself says, or, where that fits the file's size and this does not, as the readouts say.
        """
        mdh = self._mdh
        sizes = [mdh.header or mdh.channel_header * max(n, 1) for n in (channels, self._readouts[-1].channels)]
        return next((size for size in sizes if self._size - at in self._ends(size)), sizes[0])

    def _ends(self, end: int) -> set[int]:
        """Return the sizes a whole file may have whose last end marker ends at ``end``."""
        if self._mdh is VB_MDH:  # both streamed VB files seen hold an empty header more
            return {end, end + VB_MDH.channel_header} if self._is_streamed else {end}
        return {end} if self._is_streamed else {end, -(-end // _PADDING) * _PADDING}

    def _judge(self) -> Audit:
        if self._fed != self._size:
            message = f"{self._fed} bytes were read of a file of {self._size}."
            raise Broken(message, verdict=Verdict.CUT_IN_READOUT, position=min(self._fed, self._size))
        if self._size == 0:
            raise NotTwix("This is not a TWIX file: it is empty.")
        if self._step == self._block:
            raise self._short(self._next, self._size)
        if self._step != self._tail:
            message = "The file ends before a measurement that its directory promises."
            raise Broken(message, verdict=Verdict.HEADER_CUT, position=self._size)
        self._must_end_here()
        hole = self._zeros.found or self._nameless()
        if hole:
            at, length = hole
            reason = f"{length} zero bytes in a row at byte {at}, where scanners write samples or text."
            return Audit(verdict=Verdict.SUSPECT_HOLE, position=at, reason=reason)
        return _whole(Verdict.COMPLETE_STREAMED if self._is_streamed else Verdict.COMPLETE_NATIVE, self._size)

    def _must_end_here(self) -> None:
        end = self._next
        if self._size not in self._ends(end):
            message = f"{self._size - end} bytes follow the end marker that no directory knows of."
            raise Broken(message, verdict=Verdict.CONTRADICTION, position=end)

    def _nameless(self) -> tuple[int, int] | None:
        """Return where the directory names no protocol, although every scanner writes one there."""
        places = (_SLOT_PROTOCOL + _SLOT_BYTES * n for n, slot in enumerate(self._slots) if slot.is_nameless)
        return next(((place, _PROTOCOL_BYTES) for place in places), None)


def _whole(verdict: Verdict, size: int) -> Audit:
    return Audit(verdict=verdict, position=size, reason="Every measurement ends with its end marker.")


def _quick_listed(read: Read, slots: tuple[Slot, ...], size: int) -> Audit:
    mdh = VD_MDH
    for slot in slots:
        end = slot.offset + slot.length
        if end > size:
            message = f"The directory promises {end} bytes, the file has {size}."
            raise Broken(message, verdict=Verdict.CUT_IN_READOUT, position=size)
        at = end - mdh.native_end(0)
        head = read(max(at, 0), mdh.smallest)
        if at < DIRECTORY_BYTES or _end_at(head, 0, mdh, dma=mdh.native_end(0)) is None:
            message = "There is no end marker where the directory says that a measurement ends."
            raise Broken(message, verdict=Verdict.NO_END_MARKER, position=max(at, 0))
    return _whole(Verdict.COMPLETE_NATIVE, size)


def _vd_end(tail: bytes) -> Verdict | None:
    at = len(tail) - VD_MDH.header
    return Verdict.COMPLETE_STREAMED if _end_at(tail, at, VD_MDH, dma=Mdh.STREAMED_END) else None


def _vb_end(tail: bytes) -> Verdict | None:
    """Look for an end marker of any number of channels.

    A native one of 32 channels claims what streamed ones do; these are told by their counter, which is 1.
    """
    mdh = VB_MDH
    for channels in range(1, _TAIL_BYTES // mdh.native_end(1)):
        dma = mdh.native_end(channels)
        block = _end_at(tail, len(tail) - dma, mdh, dma=dma)
        if block and (dma != Mdh.STREAMED_END or block.counter > 1):
            return Verdict.COMPLETE_NATIVE
    for stored in range(1, len(tail) // mdh.channel_header):
        block = _end_at(tail, len(tail) - mdh.channel_header * stored, mdh, dma=Mdh.STREAMED_END)
        if block and block.counter == 1 and block.channels in {stored, stored - 1}:
            return Verdict.COMPLETE_STREAMED
    return None


def _end_at(data: bytes, at: int, mdh: Mdh, *, dma: int) -> Block | None:
    """Return the end marker that begins at ``at`` and gives itself this length, if there is one."""
    if at < 0 or at + mdh.smallest > len(data):
        return None
    block = mdh.block(data, at)
    return block if block.mask & Mdh.ACQEND and block.dma == dma else None
