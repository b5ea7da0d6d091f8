"""One suite over every source plug-in there is: read-only, complete or an error, and open to the scanner's own work.

A new source adds the settings it needs to `SETTINGS`; without them the first test fails.
"""

import os
from pathlib import Path

import pytest

from kspace import sources
from kspace.clock import SystemClock
from kspace.errors import FileVanished, SourceError
from kspace.registry import plugins
from kspace.sources.limiting import LimitedSource, Limiter

KINDS = sorted(plugins(sources))
SETTINGS = {"share": lambda folder: {"path": folder}}
"""By kind: how a source over a local folder is configured."""


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "raw"
    (made / "2026").mkdir(parents=True)
    (made / "a.dat").write_bytes(bytes(range(256)) * 40)
    (made / "2026" / "b c.dat").write_bytes(b"")
    return made


@pytest.fixture(params=[(kind, limited) for kind in KINDS for limited in (False, True)], ids=lambda p: f"{p[0]} {p[1]}")
def source(request, folder):
    kind, is_limited = request.param
    plugin = plugins(sources)[kind]
    bare = plugin.build(plugin.settings.model_validate(SETTINGS[kind](folder)))
    return LimitedSource(bare, Limiter(mbit_per_s=100_000, clock=SystemClock())) if is_limited else bare


def test_every_source_is_put_to_the_test():
    assert sorted(SETTINGS) == KINDS


def test_settings_know_no_unknown_key(folder):
    for kind in KINDS:
        with pytest.raises(ValueError, match="colour"):
            plugins(sources)[kind].settings.model_validate(SETTINGS[kind](folder) | {"colour": "red"})


def test_it_lists_every_raw_file_once_by_its_path(source):
    assert sorted((f.path, f.size) for f in source.find()) == [("2026/b c.dat", 0), ("a.dat", 10_240)]


def test_what_it_lists_it_finds_again(source):
    for found in source.find():
        assert source.stat(found.path) == found


def test_it_reads_from_any_offset_and_short_only_at_the_end(source, folder):
    data = (folder / "a.dat").read_bytes()
    with source.open("a.dat") as reader:
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
    with source.open("a.dat") as one, source.open("a.dat") as other:
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
    assert names == {"find", "stat", "open"}


def test_the_scanner_may_write_rename_and_delete_meanwhile(source, folder):
    with source.open("a.dat") as reader:
        with (folder / "a.dat").open("ab") as out:
            out.write(b"more")
        assert reader.read(10_240, 10) == b"more"
        (folder / "a.dat").rename(folder / "z.dat")
        (folder / "z.dat").unlink()
    assert [f.path for f in source.find()] == ["2026/b c.dat"]


def test_a_file_that_is_gone_is_said_to_be_gone(source):
    with pytest.raises(FileVanished):
        source.stat("gone.dat")
    with pytest.raises(FileVanished), source.open("gone.dat"):
        pass


def test_a_growing_file_is_seen_to_change(source, folder):
    before = source.stat("a.dat")
    with (folder / "a.dat").open("ab") as out:
        out.write(b"x")
    os.utime(folder / "a.dat", ns=(1, before.mtime_ns + 1))
    after = source.stat("a.dat")
    assert (after.size, after.mtime_ns) == (before.size + 1, before.mtime_ns + 1)


def test_a_listing_of_nothing_and_a_share_that_is_gone_are_not_the_same(source, folder):
    for path in ("a.dat", "2026/b c.dat"):
        (folder / path).unlink()
    assert list(source.find()) == []
    folder.rename(folder.with_name("away"))
    with pytest.raises(SourceError):
        list(source.find())


def test_the_source_leaves_no_file_open(source):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with source.open("a.dat") as reader:
            reader.read(0, 1)
        with pytest.raises(SourceError), source.open("gone.dat"):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
