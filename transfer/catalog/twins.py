"""Captures of the same bytes: one goes on for all, and they never lie in one folder of an archive as two."""

from datetime import datetime

from sqlalchemy import Connection, RowMapping, func, select, update

from transfer.catalog import tables
from transfer.catalog.inventory import find_twin_in, look_again
from transfer.catalog.notices import RELAY, clear_alert, note
from transfer.records import Done, Outcome, PackedUp, Twin
from transfer.states import LOST_CODES, CaptureState, DeliveryState

_LOCK_DIGITS = 15
"""Hexadecimal digits of the digest that name the lock: 60 bits, since PostgreSQL's locks have 64."""


def recognised(outcome: Outcome, connection: Connection, row: RowMapping) -> Outcome:
    """Return that a capture is a twin where another of the same bytes was packed while it was."""
    if not isinstance(outcome, Done) or not isinstance(outcome.result, PackedUp):
        return outcome
    packed = outcome.result.packed
    if connection.dialect.name == "postgresql":  # SQLite lets one write at a time; here two machines could miss another
        lock = func.pg_advisory_xact_lock(int(packed.sha256[:_LOCK_DIGITS], 16))
        connection.execute(select(lock))
    other = find_twin_in(connection, packed.sha256, row["id"])
    return outcome if other is None else Done(Twin(packed, other))


def wake_twins(connection: Connection, capture_id: int, at: datetime) -> None:
    """Let captures of the same bytes that still lie on a share go on by themselves: the one that held for them lost it.

    SKIPPED with a digest is a twin, for what nobody wants is never read in full.
    """
    c, f = tables.capture.c, tables.source_file.c
    there = select(f.id).where(f.gone_at.is_(None))
    lost = select(c.sha256).where(c.id == capture_id).scalar_subquery()
    twins = (c.sha256 == lost) & (c.state == CaptureState.SKIPPED) & c.source_file_id.in_(there)
    for twin in connection.execute(select(c.id).where(twins)).scalars().all():
        look_again(connection, twin, why="the capture of the same bytes lost them", at=at)


def stand_back(connection: Connection, capture_id: int, at: datetime) -> None:
    """Let captures of the same bytes that an archive or the spool lost become twins of the one that is proved now.

    They share a folder there: each would find the other's delivery document in its place.
    """
    c, d = tables.capture.c, tables.delivery.c
    mine = select(c.sha256).where(c.id == capture_id).scalar_subquery()
    lost = select(d.capture_id).where(d.state == DeliveryState.HELD, d.held_code.in_(LOST_CODES))
    whole = select(d.capture_id).where(d.kind == "raw", d.state == DeliveryState.VERIFIED)
    others = (c.sha256 == mine) & (c.id != capture_id) & c.id.in_(lost) & c.id.not_in(whole)
    others &= c.state.in_([CaptureState.RETIRED, CaptureState.PLANNED]) & c.lease_token.is_(None)
    reason = f"The same bytes as capture {capture_id}, which goes on for both."
    for other in connection.execute(select(c.id, c.state).where(others)).all():
        ended = {"state": DeliveryState.WITHDRAWN, "since_at": at, "place": None, "reason": reason, "held_code": None}
        of_other = (d.capture_id == other.id) & d.lease_token.is_(None)
        for one in connection.execute(update(tables.delivery).where(of_other).values(ended).returning(d.id)).all():
            clear_alert(connection, key=f"delivery:{one.id}", at=at)
            clear_alert(connection, key=f"lost:{one.id}", at=at)
        values = {"state": CaptureState.SKIPPED, "since_at": at, "reason": reason}
        connection.execute(update(tables.capture).where(c.id == other.id).values(values))
        note(
            connection,
            at=at,
            actor=RELAY,
            subject="capture",
            subject_id=other.id,
            verb="capture.stood back",
            before=other.state,
            after=CaptureState.SKIPPED,
            detail=reason,
        )
