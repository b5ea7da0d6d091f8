"""What is known of how a destination behaves: the largest part it takes, and what probes of it found."""

from sqlalchemy import select

from transfer.catalog import tables
from transfer.catalog.database import Database


def body_limit(database: Database, destination: str) -> int | None:
    """Return the largest part that a destination was found to take, in bytes; None: it never refused one."""
    b = tables.body_limit.c
    with database.read() as connection:
        found: int | None = connection.execute(select(b.bytes).where(b.destination == destination)).scalar()
    return found
