"""What rules would have captured of what a project's scanners ran, and what that does to the disk and the line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any

from hardware.sizing import SHARE
from transfer import destinations
from transfer.app.box_report import pool_reports
from transfer.app.wiring import Box
from transfer.catalog.ran import Ran, what_ran
from transfer.config import settings_of
from transfer.wishes import Wish, first_of

WEEKS = 4
_DAY_S, _LINE = 86_400.0, 0.9
_MBIT = 1e6 / 8
_UNLIMITED = 100.0
"""The rate of a line, in Mbit/s, that is reckoned with where none is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One protocol, on all scanners that ran it."""

    name: str
    """Empty: no header could be read."""
    scanners: tuple[str, ...]
    files: int
    size: int
    captured: int
    there: int
    """Not captured, and still on a scanner."""
    there_size: int
    last_at: datetime
    now: bool
    """The rules in force want it, on one scanner at least."""
    then: bool
    rules: tuple[str, ...]
    """The names of the rules that decide; none: no rule fits."""


def protocols(ran: Sequence[Ran], *, now: Sequence[Wish], then: Sequence[Wish]) -> list[Protocol]:
    """Return what ran by protocol, whatever the case of its name, the largest first; by the rules now and then."""
    by_name: dict[str, list[Ran]] = {}
    for one in ran:
        by_name.setdefault(one.protocol.lower(), []).append(one)
    found = [_protocol(group, now, then) for group in by_name.values()]
    return sorted(found, key=lambda one: (-one.size, one.name))


def rehearse(
    box: Box, project: str, wishes: Sequence[Wish], *, weeks: int = WEEKS, destination: str | None = None
) -> dict[str, Any]:
    """Return what the rules would have captured of the last weeks, beside what those in force capture.

    With a ``destination`` it is the project of that archive alone. What is needed for a reconstruction besides is not
    counted: it is known only file by file.
    """
    at = box.clock.now()
    since = at - timedelta(weeks=weeks)
    with box.database.read() as connection:
        ran = what_ran(connection, project, since=since, destination=destination)
        now = box.rules.version(connection, project)
    found = protocols(ran, now=now.wishes, then=wishes)
    wanted = {id(one): _wanted(one, wishes) for one in ran}
    first = min((one.first_at for one in ran), default=since)
    days = max((at - max(first, since)).total_seconds() / _DAY_S, 1.0)
    share = _share(ran)
    daily = {
        "now": sum(one.size for one in ran if _wanted(one, now.wishes)) * share / days,
        "then": sum(one.size for one in ran if wanted[id(one)]) * share / days,
    }
    return {
        "project": project,
        "weeks": weeks,
        "since": since,
        "version": now.version,
        "protocols": found,
        "seen": _amount(ran),
        "now": _amount([one for one in ran if _wanted(one, now.wishes)]),
        "then": _amount([one for one in ran if wanted[id(one)]]),
        "at_once": {
            "files": sum(one.there for one in ran if wanted[id(one)]),
            "bytes": sum(one.there_size for one in ran if wanted[id(one)]),
        },
        "share": share,
        "bytes_per_day": daily,
        "disk": _disk(box, daily),
        "line": _line(box, daily, destination),
        "needs_more": any(wish.dependencies for wish in wishes),
    }


def _protocol(group: Sequence[Ran], now: Sequence[Wish], then: Sequence[Wish]) -> Protocol:
    deciding = [first_of(then, scanner=one.scanner, protocol=one.protocol) for one in group]
    return Protocol(
        name=group[0].protocol,
        scanners=tuple(sorted({one.scanner for one in group})),
        files=sum(one.files for one in group),
        size=sum(one.size for one in group),
        captured=sum(one.files - one.skipped for one in group),
        there=sum(one.there for one in group),
        there_size=sum(one.there_size for one in group),
        last_at=max(one.last_at for one in group),
        now=any(_wanted(one, now) for one in group),
        then=any(rule is not None and rule.action == "include" for rule in deciding),
        rules=tuple(dict.fromkeys(rule.name for rule in deciding if rule is not None)),
    )


def _wanted(one: Ran, wishes: Sequence[Wish]) -> bool:
    rule = first_of(wishes, scanner=one.scanner, protocol=one.protocol)
    return rule is not None and rule.action == "include"


def _amount(ran: Sequence[Ran]) -> dict[str, int]:
    return {"files": sum(one.files for one in ran), "bytes": sum(one.size for one in ran)}


def _share(ran: Sequence[Ran]) -> float:
    """Return what packing leaves of a byte: as it was for this project, else as it was measured on other files."""
    packed = sum(one.packed for one in ran)
    return sum(one.stored for one in ran) / packed if packed else SHARE


def _disk(box: Box, daily: dict[str, float]) -> dict[str, Any]:
    """Return for how many days the free room would take this project alone, if no archive took anything."""
    free = min((pool.free_bytes for pool in pool_reports(box) if pool.free_bytes is not None), default=None)
    lasts = {when: free / size if free is not None and size else None for when, size in daily.items()}
    return {"free_bytes": free, "days": lasts}


def _line(box: Box, daily: dict[str, float], destination: str | None) -> dict[str, Any]:
    """Return for how many hours of a day the slowest line to an archive is busy with this project alone."""
    asked = [given for given in box.config.destination if destination in {None, given["name"]}]
    limits = [limit for given in asked if (limit := settings_of(destinations, given).limit_mbit_per_s)]
    limits += [said for given in asked if (said := box.throttles.limit(f"destination:{given['name']}")) < inf]
    rate = min(limits, default=_UNLIMITED)
    hours = {when: size / (rate * _LINE * _MBIT) / 3600 for when, size in daily.items()}
    return {"mbit_per_s": rate, "is_configured": bool(limits), "hours_per_day": hours}
