"""What only a scanner has, and by when it will overwrite it: from the inventory's history, kept for a minute."""

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

_FRESH = timedelta(minutes=1)
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
            ring = self._ring(connection, row["scanner"], now) if row.pop("scope") == Scope.STORE else None
            left = ring.left(born) if ring else None
            is_soon = left is not None and is_endangered(left, age_s=(now - born).total_seconds())
            number += is_soon and not row["is_late"]
            row |= {"time_left": left and str(left), "left_s": left and left.at_least_s, "is_soon": is_soon}
        risky = [row for row in rows if row["is_late"] or row["is_soon"]]
        known = [row["left_s"] for row in risky if row["left_s"] is not None]
        return {"number": number, "oldest": risky[:_SHOWN], "first_in_s": min(known, default=None)}

    def _ring(self, connection: Connection, scanner: str, now: datetime) -> Ring:
        with self._lock:
            known = self._rings.get(scanner)
            if known is not None and now - known[0] > _FRESH and scanner not in self._learning:
                self._learning.add(scanner)
                threading.Thread(target=self._learn, args=(scanner,), name="learn a store", daemon=True).start()
        if known is None:
            return self._keep(connection, scanner, now)
        return known[1]

    def _learn(self, scanner: str) -> None:
        try:
            with self._box.database.read() as connection:
                self._keep(connection, scanner, self._box.clock.now())
        except KspaceError:
            return  # what was learnt before does until the catalog answers again
        finally:
            self._learning.discard(scanner)

    def _keep(self, connection: Connection, scanner: str, now: datetime) -> Ring:
        ring = ring_of(connection, scanner, now=now)
        with self._lock:
            self._rings[scanner] = (now, ring)
        return ring
