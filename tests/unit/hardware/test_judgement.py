"""Findings hold until the value is back by its gap; a pool's growth is told only where its history tells it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.judgement import PoolSettings, bytes_over, judge, mode_of
from hardware.records import Limit, PoolMode, Reading, Severity, Space
from hardware.trends import forecast, quietness

DAY_S = 86_400.0
GB = 1_000_000_000
HOT = Limit(key="hot", what="celsius", warning=50, critical=60, gap=5, text="{of} is {value:.0f} °C hot{said}.")
LOW = Limit(key="low", what="charge", warning=20, critical=10, gap=2, is_low=True, text="{of}")


def course(limit, *values):
    """Return the severity after each value, as the alerts would have it."""
    was, seen = {}, []
    for value in values:
        reading = Reading(what=limit.what, of="sda", value=value)
        was = {finding.key: finding.severity for finding in judge([reading], [limit], was=was)}
        seen.append(was.get(f"{limit.key}:sda"))
    return seen


@pytest.mark.parametrize(
    ("limit", "values", "severities"),
    [
        (HOT, (49, 50, 46, 45, 44), (None, "warning", "warning", "warning", None)),
        (HOT, (61, 56, 54, 50, 44), ("critical", "critical", "warning", "warning", None)),
        (HOT, (46, 44), (None, None)),
        (
            LOW,
            (21, 20, 21, 22, 23, 9, 12, 13),
            (None, "warning", "warning", "warning", None, *["critical"] * 2, "warning"),
        ),
    ],
)
def test_a_finding_holds_until_the_value_is_back_by_the_gap(limit, values, severities):
    assert course(limit, *values) == [severity and Severity(severity) for severity in severities]


def test_a_finding_speaks_in_one_sentence_with_its_value():
    reading = Reading(what="celsius", of="sdb", value=55.4, said=" (slot 2)")
    (finding,) = judge([reading], [HOT, LOW], was={})
    assert (finding.key, finding.text) == ("hot:sdb", "sdb is 55 °C hot (slot 2).")


fills = st.integers(0, 100 * GB).map(lambda used: Space(used_bytes=used, free_bytes=100 * GB - used))


@given(space=fills, was=st.sampled_from(PoolMode))
def test_a_mode_once_reached_stays_at_the_same_fill(space, was):
    mode = mode_of(space, PoolSettings(), was=was)
    assert mode_of(space, PoolSettings(), was=mode) is mode


@given(space=fills, was=st.sampled_from(PoolMode))
def test_a_fuller_pool_never_takes_more(space, was):
    fuller = Space(used_bytes=space.used_bytes + GB, free_bytes=max(0, space.free_bytes - GB))
    assert mode_of(fuller, PoolSettings(), was=was).grade >= mode_of(space, PoolSettings(), was=was).grade


@given(space=fills)
def test_what_must_go_is_enough_and_not_more(space):
    over, limits = bytes_over(space, PoolSettings()), PoolSettings()
    freed = Space(used_bytes=space.used_bytes - over - 2, free_bytes=space.free_bytes + over + 2)
    assert mode_of(freed, limits, was=PoolMode.REFUSE) is PoolMode.NORMAL
    if over > 2:
        less = Space(used_bytes=space.used_bytes - over + 2, free_bytes=space.free_bytes + over - 2)
        assert mode_of(less, limits, was=PoolMode.REFUSE) is not PoolMode.NORMAL


def days(number, used, every_s=3600.0):
    return [(n * every_s, float(used(n * every_s / DAY_S))) for n in range(int(number * DAY_S / every_s))]


def test_a_steady_growth_says_when_the_pool_is_full():
    told = forecast(days(7, lambda day: 10 * GB + 5 * GB * day), free_bytes=50 * GB)
    assert told.bytes_per_day == pytest.approx(5 * GB)
    assert told.days_to_full == pytest.approx(10)


def test_a_burst_and_noise_do_not_turn_the_forecast():
    noise = random.Random(7)
    history = days(10, lambda day: 5 * GB * day + noise.gauss(0, GB) + (30 * GB if 4 < day < 4.4 else 0))
    assert forecast(history, free_bytes=50 * GB).days_to_full == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize(
    "history",
    [
        [],
        days(0.9, lambda day: 5 * GB * day),
        [(0.0, 0.0), (9 * DAY_S, 9.0 * GB)],
    ],
    ids=["none", "under a day", "two points"],
)
def test_too_little_history_tells_nothing(history):
    told = forecast(history, free_bytes=GB)
    assert (told.bytes_per_day, told.days_to_full) == (None, None)


@pytest.mark.parametrize(
    "used",
    [lambda day: 50 * GB - GB * day, lambda _: 5 * GB, lambda day: 20 * GB * (day % 1)],
    ids=["it empties", "it stands", "it fills and empties every day"],
)
def test_a_pool_that_does_not_grow_is_not_said_to_be_full_some_day(used):
    assert forecast(days(10, used), free_bytes=GB).days_to_full is None


MONDAY = 4 * DAY_S
"""1970-01-05, the first Monday of the seconds since 1970."""


def weeks(number, hours, days=5):
    """Return an arrival at each of these hours of the working days of some weeks."""
    return [
        MONDAY + week * 7 * DAY_S + day * DAY_S + hour * 3600.0
        for week in range(number)
        for day in range(days)
        for hour in hours
    ]


def at(week, day, hour):
    return MONDAY + (week * 7 + day) * DAY_S + hour * 3600.0


@pytest.mark.parametrize(
    ("now", "is_quiet"),
    [
        (at(3, 4, 18), False),
        (at(4, 0, 8), False),
        (at(4, 0, 10), False),
        (at(4, 0, 16), True),
        (at(4, 5, 12), True),
    ],
    ids=["friday evening", "monday morning", "monday ten", "monday afternoon", "the weekend after"],
)
def test_a_scanner_is_quiet_only_by_its_own_working_hours(now, is_quiet):
    ratio = quietness(weeks(4, range(8, 18)), now=now)
    assert ratio is not None
    assert (ratio > 4) is is_quiet


def test_nights_and_weekends_make_nobody_quiet():
    assert quietness(weeks(4, range(8, 18)), now=at(4, 0, 7)) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("arrivals", [[], weeks(1, range(8, 18)), weeks(4, [8], days=1)], ids=["none", "new", "rare"])
def test_without_habits_nobody_is_quiet(arrivals):
    assert quietness(arrivals, now=at(1 if len(arrivals) > 20 else 4, 5, 0)) is None
