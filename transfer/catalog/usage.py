"""What a site really gives and takes: the last four weeks in the catalog, as sizing wants to know them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from statistics import quantiles

from sqlalchemy import Connection, func, select

from transfer.catalog.tables import capture, delivery, event, instance, source_file

_LOOKED_AT = timedelta(days=28)
_DAY_S, _WEEK = 86_400.0, 7
_TELLING = 50_000_000
"""A smaller delivery tells of the archive's answers more than of the line."""
_FEW = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What came and went; rates by day are those of the busiest week, or of all days where there are fewer."""

    days: float
    """How far back it goes, at most 28."""
    raw_gb_per_day: Mapping[str, float]
    """Of each scanner, as its files are."""
    images_gb_per_day: float
    share: float | None
    """What packing left of a byte; None: nothing was packed."""
    uplink_mbit_per_s: float | None
    """What a delivery at least was carried with, nine of ten not faster; None: too few tell."""


def usage(connection: Connection, *, now: datetime) -> Usage:
    """Return the usage of the last four weeks, of all machines of this catalog."""
    c, e, f, i = capture.c, event.c, source_file.c, instance.c
    since = now - _LOOKED_AT
    packed = (
        select(f.scanner, e.at, f.size, c.stored_bytes)
        .select_from(event.join(capture, c.id == e.subject_id).join(source_file))
        .where(e.verb == "capture.packed", e.at > since, e.before.is_distinct_from(e.after))
    )
    rows = connection.execute(packed).all()
    images = connection.execute(
        select(func.min(i.received_at), func.sum(i.size))
        .where(i.received_at > since)
        .group_by(func.date(i.received_at))
    ).all()
    first = min((at for at in (*(row[1] for row in rows), *(row[0] for row in images))), default=now)
    days = (now - first).total_seconds() / _DAY_S
    came = {name: [(at, size) for s, at, size, _ in rows if s == name] for name in {row[0] for row in rows}}
    stored = [(size, kept) for _, _, size, kept in rows if kept]
    return Usage(
        days=days,
        raw_gb_per_day={name: _busiest(of, days, now) for name, of in sorted(came.items())},
        images_gb_per_day=_busiest(((at, int(size)) for at, size in images), days, now),
        share=sum(kept for _, kept in stored) / sum(size for size, _ in stored) if stored else None,
        uplink_mbit_per_s=_carried(connection, since),
    )


def _busiest(came: Iterable[tuple[datetime, int]], days: float, now: datetime) -> float:
    """Return GB a day of the busiest week that ends some whole days ago."""
    by_day: defaultdict[int, int] = defaultdict(int)
    for at, size in came:
        by_day[int((now - at).total_seconds() // _DAY_S)] += size
    sums = [0, *accumulate(by_day[day] for day in range(int(_LOOKED_AT.days) + 1))]
    most = max(b - a for a, b in zip(sums, sums[_WEEK:], strict=False))
    return most / 1e9 / max(1.0, min(days, float(_WEEK)))


def _carried(connection: Connection, since: datetime) -> float | None:
    """Return the rate of what was sent, over the time since it was planned: one that waited says too little."""
    c, d, e = capture.c, delivery.c, event.c
    begun = select(e.subject_id, func.max(e.at)).where(e.verb == "capture.planned", e.at > since).group_by(e.subject_id)
    planned_at = {row[0]: row[1] for row in connection.execute(begun)}
    sent = (
        select(c.id, e.at, c.stored_bytes)
        .select_from(event.join(delivery, d.id == e.subject_id).join(capture, c.id == d.capture_id))
        .where(e.verb == "delivery.sent", e.at > since, c.stored_bytes >= _TELLING)
    )
    rates = [
        size * 8 / 1e6 / took_s
        for number, at, size in connection.execute(sent)
        if number in planned_at and (took_s := (at - planned_at[number]).total_seconds()) > 0
    ]
    return quantiles(rates, n=10, method="inclusive")[-1] if len(rates) >= _FEW else None
