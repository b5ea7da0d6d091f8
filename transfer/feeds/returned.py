"""Ends the alerts of refused images once these have arrived after all, and of refused callers after a day."""

from pathlib import Path

from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.reception import forget_trouble
from transfer.catalog.refusals import record_returns, take_notes


def returned(*, database: Database, clock: Clock, notes: Path) -> bool:
    """Look once, after taking over what was noted while the catalog was down; return whether anything is missing."""
    take_notes(database, notes)
    with database.write() as connection:
        is_missing = record_returns(connection, at=clock.now())
        forget_trouble(connection, at=clock.now())
    return is_missing
