"""One suite over every source plug-in there is: read-only, complete or an error, and open to the scanner's own work.

A new source adds how it is reached to `Park` in conftest.py; without that its tests fail.
"""

import gc
import os
import shutil
from pathlib import Path

import pytest

from kspace import sources
from kspace.errors import FileVanished, SourceError
from kspace.registry import plugins
from kspace.sources.settings import Scope

KINDS = [*sorted(plugins(sources)), "vsftpd"]
"""vsftpd: FTP again, from a server that cannot list as RFC 3659 has it."""


@pytest.fixture
def folder(park) -> Path:
    made = park.folder()
    (made / "a day").mkdir(parents=True)
    (made / "1200.dat").write_bytes(bytes(range(256)) * 40)
    (made / "a day" / "1201-1.dat").write_bytes(b"")
    return made


@pytest.fixture(params=[*KINDS, "as the relay uses it"])
def source(request, folder, park):
    return park.bare(request.param, folder) if request.param in KINDS else park.wrapped("smb", folder)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_know_no_unknown_key_and_tell_the_scope(kind, folder, park):
    settings = plugins(sources)["ftp" if kind == "vsftpd" else kind].settings
    given = park.settings(kind, folder)
    with pytest.raises(ValueError, match="colour"):
        settings.model_validate(given | {"colour": "red"})
    only_exports = {"drop", "streamed"}
    assert settings.model_validate(given).scope is (Scope.EXPORTS if kind in only_exports else Scope.STORE)


def test_it_lists_every_raw_file_once_by_its_path(source):
    assert sorted((f.path, f.size) for f in source.find()) == [("1200.dat", 10_240), ("a day/1201-1.dat", 0)]


def test_what_it_lists_it_finds_again(source):
    for found in source.find():
        assert source.stat(found.path) == found


def test_it_reads_from_any_offset_and_short_only_at_the_end(source, folder):
    data = (folder / "1200.dat").read_bytes()
    with source.open("1200.dat") as reader:
        for offset, length in [
            (0, 10),
            (9000, 5),
            (10_239, 1),
            (10_230, 50),
            (10_240, 9),
            (99_999, 9),
            (0, 10_240),
            (7, 0),
        ]:
            assert reader.read(offset, length) == data[offset : offset + length]


def test_two_readers_do_not_disturb_each_other(source):
    with source.open("1200.dat") as one, source.open("1200.dat") as other:
        assert one.read(5, 3) == other.read(5, 3) == b"\5\6\7"


def test_reading_changes_nothing_on_the_share(source, folder):
    def state():
        return sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*"))

    before = state()
    for found in list(source.find()):
        with source.open(found.path) as reader:
            reader.read(0, 100_000)
    assert state() == before


def test_it_offers_no_way_to_write_or_delete(source):
    names = {n for n in dir(source) if not n.startswith("_")}
    assert names == {"find", "stat", "open", "free_bytes"}


def test_it_tells_how_much_is_free_where_its_protocol_can(request, source, folder):
    told, there = source.free_bytes(), shutil.disk_usage(folder).free
    if request.node.callspec.params["source"] in {"ftp", "vsftpd"}:
        assert told is None
    else:
        assert told == pytest.approx(there, rel=0.1)


def test_the_scanner_may_write_rename_and_delete_meanwhile(source, folder):
    with source.open("1200.dat") as reader:
        with (folder / "1200.dat").open("ab") as out:
            out.write(b"more")
        assert reader.read(10_240, 10) == b"more"
        (folder / "1200.dat").rename(folder / "1300.dat")
        (folder / "1300.dat").unlink()
    assert [f.path for f in source.find()] == ["a day/1201-1.dat"]


def test_a_file_that_is_gone_is_said_to_be_gone(source):
    with pytest.raises(FileVanished):
        source.stat("1400.dat")
    with pytest.raises(FileVanished), source.open("1400.dat"):
        pass


def test_a_growing_file_is_seen_to_change(source, folder):
    before = source.stat("1200.dat")
    with (folder / "1200.dat").open("ab") as out:
        out.write(b"x")
    later = (before.mtime_ns // 10**9 + 2) * 10**9  # some servers tell whole seconds only
    os.utime(folder / "1200.dat", ns=(1, later))
    after = source.stat("1200.dat")
    assert (after.size, after.mtime_ns) == (before.size + 1, later)


def test_a_listing_of_nothing_and_a_share_that_is_gone_are_not_the_same(source, folder):
    for path in ("1200.dat", "a day/1201-1.dat"):
        (folder / path).unlink()
    assert list(source.find()) == []
    folder.rename(folder.with_name(f"{folder.name} away"))
    with pytest.raises(SourceError):
        list(source.find())


def test_the_source_leaves_no_file_open(source):
    source.stat("1200.dat")  # a connection may be kept for a moment
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with source.open("1200.dat") as reader:
            reader.read(0, 1)
        with pytest.raises(SourceError), source.open("1400.dat"):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
