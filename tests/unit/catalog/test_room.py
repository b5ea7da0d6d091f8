"""What goes early: what every archive proved, oldest first, no more than is needed, and nothing else, ever."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from hardware.judgement import PoolSettings
from hardware.pools import Pool
from hardware.records import Space
from transfer.catalog import tables
from transfer.catalog.room import contents, proved_captures
from transfer.feeds.make_room import MakingRoom
from transfer.feeds.sweep import sweep

GB = 1_000_000_000


class Spool:
    """A spool of 100 GB in which every packed file counts as 10 GB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.others = 0

    def read(self, _folder: Path) -> Space:
        used = self.others + sum(10 * GB for _ in self.folder.glob("*.packed"))
        return Space(used_bytes=used, free_bytes=100 * GB - used)


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path)


@pytest.fixture
def room(spool, database, clock, tmp_path):
    pool = Pool(tmp_path, PoolSettings(), clock=clock, read=spool.read)
    return MakingRoom(pool, spool=tmp_path, database=database, clock=clock, machine="box")


@pytest.fixture
def kept(database, clock, tmp_path):
    """Put a capture into the spool: delivered so many days ago, with a receipt of its one delivery or without."""

    def put(number, *, days=1, state="delivered", delivery="verified", receipt=True, machine="box"):
        work = {"since_at": clock.at - timedelta(days=days), "due_at": clock.at + timedelta(days=7)}
        with database.write() as connection:
            seen = dict.fromkeys(("changed_at", "first_seen_at"), clock.at)
            file = {"scanner": "s", "source": "s/1", "path": f"{number}.dat", "version": 1, "size": 1}
            file |= {"mtime_ns": 1, "scope": "store"}
            connection.execute(insert(tables.source_file).values(id=number, **file, **seen))
            row = {"id": number, "source_file_id": number, "state": state, "machine": machine, "sha256": "a" * 64}
            connection.execute(insert(tables.capture).values(**row, stored_bytes=10 * GB, **work))
            who = {"study_uid": f"1.{number}", "called_ae": "A", "calling_ae": "B", "document": {}}
            times = {"first_arrival_at": clock.at, "last_arrival_at": clock.at}
            connection.execute(insert(tables.study).values(id=number, **who, **times))
            way = {"id": number, "kind": "raw", "capture_id": number, "study_id": number, "destination": "central"}
            connection.execute(insert(tables.delivery).values(**way, project="P", state=delivery, **work))
            if receipt:
                connection.execute(insert(tables.receipt).values(delivery_id=number, document=b"{}", at=clock.at))
        (tmp_path / f"{number:08}.packed").touch()

    return put


def retire_chosen(room, database, *numbers):
    """Do what the retire stage does with those that it is told must go."""
    gone = [number for number in numbers if room.must_go(number)]
    with database.write() as connection:
        connection.execute(update(tables.capture).where(tables.capture.c.id.in_(gone)).values(state="retired"))
    return gone


def test_the_oldest_go_first_and_no_more_than_is_needed(room, kept, spool, database, clock):
    for number, days in ((1, 1), (2, 5), (3, 3), (4, 2)):
        kept(number, days=days)
    spool.others = 53 * GB
    room()
    assert retire_chosen(room, database, 1, 2, 3, 4) == [2, 3], "down from 93 to 82 of 100 GB takes two"
    with database.read() as connection:
        due = connection.execute(select(tables.capture.c.due_at).where(tables.capture.c.id.in_([1, 4]))).scalars().all()
    assert all(at > clock.at for at in due), "the others are not woken"
    room()
    assert sorted(path.name for path in spool.folder.glob("*.packed")) == ["00000001.packed", "00000004.packed"]
    assert not room.must_go(1)


def test_it_begins_where_the_pool_is_not_normal_and_goes_on_until_it_is(room, kept, spool, database):
    for number in (1, 2):
        kept(number)
    spool.others = 64 * GB
    room()
    assert retire_chosen(room, database, 1, 2) == [], "84 of 100 GB: nothing goes before its time"
    spool.others = 75 * GB
    room()
    assert retire_chosen(room, database, 1) == [1]
    room()
    assert retire_chosen(room, database, 2) == [2], "85 of 100 GB: it packs again, and is not normal yet"


@pytest.mark.parametrize(
    "unproved",
    [
        {"state": "planned", "delivery": "sent"},
        {"state": "matched"},
        {"state": "held"},
        {"receipt": False},
        {"delivery": "queued"},
        {"delivery": "withdrawn"},
        {"machine": "another"},
    ],
    ids=str,
)
def test_nothing_unproved_ever_goes(room, kept, spool, database, unproved):
    kept(1, **unproved)
    spool.others = 90 * GB
    for _ in range(3):
        room()
        assert not room.must_go(1)
    sweep(spool=spool.folder, database=database)
    assert (spool.folder / "00000001.packed").exists()


def test_what_goes_when_is_told(kept, database, clock):
    kept(1, days=1)
    kept(2, days=3)
    kept(3, state="planned", delivery="sent", receipt=False)
    with database.read() as connection:
        held = contents(connection, machine="box", keep_s=7 * 86_400.0, keep_images_s=0.0)
        proved = [number for number, _, _ in proved_captures(connection, machine="box")]
    assert proved == [2, 1]
    assert held.releases == [(clock.at + timedelta(days=days), 10 * GB) for days in (4, 6)]
    assert (held.unproved_captures, held.unproved_bytes, held.unproved_images) == (1, 10 * GB, 0)
