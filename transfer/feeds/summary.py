"""The daily and the weekly report: what was captured, delivered, held and lost, and how full the disks are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, exists, select

from hardware.records import PoolMode, Reading, Severity
from hardware.sinks import Message, Picture, SinkSettings
from hardware.trends import forecast
from kspace.calendar import wall_clock
from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.figures import Figures, lost, oldest_unsent, standing
from transfer.catalog.outbox import enter
from transfer.catalog.outbox_tables import outbox
from transfer.catalog.readings import history, newest_readings
from transfer.catalog.totals import Done, done, flow, last_event_before
from transfer.feeds.picture import bars

_BINS: Mapping[str, tuple[int, timedelta, str]] = {
    "daily": (24, timedelta(hours=1), "hour"),
    "weekly": (7, timedelta(days=1), "day"),
}
_TOLD: Mapping[str, tuple[int, str]] = {"daily": (4, "%H:%M"), "weekly": (1, "%m-%d")}
"""Which bins have their begin below, and how."""
_NOTHING = Done()
_GROWTH = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a report says: its words, and how many GB were captured and proved in each bin of time."""

    text: str
    pairs: tuple[tuple[float, float], ...]
    begins: tuple[str, ...]
    """When every fourth hour, or each day, begins."""


def summarize(
    sinks: Mapping[str, SinkSettings], *, database: Database, clock: Clock, relay: str, site: str
) -> list[str]:
    """Enter the reports that are due into the outbox, each once, however late, and return which.

    A weekly one that was missed on Monday comes later in the week. The first ever waits for a Monday.
    """
    now, entered = clock.now(), []
    for name, settings in sinks.items():
        local = wall_clock(now, settings.time_zone)
        for kind in settings.reports or ():
            since = local - timedelta(days=local.weekday() if kind == "weekly" else 0)
            topic = f"report:{kind}:{since:%Y-%m-%d}"
            if since.date() == local.date() and local.time() < time.fromisoformat(settings.report_at):
                continue
            with database.read() as connection:
                if _is_entered(connection, name, topic):
                    continue
                if since.date() < local.date() and not _is_entered(connection, name, f"report:{kind}:%"):
                    continue  # the first is of a week's begin
                told = _told(connection, kind, now=now, relay=relay)
            message = _message(told, kind, topic, at=now, relay=relay, site=site)
            with database.write() as connection:
                enter(database, connection, sink=name, message=message)
            entered.append(topic)
    return entered


def _is_entered(connection: Connection, sink: str, topic: str) -> bool:
    o = outbox.c
    return bool(connection.execute(select(exists().where(o.sink == sink, o.topic.like(topic)))).scalar())


def _message(  # noqa: PLR0913 -- the parts of a message
    told: Told, kind: str, topic: str, *, at: datetime, relay: str, site: str
) -> Message:
    _, _, word = _BINS[kind]
    greatest = max(value for pair in told.pairs for value in pair)
    alt = (
        f"GB captured (blue) and proved in the archives (green) by {word} in UTC, the latest on the right. "
        f"The highest bar is {greatest:.1f} GB."
    )
    return Message(
        id=f"report.{uuid4().hex}",
        kind="report",
        topic=topic,
        severity=Severity.INFO,
        relay=relay,
        site=site,
        at=at,
        subject=f"[{relay}] {kind} report, {at:%Y-%m-%d}",
        text=f"{told.text}\nTold by relay {relay}" + (f", site {site}.\n" if site else ".\n"),
        picture=Picture(png=bars(told.pairs, begins=told.begins), alt=alt),
    )


