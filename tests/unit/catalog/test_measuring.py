"""What the catalog knows of a scanner that measures: raw files that are new or grow, and images with its serial."""

import os
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from kspace.records import SourceFile
from transfer.app.signs import signs_of
from transfer.catalog import tables
from transfer.catalog.measuring import last_image_at, last_raw_at
from transfer.config import Scanner


def file(*, size: int) -> SourceFile:
    return SourceFile(path="1.dat", size=size, mtime_ns=size)


def test_a_file_that_grows_is_a_sign_for_its_own_scanner_alone(database, list_files, clock):
    assert last_raw_at(database, "prisma") is None
    list_files(file(size=1))
    assert last_raw_at(database, "prisma") == clock.now()
    clock.sleep(60)
    list_files(file(size=1))
    assert last_raw_at(database, "prisma") < clock.now()
    list_files(file(size=2))
    assert last_raw_at(database, "prisma") == clock.now()
    assert last_raw_at(database, "vida") is None


def test_images_are_a_sign_for_the_scanner_of_their_serial(database, list_files, arrive, clock):
    list_files(file(size=1))
    arrive("1.2", 1, serial=None)
    assert last_image_at(database, "prisma", serial=None) is None, "whose serial is not known yet"
    with database.write() as connection:
        told = {"capture_id": 1, "number": 0, "serial": "4711", "document": {}}
        connection.execute(insert(tables.measurement).values(told))
    assert last_image_at(database, "prisma", serial=None) is None
    arrive("1.3", 1)
    assert last_image_at(database, "prisma", serial=None) == clock.now()
    assert last_image_at(database, "prisma", serial="1") is None
    assert last_image_at(database, "vida", serial="4711") == clock.now()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_heartbeat_is_a_sign_and_its_absence_none(database, clock, tmp_path):
    beat = tmp_path / "beat"
    scanner = Scanner(name="prisma", source=({"kind": "share", "path": "/x"},), heartbeat=beat)
    look = signs_of(scanner, database=database, clock=clock)
    assert look() == []
    beat.touch()
    os.utime(beat, (1_700_000_000, 1_700_000_000))
    (sign,) = look()
    assert sign.at == datetime.fromtimestamp(1_700_000_000, UTC)
    os.utime(beat, (4_000_000_000, 4_000_000_000))
    (sign,) = look()
    assert sign.at == clock.now()
