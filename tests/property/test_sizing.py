"""The formulas of sizing against a simulation that knows none of them: an hour is an hour, and a day has 24."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hardware.builds import BUILDS, smallest_build
from hardware.chart import chart
from hardware.sizing import FULL, Site, backlog, catch_up_hours, hours_of_buffer, needed_tb

_LONG_H = 24 * 400


@dataclass
class _World:
    """The pool of a relay, hour by hour."""

    come_per_hour: float
    hours: int
    go_per_hour: float
    waits: float = 0.0

    def pass_hour(self, hour: int, *, has_line: bool) -> float:
        """Go on by an hour; return in which part of it nothing waited any more, 1 if all of it something did."""
        comes = self.come_per_hour if hour % 24 < self.hours else 0.0
        goes = self.go_per_hour if has_line else 0.0
        before, after = self.waits, self.waits + comes - goes
        self.waits = max(0.0, after)
        return before / (before - after) if after <= 1e-9 * before < before else 1.0

    def starting_at(self, hour: int) -> "_World":
        """Let a day pass with its line until an hour of it."""
        for passed in range(hour):
            self.pass_hour(passed, has_line=True)
        return self


sites = st.builds(
    Site,
    scanners=st.integers(1, 6),
    gb_per_day=st.floats(1, 400),
    hours=st.integers(1, 24).map(float),
    uplink_mbit_per_s=st.floats(1, 2000),
    share=st.floats(0.2, 1.0),
)


def world(site: Site) -> _World:
    return _World(
        site.scanners * site.gb_per_day * site.share / site.hours,
        int(site.hours),
        site.uplink_mbit_per_s * 0.9 * 1e6 * 3600 / 8 / 1e9,
    )


def keeps_up(site: Site) -> bool:
    here = world(site)
    return here.go_per_hour * 24 > here.come_per_hour * here.hours * 1.02


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(sites, st.integers(0, 20 * 24))
def test_it_catches_up_when_the_simulation_does(site, outage_h):
    assume(keeps_up(site))
    here = world(site)
    for hour in range(outage_h):
        here.pass_hour(hour, has_line=False)
    hour, spent = outage_h, 0.0
    while here.waits > 0 and hour < _LONG_H + outage_h:
        spent += here.pass_hour(hour, has_line=True)
        hour += 1
    assume(hour < _LONG_H + outage_h)
    assert catch_up_hours(site, outage_h=outage_h) == pytest.approx(spent, abs=0.02, rel=1e-3)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(sites, st.integers(0, 20 * 24))
def test_the_pool_that_is_needed_is_the_fullest_of_the_simulation_s(site, outage_h):
    assume(keeps_up(site))
    fullest = 0.0
    for start in range(24):
        here = world(site).starting_at(start)
        for hour in range(start, start + outage_h):
            here.pass_hour(hour, has_line=False)
        fullest = max(fullest, here.waits)
    needed = needed_tb(site, outage_h=outage_h) * 1000 * FULL
    assert needed == pytest.approx(fullest, rel=1e-6, abs=1e-6)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(sites, st.floats(0.05, 20))
def test_the_buffer_lasts_as_long_as_the_simulation_s(site, days):
    assume(keeps_up(site))
    room = days * site.scanners * site.gb_per_day * site.share
    first = float("inf")
    for start in range(24):
        here = world(site).starting_at(start)
        assume(here.waits < room)
        hour = start
        while here.waits < room and hour - start < _LONG_H:
            before = here.waits
            here.pass_hour(hour, has_line=False)
            hour += 1
        assume(hour - start < _LONG_H)
        first = min(first, hour - start - 1 + (room - before) / (here.waits - before))
    smaller, larger = (hours_of_buffer(site, pool_tb=room / 1000 / FULL * part) for part in (1 - 1e-6, 1 + 1e-6))
    assert smaller <= first * (1 + 1e-6)
    assert larger >= first - 1 - 1e-6


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(sites, st.integers(0, 20 * 24))
def test_a_pool_as_large_as_needed_lasts_that_long(site, outage_h):
    assume(keeps_up(site))
    needed = needed_tb(site, outage_h=outage_h)
    assume(needed > 1e-3)
    assert hours_of_buffer(site, pool_tb=needed * 1.001) >= outage_h * 0.999


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(sites, st.integers(1, 72))
def test_the_curve_ends_where_nothing_waits(site, outage_h):
    assume(keeps_up(site))
    after_h = catch_up_hours(site, outage_h=outage_h)
    assume(after_h < _LONG_H)
    points = list(backlog(site, outage_h=outage_h))
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (outage_h + after_h, pytest.approx(0, abs=1e-6 * max(gb for _, gb in points)))
    drawn = ET.fromstring(chart(points, title="a day", across="h", up="GB", limits=[(1000, "<full>")]))
    assert len([line for line in drawn.iter() if line.get("stroke") == "#246"]) == len(points) - 1


def test_a_line_that_does_not_keep_up_never_does():
    site = Site(gb_per_day=1000, uplink_mbit_per_s=10)
    assert hours_of_buffer(site, pool_tb=18) is None
    assert catch_up_hours(site, outage_h=24) is None
    assert len(list(backlog(site, outage_h=24))) > 1


def test_raw_data_never_go_into_the_small_box():
    site = Site(gb_per_day=1, uplink_mbit_per_s=100)
    assert smallest_build(site, outage_h=24, is_raw=False) == BUILDS[0]
    assert smallest_build(site, outage_h=24, is_raw=True) == BUILDS[2]
    assert smallest_build(Site(gb_per_day=9000, uplink_mbit_per_s=2000), outage_h=24 * 9, is_raw=True) is None
