"""Make room in a pool that is not normal, or for a file that waits: what every archive proved goes, oldest first.

It goes on until the pool is normal again and the file fits, or nothing proved is left. Capturing slower for the sake of
copies that the archive has too would be a bad bargain, so it begins before the pool protects itself.
"""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import update

from hardware.pools import Pool
from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.room import proved_captures
from transfer.catalog.tables import capture
from transfer.feeds.sweep import sweep, sweep_images


class MakingRoom:
    """Chooses what goes early; the retire stage asks it, so that a capture leaves by the one way there is."""

    def __init__(self, pool: Pool, *, spool: Path, database: Database, clock: Clock, machine: str) -> None:
        self._pool = pool
        self._spool = spool
        self._database = database
        self._clock = clock
        self._machine = machine
        self._chosen = frozenset[int]()

    def must_go(self, capture_id: int) -> bool:
        """Return whether a proved capture goes now, although its time to be kept is not over."""
        return capture_id in self._chosen

    def __call__(self) -> None:
        """Free what was chosen last time, and choose as much as is still needed; images where captures are too few."""
        if self._chosen:
            sweep(spool=self._spool, database=self._database)
        needed = self._pool.bytes_over()
        self._chosen = self._choose(needed) if needed else frozenset()
        if needed and not self._chosen:
            sweep_images(
                database=self._database,
                clock=self._clock,
                machine=self._machine,
                keep_s=0.0,
                is_enough=lambda: not self._pool.bytes_over(),
            )

    def _choose(self, needed: int) -> frozenset[int]:
        chosen, c, now = set[int](), capture.c, self._clock.now()
        with self._database.write() as connection:
            for capture_id, size, _ in proved_captures(connection, machine=self._machine):
                if needed <= 0:
                    break
                chosen.add(capture_id)
                needed -= size
            due = update(capture).where(c.id.in_(chosen), c.due_at > now + timedelta(seconds=1))
            connection.execute(due.values(due_at=now))
        return frozenset(chosen)
