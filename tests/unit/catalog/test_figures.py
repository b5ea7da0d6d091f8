"""What reports and metrics count, of a small catalog that is known; reports come once, at their hour."""

import struct
import zlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import insert

from hardware.records import PoolMode, Reading
from hardware.sinks import Message, SinkSettings, Told
from transfer.catalog import figures, tables, totals
from transfer.catalog.notices import note, raise_alert
from transfer.catalog.readings import write_readings
from transfer.feeds.hand_over import HandingOver
from transfer.feeds.picture import bars
from transfer.feeds.summary import summarize

GB = 1_000_000_000
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def pixels(png: bytes) -> np.ndarray:
    """Decode a PNG of our own: no filter, no interlace."""
    columns, rows = struct.unpack(">II", png[16:24])
    start = png.index(b"IDAT") + 4
    length = struct.unpack(">I", png[start - 8 : start - 4])[0]
    flat = np.frombuffer(zlib.decompress(png[start : start + length]), np.uint8)
    return flat.reshape(rows, 1 + columns * 3)[:, 1:].reshape(rows, columns, 3)


@pytest.fixture
def filled(database, clock):
    """Three files of two scanners: proved a day ago, proved three hours ago, held; and one study on its way."""
    now = clock.now()
    seen = {"called_ae": "K", "calling_ae": "S", "document": {}}

    events: list[tuple] = []

    def write(connection, at, verb, number, before="x"):
        subject, _, after = verb.partition(".")
        note(
            connection, at=at, actor="relay", subject=subject, subject_id=number, verb=verb, before=before, after=after
        )

    with database.write() as connection:
        study = {"id": 1, "study_uid": "1.2", "first_arrival_at": now, "last_arrival_at": now}
        connection.execute(insert(tables.study).values(study | seen))
        for number, (scanner, state, hours) in enumerate(
            [("prisma", "retired", 30), ("prisma", "planned", 3), ("vida", "held", 2)], start=1
        ):
            at = now - hours * HOUR
            file = {"id": number, "scanner": scanner, "source": f"{scanner}/1", "path": f"{number}", "version": 1}
            file |= {"size": number * GB, "mtime_ns": 1, "changed_at": at, "first_seen_at": at, "scope": "files"}
            connection.execute(insert(tables.source_file).values(file))
            work = {"state": state, "since_at": at, "due_at": at}
            packed = {"stored_bytes": number * GB // 2, "held_code": "file_vanished" if state == "held" else None}
            connection.execute(insert(tables.capture).values({"id": number, "source_file_id": number} | work | packed))
            events.append((at, "capture.packed" if state != "held" else "capture.held", number))
        to = {"kind": "raw", "study_id": 1, "destination": "central", "project": "P"}
        for number, state, hours in ((1, "verified", 29), (2, "queued", 3)):
            at = now - hours * HOUR
            work = {"id": number, "capture_id": number, "state": state, "since_at": at, "due_at": at}
            connection.execute(insert(tables.delivery).values(to | work))
            if state == "verified":
                events.append((at, "delivery.verified", number))
                events.append((at, "delivery.verified", number, "verified"))
        for happened in sorted(events):
            write(connection, *happened)
    return database


def test_what_stands_where_and_what_was_done(filled):
    look = totals.Totals()
    with filled.read() as connection:
        found, done = figures.standing(connection), look.look(connection)
        oldest = figures.oldest_unsent(connection)
    assert found["captures"] == {("retired",): 1, ("planned",): 1, ("held",): 1}
    assert found["waiting_bytes"] == {("prisma",): 2 * GB, ("vida",): 3 * GB}
    assert found["backlog_bytes"] == {("central", "raw"): GB}
    assert found["waiting_deliveries"] == {("central", "raw", "queued"): 1}
    assert {key: one.number for key, one in done.items()} == {
        ("packed", "prisma", ""): 2,
        ("held", "vida", ""): 1,
        ("verified", "central", "raw"): 1,  # proved again is not proved twice
    }
    assert done["packed", "prisma", ""].source_bytes == 3 * GB
    assert set(oldest) == {"prisma", "vida"}


def test_totals_go_on_from_the_last_look(filled, clock):
    look, fresh = totals.Totals(), totals.Totals()
    with filled.read() as connection:
        look.look(connection)
    with filled.write() as connection:
        said = {"subject": "capture", "subject_id": 3, "verb": "capture.packed", "before": "settled", "after": "packed"}
        note(connection, at=clock.now(), actor="relay", **said)
    with filled.read() as connection:
        assert look.look(connection) == fresh.look(connection)
        assert look.look(connection)["packed", "vida", ""].number == 1
        before = totals.Totals().look(connection, until=clock.now() - HOUR)
        assert ("packed", "vida", "") not in before


class Wall:
    def __init__(self) -> None:
        self.got: list[Message] = []

    def answers(self) -> None:
        """Say nothing."""

    def tell(self, message: Message) -> Told:
        self.got.append(message)
        return Told(answer="read")


def test_a_report_comes_once_a_day_at_its_hour_with_a_picture(filled, clock):
    settings = SinkSettings(name="wall", reports=("daily", "weekly"), time_zone="UTC")
    who = {"relay": "box-1", "site": "north"}
    wall = Wall()
    hand_over = HandingOver(wall, settings, database=filled, clock=clock, **who)
    with filled.write() as connection:
        read = [Reading(what="pool_mode", of="spool", value=PoolMode.NORMAL.grade)]
        read += [Reading(what=f"pool_{w}_bytes", of="spool", value=v * GB) for w, v in (("used", 300), ("free", 100))]
        write_readings(connection, read, machine="box-1", at=clock.now())
        raise_alert(connection, key="capture:3", severity="warning", text="Held.", at=clock.now())

    def due() -> list[str]:
        return summarize({"wall": settings}, database=filled, clock=clock, **who)

    assert due() == ["report:daily:2026-03-01"]  # a Sunday, noon
    assert due() == []
    hand_over()
    (report,) = wall.got
    lines = report.text.splitlines()
    assert "Captured   1 raw file, 2.0 GB, packed 1.0 GB" in lines
    assert "Delivered  0 raw files, 0.0 GB; 0 studies" in lines
    assert "Held       1 new, 1 in all" in lines
    assert "Lost       1 gone before they were captured, 0 lost by an archive" in lines
    assert "Alerts     1 open, 1 of them seen to by nobody" in lines
    assert [line.split() for line in lines if line.startswith(("prisma", "vida", "central", "spool"))] == [
        ["prisma", "1", "2.0", "1", "2.0", "3", "h"],
        ["vida", "0", "0.0", "1", "3.0", "2", "h"],
        ["central", "0", "0", "1", "1.0"],
        ["spool", "75", "%", "100.0", "normal", "-"],
    ]
    assert report.picture.alt.endswith("The highest bar is 1.0 GB.")
    clock.sleep(18.9 * 3600)  # 06:54
    assert due() == []
    clock.sleep(360)
    assert due() == ["report:daily:2026-03-02", "report:weekly:2026-03-02"]
    clock.sleep(9 * 86_400)
    assert due() == ["report:daily:2026-03-11", "report:weekly:2026-03-09"], "Monday's, on Wednesday"
    assert due() == []


def test_the_picture_shows_each_value_where_it_belongs():
    drawn = pixels(bars([(0.0, 0.0), (4.0, 1.0), (0.0, 2.0)], begins=("07:00", "08:00", "09:00")))
    under = drawn[34:232, 92:628]
    blue, green = ((under == colour).all(axis=2) for colour in ((70, 120, 180), (80, 160, 90)))
    third = under.shape[1] // 3
    heights = [
        [int(mask[:, n * third : (n + 1) * third].any(axis=1).sum()) for n in range(3)] for mask in (blue, green)
    ]
    assert heights == [[0, 198, 0], [0, 49, 99]], "the axis ends at 4 GB"
    nothing = pixels(bars([(0.0, 0.0)], begins=("07:00",)))[34:]
    assert not (nothing == (70, 120, 180)).all(axis=2).any()


def test_the_axes_of_the_picture_can_be_read():
    """Letters are found where they belong, by their own dots: a picture without them is another picture."""

    def inks(*values: float, begins: tuple[str, ...]) -> np.ndarray:
        return (pixels(bars([(value, 0.0) for value in values], begins=begins)) == (60, 60, 60)).all(axis=2)

    one, other = inks(4.0, 4.0, begins=("07:00", "08:00")), inks(40.0, 4.0, begins=("07:00", "09:00"))
    assert one[:, :84].sum() > 200, "GB beside the lines"
    assert one[232:].sum() > 200, "times below"
    assert (one[:, :84] != other[:, :84]).any(), "4 GB is not 40 GB"
    assert (one[237:, 92:190] == other[237:, 92:190]).all()
    assert (one[237:, 360:] != other[237:, 360:]).any()


def test_a_report_of_nothing_is_a_report(database, clock):
    settings = SinkSettings(name="wall", reports=("daily",), time_zone="UTC")
    assert summarize({"wall": settings}, database=database, clock=clock, relay="r", site="") == [
        f"report:daily:{datetime(2026, 3, 1, tzinfo=UTC):%Y-%m-%d}"
    ]
