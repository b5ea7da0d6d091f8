"""When a scanner will overwrite what it alone has: its store as a ring, judged by what came and what went. Pure.

A full store drops its oldest files to make room. So how much lay there, younger than what just went, is what it holds;
and a file goes when so much came after it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappush, heappushpop
from itertools import accumulate
from math import inf
from statistics import median

_DAY = timedelta(days=1)
_DAY_S = 86_400.0
_DAYS = 14
"""The pace of so many days counts: the busiest of them for the least time, their mean for the likely one."""
_EVENTS = 40
_SURE_EVENTS = 5
_SURE_SPREAD = 1.25
_STUCK = 3
"""So many older files may still be there: somebody protects a file. With more, it was deleted and not overwritten."""


@dataclass(frozen=True, slots=True)
class Lain:
    """A raw file that lies or lay on a scanner."""

    born_at: datetime
    size: int
    gone_at: datetime | None = None
    was_deleted: bool = False
    """By somebody, not by the scanner to make room: that tells nothing of what its store holds."""


@dataclass(frozen=True, slots=True)
class Left:
    """How long a file will still lie there, in seconds: at least, most likely; and whether that rests on enough."""

    at_least_s: float
    likely_s: float
    is_sure: bool

    def __str__(self) -> str:
        """Say it as people do."""
        least, likely = _rounded(self.at_least_s), _rounded(self.likely_s)
        span = f"about {least}" if least == likely else f"{least} to {likely}"
        return span if self.is_sure else f"{span}, roughly"


class Ring:
    """What is known of one scanner's store."""

    def __init__(self, files: Iterable[Lain], *, now: datetime, capacity_bytes: float | None = None) -> None:
        """Learn from all files that lie there or went lately; ``capacity_bytes`` counts until enough went."""
        by_age = sorted(files, key=lambda file: file.born_at)
        self._born = [file.born_at for file in by_age]
        self._sum = [0, *accumulate(file.size for file in by_age)]
        seen = self._seen(by_age)
        if len(seen) < _SURE_EVENTS and capacity_bytes is not None:
            seen = [capacity_bytes]
        seen.sort()
        self._holds = (seen[len(seen) // 10], median(seen)) if seen else None
        self._is_sure = len(seen) >= _SURE_EVENTS and seen[-1 - len(seen) // 10] <= _SURE_SPREAD * seen[len(seen) // 10]
        self._paces = self._pace(now)

    def left(self, born_at: datetime) -> Left | None:
        """Return how long a file born then will still lie there; None: nobody knows."""
        if self._holds is None:
            return None
        after = self._between(born_at)
        least, likely = (
            (holds - after) / pace if pace else inf for holds, pace in zip(self._holds, self._paces, strict=True)
        )
        return Left(max(0.0, least), max(0.0, likely), self._is_sure)

    def _between(self, since: datetime, until: datetime | None = None) -> int:
        end = len(self._born) if until is None else bisect_right(self._born, until)
        return max(0, self._sum[end] - self._sum[bisect_right(self._born, since)])

    def _seen(self, by_age: Sequence[Lain]) -> list[float]:
        """Return how much lay there each time that something went: the youngest that went tells the most of it."""
        youngest: dict[datetime, Lain] = {}
        longest: list[datetime] = []
        for file in by_age:
            is_oldest = file.gone_at is not None and (len(longest) <= _STUCK or longest[0] <= file.gone_at)
            if file.gone_at is not None and is_oldest and not file.was_deleted:
                youngest[file.gone_at] = file
            stays = file.gone_at or datetime.max.replace(tzinfo=file.born_at.tzinfo)
            heappush(longest, stays) if len(longest) <= _STUCK else heappushpop(longest, stays)
        latest = sorted(youngest)[-_EVENTS:]
        return [float(self._between(youngest[at].born_at, at)) for at in latest]

    def _pace(self, now: datetime) -> tuple[float, float]:
        """Return bytes a second on the busiest day and in the mean."""
        days = max(1, min(_DAYS, (now - self._born[0]) // _DAY)) if self._born else 1
        each = [self._between(now - (n + 1) * _DAY, now - n * _DAY) for n in range(days)]
        return max(each) / _DAY_S, sum(each) / days / _DAY_S


def _rounded(seconds: float) -> str:
    hours = seconds / 3600
    if hours > 24 * 30:
        return "over 30 days"
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"
