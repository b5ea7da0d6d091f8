"""How any destination is reached: proxy, certificates, calendar and limits; the settings that every kind shares."""

from collections.abc import Callable, Iterator
from math import inf
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

from pydantic import Field, model_validator

from kspace.calendar import TimeZone
from kspace.clock import Clock, SystemClock
from kspace.outward import Outward
from kspace.sources.limiting import Limiter
from transfer.destinations.calendar import Period, rate_at

_Block = TypeVar("_Block", bytes, memoryview)


class Reach(Outward):
    """What the settings of every kind of destination begin with."""

    what: ClassVar[str] = "Destination"

    at_once: int = Field(default=2, ge=1, le=64)
    """How many deliveries to it run at the same time; no other destination shares these workers."""
    limit_mbit_per_s: float | None = Field(default=None, ge=0)
    calendar: tuple[Period, ...] | None = None
    time_zone: TimeZone | None = None

    @model_validator(mode="after")
    def _can_open(self) -> "Reach":
        if not self.limit_mbit_per_s and self.limit_mbit_per_s is not None and not self.calendar:
            raise ValueError("limit_mbit_per_s is 0 and no calendar opens it: nothing could ever go there")
        return self


def pace_of(reach: Reach, clock: Clock | None = None) -> "Pace":
    """Return the one pace that all uploads to this destination share."""
    return Pace(reach, clock or SystemClock())


@runtime_checkable
class Slowed(Protocol):
    """A destination that can be slowed down while it runs."""

    def obey(self, ceiling: Callable[[], float]) -> None:
        """Upload no faster than what ``ceiling`` returns, in Mbit/s; it is asked for each block."""


class Pace:
    """The rate of all uploads to one destination together, as its calendar has it at each moment."""

    def __init__(self, reach: Reach, clock: Clock) -> None:
        self._reach = reach
        self._clock = clock
        self._rate = 0.0
        self._ceiling: Callable[[], float] = lambda: inf
        self._limiter = Limiter(mbit_per_s=self._now, clock=clock)

    def obey(self, ceiling: Callable[[], float]) -> None:
        """Go no faster than what it returns either, in Mbit/s."""
        self._ceiling = ceiling

    def is_open(self) -> bool:
        """Return whether the calendar lets a delivery begin now."""
        return self._asked() > 0

    def paced(self, blocks: Iterator[_Block]) -> Iterator[_Block]:
        """Yield the blocks, each when its turn comes. A body that has begun is finished when the calendar closes."""
        for block in blocks:
            with self._limiter.turn(len(block)):
                pass
            yield block

    def _now(self) -> float:
        self._rate = self._asked() or self._rate
        return min(self._rate or inf, self._ceiling())

    def _asked(self) -> float:
        reach = self._reach
        return rate_at(self._clock.now(), reach.calendar or (), zone=reach.time_zone, otherwise=reach.limit_mbit_per_s)
