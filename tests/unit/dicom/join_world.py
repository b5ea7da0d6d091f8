"""A world of sessions with known truth, to judge the join by. It knows scanners, and nothing of how the join decides.

Five scanners, one of which is upgraded from VE to XA; equal protocol names, protocol numbers, MIDs and times of day on
all of them; clocks that jump; counters that start anew; whatever else goes wrong in a scanner room.
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
_STEP = 4
_NAMES = ("t1_mprage", "ep2d_bold", "gre_field_mapping", "t2_tse", "ep2d_diff", "svs_se_30")
_SCANNERS = (
    ("35287", "TrioTim", "32", ("syngo MR B19",)),
    ("67088", "Prisma_fit", "43", ("syngo MR E11",)),
    ("18920", "Investigational_Device_7T_Plus", "34", ("syngo MR E12",)),
    ("210001", "MAGNETOM Vida", "50", ("syngo MR XA30",)),
    ("213010", "MAGNETOM Cima.X", "63", ("syngo MR E11", "syngo MR XA61")),
)


class Truth(StrEnum):
    """What is true of a raw file, once everything has arrived."""

    SEEN = "has a series, keys agree"
    BLURRED = "has a series, keys cut or shifted"
    IMAGELESS = "has none, study is known"
    STRANGER = "study shows no key"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTruth:
    """A raw file, its study and the series that were made of it."""

    measurement: Measurement
    line: str
    truth: Truth
    study_uids: frozenset[str]
    """Of its visit: one, or several where it was closed and opened again."""
    series_uids: frozenset[str]


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
        # Every morning at the same tick, on every scanner; or across midnight.
        self.now = dice.choice((8 * _HOUR, 8 * _HOUR, 13 * _HOUR + dice.randrange(9999), _DAY - _HOUR // 6))
        self.mids = count(dice.choice((1, 1, 100)))
        self.series_numbers, self.images = count(1), count(1)
        self.protocol_number = 0
        self.is_cut = dice.random() < 0.06  # something on the way cuts fractions of seconds
        self.is_renamed = dice.random() < 0.04  # something on the way gives new UIDs
        self.shift = dice.choice((1, 2, 400, -800)) if dice.random() < 0.05 else 0  # two clocks in one scanner
        self.no_serial = dice.random() < 0.1
        self.planned_on: tuple[str, ...] = ()

    def run(self) -> None:
        first = len(self.world.raw)
        self._visit()
        uids = frozenset("2.25." + uid[-15:] if self.is_renamed else uid for uid in self.study_uids)
        self.world.raw[first:] = [replace(raw, study_uids=uids) for raw in self.world.raw[first:]]

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
                self.now -= self.dice.randrange(_HOUR // 4)  # the clock was set back
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
        maps = self._series(name, raw.measurement, ticks=(), frame=first.frame_of_reference)
        self._belongs(raw, maps)

    def _echoes(self, name: str) -> None:
        self.scan(name, series=3, echoes=2)

    def _volumes(self, name: str) -> None:
        self.scan(name, readouts=1200, images=40)

    def _broken_off_and_repeated(self, name: str) -> None:
        self.scan(name, readouts=self.dice.choice((0, 7)), series=0)
        if self.dice.random() < 0.5:
            self.protocol_number -= 1  # the repeat has the same number
        self.now += 2000
        self.scan(name)

    def _image_without_raw(self, name: str) -> None:
        self.scan(name)
        self.world.raw.pop()

    def _raw_without_image(self, name: str) -> None:
        self.scan(name, series=0)

    def _reconstructed_again(self, name: str) -> None:
        raw = self.scan(name)
        later = self._series(name, raw.measurement, ticks=tuple(raw.measurement.ticks[:3]))
        raw = self._belongs(raw, later)
        again = replace(raw.measurement, mid=next(self.mids))
        self.world.raw.append(replace(raw, measurement=again))

    def _exported_twice(self, name: str) -> None:
        self.world.raw.append(self.scan(name))

    def _spectrum(self, name: str) -> None:
        self.scan(name, readouts=64, images=1, frame=f"{self.root}.300000250116173")

    def _adjustment(self, name: str) -> None:
        self.scan("AdjCoilSens", series=0, readouts=32)
        if self.dice.random() < 0.3:
            self.protocol_number -= 1  # it has the number of what needs it
        self.scan(name)

    # --- how a scanner writes it down ---

    def scan(
        self, name: str, *, readouts: int = 192, series: int = 1, images: int = 4, echoes: int = 1, frame: str = ""
    ) -> RawTruth:
        self.protocol_number += 1
        number = self.protocol_number if self.is_xa else -self.protocol_number
        ticks = array("I", ((self.now + n * _STEP) % _DAY for n in range(readouts)))
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
            reference_image_uids=self.planned_on,
            ticks=ticks,
        )
        seen = f"{self.root}.{self.dice.choice('12') if self.is_xa else 1}.{stamp}.0.0.0"
        made = []
        for n in range(series):
            every = max(1, readouts // images)
            shown = ticks[echoes * n :: every][:images] if echoes > 1 else ticks[::every][:images]
            made.append(self._series(name, measurement, ticks=tuple(shown), frame=frame or seen))
        truth = self._truth(made)
        raw = RawTruth(
            measurement=measurement,
            line=self.software.removeprefix("syngo MR "),
            truth=truth,
            study_uids=frozenset(),
            series_uids=frozenset(s.series_uid for s in made),
        )
        self.world.raw.append(raw)
        self.now = (self.now + max(readouts, 1) * _STEP) % _DAY
        return raw

    def _truth(self, made: list[Series]) -> Truth:
        if self.is_renamed:
            return Truth.STRANGER
        if not made:
            return Truth.IMAGELESS
        return Truth.BLURRED if self.is_cut or self.shift else Truth.SEEN

    def _study_seen(self) -> str:
        return f"2.25.{self.study_uid[-15:]}" if self.is_renamed else self.study_uid

    def _series(self, name: str, of: Measurement, *, ticks: tuple[int, ...], frame: str | None = None) -> Series:
        number = next(self.series_numbers)
        root = f"2.25.{self.serial}" if self.is_renamed else self.root
        made = Series(
            series_uid=f"{root}.{self.study_uid[-12:]}.{number}",
            study_uid=self._study_seen(),
            number=number,
            protocol=name,
            modality="MR",
            serial=None if self.no_serial or self.is_renamed else self.serial,
            software=self.software,
            lprotid=of.lprotid,
            protocol_digest=of.protocol_digest,
            free_uuid=of.free_uuid,
            frame_of_reference=f"2.25.{number}" if self.is_renamed else frame or of.frame_of_reference,
            sop_uids=frozenset(f"{root}.{self.study_uid[-12:]}.{number}.{next(self.images)}" for _ in range(3)),
            ticks=frozenset(() if self.is_cut else ((t + self.shift) % _DAY for t in ticks)),
        )
        self.world.series.append(made)
        return made

    def _belongs(self, raw: RawTruth, made: Series) -> RawTruth:
        """Say that one more series was made of the last raw file."""
        more = replace(raw, series_uids=raw.series_uids | {made.series_uid})
        self.world.raw[-1] = more
        return more


_EVENTS = tuple(
    name.removeprefix("_")
    for name in vars(_Session)
    if name.startswith("_") and not name.startswith(("__", "_visit", "_series", "_truth", "_study", "_belongs"))
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
