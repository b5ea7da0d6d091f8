"""Chunks are encoded while the source is read on, a few at a time, and only what was decoded and compared counts."""

import threading
from collections import Counter

import pytest
import structlog

from kspace.chunks import Coders, Encoded, encode
from kspace.container import PackedFile, journal_of
from kspace.encoding import Encoding
from kspace.errors import KspaceError, SpoolError
from kspace.pack import pack
from kspace.records import Chunk

CHUNK = 16_384
AHEAD = 4
"""Two chunks on their way, one that waits to be put, one that is being read."""


class Liar:
    """Gives back as many bytes as it was given, and one of them is another."""

    def __init__(self) -> None:
        self.tally: Counter[str] = Counter()

    def encode(self, raw: bytes | bytearray | memoryview) -> bytes:
        return bytes(raw)

    def decode(self, stored: bytes, *, raw_bytes: int) -> bytes:
        return stored[: raw_bytes - 1] + bytes([stored[raw_bytes - 1] ^ 1])


class Hiccup(PackedFile):
    """Refuses the third chunk, and would take the fourth."""

    def append(self, encoded: Encoded) -> Chunk:
        if len(self.chunks) == 2 and not self.refused:
            self.refused = True
            raise SpoolError("The disk refused.")
        return super().append(encoded)

    refused = False


class Counted(PackedFile):
    """Counts how often it is synced."""

    syncs = 0

    def sync(self) -> None:
        self.syncs += 1
        super().sync()


def _fill(packed: PackedFile, raw: bytes) -> None:
    with Encoding(packed, codec="auto", buffer_bytes=CHUNK, progress=lambda _: None) as encoding:
        for at in range(0, 40 * CHUNK, CHUNK):
            buffer = encoding.buffer()
            buffer[:] = raw[at : at + CHUNK]
            encoding.put(buffer, CHUNK)


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_a_codec_that_gives_back_other_bytes_is_refused(wrap):
    with pytest.raises(SpoolError, match="does not give back"):
        encode(wrap(b"samples"), codec="liar", coders=Coders(liar=Liar()))


def test_the_source_is_never_read_far_ahead_of_what_is_spooled(raw, reader, tmp_path):
    source, ahead = reader(raw), []

    def progress(safe: int) -> None:
        ahead.append(sum(length for _, length in source.reads) - safe)

    pack(source, size=len(raw), target=tmp_path / "a.packed", chunk_bytes=CHUNK, progress=progress)
    assert len(ahead) > 2 * AHEAD
    assert max(ahead) <= AHEAD * CHUNK


def test_a_few_buffers_serve_all_chunks(tmp_path):
    with PackedFile(tmp_path / "a.packed") as packed:
        with Encoding(packed, codec="auto", buffer_bytes=CHUNK, progress=lambda _: None) as encoding:
            used = set()
            for number in range(50):
                buffer = encoding.buffer()
                used.add(id(buffer))
                buffer[:] = bytes([number]) * CHUNK
                encoding.put(buffer, CHUNK)
        assert b"".join(packed.replay()) == b"".join(bytes([number]) * CHUNK for number in range(50))
    assert len(used) <= AHEAD


def test_a_disk_that_refuses_ends_the_pack(raw, tmp_path):
    with PackedFile(tmp_path / "a.packed") as packed:
        packed._data.close()
        packed._data = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, PTH123 -- a real disk that is full
        with pytest.raises(SpoolError, match="untouched"):
            _fill(packed, raw)


def test_nothing_is_appended_behind_a_chunk_that_was_refused(raw, tmp_path):
    with Hiccup(tmp_path / "a.packed") as packed:
        with pytest.raises(SpoolError):
            _fill(packed, raw)
        assert b"".join(packed.replay()) == raw[: 2 * CHUNK]


def test_who_took_the_work_over_ends_it_at_once(raw, reader, tmp_path):
    class TakenOver(KspaceError):
        code = "taken_over"

    def progress(_safe: int) -> None:
        raise TakenOver("Somebody else goes on.")

    source = reader(raw)
    with pytest.raises(TakenOver):
        pack(source, size=len(raw), target=tmp_path / "a.packed", chunk_bytes=CHUNK, progress=progress)
    assert sum(length for _, length in source.reads) <= (AHEAD + 1) * CHUNK
    assert journal_of(tmp_path / "a.packed").read_bytes().count(b"\n") <= 1 + AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("encode", "append", "sync"))]


def test_what_is_written_is_synced_now_and_then(tmp_path):
    with Counted(tmp_path / "a.packed") as packed:
        with Encoding(packed, codec="zstd", buffer_bytes=CHUNK, progress=lambda _: None, sync_bytes=1) as encoding:
            for _ in range(7):
                encoding.put(encoding.buffer(), CHUNK)
        assert packed.syncs == 7


def test_the_log_tells_how_many_samples_lie_off_the_lattice(raw, reader, tmp_path):
    with structlog.testing.capture_logs() as logs:
        pack(reader(raw), size=len(raw), target=tmp_path / "7.packed", chunk_bytes=CHUNK * 8)
    (told,) = [entry for entry in logs if entry["event"] == "chunks.encoded"]
    assert told["file"] == "7.packed"
    assert told["samples"] == 2 * 4 * 256 * (20 + 160)
    assert 0 <= told["off_lattice"] < told["samples"] / 64
