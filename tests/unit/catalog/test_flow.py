"""What flows through the relay is read from the catalog: backlog, ages, last successes, growth; told beyond limits."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from hardware.judgement import judge
from hardware.records import Reading
from kspace.records import SourceFile
from transfer.catalog import tables
from transfer.catalog.flow import FlowReader, FlowSettings
from transfer.catalog.listings import record_listing
from transfer.catalog.readings import write_readings

DAY = timedelta(days=1)
GB = 1_000_000_000


@pytest.fixture
def flow(database, clock):
    """Read the flow: values by what and of, and the texts of findings by key."""
    reader = FlowReader(FlowSettings(), database=database, clock=clock, machine="box")

    def read():
        readings = list(reader.read())
        found = {finding.key: finding for finding in judge(readings, reader.limits, was={})}
        return {(r.what, r.of): r.value for r in readings}, found

    return read


@pytest.fixture
def found_file(database, clock):
    """List one more file on the scanner and let its capture stand in a state."""

    def put(number, *, state="settled", size=GB, sha256=None):
        file = SourceFile(path=f"{number}.dat", size=size, mtime_ns=number)
        record_listing(database, scanner="s", source="s/1", files=[file], at=clock.at, quiet_s=0)
        with database.write() as connection:
            change = update(tables.capture).where(tables.capture.c.state == "found")
            connection.execute(change.values(state=state, sha256=sha256))

    return put


def test_an_idle_relay_has_no_backlog(flow):
    values, found = flow()
    assert values == {
        (what, of): 0
        for what in ("backlog_count", "backlog_bytes", "oldest_unsent_seconds")
        for of in ("raw files", "images")
    }
    assert found == {}


def test_what_waits_long_is_told_and_what_is_held_or_done_is_not(flow, found_file, clock):
    found_file(1)
    found_file(2, state="held")
    found_file(3, state="delivered", sha256="a" * 64)
    clock.at += 3 * DAY
    values, found = flow()
    assert values["backlog_count", "raw files"] == 1
    assert values["backlog_bytes", "raw files"] == GB
    assert values["oldest_unsent_seconds", "raw files"] == 3 * 86_400
    assert values["last_capture_seconds", "s"] == 3 * 86_400
    assert found["unsent:raw files"].text.startswith("Some raw files have been on their way for 3.0 days.")


def test_a_pool_that_will_be_full_soon_is_told(flow, database, clock):
    with database.write() as connection:
        for hour in range(7 * 24):
            used = Reading(what="pool_used_bytes", of="spool", value=hour * GB)
            write_readings(connection, [used], machine="box", at=clock.at - 7 * DAY + timedelta(hours=hour))
        free = Reading(what="pool_free_bytes", of="spool", value=240 * GB)
        write_readings(connection, [free], machine="box", at=clock.at)
    values, found = flow()
    assert values["pool_growth_bytes_per_day", "spool"] == pytest.approx(24 * GB)
    assert values["pool_full_in_days", "spool"] == pytest.approx(10)
    assert "full in 10 days" in found["pool_full_soon:spool"].text


def test_a_scanner_that_sends_no_more_is_told(flow, database, clock):
    began = clock.at - 28 * DAY + timedelta(hours=1)
    for week in range(4):
        for day in range(5):
            for hour in range(8):
                at = began + timedelta(days=7 * week + day, hours=hour)
                file = SourceFile(path=f"{at}.dat", size=1, mtime_ns=1)
                record_listing(database, scanner="s", source="s/1", files=[file], at=at, quiet_s=0)
    values, found = flow()
    assert values["quiet_ratio", "raw files of s"] < 4
    clock.at += 2 * DAY
    values, found = flow()
    assert "No raw files of s came since 2026-02-" in found["quiet:raw files of s"].text


def test_what_is_paused_is_a_number_for_charts(flow, database, clock):
    with database.write() as connection:
        given = {"what": "source:s/1", "reason": "The share does not answer.", "failures": 1}
        connection.execute(insert(tables.pause).values(until_at=clock.at + DAY, **given))
    values, _ = flow()
    assert values["is_paused", "source:s/1"] == 1
