"""Reads a zip from its first byte on, as Java's ZipInputStream does: a cut zip still yields its start."""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

LOCAL = struct.Struct("<4sHHHHHIIIHH")
"""Local file header: signature, version, flags, method, time, date, crc, packed, size, name length, extra length."""
BLOCK_BYTES = 1024 * 1024


class BrokenZip(Exception):
    """The zip ends too early or is none; what was yielded before is good."""


def entries(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file in a zip.

    Source: APPNOTE 6.3 (4.3.7 local header, 4.3.9 data descriptor, 4.5.3 zip64); java.util.zip.ZipInputStream.

    Raises:
        BrokenZip: cut, damaged, encrypted, or a stored entry whose length follows it (which Java refuses too).
    """
    while True:
        head = file.read(LOCAL.size)
        if head[:4] in {b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06"}:
            return
        if len(head) < LOCAL.size or head[:4] != b"PK\x03\x04":
            raise BrokenZip("no entry header where one is due")
        _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack(head)
        name = _exactly(file, name_length).decode("utf-8", "replace")
        extra = _exactly(file, extra_length)
        if 0xFFFFFFFF in {packed, size}:
            packed, size = _zip64(extra, packed, size=size)
        follows = bool(flags & 8)
        if flags & 1 or (follows and method == 0) or method not in {0, 8}:
            raise BrokenZip("only DEFLATED entries can have EXT descriptor, none may be encrypted")
        content = _inflate(file) if method == 8 else _exactly(file, size)
        if follows:
            crc = _descriptor(file, is_zip64=_has_zip64(extra))
        if zlib.crc32(content) != crc:
            raise BrokenZip("an entry's CRC does not fit")
        if not name.endswith("/"):
            yield name, content


def _exactly(file: BinaryIO, length: int) -> bytes:
    found = file.read(length)
    if len(found) < length:
        raise BrokenZip("the zip is cut")
    return found


def _inflate(file: BinaryIO) -> bytes:
    engine, out = zlib.decompressobj(-15), bytearray()
    while not engine.eof:
        block = file.read(BLOCK_BYTES)
        if not block:
            raise BrokenZip("the zip is cut")
        try:
            out += engine.decompress(block)
        except zlib.error as error:
            raise BrokenZip("an entry is damaged") from error
    file.seek(-len(engine.unused_data), 1)
    return bytes(out)


def _descriptor(file: BinaryIO, *, is_zip64: bool) -> int:
    first = _exactly(file, 4)
    crc = _exactly(file, 4) if first == b"PK\x07\x08" else first
    start = file.tell()
    _exactly(file, 8)
    mark = file.read(4)
    if is_zip64 or mark[:2] != b"PK":
        file.seek(start)
        _exactly(file, 16)
    else:
        file.seek(start + 8)
    return int.from_bytes(crc, "little")


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _has_zip64(extra: bytes) -> bool:
    return any(kind == 1 for kind, _ in _fields(extra))


def _zip64(extra: bytes, packed: int, *, size: int) -> tuple[int, int]:
    data = next((content for kind, content in _fields(extra) if kind == 1), b"")
    if len(data) < 16:
        raise BrokenZip("a zip64 entry without its sizes")
    long_size, long_packed = struct.unpack_from("<QQ", data)
    return (long_packed if packed == 0xFFFFFFFF else packed), (long_size if size == 0xFFFFFFFF else size)
