"""Alerts to the sinks: each once when it is raised and once when it is over."""

from collections.abc import Iterable

from sqlalchemy import select, update

from hardware.records import Alert, Severity
from hardware.sinks import Sink
from kspace.clock import Clock
from transfer.catalog import tables
from transfer.catalog.database import Database


def tell(sinks: Iterable[Sink], *, database: Database, clock: Clock) -> int:
    """Tell every alert nobody was told of yet and return how many there were.

    It is marked as told afterwards: after a crash in between it is told twice rather than never.
    """
    a = tables.alert.c
    with database.read() as connection:
        rows = connection.execute(select(tables.alert).where(a.told_at.is_(None)).order_by(a.id)).mappings().all()
    for row in rows:
        alert = Alert(
            key=row["key"],
            severity=Severity(row["severity"]),
            text=row["text"],
            raised_at=row["raised_at"],
            cleared_at=row["cleared_at"],
        )
        for sink in sinks:
            sink.tell(alert)
        with database.write() as connection:
            connection.execute(
                update(tables.alert)
                .where(a.id == row["id"], a.cleared_at.is_not_distinct_from(row["cleared_at"]))
                .values(told_at=clock.now())
            )
    return len(rows)
