"""One chunk by itself: encoded, decoded again and compared before it counts; checked before it is decoded."""

from dataclasses import dataclass
from hashlib import sha256

import zstandard

from kspace import codecs
from kspace.codecs import Codec
from kspace.errors import BadInput, SpoolError
from kspace.records import Chunk
from kspace.registry import plugins

_AUTO, _PLAIN = "twx", "zstd"
MAX_CHUNK_BYTES = 16 << 20
"""Of the source: enough for every codec's ratio, small enough for a small box (docs/design/container.md)."""
Coders = dict[str, Codec]
"""Codecs by the name manifests know them by; an instance belongs to one thread."""


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


def decoded(chunk: Chunk, stored: bytes, coders: Coders) -> bytes | bytearray:
    """Return a chunk's source bytes after checking its stored bytes.

    Raises:
        SpoolError: length, digest or decoding disagree with what the chunk table says.
    """
    if len(stored) != chunk.stored_bytes or sha256(stored).hexdigest() != chunk.sha256:
        raise SpoolError(f"The stored chunk at byte {chunk.offset} is not the one that was written.")
    if chunk.raw_bytes > MAX_CHUNK_BYTES:
        raise SpoolError(f"The chunk at byte {chunk.offset} claims {chunk.raw_bytes} bytes; none is so long.")
    raw = _coder(chunk.codec, coders).decode(stored, raw_bytes=chunk.raw_bytes)
    if len(raw) != chunk.raw_bytes:
        raise SpoolError(f"The chunk at byte {chunk.offset} decodes to {len(raw)} bytes, not {chunk.raw_bytes}.")
    return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A chunk that was decoded again and found the same, on its way to its place."""

    codec: str
    raw_bytes: int
    stored: bytes
    sha256: str
    """Of the stored bytes."""


def encode(raw: bytes | bytearray | memoryview, *, codec: str, coders: Coders) -> Encoded:
    """Encode, decode again, compare: only so a chunk counts. ``coders`` are the calling thread's own.

    ``codec`` "auto" takes the one that knows TWIX. Where that finds no readouts it gives a plain zstd frame, and
    the chunk says so: whoever restores it by hand needs no more than `zstd`.

    Raises:
        SpoolError: the codec gave back other bytes.
    """
    codec = _AUTO if codec == "auto" else codec
    coder = _coder(codec, coders)
    stored = coder.encode(raw)
    again = coder.decode(stored, raw_bytes=len(raw))
    if len(again) != len(raw) or not again.startswith(raw):  # as ==, which goes item by item where one is a memoryview
        raise SpoolError(f"The codec {codec!r} does not give back what it was given; the source is untouched.")
    return Encoded(
        codec=_PLAIN if codec == _AUTO and stored.startswith(zstandard.FRAME_HEADER) else codec,
        raw_bytes=len(raw),
        stored=stored,
        sha256=sha256(stored).hexdigest(),
    )


def _coder(name: str, coders: Coders) -> Codec:
    if name not in coders:
        coders[name] = codec_named(name)
    return coders[name]
