"""Parts are runs of whole chunks; those that were digested in the pack are the ones that the file itself gives."""

from hashlib import md5, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kspace.container import cut, journal_of, noted_parts
from kspace.cutting import Cutter
from kspace.errors import SourceError
from kspace.pack import pack
from kspace.records import Chunk, Packed

CHUNK = 65_536
PART = 150_000


@pytest.fixture
def target(tmp_path):
    return tmp_path / "00000001.packed"


@pytest.fixture
def packed(raw, reader, target) -> Packed:
    return pack(reader(raw), size=len(raw), target=target, chunk_bytes=CHUNK, cuts={PART, 1 << 40})


def _is_what_lies_there(parts, target) -> bool:
    data = target.read_bytes()
    pieces = [data[part.offset : part.offset + part.size] for part in parts]
    digests = [(md5(piece, usedforsecurity=False).hexdigest(), sha256(piece).hexdigest()) for piece in pieces]
    return b"".join(pieces) == data and digests == [(part.md5, part.sha256) for part in parts]


@given(sizes=st.lists(st.integers(1, 300), max_size=40), part_bytes=st.integers(1, 500))
def test_what_comes_chunk_by_chunk_is_cut_as_the_whole_is(sizes, part_bytes):
    cutter, offset, chunks = Cutter(part_bytes), 0, []
    for size in sizes:
        chunks.append(Chunk(offset=offset, raw_bytes=1, stored_bytes=size, codec="zstd", sha256=""))
        cutter.add(chunks[-1], bytes(size))
        offset += size
    runs = cut(chunks, part_bytes=part_bytes)
    expected = [(run[0].offset, sum(chunk.stored_bytes for chunk in run)) for run in runs]
    assert [(part.offset, part.size) for part in cutter.parts()] == expected
    assert [part.name for part in cutter.parts()] == [f"part-{n:05d}.bin" for n in range(1, len(runs) + 1)]


@pytest.mark.parametrize("part_bytes", [PART, 1 << 40])
def test_the_parts_noted_in_the_pack_are_those_that_lie_there(packed, target, part_bytes):
    parts = noted_parts(target, packed.chunks, part_bytes=part_bytes)
    assert len(parts) == (1 if part_bytes > PART else len(cut(packed.chunks, part_bytes=PART)))
    assert _is_what_lies_there(parts, target)


def test_they_are_right_after_a_share_that_failed_half_way(raw, reader, target):
    with pytest.raises(SourceError):
        pack(reader(raw, breaks_at=900_000), size=len(raw), target=target, chunk_bytes=CHUNK, cuts={PART})
    packed = pack(reader(raw), size=len(raw), target=target, chunk_bytes=CHUNK, cuts={PART})
    assert _is_what_lies_there(noted_parts(target, packed.chunks, part_bytes=PART), target)


def _other_size(packed, target):
    return {"chunks": packed.chunks, "part_bytes": PART + 1}


def _other_chunks(packed, target):
    return {"chunks": packed.chunks[:-1], "part_bytes": PART}


def _shorter_file(packed, target):
    target.write_bytes(target.read_bytes()[:-1])
    return {"chunks": packed.chunks, "part_bytes": PART}


def _torn_journal(packed, target):
    journal_of(target).write_bytes(journal_of(target).read_bytes()[:-20])
    return {"chunks": packed.chunks, "part_bytes": PART}


def _no_journal(packed, target):
    journal_of(target).unlink()
    return {"chunks": packed.chunks, "part_bytes": PART}


def _nothing(packed, target):
    journal_of(target).write_bytes(b"")
    return {"chunks": packed.chunks, "part_bytes": PART}


@pytest.mark.parametrize("what", [_other_size, _other_chunks, _shorter_file, _torn_journal, _no_journal, _nothing])
def test_nothing_is_noted_of_anything_else(packed, target, what):
    assert noted_parts(target, **what(packed, target)) is None
