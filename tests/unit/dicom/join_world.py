"""A world of sessions with known truth, to judge the join by. It knows scanners, and nothing of how the join decides.

Five scanners, one of which is upgraded from VE to XA; equal protocol names, protocol numbers, MIDs and times of day on
all of them; clocks that jump; counters that start anew; something on the way that cuts, renames or removes; whatever
else goes wrong in a scanner room.
"""

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from itertools import count
from uuid import UUID

from dicom.records import Series
from kspace.records import Measurement

_DAY = 24 * 3600 * 400
_HOUR = 3600 * 400
_SECOND, _MINUTE = 400, 60 * 400
_NAMES = ("t1_mprage", "ep2d_bold", "gre_field_mapping", "t2_tse", "ep2d_diff", "svs_se_30")
_SCANNERS = (
    ("35287", "TrioTim", "32", ("syngo MR B19",)),
    ("67088", "Prisma_fit", "43", ("syngo MR E11",)),
    ("18920", "Investigational_Device_7T_Plus", "34", ("syngo MR E12",)),
    ("210001", "MAGNETOM Vida", "50", ("syngo MR XA30",)),
    ("213010", "MAGNETOM Cima.X", "63", ("syngo MR E11", "syngo MR XA61")),
)


_LINES = {"B": "VB", "E": "VE", "XA": "XA"}


class Truth(StrEnum):
    """What is true of a raw file, once everything has arrived."""

    SEEN = "has a series, keys agree"
    STRIPPED = "has a series, private elements removed"
    BLURRED = "has a series, keys cut or shifted"
    IMAGELESS = "has none, study is known"
    STRANGER = "study shows no key"
    TWICE = "its number was given twice at one time of day"
    UNTOLD = "its number was given twice at one time of day, the other raw file is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTruth:
    """A raw file, its study and the series that were made of it."""

    measurement: Measurement
    line: str
    truth: Truth
    study_uids: frozenset[str]
    """Of its visit: one, or several where it was closed and opened again."""
    series_uids: frozenset[str]
    keyed_uids: frozenset[str]
    """Those of them whose keys are there and unchanged: of the study, the protocol's number, and exact times."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything the scanners exported and everything that was sent, in the order of sending."""

    raw: list[RawTruth] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)


