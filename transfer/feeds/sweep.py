"""The one place that deletes: packed files of captures that are retired, released or twins."""

from pathlib import Path

from sqlalchemy import select

from kspace.pack import drop
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.states import CaptureState

_FREE = frozenset({CaptureState.RETIRED, CaptureState.RELEASED})


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
            row = connection.execute(select(c.state, c.sha256).where(c.id == int(packed.stem))).first()
        if row is not None and (row.state in _FREE or _is_twin(row.state, row.sha256)):
            drop(packed)
            freed += 1
    return freed


def _is_twin(state: str, sha256: str | None) -> bool:
    """SKIPPED with a digest: another capture holds the bytes. Without one it never was packed; the file is not its."""
    return state == CaptureState.SKIPPED and sha256 is not None
