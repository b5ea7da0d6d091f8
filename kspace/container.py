"""Chunk, packed file, journal, manifest: how a capture lies on disk. Byte format: docs/design/container.md.

The packed file is the stored chunks back to back. Beside it, until the capture is retired, lies a journal: a
JSON line that says of which file, then one a chunk, and at the end one of the parts it was cut into. Whether the pair
is finished is the catalog's to say; here every chunk proves itself, so that after a crash the good ones are kept and
the rest is cut off.
"""

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from kspace.chunks import Coders, Encoded, decoded
from kspace.cutting import Cutter
from kspace.errors import SpoolError
from kspace.paths import sync_folder
from kspace.records import Chunk, Part


class PackedFile:
    """A packed file being written, or read again after a crash. Use as a context manager; one writer at a time.

    ``of`` names the very file it is packed from: chunks of another one are never gone on from. ``cuts`` are the sizes
    of parts, bytes, that it will be sent in: their digests are taken while the bytes are at hand.

    Raises:
        SpoolError: the disk refuses, at whatever step.
    """

    def __init__(self, path: Path, *, of: str = "", cuts: Collection[int] = ()) -> None:
        self.path = path
        self._head = json.dumps({"of": of}).encode() + b"\n"
        self._journal_path = journal_of(path)
        self._coders = Coders()
        self._cuts = cuts
        self._cutters = [Cutter(part_bytes) for part_bytes in cuts]
        self.chunks: list[Chunk] = []

    def __enter__(self) -> Self:
        with _disk():
            self._journal: BinaryIO = self._journal_path.open("a+b")
            self._data: BinaryIO = self.path.open("r+b" if self.path.exists() else "w+b")
            if self._journal.tell() == 0:
                self._journal.write(self._head)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # What counts was flushed, and its errors were told: what a full disk left in the buffers must not replace them.
        for handle in (self._data, self._journal):
            with suppress(OSError):
                handle.close()

    @property
    def raw_bytes(self) -> int:
        """How many source bytes the kept chunks hold."""
        return sum(c.raw_bytes for c in self.chunks)

    @property
    def stored_bytes(self) -> int:
        """Where the next chunk begins."""
        return self.chunks[-1].offset + self.chunks[-1].stored_bytes if self.chunks else 0

    def replay(self) -> Iterator[bytes | bytearray]:
        """Yield the source bytes of every chunk that proves itself, then cut off whatever follows the last of them."""
        self.chunks, self._cutters = [], [Cutter(part_bytes) for part_bytes in self._cuts]
        for chunk in self._journalled():
            with _disk():
                self._data.seek(chunk.offset)
                stored = self._data.read(chunk.stored_bytes)
            try:
                raw = decoded(chunk, stored, self._coders)
            except SpoolError:
                break  # written when the power went: this chunk and all behind it come from the source again
            self._count(chunk, stored)
            yield raw
        self._cut_off()

    def append(self, encoded: Encoded) -> Chunk:
        """Write it behind the others; from here on it counts.

        Raises:
            SpoolError: the disk refused.
        """
        chunk = Chunk(
            offset=self.stored_bytes,
            raw_bytes=encoded.raw_bytes,
            stored_bytes=len(encoded.stored),
            codec=encoded.codec,
            sha256=encoded.sha256,
        )
        with _disk():
            self._data.seek(chunk.offset)
            self._data.write(encoded.stored)
            self._data.flush()
            self._journal.write(json.dumps(asdict(chunk)).encode() + b"\n")
            self._journal.flush()
        self._count(chunk, encoded.stored)
        return chunk

    def finish(self) -> None:
        """Note the parts behind the chunks, and return once all is on the disk."""
        cuts = {cutter.part_bytes: [asdict(part) for part in cutter.parts()] for cutter in self._cutters}
        with _disk():
            self._journal.write(json.dumps({"cuts": cuts}).encode() + b"\n")
        self.sync()

    def sync(self) -> None:
        """Return once data, journal and their folder are on the disk."""
        with _disk():
            for handle in (self._data, self._journal):
                handle.flush()
                os.fsync(handle.fileno())
            sync_folder(self.path.parent)

    def _count(self, chunk: Chunk, stored: bytes) -> None:
        self.chunks.append(chunk)
        for cutter in self._cutters:
            cutter.add(chunk, stored)

    def _journalled(self) -> Iterator[Chunk]:
        with _disk():
            self._journal.seek(0)
            head, *lines = self._journal.readlines() or [b""]
        if head != self._head:
            return  # of an earlier file under the same number, or torn
        expected = 0
        for line in lines:
            try:
                chunk = Chunk(**json.loads(line))
                if chunk.offset != expected:
                    return
                expected += chunk.stored_bytes
            except (ValueError, TypeError):
                return  # a torn last line
            yield chunk

    def _cut_off(self) -> None:
        lines = b"".join(json.dumps(asdict(c)).encode() + b"\n" for c in self.chunks)
        with _disk():
            self._data.truncate(self.stored_bytes)
            self._journal.truncate(0)
            self._journal.write(self._head + lines)
            self._journal.flush()


def journal_of(packed: Path) -> Path:
    """Return where the journal of a packed file lies."""
    return packed.with_suffix(".journal")


def noted_parts(packed: Path, chunks: Sequence[Chunk], *, part_bytes: int) -> tuple[Part, ...] | None:
    """Return the parts that were digested when exactly these chunks were packed, if they were and still lie there.

    What lies there is not read: whoever sends it sees by the digests whether it still is what was packed.
    """
    try:
        _, *lines, last = journal_of(packed).read_bytes().splitlines()
        noted = json.loads(last)["cuts"][str(part_bytes)]
        if [json.loads(line) for line in lines] != [asdict(chunk) for chunk in chunks]:
            return None
        parts = tuple(Part(**part) for part in noted)
        return parts if packed.stat().st_size == sum(part.size for part in parts) else None
    except (OSError, ValueError, TypeError, LookupError):
        return None


def cut(chunks: Iterable[Chunk], *, part_bytes: int) -> list[list[Chunk]]:
    """Group chunks in runs of at most part_bytes stored; a larger chunk is a run of its own."""
    runs: list[list[Chunk]] = []
    filled = 0
    for chunk in chunks:
        if not runs or filled + chunk.stored_bytes > part_bytes:
            runs.append([])
            filled = 0
        runs[-1].append(chunk)
        filled += chunk.stored_bytes
    return runs


def unpack(chunks: Iterable[Chunk], read: Callable[[int], bytes]) -> Iterator[bytes | bytearray]:
    """Yield the source bytes chunk by chunk; ``read(n)`` returns the next n bytes of the packed file.

    Raises:
        SpoolError: a chunk is damaged.
    """
    coders = Coders()
    for chunk in chunks:
        yield decoded(chunk, read(chunk.stored_bytes), coders)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpoolError(
            f"The spool disk did not take the data ({os.strerror(error.errno or 0)}); the scanner's file is untouched. "
            "The relay goes on from the last good chunk once the disk is well."
        ) from error
