"""TWIX-aware and lossless: readout headers apart from samples, samples as integers, byte by byte, each through zstd.

Siemens receivers deliver fixed-point numbers: in every real file seen so far each float32 sample is ``k * 2**-32`` with
a whole ``k``. That is observed, not specified, so samples off this lattice are kept beside it, and where there are many
of them the bits of the floats are taken as they are. Bytes without readouts become one plain zstd frame.
Byte format: docs/design/container.md.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kspace.codecs.zstd import unframed
from kspace.errors import SpoolError
from kspace.registry import Plugin
from kspace.twix.mdh import Mdh
from kspace.twix.runs import LAYOUTS, Run, runs_in

MAGIC = b"TWX1"
_HEAD = struct.Struct("<4s5I")
"""The magic, and the stored bytes of the five frames that follow: the side, and the planes from the lowest byte up."""
_SIDE = struct.Struct("<5I")
"""1: integers, 0: bits of floats; bytes of a readout's header, of a channel's; how many runs and exceptions follow."""
_RUN = np.dtype([("gap", "<u4"), ("count", "<u4"), ("channels", "<u4"), ("samples", "<u4")])
_TO_LATTICE, _FROM_LATTICE = np.float32(2.0**32), np.float32(2.0**-32)
_MOST_OFF = 64
"""At most one sample in so many may lie off the lattice."""
_ZERO = np.uint32(0)
_BLOCK = 1 << 17
"""Values worked on at a time, so that they stay in the processor's cache."""

_Floats = NDArray[np.float32]
_Words = NDArray[np.int32]
_Bytes = NDArray[np.uint8]
_Off = tuple[NDArray[np.intp], _Words]
"""Samples off the lattice: their places, rising, and their bits."""


