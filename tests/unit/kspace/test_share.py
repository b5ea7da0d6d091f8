"""A mounted folder: what it lists, what it refuses, and what it says when the scanner takes a file away."""

import os

import pytest
from pydantic import ValidationError

from kspace.errors import FileVanished, SourceError
from kspace.sources.share import Share, ShareSettings


@pytest.fixture
def share(root) -> Share:
    return Share(ShareSettings(path=root))


def test_it_lists_raw_files_at_any_depth_and_whatever_their_case(root, share):
    (root / "a/b").mkdir(parents=True)
    for name in ("one.dat", "a/TWO.DAT", "a/b/three.Dat", "a/notes.txt", "dat", ".dat"):
        (root / name).write_bytes(b"x" * 7)
    assert sorted(f.path for f in share.find()) == [".dat", "a/TWO.DAT", "a/b/three.Dat", "one.dat"]
    assert {f.size for f in share.find()} == {7}


def test_patterns_say_what_a_raw_file_is(root):
    for name in ("a.twix", "b.dat", "c.TWIX"):
        (root / name).write_bytes(b"")
    found = Share(ShareSettings(path=root, patterns=("*.Twix",))).find()
    assert sorted(f.path for f in found) == ["a.twix", "c.TWIX"]


def test_links_are_not_followed(root, share, tmp_path):
    outside = tmp_path / "outside.dat"
    outside.write_bytes(b"secret")
    (root / "link.dat").symlink_to(outside)
    (root / "folder.dat").mkdir()
    (root / "loop").symlink_to(root)
    assert list(share.find()) == []
    with pytest.raises(SourceError), share.open("link.dat"):
        pass


def test_special_files_are_left_alone(root, share):
    os.mkfifo(root / "pipe.dat")
    assert list(share.find()) == []


@pytest.mark.parametrize(
    "name", [b"caf\xe9.dat", b"m\xc3\xbcller.dat", b"a b'c\".dat", b"latin-1:x.dat", b"\xff\xfe.dat", b"n\nl.dat"]
)
def test_any_name_is_found_and_opened_again_by_its_path(root, share, name):
    with open(os.fsencode(root) + b"/" + name, "wb") as out:  # noqa: PTH123 -- names may be bytes
        out.write(b"hello")
    (found,) = share.find()
    found.path.encode()  # databases take no lone surrogates
    assert share.stat(found.path) == found
    with share.open(found.path) as reader:
        assert reader.read(1, 3) == b"ell"


def test_reads_come_from_their_offset_and_end_with_the_file(root, share):
    (root / "a.dat").write_bytes(bytes(range(100)))
    with share.open("a.dat") as reader:
        assert reader.read(10, 5) == bytes(range(10, 15))
        assert reader.read(90, 50) == bytes(range(90, 100))
        assert reader.read(100, 5) == b""
        assert reader.read(500, 5) == b""
        assert reader.read(0, 0) == b""


def test_size_and_time_of_change_are_told_as_they_are(root, share):
    (root / "a.dat").write_bytes(b"x" * 10)
    os.utime(root / "a.dat", ns=(5, 1_700_000_000_123_456_789))
    assert (share.stat("a.dat").size, share.stat("a.dat").mtime_ns) == (10, 1_700_000_000_123_456_789)


def test_what_is_gone_is_said_to_be_gone(share):
    with pytest.raises(FileVanished, match="nothing at this place"):
        share.stat("gone.dat")
    with pytest.raises(FileVanished), share.open("gone.dat"):
        pass


def test_a_share_that_is_not_there_is_an_error_never_an_empty_listing(root):
    root.rmdir()
    with pytest.raises(SourceError):
        list(Share(ShareSettings(path=root)).find())


def test_errors_name_no_file(root, share):
    with pytest.raises(FileVanished) as caught:
        share.stat("doe_jane.dat")
    assert "doe" not in str(caught.value)


def test_a_file_can_still_be_written_and_deleted_while_it_is_read(root, share):
    (root / "a.dat").write_bytes(b"old")
    with share.open("a.dat") as reader:
        with (root / "a.dat").open("ab") as out:
            out.write(b"new")
        assert reader.read(0, 10) == b"oldnew"
        (root / "a.dat").unlink()
        assert reader.read(0, 3) == b"old"


def test_settings_need_a_path_and_a_pattern(tmp_path):
    with pytest.raises(ValidationError, match="path"):
        ShareSettings.model_validate({})
    with pytest.raises(ValidationError, match="patterns"):
        ShareSettings.model_validate({"path": tmp_path, "patterns": []})
