"""The packed file restores without this program, proves itself chunk by chunk, and is cut in parts of whole chunks."""

import subprocess
from hashlib import sha256
from itertools import accumulate

import pytest
import zstandard

from kspace.chunks import MAX_CHUNK_BYTES, codec_named, encode
from kspace.container import PackedFile, cut, journal_of, unpack
from kspace.errors import BadInput, SpoolError
from kspace.records import Chunk

PIECES = [b"header", b"", b"abc" * 5000, bytes(range(256)) * 4]


@pytest.fixture
def packed(tmp_path):
    with PackedFile(tmp_path / "a.packed") as opened:
        for piece in PIECES:
            opened.append(encode(piece, codec="zstd", coders={}))
        opened.sync()
    return opened


def _unpacked(chunks, data: bytes) -> bytes:
    left = memoryview(data)

    def read(count: int) -> bytes:
        nonlocal left
        taken, left = bytes(left[:count]), left[count:]
        return taken

    return b"".join(unpack(chunks, read))


def _chunk(stored_bytes: int) -> Chunk:
    return Chunk(offset=0, raw_bytes=1, stored_bytes=stored_bytes, codec="zstd", sha256="")


def test_parts_put_together_restore_with_the_zstd_program_alone(packed, tmp_path, requires):
    zstd = requires("zstd")
    data = packed.path.read_bytes()
    runs = cut(packed.chunks, part_bytes=40)
    assert len(runs) > 1
    for number, run in enumerate(runs):
        part = data[run[0].offset : run[-1].offset + run[-1].stored_bytes]
        (tmp_path / f"part-{number:05d}.bin").write_bytes(part)
    command = f"cat part-*.bin | {zstd} -d -q -c"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, stdout=subprocess.PIPE)
    assert done.stdout == b"".join(PIECES)


def test_any_zstd_reader_that_goes_on_across_frames_restores(packed):
    with packed.path.open("rb") as stored:
        reader = zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True)
        assert reader.read() == b"".join(PIECES)


def test_a_flipped_bit_in_any_byte_is_found(packed):
    data = packed.path.read_bytes()
    assert _unpacked(packed.chunks, data) == b"".join(PIECES)
    for at in range(len(data)):
        broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(SpoolError, match="not the one that was written"):
            _unpacked(packed.chunks, broken)


def test_a_packed_file_that_is_too_short_is_found(packed):
    data = packed.path.read_bytes()
    with pytest.raises(SpoolError):
        _unpacked(packed.chunks, data[:-1])


def test_a_table_that_promises_another_length_is_found(packed):
    longer = [
        Chunk(offset=c.offset, raw_bytes=c.raw_bytes + 1, stored_bytes=c.stored_bytes, codec=c.codec, sha256=c.sha256)
        for c in packed.chunks
    ]
    with pytest.raises(SpoolError):
        _unpacked(longer, packed.path.read_bytes())


def test_a_chunk_that_claims_more_than_any_chunk_holds_is_refused_before_memory_is_taken():
    bomb = zstandard.compress(bytes(MAX_CHUNK_BYTES + 1))
    chunk = Chunk(
        offset=0, raw_bytes=MAX_CHUNK_BYTES + 1, stored_bytes=len(bomb), codec="zstd", sha256=sha256(bomb).hexdigest()
    )
    with pytest.raises(SpoolError, match="claims"):
        _unpacked([chunk], bomb)


def test_replay_gives_back_every_chunk(packed):
    with PackedFile(packed.path) as again:
        assert list(again.replay()) == PIECES
        assert again.chunks == packed.chunks
        assert again.raw_bytes == sum(map(len, PIECES))


def test_replay_keeps_what_stands_before_the_damage_and_cuts_off_the_rest(packed):
    data = bytearray(packed.path.read_bytes())
    data[packed.chunks[2].offset + 3] ^= 1
    packed.path.write_bytes(data)
    with PackedFile(packed.path) as again:
        assert list(again.replay()) == PIECES[:2]
    assert packed.path.stat().st_size == packed.chunks[2].offset
    assert journal_of(packed.path).read_bytes().count(b"\n") == 3, "the line that says of which file, and two chunks"


def test_chunks_follow_each_other_without_a_gap(packed):
    ends = list(accumulate(c.stored_bytes for c in packed.chunks))
    assert [c.offset for c in packed.chunks] == [0, *ends[:-1]]
    assert packed.path.stat().st_size == packed.stored_bytes == ends[-1]


def test_parts_hold_whole_chunks_and_never_more_than_asked(packed):
    chunks = [_chunk(size) for size in (30, 40, 30, 90, 200, 10, 10)]
    runs = cut(chunks, part_bytes=100)
    assert [[c.stored_bytes for c in run] for run in runs] == [[30, 40, 30], [90], [200], [10, 10]]
    assert cut([], part_bytes=100) == []


def test_an_unknown_codec_is_named():
    with pytest.raises(BadInput, match="'lzma'"):
        codec_named("lzma")


def test_a_disk_that_refuses_is_a_spool_error_and_the_chunk_does_not_count(packed):
    with PackedFile(packed.path) as again:
        assert list(again.replay()) == PIECES
        again._data.close()
        again._data = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, PTH123 -- a real disk that is full
        with pytest.raises(SpoolError, match="untouched"):
            again.append(encode(b"more", codec="zstd", coders={}))
        assert again.chunks == packed.chunks


@pytest.mark.parametrize("full", ["_data", "_journal"])
def test_what_a_full_disk_left_in_the_buffers_does_not_replace_the_spool_error(packed, full):
    def append():
        with PackedFile(packed.path) as again:
            list(again.replay())
            getattr(again, full).close()
            setattr(again, full, open("/dev/full", "r+b"))  # noqa: SIM115, PTH123 -- a real disk that is full
            again.append(encode(b"more", codec="zstd", coders={}))

    with pytest.raises(SpoolError, match="untouched"):
        append()


def test_a_disk_without_room_for_the_first_line_is_a_spool_error(tmp_path):
    def begin():
        with PackedFile(tmp_path / "a.packed") as opened:
            opened._journal = open("/dev/full", "r+b")  # noqa: SIM115, PTH123 -- a real disk that is full
            opened._journal.write(b"head")
            list(opened.replay())

    with pytest.raises(SpoolError, match="untouched"):
        begin()


def test_a_spool_that_cannot_be_written_to_is_a_spool_error(tmp_path):
    with pytest.raises(SpoolError, match="untouched"), PackedFile(tmp_path / "gone" / "a.packed"):
        pass


def test_a_chunk_is_never_longer_than_a_small_box_can_hold():
    assert MAX_CHUNK_BYTES == 16 << 20
