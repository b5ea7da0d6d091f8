"""Readings are kept, thinned and found again; what is beyond its limit is one alert of this machine's, and ends."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from hardware.readings import NoAnswer, NotHere
from hardware.records import Limit, Reading
from transfer.catalog import lists
from transfer.catalog.box_tables import reading
from transfer.catalog.readings import history, newest_readings, thin_readings, write_readings
from transfer.feeds.sample import Sampling, thin

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Thermometer:
    """A reader that shows what a test sets, or fails."""

    limits = (Limit(key="hot", what="celsius", warning=50, critical=60, gap=5, text="{of}: {value:.0f} °C"),)

    def __init__(self):
        self.shows = {"sda": 40.0}
        self.fails = None

    def read(self):
        for of, value in self.shows.items():
            yield Reading(what="celsius", of=of, value=value)
        if self.fails:
            raise self.fails


@pytest.fixture
def thermometer():
    return Thermometer()


@pytest.fixture
def sample(database, clock, thermometer):
    """Read once, a minute later, on this machine or another."""
    boxes = {
        name: Sampling("heat", thermometer, database=database, clock=clock, machine=name) for name in ("box-1", "box-2")
    }

    def turn(machine="box-1"):
        clock.sleep(60)
        boxes[machine]()
        with database.read() as connection:
            return {alert["key"]: (alert["severity"], alert["text"]) for alert in lists.alerts(connection)}

    return turn


def of(connection, *, since, what="celsius"):
    return [value for _, value in history(connection, what, "sda", machine="box-1", since=since)]


def test_a_history_thins_to_hours_and_days_and_keeps_the_last_of_each(database, clock):
    began = clock.at
    with database.write() as connection:
        for minute in range(0, 40 * 24 * 60, 20):
            at = began + timedelta(minutes=minute)
            read = [Reading(what="celsius", of="sda", value=minute)]
            write_readings(connection, read, machine="box-1", at=at)
    clock.at = began + 40 * DAY
    with database.write() as connection:
        write_readings(connection, [Reading(what="celsius", of="sda", value=1)], machine="box-2", at=began)
        write_readings(connection, [Reading(what="celsius", of="sda", value=2)], machine="box-2", at=began + HOUR / 2)
    assert thin(database=database, clock=clock, machine="box-1") > 0
    with database.write() as connection:
        assert thin_readings(connection, machine="box-1", now=clock.at) == 0, "thinned once is thinned"
        assert len(of(connection, since=clock.at - DAY)) == 24 * 3
        assert of(connection, since=clock.at - 3 * DAY)[:2] == [(37 * 24 + n) * 60 + 40 for n in (0, 1)]
        assert len(of(connection, since=began)) == 24 * 3 + 30.5 * 24 + 9, "whole days, and it began at noon"
        others = connection.execute(select(func.count()).where(reading.c.machine == "box-2")).scalar()
    assert others == 2, "each machine thins its own"


def test_the_newest_of_each_is_found_and_old_ones_are_not(database, clock):
    with database.write() as connection:
        for value, age in ((1, 3 * DAY), (2, HOUR), (3, timedelta())):
            for name in ("sda", "sdb")[: 2 if value < 3 else 1]:
                read = [Reading(what="celsius", of=name, value=value, said="warm")]
                write_readings(connection, read, machine="box-1", at=clock.at - age)
        write_readings(connection, [Reading(what="old", of="x", value=1)], machine="box-1", at=clock.at - 2 * DAY)
        found = newest_readings(connection, machine="box-1", now=clock.at)
    assert [(r.of, r.value, r.said, clock.at - at) for at, r in found] == [
        ("sda", 3, "warm", timedelta()),
        ("sdb", 2, "warm", HOUR),
    ]


def test_what_is_beyond_its_limit_is_an_alert_until_it_is_back(sample, thermometer):
    assert sample() == {}
    thermometer.shows = {"sda": 55.0, "sdb": 41.0}
    assert sample() == {"hot:sda@box-1": ("warning", "sda: 55 °C")}
    thermometer.shows = {"sda": 61.0, "sdb": 50.0}
    assert sample() == {"hot:sda@box-1": ("critical", "sda: 61 °C"), "hot:sdb@box-1": ("warning", "sdb: 50 °C")}
    thermometer.shows = {"sda": 46.0}
    assert sample() == {"hot:sda@box-1": ("warning", "sda: 46 °C")}, "a disk that was taken out has no alert"
    thermometer.shows = {"sda": 44.0}
    assert sample() == {}


def test_what_was_found_is_not_over_because_nobody_could_look(sample, thermometer):
    thermometer.shows["sda"] = 61
    hot = {"hot:sda@box-1": ("critical", "sda: 61 °C")}
    assert sample() == hot
    thermometer.shows, thermometer.fails = {}, NoAnswer("It hangs.")
    assert sample() == sample() == hot
    assert sample() == hot | {"reader:heat@box-1": ("warning", "The box cannot be watched in full (heat): It hangs.")}
    thermometer.fails = None
    assert sample() == {}, "it was looked, and the disk is another one now"


def test_two_boxes_on_one_catalog_keep_their_alerts_apart(sample, thermometer):
    thermometer.shows = {"sda": 55.0}
    sample("box-1")
    assert set(sample("box-2")) == {"hot:sda@box-1", "hot:sda@box-2"}
    thermometer.shows = {"sda": 40.0}
    assert set(sample("box-2")) == {"hot:sda@box-1"}


def test_a_reader_that_fails_is_logged_once_and_an_alert_only_if_it_goes_on(sample, thermometer, database, clock):
    thermometer.fails = NoAnswer("The thermometer hangs.")
    with capture_logs() as logs:
        alerts = [sample() for _ in range(3)]
        thermometer.fails = None
        alerts.append(sample())
    said = ("warning", "The box cannot be watched in full (heat): The thermometer hangs.")
    assert alerts == [{}, {}, {"reader:heat@box-1": said}, {}]
    assert [log["event"] for log in logs] == ["reader.failed", "reader.works"]
    with database.read() as connection:
        assert len(of(connection, since=clock.at - DAY)) == 4, "what was read before the failure is kept"


def test_a_tool_that_is_missing_is_said_once_and_is_no_alert(sample, thermometer, database, clock):
    thermometer.fails = NotHere("There is no thermometer.")
    with capture_logs() as logs:
        assert [sample() for _ in range(5)] == [{}] * 5
    assert [(log["event"], log["missing"]) for log in logs] == [("reader.failed", True)]
    with database.read() as connection:
        found = {r.what: r.said for _, r in newest_readings(connection, machine="box-1", now=clock.at)}
    assert found["reader_is_missing"] == "There is no thermometer."


def test_what_is_looked_at_every_few_seconds_is_stored_once_a_minute(database, clock, thermometer):
    often = Sampling("heat", thermometer, database=database, clock=clock, machine="box-1")
    for _ in range(25):
        often()
        clock.sleep(5)
    with database.read() as connection:
        assert len(of(connection, since=clock.at - DAY)) == 3
