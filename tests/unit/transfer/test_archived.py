"""Where a session's captures are looked for: in every archive, and what cannot be asked is never called empty."""

from types import SimpleNamespace

import pytest

from kspace.errors import NotFound
from transfer.app.archived import in_session
from transfer.destinations import Stored
from transfer.destinations.errors import DestinationDown, Missing

WHOLE, BEGUN = "0000001-aaaaaaaaaaaa", "0000002-bbbbbbbbbbbb"
STORED = Stored(size=1, md5=None)


class Archive:
    """An archive of one session, whose places and names are given; or one that answers with an error."""

    def __init__(self, places: dict[str, list[str]], error: Exception | None = None) -> None:
        self._places, self._error = places, error

    def places(self, **_asked):
        if self._error:
            raise self._error
        return list(self._places)

    def listing(self, place):
        return dict.fromkeys(self._places[place], STORED)


HAS = Archive({"p": [f"{WHOLE}/part-00001.bin", f"{WHOLE}/manifest.json", f"{BEGUN}/part-00001.bin"]})
EMPTY, UNKNOWN = Archive({"p": []}), Archive({}, Missing("no such session"))
DOWN = Archive({}, DestinationDown("does not answer"))


def found(*archives: Archive, source: str | None = None):
    box = SimpleNamespace(archives=lambda: {f"a{n}": archive for n, archive in enumerate(archives, start=1)})
    asked = in_session(box, project="P", session="S", scan=None, source=source)
    return {(one.destination, one.place, one.folder, one.is_whole) for one in asked}


def test_what_is_whole_and_what_never_ended_are_told_apart():
    assert found(HAS) == {("a1", "p", WHOLE, True), ("a1", "p", BEGUN, False)}


@pytest.mark.parametrize("first", [EMPTY, UNKNOWN, DOWN])
def test_the_first_archive_that_has_anything_gives_it(first):
    assert {destination for destination, *_ in found(first, HAS)} == {"a2"}
    assert {destination for destination, *_ in found(HAS, first, source="a1")} == {"a1"}


@pytest.mark.parametrize("archives", [(DOWN, UNKNOWN), (UNKNOWN, DOWN), (EMPTY, DOWN)])
def test_one_that_cannot_be_asked_is_never_called_empty(archives):
    with pytest.raises(DestinationDown):
        found(*archives)


def test_what_nobody_has_is_said_so():
    with pytest.raises(NotFound, match="no raw data"):
        found(EMPTY)
    with pytest.raises(Missing):
        found(EMPTY, UNKNOWN)


def test_a_capture_at_two_places_is_fetched_once_and_from_where_it_is_whole():
    twice = {"scan 3": [f"{WHOLE}/part-00001.bin"], "scan 5": [f"{WHOLE}/manifest.json"]}
    assert found(Archive(twice)) == {("a1", "scan 5", WHOLE, True)}
