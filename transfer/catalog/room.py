"""What lies in the spool, as far as it may go: nothing unproved ever does, and what is proved goes oldest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, func, select

from transfer.catalog.tables import capture, delivery, instance, receipt, series
from transfer.states import CaptureState, DeliveryState

_GONE = (CaptureState.RETIRED, CaptureState.RELEASED, CaptureState.SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The spool of one machine. ``releases`` are the proved bytes, and when they go if no room is needed before."""

    unproved_captures: int
    unproved_bytes: int
    unproved_images: int
    unproved_image_bytes: int
    releases: Sequence[tuple[datetime, int]]


def proved_captures(connection: Connection, *, machine: str) -> list[tuple[int, int, datetime]]:
    """Return the captures here that every destination proved to hold: id, bytes, since when; the oldest first."""
    c = capture.c
    query = select(c.id, c.stored_bytes, c.since_at).where(_is_proved(machine), c.stored_bytes.is_not(None))
    return [(number, size, since) for number, size, since in connection.execute(query.order_by(c.since_at, c.id))]


def packed_captures(connection: Connection, *, machine: str) -> set[int]:
    """Return the captures whose packed file is whole; what else lies in the spool was read in part."""
    c = capture.c
    return set(connection.execute(select(c.id).where(c.machine == machine, c.stored_bytes.is_not(None))).scalars())


def contents(connection: Connection, *, machine: str, keep_s: float, keep_images_s: float) -> Contents:
    """Return what the spool holds, proved and not."""
    c, d, i = capture.c, delivery.c, instance.c
    here = (c.machine == machine) & c.state.not_in(_GONE) & c.stored_bytes.is_not(None)
    raw = select(func.count(), func.sum(c.stored_bytes)).where(here, ~_is_proved(machine))
    number, size = connection.execute(raw).one()
    proved = select(d.study_id, func.max(d.since_at).label("at")).where(d.kind == "dicom").group_by(d.study_id)
    proved = proved.having(func.count() == func.count(d.verified_at).filter(d.state == DeliveryState.VERIFIED))
    studies = proved.subquery()
    kept = select(studies.c.at, func.count(), func.sum(i.size)).select_from(
        instance.join(series).outerjoin(studies, studies.c.study_id == series.c.study_id)
    )
    rows = connection.execute(kept.where(i.freed_at.is_(None)).group_by(studies.c.at)).all()
    releases = [(at + timedelta(seconds=keep_images_s), int(of)) for at, _, of in rows if at is not None]
    releases += [(at + timedelta(seconds=keep_s), of) for _, of, at in proved_captures(connection, machine=machine)]
    return Contents(
        unproved_captures=number,
        unproved_bytes=int(size or 0),
        unproved_images=sum(n for at, n, _ in rows if at is None),
        unproved_image_bytes=int(sum(of for at, _, of in rows if at is None)),
        releases=sorted(releases),
    )


def _is_proved(machine: str) -> Any:  # noqa: ANN401 -- an SQL expression
    """Ask for the receipts themselves, as the sweep does: every archive proved it, and none lost it since."""
    c, d = capture.c, delivery.c
    ours = (d.capture_id == c.id) & (d.state != DeliveryState.WITHDRAWN)
    receipted = exists().where(receipt.c.delivery_id == d.id)
    lacks = exists().where(ours, (d.state != DeliveryState.VERIFIED) | ~receipted)
    return and_(c.state == CaptureState.DELIVERED, c.machine == machine, exists().where(ours), ~lacks)
