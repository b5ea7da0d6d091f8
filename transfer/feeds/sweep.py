"""The one place that deletes: packed files of captures that are retired, released or twins."""

from pathlib import Path

from sqlalchemy import Connection, select

from kspace.pack import drop
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.states import CaptureState, DeliveryState


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
            row = connection.execute(select(c.id, c.state, c.sha256).where(c.id == int(packed.stem))).first()
            may_go = row is not None and _may_go(connection, *row)
        if may_go:
            drop(packed)
            freed += 1
    return freed


def _may_go(connection: Connection, capture_id: int, state: str, sha256: str | None) -> bool:
    if state == CaptureState.RETIRED:
        return _is_receipted(connection, capture_id)
    # SKIPPED with a digest: another capture holds the bytes. Without one it never was packed; the file is not its.
    return state == CaptureState.RELEASED or (state == CaptureState.SKIPPED and sha256 is not None)


def _is_receipted(connection: Connection, capture_id: int) -> bool:
    """Ask for the receipts themselves, whatever the state says: every archive proved it, and none lost it since."""
    d, r = tables.delivery.c, tables.receipt.c
    ours = (d.capture_id == capture_id) & (d.state != DeliveryState.WITHDRAWN)
    receipted = select(r.id).where(r.delivery_id == d.id).exists()
    found = connection.execute(select(d.state, receipted).where(ours)).all()
    return bool(found) and all(has and now == DeliveryState.VERIFIED for now, has in found)
