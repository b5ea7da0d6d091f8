"""Says of files that were not captured, or not joined yet, which session they are of: for the session ledger."""

from datetime import UTC, datetime

from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.ledger import place


class Placing:
    """Remembers when it last looked, so that a look costs little where nothing came."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._looked_at = datetime.min.replace(tzinfo=UTC)

    def __call__(self) -> None:
        """Look once."""
        now = self._clock.now()
        place(self._database, now=now, since=self._looked_at)
        self._looked_at = now
