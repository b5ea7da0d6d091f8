"""The pace that all uploads to one destination share, and the settings every kind of destination has."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from transfer.destinations.calendar import Period
from transfer.destinations.reach import Pace, Reach


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self):
        return datetime(2026, 1, 15, 21, 59, 50, tzinfo=UTC) + timedelta(seconds=self.slept)

    def monotonic(self):
        return self.slept

    def sleep(self, seconds):
        self.slept += max(0.0, seconds)


def reach(**more):
    return Reach(name="central", time_zone="UTC", **more)


def test_two_uploads_share_one_rate_and_no_block_comes_early():
    clock = FakeClock()
    pace = Pace(reach(limit_mbit_per_s=8.0), clock)  # one byte a microsecond
    one, two = pace.paced(iter([bytes(100_000)] * 5)), pace.paced(iter([bytes(100_000)] * 5))
    came = []
    for pair in zip(one, two, strict=True):
        assert [len(block) for block in pair] == [100_000, 100_000]
        came.append(clock.slept)
    assert came == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])


def test_the_rate_follows_the_calendar_in_the_middle_of_a_body():
    clock = FakeClock()
    night = Period(when="22:00-06:00", mbit_per_s=80.0)
    pace = Pace(reach(limit_mbit_per_s=8.0, calendar=(night,)), clock)
    for _ in pace.paced(iter([bytes(1_000_000)] * 31)):
        pass
    assert clock.slept == pytest.approx(12.0, abs=0.3)  # ten by day, then twenty ten times as fast


def test_a_body_that_has_begun_is_finished_when_the_calendar_closes():
    clock = FakeClock()
    pace = Pace(reach(limit_mbit_per_s=8.0, calendar=(Period(when="22:00-06:00", mbit_per_s=0.0),)), clock)
    assert pace.is_open()
    assert sum(len(block) for block in pace.paced(iter([bytes(1_000_000)] * 20))) == 20_000_000
    assert not pace.is_open()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limit_mbit_per_s": 0.0}, "nothing could ever go there"),
        ({"client_key": "/k.pem"}, "name the certificate"),
        ({"proxy": {"url": "http://p.example:1", "user": "u"}}, "or neither"),
        ({"proxy": {"url": "http://u:secret@p.example:1"}}, "pattern"),
        ({"time_zone": "Europe/Nowhere"}, "no time zone"),
        ({"at_once": 0}, "greater than or equal"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong, said):
    with pytest.raises(ValidationError, match=said):
        Reach(**({"name": "central"} | wrong))


def test_a_ceiling_counts_below_the_configured_rate_only():
    clock, ceiling = FakeClock(), [4.0]
    pace = Pace(reach(limit_mbit_per_s=8.0), clock)
    pace.obey(lambda: ceiling[0])
    list(pace.paced(iter([bytes(100_000)] * 6)))
    assert clock.slept == pytest.approx(1.0)
    ceiling[0] = 80.0
    list(pace.paced(iter([bytes(100_000)] * 6)))
    assert clock.slept == pytest.approx(1.0 + 0.2 + 0.5)