class _Session:
    """One visit on one scanner."""

    def __init__(self, world: World, dice: random.Random, number: int) -> None:
        self.world, self.dice = world, dice
        self.serial, self.model, self.code, versions = _SCANNERS[number % len(_SCANNERS)]
        self.software = versions[-1] if dice.random() < 0.5 else versions[0]
        self.is_xa = "XA" in self.software
        day = 1 + number // (2 * len(_SCANNERS))  # two sessions of a scanner a day
        self.stamp = f"2026{1 + day // 28:02}{1 + day % 28:02}"
        root = f"1.3.12.2.1107.5.2.{self.code}.{self.serial}"
        self.study_uid = f"{root}.30000026{number:017}"
        self.study_uids = [self.study_uid]
        frames = dice.choice((1, 1, 3))
        self.frames = [f"{self.stamp}{dice.randrange(10**9):09}" for _ in range(frames)]
        self.root = root
        # Every morning at the same tick, on every scanner; or across midnight. On the whole second, or not.
        morning, noon, night = 8 * _HOUR, 13 * _HOUR + dice.randrange(9999), _DAY - _HOUR // 6
        self.now = dice.choice((morning, morning + 77, noon, night, night + 31))
        self.mids = count(dice.choice((1, 1, 100)))
        self.series_numbers, self.images = count(1), count(1)
        self.protocol_number = 0
        self.cut = dice.choice(("no time", "seconds")) if dice.random() < 0.06 else ""  # what the way leaves of times
        self.stripped = dice.choice((1.0, 1.0, 0.5)) if dice.random() < 0.15 else 0.0  # of how many series
        self.is_renamed = dice.random() < 0.04  # something on the way gives new UIDs
        self.shift = dice.choice((1, 2, 3, 7, 400, -800)) if dice.random() < 0.05 else 0  # two clocks in one scanner
        self.no_serial = dice.random() < 0.1
        self.planned_on: tuple[str, ...] = ()
        self.jump = 0  # of the clock, in the middle of a scan
        self.ran: list[Measurement] = []

    def run(self) -> None:
        first = len(self.world.raw)
        self._visit()
        uids = frozenset("2.25." + uid[-15:] if self.is_renamed else uid for uid in self.study_uids)
        captured = {id(raw.measurement.ticks) for raw in self.world.raw[first:]}
        for n, raw in enumerate(self.world.raw[first:], first):
            mine, off = raw.measurement, abs(self.shift)
            twice = {id(other.ticks) in captured for other in self.ran if _is_twice(mine, other, off=off)}
            truth = Truth.UNTOLD if False in twice else Truth.TWICE if twice else raw.truth
            self.world.raw[n] = replace(raw, study_uids=uids, truth=truth)

    def _visit(self) -> None:
        self.scan("localizer", readouts=48)
        shown = sorted(self.world.series[-1].sop_uids)[:3]  # as the scanner named them
        self.planned_on = tuple(uid.replace(f"2.25.{self.serial}", self.root) for uid in shown)
        for _ in range(self.dice.randint(4, 10)):
            name = self.dice.choice(_NAMES)
            getattr(self, "_" + self.dice.choice(_EVENTS))(name)
            if self.dice.random() < 0.04:
                self.protocol_number = 0  # the host was started anew
            if self.dice.random() < 0.01:  # closed and opened again: two studies of one registration
                self.study_uid += ".2"
                self.study_uids.append(self.study_uid)
            if self.dice.random() < 0.03:
                self.now -= self.dice.randrange(self.dice.choice((_MINUTE, _HOUR // 4)))  # the clock was set back
            if self.dice.random() < 0.02:
                self.now += self.dice.randrange(_HOUR)  # or forward
            self.now += self.dice.randrange(400, 60 * 400)

    # --- what happens in a scanner room ---

    def _plain(self, name: str) -> None:
        self.scan(name)

    def _repeated(self, name: str) -> None:
        for _ in range(3):
            self.scan(name)
            self.now += 4000

    def _magnitude_and_phase(self, name: str) -> None:
        self.scan(name, series=2)

    def _derived(self, name: str) -> None:
        raw = self.scan(name)
        first = self.world.series[-1]
        shown = self.dice.choice(((), tuple(first.ticks)))
        maps = self._series(name, raw.measurement, ticks=shown, frame=first.frame_of_reference)
        self._belongs(raw, maps)

    def _echoes(self, name: str) -> None:
        self.scan(name, series=3, echoes=2)

    def _volumes(self, name: str) -> None:
        self.scan(name, readouts=1200, images=40)

    def _broken_off_and_repeated(self, name: str) -> None:
        self.scan(name, readouts=self.dice.choice((0, 7, 100)), series=0)
        if self.dice.random() < 0.5:
            self.protocol_number -= 1  # the repeat has the same number
        self.now += 2000
        self.scan(name)

    def _around_a_jump(self, name: str) -> None:
        """The clock is set back while the scan is repeated: the repeat runs, by its times, during the first one."""
        is_renumbered = self.dice.random() < 0.7
        first = self.scan(name, series=self.dice.choice((0, 1, 1)), readouts=self.dice.choice((40, 192)))
        if self.dice.random() < 0.2:
            self.world.raw.pop()
        began, length = self.now_before, (self.now - self.now_before) % _DAY
        later = self.dice.randrange(1, length + 2)
        self.now = began + self.dice.choice((-1, 0, 1, self.step, later, later))
        self.protocol_number -= not is_renumbered
        again = self.scan(name, like=first.measurement, images=self.dice.choice((1, 4)))
        if self.dice.random() < 0.2:
            self.world.raw.pop()
        elif self.dice.random() < 0.2:
            self.scan(name, like=again.measurement)
        self.now += 2 * length

    def _one_after_the_other(self, name: str) -> None:
        """Three of one protocol, each of which begins within a tick of the end of the one before."""
        for _ in range(3):
            self.scan(name, images=1)
            self.now -= self.step - self.dice.choice((1, 2))

    def _set_during(self, name: str) -> None:
        """The clock is set while the scan runs."""
        self.jump = self.dice.choice((-1, 1)) * self.dice.randrange(1, 2 * _MINUTE)
        self.scan(name)
        self.jump = 0

    def _navigated(self, name: str) -> None:
        """Noise or reference lines come first; all slices of a volume carry one time."""
        self.scan(name, images=1, before=self.dice.choice((3, 24)))

    def _image_without_raw(self, name: str) -> None:
        self.scan(name)
        self.world.raw.pop()

    def _raw_without_image(self, name: str) -> None:
        self.scan(name, series=0)

    def _reconstructed_again(self, name: str) -> None:
        raw = self.scan(name)
        later = self._series(name, raw.measurement, ticks=tuple(raw.measurement.ticks[:3]))
        raw = self._belongs(raw, later)
        again = replace(raw.measurement, mid=3_000_000 + next(self.mids))
        self.world.raw.append(replace(raw, measurement=again))

    def _exported_twice(self, name: str) -> None:
        self.world.raw.append(self.scan(name))

    def _spectrum(self, name: str) -> None:
        self.scan(name, readouts=64, images=1, frame=f"{self.root}.300000250116173")

    def _adjustment(self, name: str) -> None:
        self.scan("AdjCoilSens", series=0, readouts=32)
        if self.dice.random() < 0.3:
            self.protocol_number -= 1  # it has the number of what needs it
        if self.dice.random() < 0.3:
            self.world.raw.pop()  # nobody asked for it
        self.scan(name)
        if self.dice.random() < 0.1:
            self.world.raw.pop()

    # --- how a scanner writes it down ---

    def scan(
        self,
        name: str,
        *,
        readouts: int = 192,
        series: int = 1,
        images: int = 4,
        echoes: int = 1,
        before: int = 0,
        frame: str = "",
        like: Measurement | None = None,
    ) -> RawTruth:
        self.protocol_number += 1
        number = self.protocol_number if self.is_xa else -self.protocol_number
        ticks = self._run(readouts, like)
        stamp = self.dice.choice(self.frames)
        measurement = Measurement(
            index=0,
            offset=0,
            header_bytes=1,
            baseline="XA" if self.is_xa else self.software[-3:],
            mid=next(self.mids),
            serial=self.serial,
            software=self.software,
            model=self.model,
            protocol=name,
            lprotid=number,
            protocol_digest=sha256(f"{name}{number}".encode()).hexdigest()[:16],
            free_uuid=str(UUID(int=self.dice.getrandbits(128))) if name == "ep2d_bold" else None,
            frame_of_reference=f"{self.root}.1.{stamp}.0.0.0",
            study_uid=self.study_uid if self.is_xa else None,
            study_loid=self.study_uid[-8:],
            reference_image_uids=self.planned_on,
            ticks=ticks,
        )
        self.ran.append(measurement)
        seen = f"{self.root}.{self.dice.choice('12') if self.is_xa else 1}.{stamp}.0.0.0"
        made = []
        for n in range(series):
            every = max(1, (readouts - before) // images)
            first = before + (echoes * n if echoes > 1 else 0)
            made.append(self._series(name, measurement, ticks=tuple(ticks[first::every][:images]), frame=frame or seen))
        raw = RawTruth(
            measurement=measurement,
            line=_LINES[measurement.baseline[:2] if self.is_xa else measurement.baseline[0]],
            truth=Truth.SEEN,
            study_uids=frozenset(),
            series_uids=frozenset(),
            keyed_uids=frozenset(),
        )
        self.world.raw.append(raw)
        for one in made:
            raw = self._belongs(raw, one)
        if not made:
            raw = self._belongs(raw, None)
        return raw

    def _run(self, readouts: int, like: Measurement | None) -> array:
        """Let the scanner run, and return the time stamp of each readout."""
        known = like is not None and len(like.ticks) > 1
        self.step = (like.ticks[1] - like.ticks[0]) % _DAY if known else self.dice.choice((1, 4, 4, 100))
        self.now_before = self.now
        jumped = (self.jump if n >= readouts // 2 else 0 for n in range(readouts))
        ticks = array("I", ((self.now + n * self.step + jump) % _DAY for n, jump in enumerate(jumped)))
        self.now = (self.now + max(readouts, 1) * self.step + self.jump) % _DAY
        return ticks

    def _study_seen(self) -> str:
        return f"2.25.{self.study_uid[-15:]}" if self.is_renamed else self.study_uid

    def _series(self, name: str, of: Measurement, *, ticks: tuple[int, ...], frame: str | None = None) -> Series:
        number = next(self.series_numbers)
        root = f"2.25.{self.serial}" if self.is_renamed else self.root
        is_stripped = self.dice.random() < self.stripped
        made = Series(
            series_uid=f"{root}.{self.study_uid[-12:]}.{number}",
            study_uid=self._study_seen(),
            number=number,
            protocol=name,
            modality="MR",
            serial=None if self.no_serial or self.is_renamed else self.serial,
            software=self.software,
            lprotid=None if is_stripped else of.lprotid,
            protocol_digest=None if is_stripped else of.protocol_digest,
            free_uuid=None if is_stripped else of.free_uuid,
            frame_of_reference=f"2.25.{number}" if self.is_renamed else frame or of.frame_of_reference,
            sop_uids=frozenset(f"{root}.{self.study_uid[-12:]}.{number}.{next(self.images)}" for _ in range(3)),
            ticks=frozenset(() if self.cut == "no time" else (self._told(tick) for tick in ticks)),
        )
        self.world.series.append(made)
        return made

    def _told(self, tick: int) -> int:
        """Return the time an image tells, of the one it was taken at."""
        seen = (tick + self.shift) % _DAY
        return seen - seen % _SECOND if self.cut else seen

    def _belongs(self, raw: RawTruth, made: Series | None) -> RawTruth:
        """Say that one more series, or none, was made of the last raw file."""
        if made is not None:
            is_changed = self.cut or self.shift or self.is_renamed or self.jump < 0
            # A spectrum has no registration: the localizer's study is known by its planning images, none after it is.
            is_known = (
                self.is_xa or len(self.study_uids) == 1 or made.frame_of_reference == raw.measurement.frame_of_reference
            )
            is_keyed = is_known and not is_changed and made.lprotid is not None and bool(made.ticks)
            keyed = raw.keyed_uids | ({made.series_uid} if is_keyed else set())
            raw = replace(raw, series_uids=raw.series_uids | {made.series_uid}, keyed_uids=keyed)
        self.world.raw[-1] = raw = replace(raw, truth=self._truth(raw))
        return raw

    def _truth(self, raw: RawTruth) -> Truth:
        if self.is_renamed:
            return Truth.STRANGER
        if not raw.series_uids:
            return Truth.IMAGELESS
        if raw.keyed_uids:
            return Truth.SEEN
        return Truth.BLURRED if self.cut or self.shift or self.jump < 0 else Truth.STRIPPED


def _is_twice(one: Measurement, other: Measurement, *, off: int) -> bool:
    """Return whether two runs shared a number and an instant, by a clock that may be off by so many ticks."""
    if one.ticks is other.ticks or one.lprotid != other.lprotid or not one.ticks or not other.ticks:
        return False
    pairs = ((one.ticks, other.ticks), (other.ticks, one.ticks))
    return any((b[0] - a[0]) % _DAY <= (a[-1] - a[0]) % _DAY + off for a, b in pairs)


_PARTS = ("_visit", "_series", "_truth", "_study", "_belongs", "_run", "_told")
_EVENTS = tuple(
    name.removeprefix("_") for name in vars(_Session) if name.startswith("_") and not name.startswith(("__", *_PARTS))
)


def make_world(*, sessions: int, seed: int) -> World:
    """Return a world; the same numbers give the same one."""
    world, dice = World(), random.Random(seed)
    for number in range(sessions):
        _Session(world, dice, number).run()
    dice.shuffle(world.raw)
    return world


def arrivals(world: World, *, seed: int) -> Iterator[list[Series]]:
    """Yield what has arrived after a third, two thirds and all of the sending, in no order."""
    order = random.Random(seed).sample(world.series, len(world.series))
    yield from (order[: len(order) * third // 3] for third in (1, 2, 3))
