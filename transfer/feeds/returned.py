"""Ends the alerts of refused images once these have arrived after all."""

from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.refusals import record_returns


def returned(*, database: Database, clock: Clock) -> None:
    """Look once."""
    with database.write() as connection:
        record_returns(connection, at=clock.now())