class TwxSettings(BaseModel):
    """Nothing to choose."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Twx:
    """Keeps its working memory from chunk to chunk."""

    def __init__(self, _settings: TwxSettings) -> None:
        self._dense = zstandard.ZstdCompressor(level=3, write_checksum=True, write_content_size=True)
        self._fast = zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=True)
        self._decompressor = zstandard.ZstdDecompressor()
        self._planes = np.empty((4, 0), np.uint8)
        self._work = np.empty((3, 0), np.int32)
        self.tally: Counter[str] = Counter()

    def encode(self, raw: bytes | bytearray | memoryview) -> bytes:
        """Return the five frames, or one plain frame of bytes without readouts."""
        data = memoryview(raw).cast("B")
        mdh, runs = runs_in(data)
        if not runs:
            return self._dense.compress(data)
        values = [run.values(data, mdh) for run in runs]
        total = sum(v.size for v in values)
        planes = self._room(total)
        off = self._to_integers(values, planes)
        if off is None:
            self._to_bits(values, planes)
        self.tally.update(samples=total, off_lattice=total if off is None else len(off[0]))
        stored = BytesIO()
        stored.seek(_HEAD.size)
        lengths = [stored.write(self._dense.compress(_side(data, mdh, runs, off)))]
        lengths += [stored.write(self._fast.compress(plane)) for plane in planes]  # one frame at a time in memory
        stored.seek(0)
        stored.write(_HEAD.pack(MAGIC, *lengths))
        return stored.getvalue()

    def decode(self, stored: bytes, *, raw_bytes: int) -> bytes | bytearray:
        """Return what the frames were made of."""
        if stored[:4] != MAGIC:
            return unframed(self._decompressor, stored, most=raw_bytes, least=raw_bytes)
        try:
            return self._joined(stored, raw_bytes)
        except (struct.error, ValueError) as error:
            raise SpoolError("A twx chunk does not decode: its stored bytes are damaged.") from error

    # --- samples to planes --------------------------------------------------------------------------------------------

    def _to_integers(self, values: Sequence[_Floats], planes: _Bytes) -> _Off | None:
        """Fill the planes with zigzag integers; return the samples off the lattice, or None if they are too many."""
        places, bits_there, most = [np.empty(0, np.intp)], [np.empty(0, np.int32)], planes.shape[1] // _MOST_OFF
        for pieces, start, end in _blocks(values):
            bits, whole, other = self._working(end - start)
            _gather(pieces, bits.view(np.float32))
            scaled = other.view(np.float32)
            with np.errstate(all="ignore"):  # what is no number, or too large for an integer, is found off below
                np.multiply(bits.view(np.float32), _TO_LATTICE, out=scaled)
                np.copyto(whole, scaled, casting="unsafe")
            _to_floats(whole, scaled)
            is_off = other != bits
            if is_off.any():
                at = np.flatnonzero(is_off)
                most -= len(at)
                if most < 0:
                    return None
                places.append(at + start)
                bits_there.append(bits[at])
                whole[at] = 0
            np.right_shift(whole, 31, out=other)
            np.left_shift(whole, 1, out=whole)
            np.bitwise_xor(whole, other, out=whole)
            _split(whole, other, planes[:, start:end])
        return np.concatenate(places), np.concatenate(bits_there)

    def _to_bits(self, values: Sequence[_Floats], planes: _Bytes) -> None:
        for pieces, start, end in _blocks(values):
            bits, other, _ = self._working(end - start)
            _gather(pieces, bits.view(np.float32))
            _split(bits, other, planes[:, start:end])

    def _room(self, total: int) -> _Bytes:
        if self._planes.shape[1] < total:
            self._planes = np.empty((4, total), np.uint8)
        return self._planes[:, :total]

    def _working(self, count: int) -> _Words:
        if self._work.shape[1] < count:
            self._work = np.empty((3, max(count, _BLOCK)), np.int32)
        return self._work[:, :count]

    # --- and back: ValueError or struct.error where the stored bytes contradict themselves ----------------------------

    def _joined(self, stored: bytes, raw_bytes: int) -> bytearray:
        ends = list(accumulate(_HEAD.unpack_from(stored)[1:], initial=_HEAD.size))
        _must(ends[-1] == len(stored))
        frames = [memoryview(stored)[start:end] for start, end in pairwise(ends)]
        side = unframed(self._decompressor, frames[0], most=raw_bytes + _SIDE.size)
        is_integers, header, channel_header, runs, exceptions = _SIDE.unpack_from(side)
        table = np.frombuffer(side, _RUN, runs, _SIDE.size)
        at = _SIDE.size + table.nbytes
        places, bits_there = np.frombuffer(side, "<u4", 2 * exceptions, at).reshape(2, exceptions)
        rest = memoryview(side)[at + 8 * exceptions :]
        raw = bytearray(raw_bytes)
        values = list(_fill(memoryview(raw), _family(header, channel_header), table.tolist(), rest))
        total = sum(v.size for v in values)
        _must(not exceptions or (int(places[-1]) < total and bool((places[1:] > places[:-1]).all())))
        planes = self._room(total)
        for plane, frame in zip(planes, frames[1:], strict=True):
            plane[:] = np.frombuffer(unframed(self._decompressor, frame, most=total, least=total), np.uint8)
        off = (places.astype(np.intp), bits_there.view(np.int32)) if is_integers else None
        self._from_planes(planes, off, values)
        return raw

    def _from_planes(self, planes: _Bytes, off: _Off | None, values: Sequence[_Floats]) -> None:
        """Put the samples into their places; ``off`` is None where the planes hold the bits themselves."""
        for pieces, start, end in _blocks(values):
            bits, other, _ = self._working(end - start)
            _merge(planes[:, start:end], bits, other)
            if off is not None:
                np.bitwise_and(bits, 1, out=other)
                np.negative(other, out=other)
                np.right_shift(bits.view(np.uint32), 1, out=bits.view(np.uint32))
                np.bitwise_xor(bits, other, out=bits)
                _to_floats(bits, other.view(np.float32))
                first, last = np.searchsorted(off[0], (start, end))
                other[off[0][first:last] - start] = off[1][first:last]
                bits = other
            _scatter(bits.view(np.float32), pieces)


def _blocks(values: Sequence[_Floats]) -> Iterator[tuple[list[_Floats], int, int]]:
    """Yield whole readouts of about `_BLOCK` values in all, and the values' places among all values."""
    pieces: list[_Floats] = []
    start = end = 0
    for value in values:
        readout, at = value[0].size, 0
        while at < len(value):
            fitting = max((_BLOCK - (end - start)) // readout, 0 if pieces else 1)
            if fitting:
                pieces.append(value[at : at + fitting])
                end += pieces[-1].size
                at += fitting
            if not fitting or end - start >= _BLOCK:
                yield pieces, start, end
                pieces, start = [], end
    if pieces:
        yield pieces, start, end


def _gather(pieces: Sequence[_Floats], into: _Floats) -> None:
    at = 0
    for piece in pieces:
        np.copyto(into[at : at + piece.size].reshape(piece.shape), piece)
        at += piece.size


def _scatter(values: _Floats, pieces: Sequence[_Floats]) -> None:
    at = 0
    for piece in pieces:
        np.copyto(piece, values[at : at + piece.size].reshape(piece.shape))
        at += piece.size


def _to_floats(whole: _Words, floats: _Floats) -> None:
    """Exact wherever encoding found it exact: the same two steps here and there."""
    np.copyto(floats, whole, casting="unsafe")
    np.multiply(floats, _FROM_LATTICE, out=floats)


def _split(words: _Words, other: _Words, planes: _Bytes) -> None:
    np.copyto(planes[0], words, casting="unsafe")
    used = max(1, (int(words.view(np.uint32).max()).bit_length() + 7) // 8)  # noise fills two or three of the four
    for number in range(1, used):
        np.right_shift(words, 8 * number, out=other)
        np.copyto(planes[number], other, casting="unsafe")
    planes[used:] = 0


def _merge(planes: _Bytes, words: _Words, other: _Words) -> None:
    used = 4
    while used > 1 and not planes[used - 1].max():
        used -= 1
    np.copyto(words, planes[used - 1])
    for plane in planes[: used - 1][::-1]:
        np.left_shift(words, 8, out=words)
        np.copyto(other, plane)
        np.bitwise_or(words, other, out=words)


def _side(data: memoryview, mdh: Mdh, runs: Sequence[Run], off: _Off | None) -> bytes:
    """Return everything that is no sample; of headers, word by word, only how they change from readout to readout."""
    places, bits_there = off or (np.empty(0, np.intp), np.empty(0, np.int32))
    head = _SIDE.pack(off is not None, mdh.header, mdh.channel_header, len(runs), len(places))
    table = np.empty(len(runs), _RUN)
    rest: list[bytes | memoryview] = []
    at = 0
    for number, run in enumerate(runs):
        table[number] = (run.at - at, run.count, run.channels, run.samples)
        rest.append(data[at : run.at])
        for headers in run.headers(data, mdh):
            words = headers.reshape(run.count, -1).T
            rest.append(np.diff(words, axis=1, prepend=_ZERO).tobytes())
        at = run.end(mdh)
    rest.append(data[at:])
    return b"".join((head, table.tobytes(), places.astype("<u4").tobytes(), bits_there.tobytes(), *rest))


def _family(header: int, channel_header: int) -> Mdh:
    for mdh in LAYOUTS:
        if (mdh.header, mdh.channel_header) == (header, channel_header):
            return mdh
    raise ValueError("no family has such headers")


def _fill(raw: memoryview, mdh: Mdh, table: list[Any], rest: memoryview) -> Iterator[_Floats]:
    """Put everything that is no sample into its place, and yield each run's places for samples."""
    at = taken = 0
    for gap, count, channels, samples in table:
        run = Run(at + gap, count, channels, samples)
        _must(count > 0 and channels > 0 and samples > 0 and run.end(mdh) <= len(raw) and taken + gap <= len(rest))
        raw[at : run.at] = rest[taken : taken + gap]
        taken += gap
        for headers in run.headers(raw, mdh):
            changes = np.frombuffer(rest, "<u4", headers.size, taken).reshape(-1, count)
            headers[:] = np.add.accumulate(changes, axis=1, dtype="<u4").T.reshape(headers.shape)
            taken += headers.nbytes
        at = run.end(mdh)
        yield run.values(raw, mdh)
    _must(len(rest) - taken == len(raw) - at)
    raw[at:] = rest[taken:]


def _must(holds: bool) -> None:
    if not holds:
        raise ValueError("the stored bytes contradict themselves")


PLUGIN = Plugin("twx", TwxSettings, Twx)