def _told(connection: Connection, kind: str, *, now: datetime, relay: str) -> Told:
    number, length, _ = _BINS[kind]
    since = now - number * length
    after = last_event_before(connection, since)
    pairs = [[0.0, 0.0] for _ in range(number)]
    for word, at, stored in flow(connection, after=after):
        which = min(max((at - since) // length, 0), number - 1)
        pairs[which][word == "verified"] += stored / 1e9
    newest = last_event_before(connection, now + timedelta(days=1))
    found, figures = done(connection, after=after, upto=newest), standing(connection)
    lines = [f"The last {number} {'hours' if kind == 'daily' else 'days'}, to {now:%Y-%m-%d %H:%M} UTC.", ""]
    lines += _in_all(found, figures, lost(connection))
    lines += _of_scanners(found, figures, oldest_unsent(connection), now)
    lines += _of_destinations(found, figures)
    lines += _of_pools(connection, relay, now)
    every, how = _TOLD[kind]
    begins = tuple(f"{since + n * length:{how}}" for n in range(0, number, every))
    return Told(text="\n".join(lines), pairs=tuple((a, b) for a, b in pairs), begins=begins)


def _in_all(
    found: Mapping[tuple[str, str, str], Done],
    figures: Mapping[str, Figures],
    gone: Mapping[str, int],
) -> list[str]:
    packed = [one for (what, _, _), one in found.items() if what == "packed"]
    raw = [one for (what, _, kind), one in found.items() if (what, kind) == ("verified", "raw")]
    studies = [one for (what, _, kind), one in found.items() if (what, kind) == ("verified", "dicom")]
    held = sum(one.number for (what, _, _), one in found.items() if what == "held")
    still = sum(figures[what].get(("held",), 0) for what in ("captures", "deliveries"))
    seen, opened = sum(figures["acknowledged"].values()), sum(figures["alerts"].values())
    return [
        f"Captured   {_files(packed)}, {_gb(packed, 'source_bytes')} GB, packed {_gb(packed, 'stored_bytes')} GB",
        f"Delivered  {_files(raw)}, {_gb(raw, 'stored_bytes')} GB; {sum(one.number for one in studies):,} studies",
        f"Held       {held:,} new, {still:,} in all",
        f"Lost       {gone['scanner']:,} gone before they were captured, {gone['archive']:,} lost by an archive",
        f"Alerts     {opened:,} open, {opened - seen:,} of them seen to by nobody",
        "",
    ]


def _of_scanners(
    found: Mapping[tuple[str, str, str], Done],
    figures: Mapping[str, Figures],
    oldest: Mapping[str, datetime],
    now: datetime,
) -> list[str]:
    names = sorted({of for what, of, _ in found if what == "packed"} | {*oldest})
    rows = [
        (
            name,
            f"{(one := found.get(('packed', name, ''), _NOTHING)).number:,}",
            f"{one.source_bytes / 1e9:,.1f}",
            f"{sum(n for (scanner, _), n in figures['waiting_captures'].items() if scanner == name):,}",
            f"{figures['waiting_bytes'].get((name,), 0) / 1e9:,.1f}",
            _long(now - oldest[name]) if name in oldest else "-",
        )
        for name in names
    ]
    return _table(("Scanner", "captured", "GB", "not proved yet", "GB", "oldest for"), rows)


def _of_destinations(found: Mapping[tuple[str, str, str], Done], figures: Mapping[str, Figures]) -> list[str]:
    waiting = figures["waiting_deliveries"]
    names = sorted({of for what, of, _ in found if what == "verified"} | {of for of, _, _ in waiting})
    rows = [
        (
            name,
            f"{found.get(('verified', name, 'raw'), _NOTHING).number:,}",
            f"{found.get(('verified', name, 'dicom'), _NOTHING).number:,}",
            f"{sum(n for (of, _, _), n in waiting.items() if of == name):,}",
            f"{figures['backlog_bytes'].get((name, 'raw'), 0) / 1e9:,.1f}",
        )
        for name in names
    ]
    return _table(("Archive", "raw files proved", "studies proved", "waiting", "GB of raw"), rows)


def _of_pools(connection: Connection, relay: str, now: datetime) -> list[str]:
    by_pool: dict[str, dict[str, Reading]] = {}
    for _, reading in newest_readings(connection, machine=relay, now=now):
        if reading.what.startswith("pool_"):
            by_pool.setdefault(reading.of, {})[reading.what] = reading
    rows: list[tuple[str, ...]] = []
    for name, read in by_pool.items():
        used, free = (read[what].value if what in read else 0.0 for what in ("pool_used_bytes", "pool_free_bytes"))
        mode = list(PoolMode)[int(read["pool_mode"].value)] if "pool_mode" in read else "unknown"
        grown: Any = history(connection, "pool_used_bytes", name, machine=relay, since=now - _GROWTH)
        days = forecast([(at.timestamp(), value) for at, value in grown], free_bytes=free).days_to_full
        full = f"{100 * used / (used + free):.0f} %" if used + free else "unknown"
        rows.append((name, full, f"{free / 1e9:,.1f}", mode, f"{days:.0f} days" if days is not None else "-"))
    return _table(("Disk", "full", "GB free", "takes", "full in"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a table in plain letters, the first column to the left and the others to the right."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = (
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (zip(row, widths, strict=True) for row in (head, *rows))
    )
    return [*lines, ""]


def _files(found: Sequence[Done]) -> str:
    number = sum(one.number for one in found)
    return f"{number:,} raw file{'s' * (number != 1)}"


def _gb(found: Sequence[Done], what: str) -> str:
    return f"{sum(getattr(one, what) for one in found) / 1e9:,.1f}"


def _long(span: timedelta) -> str:
    return f"{span.days} days" if span.days >= 2 else f"{span.total_seconds() / 3600:.0f} h"
