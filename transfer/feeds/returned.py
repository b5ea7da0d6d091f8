"""Ends the alerts of refused images once these have arrived after all, and of refused callers after a day."""

from pathlib import Path

from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.refusals import forget_turned_away, record_returns, take_notes


def returned(*, database: Database, clock: Clock, notes: Path) -> None:
    """Look once; what was noted while the catalog was down is taken into it before."""
    take_notes(database, notes)
    with database.write() as connection:
        record_returns(connection, at=clock.now())
        forget_turned_away(connection, at=clock.now())
