"""The one place that deletes: packed files of captures that are retired, released or twins."""

from pathlib import Path

from sqlalchemy import select

from kspace.pack import drop
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.states import CaptureState

_FREE = frozenset({CaptureState.RETIRED, CaptureState.RELEASED, CaptureState.SKIPPED})
"""SKIPPED: a twin of another capture, which has a packed file of its own."""


def sweep(*, spool: Path, database: Database) -> int:
    """Free the spool of what the catalog says is no longer needed, and return how many packed files went.

    A file the catalog does not know stays where it is: it may be somebody's only copy.
    """
    c = tables.capture.c
    freed = 0
    for packed in sorted(spool.glob("*.packed")):
        if not packed.stem.isdigit():
            continue
        with database.read() as connection:
            state = connection.execute(select(c.state).where(c.id == int(packed.stem))).scalar()
        if state in _FREE:
            drop(packed)
            freed += 1
    return freed
