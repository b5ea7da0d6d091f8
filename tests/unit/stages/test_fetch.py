"""A capture comes back from an archive: proved part by part, from whichever copy can be had, never half."""

from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from kspace.errors import SpoolError
from kspace.records import Part, SourceFile
from transfer.catalog.copies import Copy
from transfer.destinations import Stored
from transfer.destinations.errors import DestinationDown, Missing, NotHeld
from transfer.records import Capture, Done, Fetched, Held, Later
from transfer.stages.compare import is_copy_listed
from transfer.stages.fetch import fetch
from transfer.states import CaptureState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BYTES = {"f/part-00001.bin": b"the first, ", "f/part-00002.bin": b"and the rest"}
CAPTURE = Capture(
    id=7,
    state=CaptureState.RECALLED,
    scanner="prisma",
    source="prisma/1",
    file=SourceFile(path="a.dat", size=5, mtime_ns=1),
    changed_at=NOW,
    since_at=NOW,
    as_is=False,
    audit=None,
    measurements=(),
    sha256="ab" * 32,
    manifest=b"{}",
    match=None,
)


class Archive:
    """Gives back what it has, in blocks of three bytes; or raises what it was told to."""

    def __init__(self, stored, error=None):
        self._stored = stored
        self._error = error

    def listing(self, place):
        assert place == "there"
        if self._error:
            raise self._error
        return {name: Stored(size=len(data), md5=None) for name, data in self._stored.items()}

    @contextmanager
    def read(self, place, name):
        assert place == "there"
        if self._error:
            raise self._error
        if name not in self._stored:
            raise NotHeld("There is no such file.", names=[name])
        data = self._stored[name]
        yield (data[start : start + 3] for start in range(0, len(data), 3))


def a_copy(destination):
    parts = [
        Part(number=n, name=name, offset=0, size=len(data), md5="", sha256=sha256(data).hexdigest())
        for n, (name, data) in enumerate(BYTES.items(), start=1)
    ]
    return Copy(delivery_id=1, destination=destination, place="there", folder="f", parts=tuple(parts))


def fetched(tmp_path, has_room=True, **archives):
    copies = [a_copy(name) for name in archives]
    known = {name: archive for name, archive in archives.items() if archive is not None}
    return fetch(
        CAPTURE,
        copies=lambda _: copies,
        archives=known,
        spool=tmp_path,
        room_for=lambda *_: nullcontext(has_room),
        progress=lambda: None,
    )


def there(tmp_path):
    return {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".packed"}


def test_the_parts_become_the_packed_file_again(tmp_path):
    answer = fetched(tmp_path, x=Archive(BYTES))
    assert answer == Done(Fetched(is_joined=False))
    assert answer.result.state is CaptureState.PACKED
    assert Fetched(is_joined=True).state is CaptureState.MATCHED
    assert [path.name for path in tmp_path.iterdir()] == ["00000007.packed"]
    assert there(tmp_path) == {"00000007.packed": b"the first, and the rest"}


@pytest.mark.parametrize(
    "first",
    [
        Archive({}),
        Archive(BYTES | {"f/part-00002.bin": b"and the pest"}),
        Archive(BYTES | {"f/part-00002.bin": b"and the"}),
        Archive(BYTES | {"f/part-00002.bin": b"and the rest, and more"}),
        Archive({}, Missing("There is no such session.")),
        Archive({}, DestinationDown("It does not answer.")),
        None,
    ],
)
def test_another_copy_is_taken_where_the_first_cannot_be_had(tmp_path, first):
    assert isinstance(fetched(tmp_path, x=first, y=Archive(BYTES)), Done)
    assert there(tmp_path) == {"00000007.packed": b"the first, and the rest"}
    (tmp_path / "00000007.packed").unlink()
    alone = fetched(tmp_path, x=first)
    assert isinstance(alone, Later if first is None or isinstance(first._error, DestinationDown) else Held)
    assert there(tmp_path) == {}


def test_without_any_copy_it_is_lost_and_says_where_to_ask(tmp_path):
    lost = fetched(tmp_path, x=Archive({}))
    assert lost.code == "lost"
    assert "Ask for x's backup" in lost.reason


def test_a_spool_that_takes_nothing_is_said(tmp_path):
    with pytest.raises(SpoolError):
        fetched(tmp_path / "nowhere", x=Archive(BYTES))


@pytest.mark.parametrize(
    ("stored", "is_there"),
    [
        (BYTES | {"f/manifest.json": b"{}"}, True),
        (BYTES, False),
        ({"f/manifest.json": b"{}"}, False),
        (BYTES | {"f/manifest.json": b"{}", "f/part-00001.bin": b"short"}, False),
    ],
)
def test_an_old_copy_is_listed_by_its_receipt(stored, is_there):
    assert is_copy_listed(a_copy("x"), archive=Archive(stored)) is is_there
    assert not is_copy_listed(a_copy("x"), archive=Archive(stored, Missing("Gone.")))


def test_nothing_is_fetched_where_the_spool_has_no_room(tmp_path):
    outcome = fetched(tmp_path, has_room=False, central=Archive(BYTES))
    assert isinstance(outcome, Later)
    assert "room" in outcome.reason
    assert not list(tmp_path.iterdir())
