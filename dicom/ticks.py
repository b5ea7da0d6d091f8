"""The scanner's own clock: units of 2.5 ms since its local midnight, in raw data (MDH TimeStamp) and in DICOM."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DAY = 24 * 3600 * 400
"""Ticks of a day: the clock starts anew at midnight, so two ticks are compared modulo this."""
SECOND = 400
NEAR = 10 * SECOND
"""How far apart measurements of two clocks may lie and still rival each other."""
_TIME = re.compile(r"(?:\d{8})?(\d\d)(\d\d)(\d\d)\.(\d{1,6})(?:[+-]\d{4})?")


def tick_of(time: str | None) -> int | None:
    """Return a DICOM TM or DT value (PS3.5 6.2) as a tick, None where it does not lie exactly on that grid.

    A value without a fraction is None too: scanners write microseconds, so somebody has cut it off.
    """
    found = _TIME.fullmatch(time.strip()) if time else None
    if found is None:
        return None
    hour, minute, second = (int(found[i]) for i in (1, 2, 3))
    microseconds = ((hour * 60 + minute) * 60 + second) * 1_000_000 + int(found[4].ljust(6, "0"))
    tick, rest = divmod(microseconds, 2500)
    return None if rest or tick >= DAY else tick


def is_cut(ticks: Iterable[int]) -> bool:
    """Return whether none has a fraction of a second: if it is so in a whole study, something on the way cut them."""
    return not any(tick % SECOND for tick in ticks)


def clock_of(tick: int) -> str:
    """Return a tick as local time of day, ``18:20:56.2325``."""
    seconds, rest = divmod(tick % DAY, 400)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest * 25:04}"


@dataclass(frozen=True, slots=True)
class Span:
    """The ticks from a first one to a last one, across midnight where need be."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many ticks lie between the two."""
        return (self.last - self.first) % DAY

    def __contains__(self, tick: int) -> bool:
        return (tick - self.first) % DAY <= self.length

    def is_near(self, other: "Span") -> bool:
        """Return whether they have an instant in common, to within whole days and ten seconds: clocks may differ."""
        wide = Span((self.first - NEAR) % DAY, (self.last + NEAR) % DAY)
        return other.first in wide or wide.first in other

    def __str__(self) -> str:
        return f"{clock_of(self.first)} to {clock_of(self.last)}"


def span_of(ticks: Sequence[int]) -> Span | None:
    """Return the span of readouts in file order, None where there are none, or where the clock was set meanwhile.

    The clock may fall once, at midnight. Any other fall means that somebody set it: first and last readout then say
    nothing of what lies between them, and could span a whole day.
    """
    return _span_of(_Same(ticks, len(ticks)))


def reach_of(ticks: Sequence[int]) -> Span | None:
    """Return a span that holds every readout: where the clock was set meanwhile from the earliest to the latest."""
    return span_of(ticks) or (Span(min(ticks), max(ticks)) if ticks else None)


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """Readouts as they stand, maybe a million, which each clue asks for the span of with each candidate."""

    ticks: Sequence[int]
    length: int

    def __hash__(self) -> int:
        return hash((id(self.ticks), self.length))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.ticks is other.ticks and self.length == other.length


@lru_cache(maxsize=4)
def _span_of(same: _Same) -> Span | None:
    if not same.length:
        return None
    found = np.asarray(same.ticks, dtype=np.uint32)
    falls = np.flatnonzero(found[1:] < found[:-1])
    at_midnight = len(falls) == 1 and found[falls[0]] - found[falls[0] + 1] > DAY // 2 and found[-1] < found[0]
    return Span(int(found[0]), int(found[-1])) if not len(falls) or at_midnight else None
