"""One listing against what is known: growth, versions, clocks that were set, and folders that list as empty."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from kspace.errors import SourceError
from kspace.records import SourceFile
from kspace.sources.settings import Scope
from transfer.catalog import tables
from transfer.catalog.lists import alerts
from transfer.feeds.find import find

S = 10**9


def file(number: int, *, size: int = 100, at_s: int = 1_700_000_000) -> SourceFile:
    return SourceFile(path=f"{number}.dat", size=size, mtime_ns=at_s * S + number)


class Listing:
    """A source that lists what a test says, or fails."""

    def __init__(self, *files: SourceFile) -> None:
        self.files, self.error = list(files), None

    def find(self):
        yield from self.files
        if self.error:
            raise self.error


@pytest.fixture
def listing():
    return Listing(*(file(n) for n in range(20)))


@pytest.fixture
def poll(database, clock, listing):
    def run(scope: Scope = Scope.STORE) -> int:
        return find(listing, scanner="mr1", name="mr1/1", database=database, clock=clock, quiet_s=0.0, scope=scope)

    return run


@pytest.fixture
def rows(database):
    def read(table, *columns):
        with database.read() as connection:
            return [tuple(row) for row in connection.execute(select(*columns or (table,)).order_by(table.c.id))]

    return read


@pytest.fixture
def told(database):
    def read() -> list[str]:
        with database.read() as connection:
            return [row["text"] for row in alerts(connection)]

    return read


F, C, E = tables.source_file, tables.capture, tables.event


def test_a_listing_that_brings_nothing_writes_nothing(poll, rows, clock):
    assert poll() == 20
    before = rows(F), rows(C), rows(E)
    clock.sleep(60)
    assert poll() == 0
    assert (rows(F), rows(C), rows(E)) == before


def test_the_sizes_a_file_had_are_kept(poll, rows, listing):
    for size in (0, 5_000, 90_000):
        listing.files = [file(1, size=size)]
        poll()
    told = rows(E, E.c.verb, E.c.detail)
    assert told == [("capture.found", "0 bytes"), ("capture.grew", "5000 bytes"), ("capture.grew", "90000 bytes")]


def test_the_scope_reaches_the_inventory(poll, rows):
    poll(Scope.EXPORTS)
    assert set(rows(F, F.c.scope)) == {("exports",)}


def test_a_captured_file_under_whose_name_lies_another_is_gone(poll, rows, listing, database):
    listing.files = [file(1)]
    poll()
    with database.write() as connection:
        connection.execute(C.update().values(state="packed"))
    listing.files = [file(1, size=200)]
    assert poll() == 1
    assert [(version, gone is None) for version, gone in rows(F, F.c.version, F.c.gone_at)] == [(1, False), (2, True)]
    assert poll() == 0


def test_a_file_that_comes_back_is_the_same_file(poll, rows, listing):
    poll()
    gone = listing.files.pop()
    assert poll() == 0
    assert len([1 for (gone_at,) in rows(F, F.c.gone_at) if gone_at]) == 1
    listing.files.append(gone)
    assert poll() == 0
    assert rows(F, F.c.gone_at) == [(None,)] * 20


def test_an_empty_listing_where_many_files_were_is_a_suspicion_for_a_day(poll, rows, listing, told, clock):
    poll()
    files, listing.files = listing.files, []
    for _ in range(2):
        poll()
        (said,) = told()
        assert "lists as empty where 20 files were" in said
        assert rows(F, F.c.gone_at) == [(None,)] * 20
        clock.sleep(3600)
    listing.files = files
    poll()
    assert told() == []
    listing.files = []
    poll()
    clock.sleep(86_400)
    poll()
    assert None not in {gone for (gone,) in rows(F, F.c.gone_at)}
    assert told() == []


def test_a_few_files_may_go_at_once(poll, rows, listing, told):
    listing.files = listing.files[:9]
    poll()
    listing.files = []
    poll()
    assert (told(), None in {gone for (gone,) in rows(F, F.c.gone_at)}) == ([], False)


@pytest.mark.parametrize("moved_s", [3600, -3600, 900])
def test_a_clock_that_was_set_makes_no_file_new(poll, rows, listing, told, moved_s):
    poll()
    listing.files = [replace(f, mtime_ns=f.mtime_ns + moved_s * S) for f in listing.files]
    assert poll() == 0
    assert len(rows(F)) == 20
    (said,) = told()
    assert f"{moved_s:+} s" in said
    assert poll() == 0
    assert told() == []


@pytest.mark.parametrize("moved_s", [1, 3601, 17])
def test_files_that_were_written_anew_are_new(poll, listing, moved_s):
    poll()
    listing.files = [replace(f, mtime_ns=f.mtime_ns + moved_s * S) for f in listing.files]
    assert poll() == 20


def test_files_that_were_written_anew_and_longer_are_new_whatever_their_time(poll, listing):
    poll()
    listing.files = [replace(f, mtime_ns=f.mtime_ns + 3600 * S, size=f.size + 1) for f in listing.files]
    assert poll() == 20


def test_a_listing_that_breaks_off_changes_nothing_and_is_told(poll, rows, listing, told):
    poll()
    listing.files, listing.error = listing.files[:3], SourceError("The share does not answer.")
    with pytest.raises(SourceError):
        poll()
    assert rows(F, F.c.gone_at) == [(None,)] * 20
    assert told() == ["Source mr1/1: The share does not answer."]
    listing.error = None
    listing.files = [file(n) for n in range(20)]
    poll()
    assert told() == []
