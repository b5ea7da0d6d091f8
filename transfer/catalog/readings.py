"""What was read of the box, stored: written, thinned with age, and read again as the newest or as a history."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select

from hardware.records import Reading
from transfer.catalog.box_tables import reading

_RAW, _HOURLY = timedelta(days=1), timedelta(days=31)
_FRESH = timedelta(days=1)
_HOUR_S = 3600


def write_readings(connection: Connection, readings: Iterable[Reading], *, machine: str, at: datetime) -> None:
    """Store what was read at one instant."""
    hour = int(at.timestamp()) // _HOUR_S
    rows = [
        {"machine": machine, "what": r.what, "of": r.of[:200], "at": at, "hour": hour, "value": r.value}
        | {"said": r.said[:400]}
        for r in readings
    ]
    if rows:
        connection.execute(insert(reading), rows)


def newest_readings(connection: Connection, *, machine: str, now: datetime) -> list[tuple[datetime, Reading]]:
    """Return the newest reading of each thing on this machine, with its instant; none older than a day."""
    c = reading.c
    ours = (c.machine == machine) & (c.at > now - _FRESH)
    newest = select(func.max(c.id)).where(ours).group_by(c.what, c.of)
    found = connection.execute(
        select(c.at, c.what, c.of, c.value, c.said).where(c.id.in_(newest)).order_by(c.what, c.of)
    )
    return [(at, Reading(what=what, of=of, value=value, said=said)) for at, what, of, value, said in found]


def history(
    connection: Connection, what: str, of: str, *, machine: str, since: datetime
) -> Sequence[tuple[datetime, float]]:
    """Return the values of one thing since an instant, the oldest first."""
    c = reading.c
    ours = (c.machine == machine) & (c.what == what) & (c.of == of) & (c.at >= since)
    return [(at, value) for at, value in connection.execute(select(c.at, c.value).where(ours).order_by(c.at))]


def thin_readings(connection: Connection, *, machine: str, now: datetime) -> int:
    """Keep all of a day, then the last of each hour for a month, then the last of each day; return how many went."""
    return sum(_thin(connection, machine, hours, until=now - age) for hours, age in ((1, _RAW), (24, _HOURLY)))


def _thin(connection: Connection, machine: str, hours: int, *, until: datetime) -> int:
    c = reading.c
    old = (c.machine == machine) & (c.hour < int(until.timestamp()) // _HOUR_S // hours * hours)
    kept = select(func.max(c.id)).where(old).group_by(c.what, c.of, c.hour // hours)
    return connection.execute(delete(reading).where(old, c.id.not_in(kept))).rowcount
