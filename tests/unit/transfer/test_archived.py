"""Where a session's captures are looked for: in every archive, and what cannot be asked is never called empty."""

from contextlib import contextmanager
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

    @contextmanager
    def read(self, place, name):
        assert name.endswith("/delivery.json"), place
        yield iter([b'{"study_uid": "1.2.3"}'])


HAS = Archive({"p": [f"{WHOLE}/part-00001.bin", f"{WHOLE}/manifest.json", f"{BEGUN}/part-00001.bin"]})
EMPTY, UNKNOWN = Archive({"p": []}), Archive({}, Missing("no such session"))
DOWN = Archive({}, DestinationDown("does not answer"))


def asked(*archives, source: str | None = None, scan: str | None = None):
    box = SimpleNamespace(archives=lambda: {f"a{n}": archive for n, archive in enumerate(archives, start=1)})
    return in_session(box, project="P", session="S", scan=scan, source=source)


def found(*archives, **more):
    return {
        one.folder: [(there.name, there.place) for there in one.sources] or None
        for one in asked(*archives, **more).captures
    }


def test_what_is_whole_and_what_never_ended_are_told_apart():
    assert found(HAS) == {WHOLE: [("a1", "p")], BEGUN: None}


@pytest.mark.parametrize("first", [EMPTY, UNKNOWN, DOWN])
def test_whichever_archive_has_anything_gives_it(first):
    assert found(first, HAS)[WHOLE] == [("a2", "p")]
    assert found(HAS, first, source="a1")[WHOLE] == [("a1", "p")]


def test_every_archive_that_has_it_is_a_source_the_first_one_first():
    assert found(HAS, EMPTY, HAS)[WHOLE] == [("a1", "p"), ("a3", "p")]
    assert found(Archive({"p": [f"{BEGUN}/manifest.json"]}), HAS)[BEGUN] == [("a1", "p")], "whole in one is whole"


def test_what_cannot_be_asked_is_told_beside_what_the_others_have():
    assert [str(error) for error in asked(DOWN, HAS).unasked] == ["does not answer"]
    assert asked(UNKNOWN, HAS).unasked == []


def test_another_name_of_the_session_is_found_by_the_study_s_uid():
    """A bucket calls a session by its UID, and knows no scans; only what was found of the scan is taken there."""

    class ByUid(Archive):
        def places(self, *, session, scan, **_):
            if session != "1.2.3" or scan is not None:
                raise Missing("no such session")
            return list(self._places)

    bucket = ByUid({"b": [f"{WHOLE}/manifest.json", "0000009-cccccccccccc/manifest.json"]})
    assert found(HAS, bucket, scan="5") == {WHOLE: [("a1", "p"), ("a2", "b")], BEGUN: None}


@pytest.mark.parametrize("archives", [(DOWN, UNKNOWN), (UNKNOWN, DOWN), (EMPTY, DOWN)])
def test_one_that_cannot_be_asked_is_never_called_empty(archives):
    with pytest.raises(DestinationDown):
        found(*archives)


def test_what_nobody_has_is_said_so():
    with pytest.raises(NotFound, match="no raw data"):
        found(EMPTY)
    with pytest.raises(Missing):
        found(EMPTY, UNKNOWN)


def test_a_capture_at_two_places_is_fetched_from_where_it_is_whole():
    twice = {"scan 3": [f"{WHOLE}/part-00001.bin"], "scan 5": [f"{WHOLE}/manifest.json"]}
    assert found(Archive(twice)) == {WHOLE: [("a1", "scan 5")]}
