"""When a scanner last showed by its raw files or its images that it measures."""

from datetime import datetime

from sqlalchemy import desc, func, select

from transfer.catalog import tables
from transfer.catalog.database import Database

_NEWEST = 100
"""Files that still grow, and series that images come for, are among the newest."""


def last_raw_at(database: Database, scanner: str) -> datetime | None:
    """Return when a raw file of the scanner was last seen new or grown."""
    f = tables.source_file.c
    newest = select(f.changed_at).where(f.scanner == scanner).order_by(desc(f.id)).limit(_NEWEST).subquery()
    with database.read() as connection:
        found: datetime | None = connection.execute(select(func.max(newest.c.changed_at))).scalar()
    return found


def last_image_at(database: Database, scanner: str, *, serial: str | None) -> datetime | None:
    """Return when images last came for a study of the scanner; without ``serial`` by that of its newest raw file."""
    s, m = tables.series.c, tables.measurement.c
    of_newest = (
        select(m.serial)
        .join_from(tables.measurement, tables.capture)
        .join(tables.source_file)
        .where(tables.source_file.c.scanner == scanner, m.serial.is_not(None))
        .order_by(desc(m.id))
        .limit(1)
    )
    with database.read() as connection:
        known = serial or connection.execute(of_newest).scalar()
        if known is None:  # images without a serial number are nobody's
            return None
        newest = (
            select(tables.study.c.last_arrival_at)
            .join_from(tables.series, tables.study)
            .where(s.serial == known)
            .order_by(desc(s.id))
            .limit(_NEWEST)
            .subquery()
        )
        found: datetime | None = connection.execute(select(func.max(newest.c.last_arrival_at))).scalar()
    return found
