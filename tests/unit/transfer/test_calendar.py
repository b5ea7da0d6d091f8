"""The calendar of a destination: by the clock on the wall, over midnight and over both changes of the clock."""

from datetime import UTC, datetime
from math import inf

import pytest
from pydantic import ValidationError

from transfer.destinations.calendar import Period, rate_at

NIGHT = (Period(when="22:00-06:00", mbit_per_s=800.0),)


def at(text, periods=NIGHT, *, zone="Europe/Berlin", otherwise=100.0):
    return rate_at(datetime.fromisoformat(text).replace(tzinfo=UTC), periods, zone=zone, otherwise=otherwise)


@pytest.mark.parametrize(
    ("utc", "rate"),
    [
        ("2026-01-15T20:59:59", 100.0),
        ("2026-01-15T21:00:00", 800.0),
        ("2026-01-16T04:59:59", 800.0),
        ("2026-01-16T05:00:00", 100.0),
        # Summer time: the same clock on the wall, one hour earlier in UTC.
        ("2026-07-15T20:00:00", 800.0),
        ("2026-07-16T03:59:59", 800.0),
        ("2026-07-16T04:00:00", 100.0),
        # The night of 29 March 2026 lacks an hour, that of 25 October has one twice.
        ("2026-03-28T20:59:59", 100.0),
        ("2026-03-28T21:00:00", 800.0),
        ("2026-03-29T03:59:59", 800.0),
        ("2026-03-29T04:00:00", 100.0),
        ("2026-10-24T20:00:00", 800.0),
        ("2026-10-25T04:59:59", 800.0),
        ("2026-10-25T05:00:00", 100.0),
    ],
)
def test_night_and_day_over_the_year(utc, rate):
    assert at(utc) == rate


def test_an_hour_that_the_clock_shows_twice_counts_twice_and_one_it_leaves_out_never_comes():
    hour = (Period(when="02:00-03:00", mbit_per_s=1.0),)
    fast = [at(f"2026-10-25T{h:02}:30:00", hour) for h in range(4)]
    assert fast == [1.0, 1.0, 100.0, 100.0]
    assert [at(f"2026-03-29T{h:02}:30:00", hour) for h in range(4)] == [100.0] * 4


def test_a_period_over_midnight_belongs_to_the_day_it_begins_on():
    friday = (Period(when="Fri 22:00-06:00", mbit_per_s=0.0),)
    assert at("2026-01-16T03:00:00", friday, zone="UTC") == 100.0  # the morning of Friday
    assert at("2026-01-16T22:00:00", friday, zone="UTC") == 0.0
    assert at("2026-01-17T05:59:00", friday, zone="UTC") == 0.0
    assert at("2026-01-17T22:00:00", friday, zone="UTC") == 100.0


def test_days_may_pass_the_week_s_end_and_the_first_period_decides():
    periods = (Period(when="Sat-Mon 00:00-24:00"), Period(when="Mon,Tue 00:00-24:00", mbit_per_s=5.0))
    rates = [at(f"2026-01-{day}T12:00:00", periods, zone="UTC") for day in range(16, 21)]
    assert rates == [100.0, inf, inf, inf, 5.0]


def test_without_limits_there_is_none():
    assert at("2026-01-16T12:00:00", (), otherwise=None) == inf


@pytest.mark.parametrize(
    "when", ["", "22-06", "22:00-22:00", "25:00-26:00", "Mo 01:00-02:00", "Mon- 01:00-02:00x", "Mon-Foo 01:00-02:00"]
)
def test_what_is_no_time_of_the_week_is_said(when):
    with pytest.raises(ValidationError, match=r"write|length|no time of day"):
        Period(when=when)
