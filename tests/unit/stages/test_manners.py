"""Manners towards a scanner: its windows over both changes of the clock, its signs of measuring, and a stop midway."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from kspace.calendar import next_opening
from kspace.sources.share import Share, ShareSettings
from kspace.twix.synthetic import Synthetic, write_twix
from transfer.records import Capture, Done, Later
from transfer.stages.manners import Manners, MannersSettings, Sign, polite
from transfer.stages.pack import pack
from transfer.states import CaptureState

NIGHT = {"windows": ("22:00-06:00",), "time_zone": "Europe/Berlin"}


@dataclass
class SetClock:
    at: datetime = datetime(2026, 3, 2, 12, tzinfo=UTC)
    signs: list[Sign] = field(default_factory=list)

    def now(self):
        return self.at

    def monotonic(self):
        return self.at.timestamp()

    def sleep(self, seconds):
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def manners(clock):
    def build(**settings):
        return Manners(MannersSettings(**settings), clock=clock, signs=lambda: clock.signs)

    return build


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-01-15T12:00", "2026-01-15T21:00"),
        ("2026-07-15T12:00", "2026-07-15T20:00"),
        ("2026-03-28T12:00", "2026-03-28T21:00"),
        ("2026-03-29T12:00", "2026-03-29T20:00"),
        ("2026-10-25T12:00", "2026-10-25T21:00"),
    ],
)
def test_a_window_opens_by_the_clock_on_the_wall(now, opens):
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert next_opening(["22:00-06:00"], at, "Europe/Berlin") == datetime.fromisoformat(opens).replace(tzinfo=UTC)


def test_the_next_of_several_windows_counts_and_none_is_none():
    monday = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert next_opening(["Sun 01:00-02:00", "Thu,Fri 03:00-04:00"], monday, "UTC") == datetime(
        2026, 3, 5, 3, tzinfo=UTC
    )
    assert next_opening(["Mon 12:00-13:00"], monday, "UTC") == monday + timedelta(days=7)
    assert next_opening([], monday, "UTC") is None


def test_outside_its_window_nothing_is_read_and_it_is_said_when_it_opens(manners, clock):
    night = manners(**NIGHT)
    assert night.waits() == Later("Waits for the scanner's window, which opens Mon 22:00.", 900.0)
    clock.at = datetime(2026, 3, 2, 20, 59, tzinfo=UTC)
    assert night.waits().after_s == 60.0
    clock.sleep(60)
    assert night.waits() is None


def test_without_windows_and_signs_nothing_waits(manners, clock):
    clock.signs = [Sign("raw data came", clock.at)]
    assert manners().waits() is None


def test_it_holds_until_the_scanner_has_been_idle(manners, clock):
    held = manners(hold_while_scanning=True, idle_s=600.0, time_zone="UTC")
    assert held.waits() is None
    clock.sleep(5)
    clock.signs = [Sign("raw data came", clock.at - timedelta(seconds=60)), Sign("images came", clock.at)]
    assert held.waits() == Later(
        "Waits while the scanner measures (images came at 12:00); goes on 600 s after the last sign.", 600.0
    )
    clock.sleep(590)
    clock.signs = [Sign("raw data came", clock.at)]
    assert held.waits().after_s == 600.0
    clock.sleep(601)
    assert held.waits() is None


def test_a_pack_stops_at_a_chunk_when_the_window_ends_and_goes_on_in_the_next(tmp_path, manners, clock):
    (tmp_path / "spool").mkdir()
    share = Counting(tmp_path)
    write_twix(tmp_path / "a.dat", Synthetic(readouts=800, channels=2, samples=256))
    capture = Capture(
        id=1,
        state=CaptureState.SETTLED,
        scanner="prisma",
        source="prisma/1",
        file=share.stat("a.dat"),
        changed_at=clock.at,
        since_at=clock.at,
        as_is=False,
        audit=None,
        measurements=(),
        sha256=None,
        manifest=None,
        match=None,
    )
    clock.at = datetime(2026, 3, 2, 21, 30, tzinfo=UTC)
    told = []

    def progress():
        told.append(clock.at)
        clock.sleep(3600)

    def read(capture, progress):
        return pack(
            capture,
            source=share,
            spool=tmp_path / "spool",
            codec="zstd",
            chunk_bytes=65_536,
            cuts=(),
            twin_of=lambda _sha256, _id: None,
            room_for=lambda *_: nullcontext(True),
            progress=progress,
        )

    stage = polite(read, manners={"prisma": manners(**NIGHT)})
    stopped = stage(capture, progress)
    assert isinstance(stopped, Later)
    assert "opens Tue 22:00" in stopped.reason
    before, share.reads[:] = list(share.reads), []
    kept = max(at + length for at, length in before)
    assert stage(capture, progress) == stopped
    assert not share.reads, "nothing is read while the window is closed"
    clock.at = datetime(2026, 3, 3, 21, 0, tzinfo=UTC)
    assert isinstance(stage(capture, lambda: None), Done)
    assert 0 < min(at for at, _ in share.reads) <= kept, "it goes on where it stopped"


class Counting(Share):
    def __init__(self, folder):
        super().__init__(ShareSettings(path=folder))
        self.reads = []

    def open(self, path):
        return Opened(super().open(path), self.reads)


class Opened:
    def __init__(self, opened, reads):
        self.opened, self.reads = opened, reads

    def __enter__(self):
        self.reader = self.opened.__enter__()
        return self

    def __exit__(self, *error):
        return self.opened.__exit__(*error)

    def read(self, offset, length):
        self.reads.append((offset, length))
        return self.reader.read(offset, length)
