"""The one full read of a source file: digest, walk, encode, compare and spool in the same pass."""

from collections.abc import Callable, Collection
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from kspace.chunks import MAX_CHUNK_BYTES
from kspace.container import PackedFile, journal_of
from kspace.encoding import Encoding
from kspace.errors import FileChanged
from kspace.records import Packed
from kspace.sources import Reader
from kspace.twix.walk import Walker

if TYPE_CHECKING:
    import hashlib

_READ_BYTES = 1 << 20
_WALK_BYTES = 4 << 20
"""The walk takes this much at a time: its own cost a call counts for little, and the bytes are still in the cache."""


def pack(  # noqa: PLR0913 -- the pass is one verb with one option
    reader: Reader,
    *,
    size: int,
    target: Path,
    codec: str = "auto",
    chunk_bytes: int = MAX_CHUNK_BYTES,
    of: str = "",
    cuts: Collection[int] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Packed:
    """Pack a file of ``size`` bytes into ``target``, going on where an earlier life stopped.

    After a crash the digest and the walk are rebuilt by decoding the spooled chunks; the source is read from there on
    only. ``codec`` is a name or "auto". ``of`` tells this file from any other that was ever packed to ``target``.
    ``cuts`` are the sizes of the parts it will be sent in (`PackedFile`).
    ``progress`` is told the number of source bytes that are safe in the spool.

    Raises:
        FileChanged: the source ends before ``size``.
        SourceError: the share does not answer.
        SpoolError: the disk refuses, or a codec failed its comparison.
    """
    digest, walker = sha256(), Walker(size)
    with PackedFile(target, of=of, cuts=cuts) as packed:
        for raw in packed.replay():
            digest.update(raw)
            walker.feed(raw)
        with Encoding(packed, codec=codec, buffer_bytes=chunk_bytes, progress=progress) as encoding:
            _read(reader, start=packed.raw_bytes, size=size, digest=digest, walker=walker, encoding=encoding)
        packed.finish()
        return Packed(
            sha256=digest.hexdigest(),
            size=size,
            audit=walker.finish(),
            measurements=walker.measurements,
            chunks=tuple(packed.chunks),
            stored_bytes=packed.stored_bytes,
        )


def _read(  # noqa: PLR0913 -- what one pass feeds
    reader: Reader, *, start: int, size: int, digest: "hashlib._Hash", walker: Walker, encoding: Encoding
) -> None:
    """Read from ``start`` to the end, a buffer a chunk; what lies behind the cut begins the next one."""
    buffer = encoding.buffer()
    held = walked = 0
    while (at := start + held) < size:
        block = reader.read(at, min(_READ_BYTES, len(buffer) - held, size - at))
        if not block:
            raise FileChanged(f"The file ended at byte {at} of {size}; it will be looked at anew.")
        digest.update(block)
        buffer[held : held + len(block)] = block
        held += len(block)
        is_full, is_end = held == len(buffer), start + held == size
        if not (is_full or is_end or held - walked >= _WALK_BYTES):
            continue
        walker.feed(memoryview(buffer)[walked:held])
        ends = _ends(walker, start=start, held=held, is_full=is_full)
        for end in [*ends, size] if is_end else ends:
            if (length := end - start) > 0:
                rest = encoding.buffer()
                rest[: held - length] = memoryview(buffer)[length:held]
                encoding.put(buffer, length)
                buffer, held, start = rest, held - length, end
        walked = held


def _ends(walker: Walker, *, start: int, held: int, is_full: bool) -> list[int]:
    """Return where to cut what is held: at every edge of a header region, and at a readout's border when full."""
    ends = [edge for edge in walker.header_edges if start < edge <= start + held]
    if is_full:
        border = walker.border
        ends.append(border if max([start, *ends]) < border else start + held)
    return sorted(ends)


def digest_of(reader: Reader, *, size: int, progress: Callable[[], None]) -> str:
    """Read a file of ``size`` bytes and return its SHA-256; of fewer bytes where it ends before.

    Raises:
        SourceError: the share does not answer.
    """
    digest = sha256()
    for at in range(0, size, _READ_BYTES):
        digest.update(reader.read(at, min(_READ_BYTES, size - at)))
        progress()
    return digest.hexdigest()


def drop(target: Path) -> None:
    """Forget a packed file and its journal, whether or not they exist."""
    target.unlink(missing_ok=True)
    journal_of(target).unlink(missing_ok=True)
