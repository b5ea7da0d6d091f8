"""Late images re-open the join of what is joined already."""

from datetime import UTC, datetime

from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.rejoining import rejoin


class Rejoining:
    """Remembers up to when everything was judged anew; after a restart everything recent is, once."""

    def __init__(self, *, database: Database, clock: Clock, quiet_s: float) -> None:
        self._database = database
        self._clock = clock
        self._quiet_s = quiet_s
        self._judged_at = datetime(1970, 1, 2, tzinfo=UTC)

    def __call__(self) -> None:
        """Look once; what was at work is looked at again."""
        now = self._clock.now()
        if rejoin(self._database, now=now, grown_since=self._judged_at, quiet_s=self._quiet_s):
            self._judged_at = now
