"""Charts as SVG from the server: no script, no inline style; the same numbers stand beside them as a table."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from markupsafe import Markup

Point = tuple[datetime, float]
_WIDTH, _HEIGHT, _FOOT = 600, 150, 18
_MOST = 300


def line_chart(points: Sequence[Point], *, since: datetime, until: datetime, most: float, named: str) -> Markup:
    """Return a filled line from 0 to ``most``; ``named`` says in a sentence what it shows, for who does not see it.

    Of many points each nth is drawn, and always the last.
    """
    step = max(1, -(-len(points) // _MOST))
    drawn = [*points[::-1][::step]][::-1]
    span = max((until - since).total_seconds(), 1.0)
    at = [
        (
            max(0.0, (when - since).total_seconds()) / span * _WIDTH,
            _HEIGHT - min(max(value / (most or 1.0), 0.0), 1.0) * _HEIGHT,
        )
        for when, value in drawn
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    area = f"{at[0][0]:.1f},{_HEIGHT} {line} {at[-1][0]:.1f},{_HEIGHT}" if at else ""
    marks = Markup("").join(
        Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, _HEIGHT + _FOOT - 4, anchor, f"{when:%d %b}")
        for x, anchor, when in (
            (0, "start", since),
            (_WIDTH / 2, "middle", since + (until - since) / 2),
            (_WIDTH, "end", until),
        )
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<path class="grid" d="M0 .5H{}M0 {}H{}M0 {}H{}"/>'
        '<polygon class="area" points="{}"/><polyline class="curve" points="{}"/>{}</svg>'
    ).format(_WIDTH, _HEIGHT + _FOOT, named, _WIDTH, _HEIGHT / 2, _WIDTH, _HEIGHT, _WIDTH, area, line, marks)


def by_day(points: Sequence[Point]) -> list[tuple[str, float]]:
    """Return the last value of each day (UTC), the newest first, for the table beside a chart."""
    return [*{f"{when:%Y-%m-%d}": value for when, value in points}.items()][::-1]


def window(points: Sequence[Point], *, now: datetime, days: int) -> tuple[datetime, datetime]:
    """Return from when to when a chart goes: the days asked for, or as long as there is history, at least a day."""
    first = points[0][0] if points else now
    return max(now - timedelta(days=days), min(first, now - timedelta(days=1))), now
