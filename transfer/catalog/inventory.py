"""What is known of files on the scanners: which are the same bytes, and which are to be looked at again."""

from datetime import datetime

from sqlalchemy import Connection, and_, exists, or_, select, update

from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.notices import RELAY, note
from transfer.states import LOST_CODES, CaptureState, DeliveryState


def find_twin(database: Database, sha256: str, capture_id: int) -> int | None:
    """Return another capture that holds the same bytes, in the spool or verified in an archive."""
    with database.read() as connection:
        return find_twin_in(connection, sha256, capture_id)


def find_twin_in(connection: Connection, sha256: str, capture_id: int) -> int | None:
    """Return the same within a transaction."""
    c, d = tables.capture.c, tables.delivery.c
    # The manifest tells that it was packed; what was skipped or released since then holds nothing any more. Nor does
    # what an archive lost or the spool spoiled, unless another archive has it.
    is_there = exists().where(d.capture_id == c.id, d.state == DeliveryState.VERIFIED)
    is_lost = exists().where(d.capture_id == c.id, d.state == DeliveryState.HELD, d.held_code.in_(LOST_CODES))
    holds = and_(
        c.manifest.is_not(None),
        c.state.not_in([CaptureState.SKIPPED, CaptureState.RELEASED]),
        or_(is_there, and_(~is_lost, c.state != CaptureState.RETIRED, c.held_code.is_distinct_from("lost"))),
    )
    query = select(c.id).where(c.sha256 == sha256, c.id != capture_id, holds).order_by(c.id).limit(1)
    found: int | None = connection.execute(query).scalar()
    return found


def look_again(connection: Connection, capture_id: int, *, why: str, at: datetime, actor: str = RELAY) -> None:
    """Let a file that was skipped be looked at from the start."""
    values = {"state": CaptureState.FOUND, "since_at": at, "due_at": at, "sha256": None, "reason": None}
    connection.execute(update(tables.capture).where(tables.capture.c.id == capture_id).values(values))
    note(
        connection,
        at=at,
        actor=actor,
        subject="capture",
        subject_id=capture_id,
        verb="capture.reopened",
        before=CaptureState.SKIPPED,
        after=CaptureState.FOUND,
        detail=why,
    )
