"""What a history tells: when a pool will be full, and whether a scanner has gone quiet. Pure."""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

_MOST_POINTS = 120
_LEAST_DAYS = 1.0
_HOUR_S, _DAY_S, _WEEK_S = 3600.0, 86_400.0, 604_800.0
_LEAST_ARRIVALS = 20
_LEAST_WEEKS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How a pool grows, and in how many days it will be full; None: its history does not tell."""

    bytes_per_day: float | None = None
    days_to_full: float | None = None


def forecast(history: Sequence[tuple[float, float]], *, free_bytes: float) -> Forecast:
    """Return how a pool grows, from instants (in seconds) and bytes used, the oldest first.

    The slope is the median of the slopes between all pairs of points (Theil and Sen), which a burst or a single
    clearing does not turn. Under a day of history tells nothing; and no day is named where a quarter of the slopes
    go down.
    """
    step = max(1, -(-len(history) // _MOST_POINTS))
    points = [*history[::-1][::step]][::-1]
    if len(points) < 3 or points[-1][0] - points[0][0] < _LEAST_DAYS * _DAY_S:
        return Forecast()
    pairs = ((a, b) for n, a in enumerate(points) for b in points[n + 1 :] if b[0] > a[0])
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) * _DAY_S for a, b in pairs]
    per_day = median(slopes)
    is_growing = per_day > 0 and quantiles(slopes, n=4)[0] > 0
    return Forecast(bytes_per_day=per_day, days_to_full=free_bytes / per_day if is_growing else None)


def quietness(arrivals: Sequence[float], *, now: float) -> float | None:
    """Return how long nothing came, as a multiple of the usual longest pause; None: the history does not tell.

    ``arrivals`` are seconds since 1970, the oldest first, of four weeks or so. Time counts only in hours of the week
    in which something came in at least half of the weeks, so that neither nights nor weekends make a scanner quiet.
    The usual longest pause is the 95th percentile, and never under an hour.
    """
    if not arrivals:
        return None
    weeks = (now - arrivals[0]) / _WEEK_S
    if len(arrivals) < _LEAST_ARRIVALS or weeks < _LEAST_WEEKS:
        return None
    seen = {(int(at // _WEEK_S), int(at % _WEEK_S // _HOUR_S)) for at in arrivals}
    working = {hour for hour, number in Counter(hour for _, hour in seen).items() if number >= weeks / 2}
    pauses = [_worked(a, b, working) for a, b in pairwise(arrivals)]
    return _worked(arrivals[-1], now, working) / max(_HOUR_S, quantiles(pauses, n=20)[-1])


def _worked(since: float, until: float, working: Container[int]) -> float:
    """The seconds between two instants that lie in working hours of the week."""
    total, at = 0.0, since
    while at < until:
        end = min(until, (at // _HOUR_S + 1) * _HOUR_S)
        total += (end - at) * (int(at % _WEEK_S // _HOUR_S) in working)
        at = end
    return total
