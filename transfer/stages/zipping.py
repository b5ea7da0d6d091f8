"""A zip of images that is never on a disk: its length is known before, and it can be read again from the start."""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from struct import Struct
from zipfile import ZipInfo

from kspace.errors import SpoolDamaged
from transfer.destinations import Body
from transfer.records import StoredInstance

_BLOCK = 1 << 20
_LOCAL, _LISTED, _END = 30, 46, 22
"""Lengths without names: local header, entry and end of the central directory (APPNOTE.TXT 4.3.7, 4.3.12, 4.3.16)."""
_ENTRY = Struct("<4s4B4HL2L5H2L")
_LAST = Struct("<4s4H2LH")
_SIZES_64 = Struct("<2H2Q")
_LAST_64 = Struct("<4sQ2H2L4Q")
_WHERE_64 = Struct("<4sLQL")
"""The 64-bit extension (4.5.3, 4.3.14, 4.3.15): sizes of an entry; end of the directory, and where that is."""
_MOST_BYTES = (1 << 32) - 1
_MOST_FILES = 10_000


def batch_of(instances: Sequence[StoredInstance], *, most_bytes: int) -> Sequence[StoredInstance]:
    """Return the first instances of the first series among these that fit into one zip; one in any case."""
    first = [one for one in instances if one.series_uid == instances[0].series_uid][:_MOST_FILES]
    most = min(most_bytes, _MOST_BYTES - _MOST_FILES * (_LOCAL + _LISTED + 20) - _END)
    return first[: max(1, sum(total <= most for total in accumulate(one.size for one in first)))]


def zip_of(instances: Sequence[StoredInstance], *, progress: Callable[[], None], plain: int = _MOST_BYTES) -> Body:
    """Return a zip, stored and not deflated; the names inside are numbers, for UIDs may be dates of a patient's visits.

    Each entry's checksum stands before its bytes: an importer that reads as it comes takes stored entries in no other
    way (java.util.zip.ZipInputStream). An image of more than ``plain`` bytes goes alone, with the 64-bit extension,
    which that reads since Java 7.
    """
    names = [f"{number:06d}.dcm" for number in range(len(instances))]
    is_64 = any(one.size >= plain for one in instances)
    more = 2 * _SIZES_64.size + _LAST_64.size + _WHERE_64.size if is_64 else 0
    size = sum(one.size + _LOCAL + _LISTED + 2 * len(name) for one, name in zip(instances, names, strict=True))
    blocks = partial(_blocks, instances, names, progress, is_64=is_64)
    return Body(size=size + _END + more, md5="", sha256="", blocks=blocks, suffix=".zip")


def _blocks(
    instances: Sequence[StoredInstance], names: Sequence[str], progress: Callable[[], None], *, is_64: bool
) -> Iterator[bytes]:
    listed, at = [], 0
    for one, name in zip(instances, names, strict=True):
        entry = _entry(one, name)
        entry.header_offset = at
        head = entry.FileHeader(zip64=is_64)
        yield head
        yield from _read(one.path)
        progress()
        listed.append(_listed(entry, is_64=is_64))
        at += len(head) + entry.file_size
    directory = b"".join(listed)
    yield directory
    if is_64:
        numbers = (len(listed), len(listed), len(directory), at)
        yield _LAST_64.pack(b"PK\6\6", _LAST_64.size - 12, 45, 45, 0, 0, *numbers)
        yield _WHERE_64.pack(b"PK\6\7", 0, at + len(directory), 1)
    yield _LAST.pack(b"PK\5\6", 0, 0, len(listed), len(listed), len(directory), _MOST_BYTES if is_64 else at, 0)


def _entry(one: StoredInstance, name: str) -> ZipInfo:
    """Read an image once before it is sent: what leaves is what was received, or nothing."""
    entry, digest = ZipInfo(name), sha256()
    entry.CRC = 0
    for block in _read(one.path):
        entry.CRC = zlib.crc32(block, entry.CRC)
        digest.update(block)
    if digest.hexdigest() != one.sha256:
        raise SpoolDamaged(
            "An image in the spool is not what was received: the disk gives other bytes. Its series was not sent. "
            "Send the study again from the scanner, then retry; and see to the disk."
        )
    entry.file_size = entry.compress_size = one.size
    return entry


def _listed(entry: ZipInfo, *, is_64: bool) -> bytes:
    name = entry.filename.encode()
    date = (entry.date_time[0] - 1980) << 9 | entry.date_time[1] << 5 | entry.date_time[2]
    sizes, more = (entry.compress_size, entry.file_size), b""
    if is_64:
        sizes, more = (_MOST_BYTES, _MOST_BYTES), _SIZES_64.pack(1, 16, *sizes)
    numbers = (entry.CRC, *sizes, len(name), len(more), 0, 0, 0, 0, entry.header_offset)
    needs = 45 if is_64 else 20
    return _ENTRY.pack(b"PK\1\2", needs, 0, needs, 0, 0, 0, 0, date, *numbers) + name + more


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as handle:
            while block := handle.read(_BLOCK):
                yield block
    except OSError as error:
        raise SpoolDamaged(
            f"An image in the spool cannot be read ({os.strerror(error.errno or 0)}). Nothing of its series was sent. "
            "Send the study again from the scanner, then retry; and see to the disk."
        ) from error
