"""Chunk, packed file, journal, manifest: how a capture lies on disk. Byte format: docs/design/container.md.

The packed file is the stored chunks back to back. Beside it, until the capture is retired, lies a journal: a
JSON line that says of which file, then one a chunk. Whether the pair is finished is the catalog's to say; here every
chunk proves itself, so that after a crash the good ones are kept and the rest is cut off.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import zstandard

from kspace import codecs
from kspace.codecs import Codec
from kspace.errors import BadInput, SpoolError
from kspace.paths import sync_folder
from kspace.records import Chunk
from kspace.registry import plugins

_AUTO, _PLAIN = "twx", "zstd"
MAX_CHUNK_BYTES = 16 << 20
"""Of the source: enough for every codec's ratio, small enough for a small box (docs/design/container.md)."""


def codec_named(name: str) -> Codec:
    """Return a codec by the name manifests know it by, with its default settings.

    Raises:
        BadInput: no such codec.
    """
    found = plugins(codecs).get(name)
    if found is None:
        raise BadInput(f"No codec is called {name!r} here; a newer program wrote this. Install that version.")
    built: Codec = found.build(found.settings())
    return built


def decoded(chunk: Chunk, stored: bytes, decoders: dict[str, Codec]) -> bytes | bytearray:
    """Return a chunk's source bytes after checking its stored bytes.

    Raises:
        SpoolError: length, digest or decoding disagree with what the chunk table says.
    """
    if len(stored) != chunk.stored_bytes or sha256(stored).hexdigest() != chunk.sha256:
        raise SpoolError(f"The stored chunk at byte {chunk.offset} is not the one that was written.")
    if chunk.raw_bytes > MAX_CHUNK_BYTES:
        raise SpoolError(f"The chunk at byte {chunk.offset} claims {chunk.raw_bytes} bytes; none is so long.")
    if chunk.codec not in decoders:
        decoders[chunk.codec] = codec_named(chunk.codec)
    raw = decoders[chunk.codec].decode(stored, raw_bytes=chunk.raw_bytes)
    if len(raw) != chunk.raw_bytes:
        raise SpoolError(f"The chunk at byte {chunk.offset} decodes to {len(raw)} bytes, not {chunk.raw_bytes}.")
    return raw


class PackedFile:
    """A packed file being written, or read again after a crash. Use as a context manager; one writer at a time.

    ``of`` names the very file it is packed from: chunks of another one are never gone on from.

    Raises:
        SpoolError: the disk refuses, at whatever step.
    """

    def __init__(self, path: Path, *, of: str = "") -> None:
        self.path = path
        self._head = json.dumps({"of": of}).encode() + b"\n"
        self._journal_path = journal_of(path)
        self._decoders: dict[str, Codec] = {}
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
        self.chunks = []
        for chunk in self._journalled():
            with _disk():
                self._data.seek(chunk.offset)
                stored = self._data.read(chunk.stored_bytes)
            try:
                raw = decoded(chunk, stored, self._decoders)
            except SpoolError:
                break  # written when the power went: this chunk and all behind it come from the source again
            self.chunks.append(chunk)
            yield raw
        self._cut_off()

    def append(self, raw: bytes | bytearray | memoryview, *, codec: str) -> Chunk:
        """Encode, decode again, compare, write: only then the chunk counts.

        ``codec`` "auto" takes the one that knows TWIX. Where that finds no readouts it gives a plain zstd frame, and
        the chunk says so: whoever restores it by hand needs no more than `zstd`.

        Raises:
            SpoolError: the codec gave back other bytes, or the disk refused.
        """
        codec = _AUTO if codec == "auto" else codec
        coder = self._coder(codec)
        stored = coder.encode(raw)
        if coder.decode(stored, raw_bytes=len(raw)) != raw:
            raise SpoolError(f"The codec {codec!r} does not give back what it was given; the source is untouched.")
        chunk = Chunk(
            offset=self.stored_bytes,
            raw_bytes=len(raw),
            stored_bytes=len(stored),
            codec=_PLAIN if codec == _AUTO and stored.startswith(zstandard.FRAME_HEADER) else codec,
            sha256=sha256(stored).hexdigest(),
        )
        with _disk():
            self._data.seek(chunk.offset)
            self._data.write(stored)
            self._data.flush()
            self._journal.write(json.dumps(asdict(chunk)).encode() + b"\n")
            self._journal.flush()
        self.chunks.append(chunk)
        return chunk

    def sync(self) -> None:
        """Return once data, journal and their folder are on the disk."""
        with _disk():
            for handle in (self._data, self._journal):
                handle.flush()
                os.fsync(handle.fileno())
            sync_folder(self.path.parent)

    def _coder(self, name: str) -> Codec:
        if name not in self._decoders:
            self._decoders[name] = codec_named(name)
        return self._decoders[name]

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
    decoders: dict[str, Codec] = {}
    for chunk in chunks:
        yield decoded(chunk, read(chunk.stored_bytes), decoders)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpoolError(
            f"The spool disk did not take the data ({os.strerror(error.errno or 0)}); the scanner's file is untouched. "
            "The relay goes on from the last good chunk once the disk is well."
        ) from error
