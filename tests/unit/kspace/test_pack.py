"""One read: digest, walk, chunks. After a crash the good chunks stay and the source is read from there on only."""

import json
from hashlib import sha256

import pytest

from kspace.chunks import MAX_CHUNK_BYTES
from kspace.container import journal_of, unpack
from kspace.errors import FileChanged, SourceError
from kspace.manifest import read_manifest, write_manifest
from kspace.pack import drop, pack
from kspace.records import Packed, Verdict

CHUNK = 65_536
DIRECTORY = 10_240
READOUT = 192 + 4 * (32 + 8 * 256)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "00000001.packed"


@pytest.fixture
def packed(raw, reader, target) -> Packed:
    return pack(reader(raw), size=len(raw), target=target, chunk_bytes=CHUNK)


def _restored(packed: Packed, target) -> bytes:
    with target.open("rb") as stored:
        return b"".join(unpack(packed.chunks, stored.read))


def _manifest(packed: Packed) -> bytes:
    return write_manifest(packed, source_name=None)


def test_a_packed_file_gives_back_every_byte(raw, packed, target):
    assert _restored(packed, target) == raw
    assert (packed.sha256, packed.size) == (sha256(raw).hexdigest(), len(raw))
    assert packed.audit.verdict is Verdict.COMPLETE_NATIVE
    assert [m.readouts for m in packed.measurements] == [20, 160]
    assert packed.stored_bytes == target.stat().st_size == sum(c.stored_bytes for c in packed.chunks)


def test_every_byte_is_read_once_and_in_order(raw, reader, target):
    source = reader(raw)
    pack(source, size=len(raw), target=target, chunk_bytes=CHUNK)
    assert [offset for offset, _ in source.reads] == [
        sum(n for _, n in source.reads[:i]) for i in range(len(source.reads))
    ]
    assert sum(length for _, length in source.reads) == len(raw)


def test_headers_are_chunks_of_their_own_and_others_end_at_readouts(raw, packed):
    edges = [0]
    for chunk in packed.chunks:
        edges.append(edges[-1] + chunk.raw_bytes)
    headers = [edge for m in packed.measurements for edge in (m.offset, m.offset + m.header_bytes)]
    assert {DIRECTORY, *headers} <= set(edges)
    assert max(c.raw_bytes for c in packed.chunks) <= CHUNK
    for edge in edges[1:-1]:
        owner = [m for m in packed.measurements if m.offset <= edge][-1]
        inside = edge - owner.offset - owner.header_bytes
        assert edge in {DIRECTORY, *headers} or inside % READOUT == 0, edge


def test_a_header_longer_than_a_chunk_is_cut(raw, reader, target):
    packed = pack(reader(raw), size=len(raw), target=target, chunk_bytes=4096)
    assert max(c.raw_bytes for c in packed.chunks) <= 4096
    assert _restored(packed, target) == raw


def test_how_the_file_was_chunked_never_changes_what_it_is(tmp_path, raw, reader, packed):
    for chunk_bytes in (7_919, 100_000, MAX_CHUNK_BYTES):
        other = pack(reader(raw), size=len(raw), target=tmp_path / f"{chunk_bytes}.packed", chunk_bytes=chunk_bytes)
        assert (other.sha256, other.audit, other.measurements) == (packed.sha256, packed.audit, packed.measurements)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 5000, 10_240])
def test_small_and_foreign_files_are_packed_as_bytes(reader, target, size):
    data = b"\x7fno twix at all" * 1000
    packed = pack(reader(data[:size]), size=size, target=target)
    assert _restored(packed, target) == data[:size]
    assert packed.audit.verdict is Verdict.NOT_TWIX


@pytest.mark.parametrize("breaks_at", [0, 1, 5_000, DIRECTORY + 1, 60_000, 700_000, 1_300_000])
def test_going_on_after_the_share_failed_reads_only_the_rest(raw, reader, target, packed, breaks_at):
    again = target.with_name("again.packed")
    with pytest.raises(SourceError):
        pack(reader(raw, breaks_at=breaks_at), size=len(raw), target=again, chunk_bytes=CHUNK)
    kept = _journalled(again)
    source = reader(raw)
    resumed = pack(source, size=len(raw), target=again, chunk_bytes=CHUNK)
    assert min(offset for offset, _ in source.reads) == kept
    assert sum(length for _, length in source.reads) == len(raw) - kept
    assert _manifest(resumed) == _manifest(packed)
    assert again.read_bytes() == target.read_bytes()


