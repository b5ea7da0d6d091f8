"""The clock of a scanner's store, by weeks of a simulated ring: what is endangered goes first, loss is told."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from transfer.feeds.endangered import is_endangered
from transfer.overwriting import Lain, Left, Ring

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
GB = 10**9
HOUR = timedelta(hours=1)


@dataclass
class Raw:
    born_at: datetime
    size: int
    gone_at: datetime | None = None
    left_to_read: float = 0.0
    told_at: datetime | None = None


@dataclass
class Scanner:
    """A store of 300 GB, working days of about 80 GB, and a relay that reads so much an hour, the oldest first."""

    gb_per_hour: float
    at: datetime = START
    capacity: int = 300 * GB
    files: list[Raw] = field(default_factory=list)
    random: Random = field(default_factory=lambda: Random(7))

    def run(self, *, days: int) -> None:
        for _ in range(days * 24):
            self._measure()
            self._overwrite()
            self._capture()
            if self.at.hour % 3 == 0:
                self._tell()
            self.at += HOUR

    def _measure(self) -> None:
        if self.at.weekday() < 5 and 8 <= self.at.hour < 18:
            for _ in range(self.random.randint(1, 3)):
                size = int(self.random.uniform(1, 7) * GB)
                self.files.append(Raw(self.at + len(self.files) * timedelta(microseconds=1), size, left_to_read=size))

    def _overwrite(self) -> None:
        there = [file for file in self.files if file.gone_at is None]
        while sum(file.size for file in there) > self.capacity:
            there.pop(0).gone_at = self.at

    def _capture(self) -> None:
        budget = self.gb_per_hour * GB
        for file in self.files:
            if file.gone_at is None and file.left_to_read and budget:
                taken = min(budget, file.left_to_read)
                file.left_to_read -= taken
                budget -= taken

    def ring(self) -> Ring:
        return Ring([Lain(file.born_at, file.size, file.gone_at) for file in self.files], now=self.at)

    def _tell(self) -> None:
        ring = self.ring()
        for file in self.files:
            left = ring.left(file.born_at)
            waits = file.gone_at is None and file.left_to_read and file.told_at is None
            if waits and left and is_endangered(left, age_s=(self.at - file.born_at).total_seconds()):
                file.told_at = self.at

    @property
    def lost(self) -> list[Raw]:
        return [file for file in self.files if file.gone_at and file.left_to_read]


def test_with_enough_bandwidth_nothing_wanted_is_lost_and_nothing_is_announced():
    scanner = Scanner(gb_per_hour=5.0)
    scanner.run(days=35)
    assert len([file for file in scanner.files if file.gone_at]) > 200, "the ring went round more than once"
    assert scanner.lost == []
    assert [file for file in scanner.files if file.told_at] == []


def test_with_too_little_each_loss_is_announced_a_day_before():
    scanner = Scanner(gb_per_hour=5.0)
    scanner.run(days=21)
    scanner.gb_per_hour = 1.5
    scanner.run(days=28)
    assert len(scanner.lost) > 30
    late = [file for file in scanner.lost if file.told_at is None or file.gone_at - file.told_at < timedelta(days=1)]
    assert late == []


def test_the_estimate_is_between_least_and_likely_and_sure():
    scanner = Scanner(gb_per_hour=5.0)
    scanner.run(days=28)
    there = [file for file in scanner.files if file.gone_at is None]
    told = {id(file): scanner.ring().left(file.born_at) for file in there}
    at = scanner.at
    scanner.run(days=14)
    real = {id(file): (file.gone_at - at).total_seconds() for file in there}
    assert all(left.is_sure for left in told.values())
    assert all(left.at_least_s <= real[n] + 3600 for n, left in told.items())
    day = 86_400
    assert all(abs(left.likely_s - real[n]) < 2.5 * day for n, left in told.items())


def test_before_anything_went_nobody_knows_unless_the_capacity_is_said():
    files = [Lain(START + n * HOUR, GB) for n in range(48)]
    now = START + 48 * HOUR
    assert Ring(files, now=now).left(START) is None
    left = Ring(files, now=now, capacity_bytes=100 * GB).left(START)
    assert left.at_least_s == pytest.approx(53 * 3600)
    assert not left.is_sure
    assert str(left) == "53 h to 54 h, roughly"


def test_what_a_person_deleted_among_older_files_tells_nothing():
    files = [Lain(START + n * HOUR, GB) for n in range(48)]
    files[40:] = [Lain(file.born_at, GB, START + 47 * HOUR) for file in files[40:]]
    assert Ring(files, now=START + 48 * HOUR).left(START) is None


def test_a_store_that_nothing_comes_to_keeps_what_it_has():
    files = [Lain(START, GB, START + HOUR), Lain(START + HOUR, GB)]
    left = Ring(files, now=START + timedelta(days=60)).left(START + HOUR)
    assert str(left) == "about over 30 days, roughly"
    assert Ring([], now=START).left(START) is None


@pytest.mark.parametrize(
    ("left_h", "age_h", "is_told"), [(35, 48, True), (37, 48, False), (20, 2, False), (20, 12, True), (0, 0, True)]
)
def test_a_short_store_is_no_alarm_by_itself(left_h, age_h, is_told):
    left = Left(left_h * 3600.0, left_h * 3600.0, is_sure=True)
    assert is_endangered(left, age_s=age_h * 3600.0) == is_told
