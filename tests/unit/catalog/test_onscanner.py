"""A listing in an export folder: what nobody exported is known, and no patient's name is anywhere."""

import pytest
from sqlalchemy import insert, select

from kspace.records import Measurement, SourceFile
from kspace.sources.share import Share, ShareSettings
from tests.unit.kspace.test_raidlist import HEADING, row
from transfer.catalog import documents, tables
from transfer.catalog.lists import alerts
from transfer.catalog.onscanner import on_scanner_of
from transfer.feeds.listings import Listings


@pytest.fixture
def read(database, clock, tmp_path):
    feed = Listings(
        Share(ShareSettings(path=tmp_path, patterns=("*.txt",))),
        scanner="prisma", name="prisma/1", database=database, clock=clock,
    )  # fmt: skip

    def run(*lines):
        (tmp_path / "list.txt").write_text("\n".join(lines))
        feed()
        with database.read() as connection:
            return {one.meas_id: one for one in on_scanner_of(connection, "prisma")}

    return run


def test_what_nobody_exported_is_known(read, database, clock, list_files):
    list_files(SourceFile(path="1.dat", size=5, mtime_ns=1))
    image = Measurement(index=0, offset=0, header_bytes=1, baseline="XA", mid=21, fid=7)
    with database.write() as connection:
        document = documents.to_document(image)
        connection.execute(insert(tables.measurement).values(capture_id=1, number=0, mid=21, document=document))
    found = read(HEADING, row(21), row(22), row(3_000_023))
    assert {n: one.capture_id for n, one in found.items()} == {21: 1, 22: None, 3_000_023: None}
    assert [n for n, one in found.items() if one.is_retro] == [3_000_023]
    clock.sleep(60)
    found = read(HEADING, row(22))
    assert {n: one.is_there for n, one in found.items()} == {21: False, 22: True, 3_000_023: False}
    assert found[22].size == 40_000_123


def test_numbers_that_start_again_are_of_another_measurement(read, database, list_files):
    list_files(SourceFile(path="1.dat", size=5, mtime_ns=1))  # seen on the first of March
    image = Measurement(index=0, offset=0, header_bytes=1, baseline="XA", mid=21, fid=7)
    with database.write() as connection:
        document = documents.to_document(image)
        connection.execute(insert(tables.measurement).values(capture_id=1, number=0, mid=21, document=document))
    assert read(HEADING, row(21, at="02.03.2026 09:00:00"))[21].capture_id is None


def test_no_patient_is_kept_and_what_cannot_be_read_is_told(read, database):
    read(HEADING, row(), "garbage of DOE^JANE")
    with database.read() as connection:
        (alert,) = alerts(connection)
        assert "1 lines that could not be read, beside 1 that could" in alert["text"]
        kept = [str(connection.execute(select(table)).all()) for table in tables.metadata.sorted_tables]
    assert not [told for told in kept if "DOE" in told or "JANE" in told]
    read(HEADING, row(), row(22))
    with database.read() as connection:
        assert alerts(connection) == []


def test_somebody_s_notes_are_left_alone(read, database):
    assert read("DOE^JANE was here") == {}
    with database.read() as connection:
        assert alerts(connection) == []
