"""Where things stand in a TWIX file before its readouts. All integers are little-endian.

Sources: pehses/twixtools ``twixtools/hdr_def.py``; ismrmrd/siemens_to_ismrmrd ``siemensraw.h``; and measurement on real
VB19, VE11, VE12 and XA61 files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from struct import Struct

from kspace.errors import BadInput
from kspace.records import Audit, Verdict

DIRECTORY_BYTES = 10_240
"""Head and 64 slots, filled with zeros (VD and later)."""
MAX_HEADER_BYTES = 64 << 20
"""Fifty times the largest header seen; a larger one is a damaged length."""
_MAX_MEASUREMENTS = 64
_MAX_BUFFERS = 128
"""Software writes five to seven texts; more are room for what comes."""
_VB_FROM = 10_000
"""A first word of this much and more is a VB header's length (twixtools ``helpers.py``, pymapvbvd ``mapVBVD.py``)."""
_HEAD = Struct("<II")
_SLOT = Struct("<IIQQ64s64s")


class Broken(BadInput):
    """The bytes are not those of a whole TWIX file; the verdict says in which way, the position where."""

    code = "broken_twix"

    def __init__(self, message: str, *, verdict: Verdict, position: int) -> None:
        super().__init__(message)
        self.audit = Audit(verdict=verdict, position=position, reason=message)


class NotTwix(Broken):
    """The bytes fit neither TWIX family."""

    code = "not_twix"

    def __init__(self, message: str) -> None:
        super().__init__(message, verdict=Verdict.NOT_TWIX, position=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One measurement of the directory. VB has none: one measurement from byte 0, without ids, names and length."""

    offset: int
    length: int = 0
    """From offset to the last byte of the end marker, padding excluded; 0 when the file was streamed, and on VB."""
    mid: int | None = None
    fid: int | None = None
    patient: bytes = b""
    """All 64 bytes: ``NAME,YYYYMMDD``, or an ``x`` a character."""
    protocol: bytes = b""
    leftover: bytes = b""
    """What nothing refers to: behind the protocol's end; in the first slot also all slots the directory does not count,
    but for their protocols."""

    @property
    def is_vb(self) -> bool:
        """Whether the file is of the VB family."""
        return self.mid is None

    @property
    def is_nameless(self) -> bool:
        """Whether a slot holds no protocol name; every real file's does."""
        return not self.is_vb and not self.protocol


def is_vb(head: bytes) -> bool:
    """Return whether a file that begins so is of the VB family; its first eight bytes tell.

    Raises:
        NotTwix: it is of neither family.
    """
    if len(head) < _HEAD.size:
        raise NotTwix("This is not a TWIX file: it is shorter than eight bytes.")
    first, count = _HEAD.unpack_from(head)
    if _VB_FROM <= first <= MAX_HEADER_BYTES and 1 <= count <= _MAX_BUFFERS:
        return True
    if first < _VB_FROM and 1 <= count <= _MAX_MEASUREMENTS:
        return False
    raise NotTwix("This is not a TWIX file: its first words fit neither the VB nor the VD layout.")


def directory(head: bytes, size: int) -> tuple[Slot, ...]:
    """Return the measurements of a file of ``size`` bytes that begins with ``head``.

    ``head`` is the file's first 10,240 bytes, fewer only where the file ends. Slots beyond the count may hold stale
    entries; they count for nothing but the patient they may name.

    Raises:
        NotTwix: the file is of neither family.
        Broken: the directory is cut, points outside the file, or contradicts itself.
    """
    if is_vb(head):
        return (Slot(offset=0),)
    _, count = _HEAD.unpack_from(head)
    if min(len(head), size) < DIRECTORY_BYTES:
        position = min(len(head), size)
        raise Broken("The file ends inside its directory.", verdict=Verdict.HEADER_CUT, position=position)
    slots = tuple(_slot(head, number) for number in range(count))
    rest = (_slot(head, number) for number in range(count, _MAX_MEASUREMENTS))
    unused = b"".join(slot.patient + slot.leftover for slot in rest).strip(b"\0")
    slots = (replace(slots[0], leftover=slots[0].leftover + unused), *slots[1:])
    at = DIRECTORY_BYTES
    for slot in slots:
        if slot.offset < at:
            message = "The directory places a measurement inside itself or inside another one."
            raise Broken(message, verdict=Verdict.CONTRADICTION, position=slot.offset)
        if slot.offset + _HEAD.size > size:
            message = "The file ends before a measurement that its directory promises."
            raise Broken(message, verdict=Verdict.HEADER_CUT, position=size)
        at = slot.offset + max(slot.length, _HEAD.size)
    return slots


def moved(head: bytes, numbers: Sequence[int], places: Sequence[tuple[int, int]]) -> bytes:
    """Return the directory ``head`` with only these slots (from 0), each at its new offset and at most so long.

    A length of 0, as a streamed file has it, stays 0.
    """
    first, _ = _HEAD.unpack_from(head)
    out = bytearray(DIRECTORY_BYTES)
    _HEAD.pack_into(out, 0, first, len(numbers))
    for slot, (number, (offset, room)) in enumerate(zip(numbers, places, strict=True)):
        mid, fid, _, length, patient, protocol = _SLOT.unpack_from(head, _HEAD.size + number * _SLOT.size)
        at = _HEAD.size + slot * _SLOT.size
        _SLOT.pack_into(out, at, mid, fid, offset, min(length, room), patient, protocol)
    return bytes(out)


def header_bytes(head: bytes, *, offset: int, size: int) -> int:
    """Return the length of the measurement header that begins with ``head`` at ``offset``; it includes itself.

    Raises:
        Broken: the length is absurd, or the file ends inside the header.
    """
    if len(head) < _HEAD.size:
        message = "The file ends before a measurement's header."
        raise Broken(message, verdict=Verdict.HEADER_CUT, position=offset + len(head))
    length, count = _HEAD.unpack_from(head)
    if not (_HEAD.size < length <= MAX_HEADER_BYTES and 1 <= count <= _MAX_BUFFERS):
        message = f"A measurement's header claims {length} bytes and {count} texts; no scanner writes that."
        raise Broken(message, verdict=Verdict.HEADER_CUT, position=offset)
    if offset + length > size:
        message = f"A measurement's header claims {length} bytes, but the file ends inside it."
        raise Broken(message, verdict=Verdict.HEADER_CUT, position=size)
    return int(length)


def _slot(head: bytes, number: int) -> Slot:
    mid, fid, offset, length, patient, protocol = _SLOT.unpack_from(head, _HEAD.size + number * _SLOT.size)
    name, _, behind = protocol.partition(b"\0")
    return Slot(
        mid=mid, fid=fid, offset=offset, length=length, patient=patient, protocol=name, leftover=behind.strip(b"\0")
    )
