"""A zip of images that is never on a disk: its length is known before, and it can be read again from the start."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from struct import Struct
from zipfile import ZipInfo

from kspace.errors import KspaceError, Retry
from transfer.destinations import Body
from transfer.records import StoredInstance

_BLOCK = 1 << 20
_LOCAL, _LISTED, _END = 30, 46, 22
"""Lengths without names: local header, entry and end of the central directory (APPNOTE.TXT 4.3.7, 4.3.12, 4.3.16)."""
_ENTRY = Struct("<4s4B4HL2L5H2L")
_LAST = Struct("<4s4H2LH")
_MOST_BYTES = (1 << 32) - 1
"""Beyond that a zip needs its 64-bit extension, which java.util.zip.ZipInputStream reads only for deflated entries."""
_MOST_FILES = 10_000


class TooLargeToZip(KspaceError):
    """One image is larger than a zip may be."""

    code = "too_large"
    retry = Retry.PERSON


def batch_of(instances: Sequence[StoredInstance], *, most_bytes: int) -> Sequence[StoredInstance]:
    """Return the first instances of the first series among these that fit into one zip; one in any case.

    Raises:
        TooLargeToZip: the first alone does not fit into any zip.
    """
    first = [one for one in instances if one.series_uid == instances[0].series_uid][:_MOST_FILES]
    if first[0].size > _MOST_BYTES - 1024:
        raise TooLargeToZip(
            "An image of this study is larger than 4 GB, which XNAT's importer does not take. It is safe in the spool: "
            "bring it into the archive by another way, then assign the study anew."
        )
    most = min(most_bytes, _MOST_BYTES - _MOST_FILES * (_LOCAL + _LISTED + 20) - _END)
    return first[: max(1, sum(total <= most for total in accumulate(one.size for one in first)))]


def zip_of(instances: Sequence[StoredInstance], *, progress: Callable[[], None]) -> Body:
    """Return a zip, stored and not deflated; the names inside are numbers, for UIDs may be dates of a patient's visits.

    Each entry's checksum stands before its bytes: an importer that reads as it comes takes stored entries in no other
    way (java.util.zip.ZipInputStream).
    """
    paths = [one.path for one in instances]
    names = [f"{number:06d}.dcm" for number in range(len(paths))]
    size = sum(p.stat().st_size + _LOCAL + _LISTED + 2 * len(n) for p, n in zip(paths, names, strict=True)) + _END
    return Body(size=size, md5="", sha256="", blocks=lambda: _blocks(paths, names, progress), suffix=".zip")


def _blocks(paths: Sequence[Path], names: Sequence[str], progress: Callable[[], None]) -> Iterator[bytes]:
    listed, at = [], 0
    for path, name in zip(paths, names, strict=True):
        entry = ZipInfo(name)
        entry.CRC = 0
        for block in _read(path):
            entry.CRC = zlib.crc32(block, entry.CRC)
            entry.file_size += len(block)
        entry.compress_size = entry.file_size
        entry.header_offset = at
        head = entry.FileHeader(zip64=False)
        yield head
        yield from _read(path)
        progress()
        listed.append(_listed(entry))
        at += len(head) + entry.file_size
    directory = b"".join(listed)
    yield directory
    yield _LAST.pack(b"PK\5\6", 0, 0, len(listed), len(listed), len(directory), at, 0)


def _listed(entry: ZipInfo) -> bytes:
    name = entry.filename.encode()
    date = (entry.date_time[0] - 1980) << 9 | entry.date_time[1] << 5 | entry.date_time[2]
    numbers = (entry.CRC, entry.compress_size, entry.file_size, len(name), 0, 0, 0, 0, 0, entry.header_offset)
    return _ENTRY.pack(b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, date, *numbers) + name


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            yield block
