"""Times of the week, as clocks on the wall show them."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SPAN = re.compile(r"(?:(?P<days>[A-Za-z,-]+) )?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)")
_MIDNIGHT = time(0, 0)


def _is_when(text: str) -> str:
    _parsed(text)
    return text


def _is_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"this system knows no time zone {text!r}; give one such as Europe/Berlin") from None
    return text


TimeZone = Annotated[str, AfterValidator(_is_zone)]
"""A name of the IANA time zone database that this system knows."""

When = Annotated[str, AfterValidator(_is_when)]
"""``22:00-06:00``, ``Mon-Fri 22:00-06:00`` or ``Sat,Sun 00:00-24:00``; one that passes midnight belongs to the day on
which it begins."""


def wall_clock(now: datetime, zone: str | None) -> datetime:
    """Return an instant as the clock on the wall shows it there; without a zone, here."""
    return now.astimezone(ZoneInfo(zone) if zone else None)


def covers(when: str, local: datetime) -> bool:
    """Return whether the wall clock shows a time in this span of the week."""
    days, start, end = _parsed(when)
    at, today = local.time(), local.weekday()
    if end == _MIDNIGHT or start < end:
        return today in days and at >= start and (end == _MIDNIGHT or at < end)
    return (today in days and at >= start) or ((today - 1) % 7 in days and at < end)


def next_opening(whens: Iterable[str], now: datetime, zone: str | None) -> datetime | None:
    """Return the first instant after now at which one of these spans of the week begins, in UTC; None: there is none.

    A beginning that the wall clock leaves out in spring is taken as many minutes after the gap.
    """
    today = wall_clock(now, zone).date()
    begins = [
        _instant(datetime.combine(day, start), zone)
        for days, start, _ in map(_parsed, whens)
        for day in (today + timedelta(days=ahead) for ahead in range(8))
        if day.weekday() in days
    ]
    return min((at for at in begins if at > now), default=None)


def _instant(local: datetime, zone: str | None) -> datetime:
    return (local.replace(tzinfo=ZoneInfo(zone)) if zone else local).astimezone(UTC)


def _parsed(text: str) -> tuple[frozenset[int], time, time]:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time of the week; write it like 'Mon-Fri 22:00-06:00'")
    start, end = _time(found["start"]), _time(found["end"])
    if start == end and found["end"] != "24:00":
        raise ValueError(f"{text!r} has no length; a whole day is 00:00-24:00")
    return _days(found["days"] or "Mon-Sun"), start, end


def _time(text: str) -> time:
    if text == "24:00":
        return _MIDNIGHT
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time of day") from None


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for span in text.split(","):
        first, _, last = span.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(f"{span!r} names no days; write Mon, Tue, Wed, Thu, Fri, Sat, Sun")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        days |= {day % 7 for day in range(begin, end + 1 + 7 * (end < begin))}
    return frozenset(days)
