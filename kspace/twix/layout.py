"""Where things stand in a TWIX file. All integers are little-endian.

Sources: pehses/twixtools ``twixtools/hdr_def.py``, ``twixtools/mdh_def.py``; ismrmrd/siemens_to_ismrmrd
``siemensraw.h``; and measurement on real VB19, VE11, VE12 and XA61 files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from kspace.errors import BadInput

Read = Callable[[int, int], bytes]
"""``read(offset, length)``: the bytes from offset, fewer only where the file ends."""

DIRECTORY_BYTES = 10_240
MAX_HEADER_BYTES = 64 << 20
_MAX_MEASUREMENTS = 64
_MAX_BUFFERS = 32
_HEAD = Struct("<II")
_SLOT = Struct("<IIQQ64s64s")


class NotTwix(BadInput):
    """The bytes fit neither TWIX family."""

    code = "not_twix"


class HeaderCut(BadInput):
    """The file ends inside, or contradicts itself in, the directory or a measurement's header."""

    code = "header_cut"

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One measurement of the directory (VD and later); VB has one, from byte 0, without ids and length."""

    mid: int | None
    fid: int | None
    offset: int
    length: int
    """From offset to the last byte of the end marker; 0 when the file was streamed, and on VB."""
    patient: bytes = b""
    protocol: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mdh:
    """Where the fields of a readout's header stand; offsets in bytes."""

    header: int
    """Bytes before the first channel: VD+ one header a readout, VB none (the header is repeated in each channel)."""
    channel_header: int
    mask: int
    samples: int
    channels: int
    native_end: int
    """The DMA length of the end marker as the host's export writes it, all of it stored."""
    streamed_end: int = 8192
    """The DMA length a sender in the reconstruction gives it; only the bare header is stored."""

    @property
    def smallest(self) -> int:
        """Bytes of the smallest header: what must be there to look at a block at all."""
        return self.header or self.channel_header

    def size(self, *, samples: int, channels: int) -> int:
        """Return the bytes of a readout; the DMA length is not to be trusted for it (packed EPI)."""
        return self.header + channels * (self.channel_header + 8 * samples)


VD_MDH = Mdh(header=192, channel_header=32, mask=40, samples=48, channels=50, native_end=352)
VB_MDH = Mdh(header=0, channel_header=128, mask=20, samples=28, channels=30, native_end=1024)

ACQEND = 1 << 0
SYNCDATA = 1 << 5
DMA_LENGTH = 0x01FF_FFFF
"""The low 25 bits of the first word; the others are pack bit and enable flags."""


def is_vb(head: bytes) -> bool:
    """Return whether a file that begins so is of the VB family.

    Raises:
        NotTwix: it is of neither family.
        HeaderCut: it ends before that can be told.
    """
    if len(head) < _HEAD.size:
        raise NotTwix("The file is shorter than eight bytes.")
    first, second = _HEAD.unpack_from(head)
    if first < 10_000 and 1 <= second <= _MAX_MEASUREMENTS:
        return False
    if 10_000 <= first <= MAX_HEADER_BYTES and 1 <= second <= _MAX_BUFFERS:
        return True
    raise NotTwix("This is not a TWIX file: its first words fit neither the VB nor the VD layout.")


def directory(head: bytes, size: int) -> tuple[Slot, ...]:
    """Return the measurements of a file of ``size`` bytes that begins with ``head`` (at least 10,240 bytes of it).

    Slots beyond the count may hold stale entries and are never read.

    Raises:
        NotTwix: the file is of neither family.
        HeaderCut: the directory is cut or points outside the file or behind its neighbour.
    """
    if is_vb(head):
        return (Slot(mid=None, fid=None, offset=0, length=0),)
    _, count = _HEAD.unpack_from(head)
    end = _HEAD.size + count * _SLOT.size
    if len(head) < min(end, DIRECTORY_BYTES) or size < DIRECTORY_BYTES:
        raise HeaderCut("The file ends inside the directory of measurements.", position=len(head))
    slots = tuple(_slot(head, number) for number in range(count))
    at = DIRECTORY_BYTES
    for slot in slots:
        if slot.offset < at:
            raise HeaderCut("The directory places a measurement inside another one.", position=slot.offset)
        if slot.offset + _HEAD.size > size:
            raise HeaderCut("The file ends before a measurement that the directory promises.", position=size)
        at = slot.offset + max(slot.length, _HEAD.size)
    return slots


def header_bytes(head: bytes, *, offset: int, size: int) -> int:
    """Return the length of the measurement header that begins with ``head`` at ``offset``; it includes itself.

    Raises:
        HeaderCut: the length is absurd, or the file ends inside the header.
    """
    if len(head) < _HEAD.size:
        raise HeaderCut("The file ends before a measurement's header.", position=offset + len(head))
    length, count = _HEAD.unpack_from(head)
    if not (_HEAD.size < length <= MAX_HEADER_BYTES and 1 <= count <= _MAX_BUFFERS):
        raise HeaderCut("A measurement's header gives an absurd length.", position=offset)
    if offset + length > size:
        raise HeaderCut("The file ends inside a measurement's header.", position=size)
    return int(length)


def _slot(head: bytes, number: int) -> Slot:
    mid, fid, offset, length, patient, protocol = _SLOT.unpack_from(head, _HEAD.size + number * _SLOT.size)
    return Slot(
        mid=mid,
        fid=fid,
        offset=offset,
        length=length,
        patient=patient.split(b"\0")[0],
        protocol=protocol.split(b"\0")[0],
    )
