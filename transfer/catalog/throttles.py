"""What an administrator set at run time, as the running relay obeys it: pauses, and limits below those of the file."""

import threading
from dataclasses import dataclass
from datetime import datetime
from math import inf

from sqlalchemy import Connection, select

from kspace.clock import Clock
from transfer.catalog.database import CatalogDown, Database
from transfer.catalog.web_tables import throttle

_FRESH_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """What was said of one destination or scanner. No limit: that of the configuration."""

    mbit_per_s: float | None = None
    is_paused: bool = False
    actor: str = ""
    at: datetime | None = None


def throttles(connection: Connection) -> dict[str, Throttle]:
    """Return all by what they are of: ``destination:<name>`` or ``scanner:<name>``."""
    t = throttle.c
    rows = connection.execute(select(t.what, t.mbit_per_s, t.is_paused, t.actor, t.at)).mappings()
    return {row["what"]: Throttle(**{k: v for k, v in row.items() if k != "what"}) for row in rows}


class Throttles:
    """Answers from memory and looks into the catalog every two seconds: each block that is sent asks.

    While the catalog does not answer, what was said last counts.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Throttle] = {}
        self._looked_at = -inf

    def of(self, what: str) -> Throttle:
        """Return what counts now."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._looked_at >= _FRESH_S:
                self._looked_at = now
                self._look()
            return self._known.get(what, Throttle())

    def limit(self, what: str) -> float:
        """Return the limit in Mbit/s; infinity where none was set."""
        limit = self.of(what).mbit_per_s
        return inf if limit is None else limit

    def _look(self) -> None:
        try:
            with self._database.read() as connection:
                self._known = throttles(connection)
        except CatalogDown:
            return
