"""A few deliveries a day are proved again: archives lose and alter files too."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import select, update

from kspace.clock import Clock
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.states import CaptureState, DeliveryState

_AGAIN_AFTER = timedelta(days=1)
"""A feed also runs at each start: what was proved within a day is left alone."""


def recheck(*, database: Database, clock: Clock, machine: str, destinations: Collection[str]) -> int | None:
    """Make the delivery whose proof is the oldest due for the audit, and return its id; None where none is old enough.

    Its capture, if the spool still has it, stays there for another day: it may be needed again.
    """
    d, c, now = tables.delivery.c, tables.capture.c, clock.now()
    is_old = (d.verified_at < now - _AGAIN_AFTER) & (d.due_at > now) & d.lease_token.is_(None)
    of_ours = (d.kind == "raw") & (d.state == DeliveryState.VERIFIED) & (d.machine == machine)
    of_ours &= d.destination.in_(destinations)
    oldest = select(d.id, d.capture_id).where(of_ours & is_old).order_by(d.verified_at, d.id).limit(1)
    with database.write() as connection:
        row = connection.execute(oldest).first()
        if row is None:
            return None
        connection.execute(update(tables.delivery).where(d.id == row.id).values(due_at=now))
        kept = (c.id == row.capture_id) & (c.state == CaptureState.DELIVERED) & (c.due_at < now + _AGAIN_AFTER)
        connection.execute(update(tables.capture).where(kept).values(due_at=now + _AGAIN_AFTER))
    return int(row.id)
