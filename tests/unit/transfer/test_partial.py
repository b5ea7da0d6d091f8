"""What a restore leaves behind when it ends early: proved parts are kept, everything else counts for nothing."""

import pytest

from kspace.errors import BadInput
from kspace.manifest import Manifest
from kspace.records import Chunk
from transfer.restore.copy import Copy, Piece, _pieces, folders
from transfer.restore.partial import Partial, TargetFailed

FIRST, SECOND = (Piece(name=f"part-0000{n}.bin", skip=0, size=4, start=4 * n - 4, end=4 * n, chunks=()) for n in (1, 2))
DIGESTS = {
    b"abcd": "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589",
    b"efgh": "e5e088a0b66163a0a26a5e053d2a4496dc16ab6e0e3dd1adf2d16aa84a078c9d",
}


def of(sha256: str) -> Copy:
    manifest = Manifest(name=None, size=8, sha256=sha256, chunks=(), headers=())
    return Copy(archive=None, place="", folder="0000001-aaaaaaaaaaaa", manifest=manifest, pieces=(FIRST, SECOND))


def written(folder, sha256: str = "a") -> Partial:
    with Partial(folder, of(sha256)) as partial:
        assert partial.proved((FIRST, SECOND)) == frozenset()
        for piece, data in ((FIRST, b"abcd"), (SECOND, b"efgh")):
            partial.write(piece.start, data)
            partial.note(piece, DIGESTS[data])
    return partial


def proved(folder, sha256: str = "a") -> set[Piece]:
    with Partial(folder, of(sha256)) as partial:
        return set(partial.proved((FIRST, SECOND)))


def test_what_was_noted_and_is_still_there_counts(tmp_path):
    written(tmp_path)
    assert proved(tmp_path) == {FIRST, SECOND}


def test_of_another_file_nothing_counts(tmp_path):
    written(tmp_path)
    assert proved(tmp_path, "b") == set()


@pytest.mark.parametrize("torn", [b'{"part": "part-000', b"\xff", b"[]\n", b'{"part": "part-00009.bin"}\n'])
def test_a_torn_line_spoils_neither_those_before_nor_those_behind_it(tmp_path, torn):
    partial = written(tmp_path)
    journal = partial.path.with_suffix(".journal")
    head, first, second = (line for line in journal.read_bytes().split(b"\n") if line)
    journal.write_bytes(head + b"\n" + first + b"\n" + torn)
    assert proved(tmp_path) == {FIRST}
    with journal.open("ab") as out:
        out.write(second + b"\n")
    assert proved(tmp_path) == {FIRST, SECOND}


def test_a_byte_that_changed_on_the_disk_costs_its_part(tmp_path):
    partial = written(tmp_path)
    with partial.path.open("r+b") as data:
        data.seek(5)
        data.write(b"x")
    assert proved(tmp_path) == {FIRST}


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(tmp_path):
    with Partial(tmp_path, of("a")) as partial:
        partial.check_room(8)
        with pytest.raises(TargetFailed, match="nothing was fetched"):
            partial.check_room(1 << 60)


def test_a_file_that_came_meanwhile_is_left_as_it_is(tmp_path):
    (tmp_path / "meas.dat").write_bytes(b"mine")
    with Partial(tmp_path, of("a")) as partial, pytest.raises(BadInput, match="left as it is"):
        partial.become(tmp_path / "meas.dat")
    assert (tmp_path / "meas.dat").read_bytes() == b"mine"


def test_a_part_is_fetched_in_stretches_of_whole_chunks_that_leave_nothing_out():
    chunks, at, offset = [], 1000, 500
    for raw, stored in ((10, 7), (20, 5), (30, 6), (40, 2), (50, 9)):
        chunks.append((at, Chunk(offset=offset, raw_bytes=raw, stored_bytes=stored, codec="", sha256="")))
        at, offset = at + raw, offset + stored
    pieces = list(_pieces("part-00002.bin", chunks, most=12))
    assert [(p.skip, p.size) for p in pieces] == [(0, 12), (12, 8), (20, 9)]
    assert [(p.start, p.end) for p in pieces] == [(1000, 1030), (1030, 1100), (1100, 1150)]
    assert [chunk for p in pieces for chunk in p.chunks] == chunks
    (whole,) = _pieces("part-00002.bin", chunks, most=100)
    assert (whole.skip, whole.size, whole.start, whole.end) == (0, 29, 1000, 1150)


def test_a_folder_is_a_captures_only_by_its_form():
    names = [
        "0000001-aaaaaaaaaaaa/part-00001.bin",
        "0000002-bbbbbbbbbbbb/manifest.json",
        "notes.txt",
        "1-a/manifest.json",
    ]
    assert folders(names) == {"0000001-aaaaaaaaaaaa": False, "0000002-bbbbbbbbbbbb": True}