def test_kept_chunks_are_most_of_what_was_read(raw, reader, target):
    with pytest.raises(SourceError):
        pack(reader(raw, breaks_at=1_000_000), size=len(raw), target=target, chunk_bytes=CHUNK)
    assert _journalled(target) > 1_000_000 - 2 * CHUNK


def _torn_journal(target) -> None:
    journal = journal_of(target)
    journal.write_bytes(journal.read_bytes()[:-20])


def _torn_data(target) -> None:
    target.write_bytes(target.read_bytes()[:-100])


def _flipped_in_the_middle(target) -> None:
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 4
    target.write_bytes(data)


def _zeroed_tail(target) -> None:
    data = target.read_bytes()
    target.write_bytes(data[:-70_000] + bytes(70_000))


def _junk_behind(target) -> None:
    with target.open("ab") as out:
        out.write(b"half a chunk")


def _garbage_line(target) -> None:
    with journal_of(target).open("ab") as out:
        out.write(b'[1]\n{"offset": 1}\n\xff\xfe\n')


def _lengths_of_another_kind(target) -> None:
    with journal_of(target).open("ab") as out:
        out.write(
            b'{"offset": %d, "raw_bytes": 1, "stored_bytes": "x", "codec": "zstd", "sha256": ""}\n'
            % target.stat().st_size
        )


def _no_journal(target) -> None:
    journal_of(target).unlink()


def _no_data(target) -> None:
    target.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        _lengths_of_another_kind,
        _torn_journal, _torn_data, _flipped_in_the_middle, _zeroed_tail, _junk_behind, _garbage_line, _no_journal,
        _no_data,
    ],
)  # fmt: skip
def test_after_damage_the_good_chunks_stay_and_the_manifest_is_the_same(raw, reader, target, packed, damage):
    before = target.read_bytes()
    damage(target)
    good = _good(packed, target)
    source = reader(raw)
    again = pack(source, size=len(raw), target=target, chunk_bytes=CHUNK)
    assert sum(length for _, length in source.reads) == len(raw) - good
    assert all(offset >= good for offset, _ in source.reads)
    assert _manifest(again) == _manifest(packed)
    assert target.read_bytes() == before
    assert len(journal_of(target).read_bytes().splitlines()) == 2 + len(packed.chunks)


def test_packing_a_finished_file_again_reads_nothing(raw, reader, target, packed):
    source = reader(raw)
    assert pack(source, size=len(raw), target=target, chunk_bytes=CHUNK) == packed
    assert source.reads == []


def test_a_file_that_became_shorter_is_looked_at_anew(raw, reader, target):
    with pytest.raises(FileChanged, match="ended at byte"):
        pack(reader(raw[:-600]), size=len(raw), target=target, chunk_bytes=CHUNK)


def test_progress_tells_what_is_safe(raw, reader, target):
    told = []
    pack(reader(raw), size=len(raw), target=target, chunk_bytes=CHUNK, progress=told.append)
    assert told == sorted(set(told))
    assert told[-1] == len(raw)


def test_dropping_forgets_both_files_and_may_be_done_twice(target, packed):
    assert target.exists()
    drop(target)
    drop(target)
    assert not target.exists()
    assert not journal_of(target).exists()


def test_a_real_file_comes_back_byte_by_byte(data_folder, reader, target):
    data = (data_folder / "twix/ve11-gre-epi/gre.dat").read_bytes()
    packed = pack(reader(data), size=len(data), target=target, chunk_bytes=CHUNK)
    assert packed.audit.verdict is Verdict.COMPLETE_NATIVE
    assert b"".join(unpack(read_manifest(_manifest(packed)).chunks, target.open("rb").read)) == data


def _journalled(target) -> int:
    return sum(json.loads(line).get("raw_bytes", 0) for line in journal_of(target).read_bytes().splitlines())


def _good(packed: Packed, target) -> int:
    """Return how many source bytes lie in chunks whose journal line and stored bytes are both as they were."""
    data = target.read_bytes() if target.exists() else b""
    lines = journal_of(target).read_bytes().count(b"\n") if journal_of(target).exists() else 0
    good = 0
    for chunk in packed.chunks[: max(0, lines - 1)]:
        if sha256(data[chunk.offset : chunk.offset + chunk.stored_bytes]).hexdigest() != chunk.sha256:
            break
        good += chunk.raw_bytes
    return good
