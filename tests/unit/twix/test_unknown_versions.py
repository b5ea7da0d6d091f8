"""Software nobody has seen yet: its file is walked and kept, and what could not be read is named."""

from struct import pack, unpack_from

import pytest

from kspace.records import Verdict
from kspace.twix.header import is_seen, read_head
from kspace.twix.synthetic import Synthetic

NEW = Synthetic(baseline="XA", software="syngo MR XA99", readouts=9)


def _with_texts(data: bytes, count: int) -> bytes:
    """Put more texts of unknown names before those of a VB file."""
    length, there = unpack_from("<II", data)
    texts = b"".join(f"NewText{n}".encode() + b"\0" + pack("<I", 40) + b"?" * 40 for n in range(count))
    # Headers are filled up to 32 bytes, readers count on it.
    padding = bytes(-len(texts) % 32)
    return (
        pack("<II", length + len(texts) + len(padding), there + count)
        + texts
        + data[8:length]
        + padding
        + data[length:]
    )


def _read(data: bytes):
    return read_head(lambda at, count: data[at : at + count], len(data))


def test_a_new_version_is_walked_and_called_unseen(written, walk):
    audit, (found,) = walk(written(NEW))
    assert audit.verdict is Verdict.COMPLETE_NATIVE
    assert (found.baseline, found.readouts, found.unread) == ("XA", 9, ())
    assert not is_seen(found.software)


@pytest.mark.parametrize(
    ("software", "seen"),
    [("syngo MR B19", True), ("syngo MR E11", True), ("syngo MR XA61", True), ("syngo MR XA60", False), (None, False)],
)
def test_only_versions_of_real_files_are_called_seen(software, seen):
    assert is_seen(software) is seen


def test_a_new_line_of_software_is_named_as_not_read(written, walk):
    _, (found,) = walk(written(Synthetic(software="syngo MR Q1")))
    assert (found.baseline, found.unread) == ("syngo MR Q1", ("SoftwareVersions",))


@pytest.mark.parametrize("count", [1, 40, 100])
def test_texts_of_unknown_names_are_named_and_stepped_over(written, walk, count):
    data = _with_texts(written(Synthetic(baseline="VB", readouts=9)), count)
    audit, (found,) = walk(data)
    assert audit.verdict.is_whole
    assert set(found.unread) == {f"NewText{n}" for n in range(count)}
    assert (found.serial, found.readouts) == ("99999", 9)


def test_a_file_of_64_measurements_is_read_in_full(written, walk):
    audit, found = walk(
        written(*(Synthetic(mid=100 + n, readouts=2 + n % 5, channels=1, samples=32) for n in range(64)))
    )
    assert audit.verdict is Verdict.COMPLETE_NATIVE
    assert [m.mid for m in found] == list(range(100, 164))
    assert [m.readouts for m in found] == [2 + n % 5 for n in range(64)]
