"""What a site really gives, as sizing takes it from the catalog: by its busiest week, and never more than was seen."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from transfer.catalog import tables
from transfer.catalog.notices import note
from transfer.catalog.usage import usage

GB = 1_000_000_000
DAY = timedelta(days=1)


@pytest.fixture
def site(database, clock):
    """Let files of scanners be packed, and delivered in so many seconds, so many days ago."""
    studies = {"study_uid": "1.2", "called_ae": "K", "calling_ae": "S", "document": {}}
    with database.write() as connection:
        instants = {"first_arrival_at": clock.now(), "last_arrival_at": clock.now()}
        connection.execute(insert(tables.study).values({"id": 1} | studies | instants))

    def put(number, *, scanner, days_ago, gb, sent_in_s=None):
        at = clock.now() - days_ago * DAY
        file = {"id": number, "scanner": scanner, "source": f"{scanner}/1", "path": f"{number}", "version": 1}
        file |= {"size": int(gb * GB), "mtime_ns": 1, "changed_at": at, "first_seen_at": at, "scope": "files"}
        work = {"state": "delivered", "since_at": at, "due_at": at, "id": number}
        to = {"kind": "raw", "study_id": 1, "destination": "central", "project": "P", "capture_id": number}
        with database.write() as connection:
            connection.execute(insert(tables.source_file).values(file))
            kept = {"source_file_id": number, "stored_bytes": int(gb * GB / 2)}
            connection.execute(insert(tables.capture).values(work | kept))
            connection.execute(insert(tables.delivery).values(work | to))
            events = [("capture", "capture.packed", at), ("capture", "capture.planned", at)]
            if sent_in_s:
                events.append(("delivery", "delivery.sent", at + timedelta(seconds=sent_in_s)))
            for subject, verb, when in events:
                said = {"subject": subject, "subject_id": number, "verb": verb, "before": "x", "after": "y"}
                note(connection, at=when, actor="relay", **said)

    return put


def seen(database, clock):
    with database.read() as connection:
        return usage(connection, now=clock.now())


def test_an_empty_catalog_tells_nothing(database, clock):
    found = seen(database, clock)
    assert (found.days, found.raw_gb_per_day, found.images_gb_per_day) == (0, {}, 0)
    assert found.share is found.uplink_mbit_per_s is None


def test_the_busiest_week_counts_and_what_is_older_than_four_does_not(database, clock, site):
    for day in range(7):
        site(day + 1, scanner="prisma", days_ago=day + 0.5, gb=10)
        site(day + 11, scanner="prisma", days_ago=day + 14.5, gb=70)
    site(30, scanner="vida", days_ago=20.9, gb=7)
    site(31, scanner="vida", days_ago=28.5, gb=9_000)
    found = seen(database, clock)
    assert found.raw_gb_per_day == {"prisma": pytest.approx(70), "vida": pytest.approx(1)}
    assert found.share == pytest.approx(0.5)
    assert found.days == pytest.approx(20.9)


def test_few_days_are_no_week(database, clock, site):
    site(1, scanner="prisma", days_ago=1.5, gb=30)
    site(2, scanner="prisma", days_ago=0.5, gb=30)
    assert seen(database, clock).raw_gb_per_day == {"prisma": pytest.approx(40)}


def test_the_line_is_what_large_deliveries_were_carried_with(database, clock, site):
    for number in range(1, 5):
        site(number, scanner="prisma", days_ago=1, gb=1, sent_in_s=40)
    site(5, scanner="prisma", days_ago=1, gb=0.01, sent_in_s=0.001)
    assert seen(database, clock).uplink_mbit_per_s is None, "four tell too little, and small ones nothing"
    site(6, scanner="prisma", days_ago=1, gb=1, sent_in_s=4000)
    assert seen(database, clock).uplink_mbit_per_s == pytest.approx(100)


def test_images_count_by_their_day(database, clock):
    with database.write() as connection:
        instants = {"first_arrival_at": clock.now(), "last_arrival_at": clock.now()}
        heads = {"called_ae": "K", "calling_ae": "S", "document": {}}
        connection.execute(insert(tables.study).values({"id": 1, "study_uid": "1.2"} | heads | instants))
        connection.execute(
            insert(tables.series).values({"id": 1, "study_id": 1, "series_uid": "1.3", "told": {}} | heads)
        )
        for number in range(14):
            image = {
                "series_id": 1,
                "sop_uid": f"1.4.{number}",
                "sha256": "a" * 64,
                "size": GB,
                "path": "x",
                "document": {},
            }
            at = clock.now() - (number // 2 + 0.1) * DAY
            connection.execute(insert(tables.instance).values(image | {"received_at": at}))
    assert seen(database, clock).images_gb_per_day == pytest.approx(2, rel=0.2)
