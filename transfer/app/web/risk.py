"""What only a scanner has, and by when it will overwrite it: from the inventory's history, kept for some minutes."""

import threading
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from kspace.errors import KspaceError
from kspace.sources.settings import Scope
from transfer.app.wiring import Box
from transfer.catalog import glance
from transfer.catalog.lying import born_at, ring_of
from transfer.catalog.sight import Sight
from transfer.feeds.endangered import is_endangered
from transfer.overwriting import Ring

_FRESH = timedelta(minutes=5)
_PATIENCE_S = 0.1
_SHOWN = 8


class Risks:
    """Reads a scanner's whole history seldom: a page takes what was learnt last, and a thread learns anew."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._lock = threading.Lock()
        self._rings: dict[str, tuple[datetime, Ring]] = {}
        self._learning: set[str] = set()

    def look(self, connection: Connection, sight: Sight, *, now: datetime) -> dict[str, Any]:
        """Return how many files are at risk, the first that go, and in how many seconds the first of them may go.

        At risk is what lies there alone for a day or after failed attempts, or may be overwritten soon.
        """
        late, rows = glance.only_there(connection, sight, now=now)
        number = late
        for row in rows:
            born = born_at(row.pop("mtime_ns"), row["since_at"])
            ring = self._ring(row["scanner"], now) if row.pop("scope") == Scope.STORE else None
            left = ring.left(born) if ring else None
            is_soon = left is not None and is_endangered(left, age_s=(now - born).total_seconds())
            number += is_soon and not row["is_late"]
            row |= {"time_left": left and str(left), "left_s": left and left.at_least_s, "is_soon": is_soon}
        risky = [row for row in rows if row["is_late"] or row["is_soon"]]
        known = [row["left_s"] for row in risky if row["left_s"] is not None]
        return {"number": number, "oldest": risky[:_SHOWN], "first_in_s": min(known, default=None)}

    def _ring(self, scanner: str, now: datetime) -> Ring | None:
        """Return what is known; a history of years takes seconds to read, and is told at the next look."""
        with self._lock:
            known = self._rings.get(scanner)
            is_old = known is None or now - known[0] > _FRESH
            must_learn = is_old and scanner not in self._learning
            if must_learn:
                self._learning.add(scanner)
        if must_learn:
            thread = threading.Thread(target=self._learn, args=(scanner,), name="learn a store", daemon=True)
            thread.start()
            thread.join(_PATIENCE_S)
        with self._lock:
            known = self._rings.get(scanner)
        return None if known is None else known[1]

    def _learn(self, scanner: str) -> None:
        now = self._box.clock.now()
        try:
            with self._box.database.read() as connection:
                ring = ring_of(connection, scanner, now=now)
            with self._lock:
                self._rings[scanner] = (now, ring)
        except KspaceError:
            return  # what was learnt before does until the catalog answers again
        finally:
            with self._lock:
                self._learning.discard(scanner)
