"""What lies at a source, and which archives gave a receipt for its bytes: all that a deletion there goes by."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from transfer.catalog import tables
from transfer.catalog.notices import in_doubt
from transfer.states import CaptureState, DeliveryState

_D = DeliveryState
_DIFFER = timedelta(minutes=1)
"""Clocks of several machines on one catalog differ by less."""
_AT_REST = (CaptureState.DELIVERED, CaptureState.RETIRED)


@dataclass(frozen=True, slots=True)
class Receipted:
    """One archive's word for a capture: its newest receipt, None if there is none."""

    delivery_id: int
    destination: str
    place: str | None
    state: str
    document: bytes | None


@dataclass(frozen=True, slots=True)
class Lying:
    """A file that lies at a source, by its capture's number, and the archives' words for its bytes."""

    capture_id: int
    path: str
    size: int
    mtime_ns: int
    sha256: str | None
    is_busy: bool
    is_doubted: bool
    receipts: tuple[Receipted, ...]
    """Of the capture that holds its bytes: its own, or that of a twin; empty where none is at rest."""


def lying(connection: Connection, source: str, *, capture_id: int | None = None) -> list[Lying]:
    """Return what lies at a source, or the one file of it, oldest first."""
    c, f = tables.capture.c, tables.source_file.c
    is_doubted = select(tables.alert.c.id).where(in_doubt(c.id)).exists()
    query = (
        select(c.id, c.state, c.sha256, c.lease_token, f.path, f.size, f.mtime_ns, is_doubted.label("is_doubted"))
        .join(tables.source_file)
        .where(f.source == source, f.gone_at.is_(None))
        .order_by(f.mtime_ns, c.id)
    )
    rows = connection.execute(query if capture_id is None else query.where(c.id == capture_id)).all()
    return [
        Lying(
            row.id,
            row.path,
            row.size,
            row.mtime_ns,
            row.sha256,
            row.lease_token is not None,
            bool(row.is_doubted),
            _receipts(connection, _holder(connection, row.id, row.state, row.sha256)),
        )
        for row in rows
    ]


def _holder(connection: Connection, capture_id: int, state: str, sha256: str | None) -> int | None:
    """Return the capture whose receipts are for these bytes: itself, or of a twin the other one."""
    if sha256 is None or state not in {*_AT_REST, CaptureState.SKIPPED}:
        return None
    if state in _AT_REST:
        return capture_id
    c = tables.capture.c
    twin = select(c.id).where(c.sha256 == sha256, c.state.in_(_AT_REST), c.id != capture_id).order_by(c.id).limit(1)
    return connection.execute(twin).scalar()


def _receipts(connection: Connection, capture_id: int | None) -> tuple[Receipted, ...]:
    if capture_id is None:
        return ()
    d, r = tables.delivery.c, tables.receipt.c
    ways = select(d.id, d.destination, d.place, d.state).where(d.capture_id == capture_id, d.state != _D.WITHDRAWN)
    newest = select(r.document).order_by(r.id.desc()).limit(1)
    return tuple(
        Receipted(*row, document=connection.execute(newest.where(r.delivery_id == row.id)).scalar())
        for row in connection.execute(ways.order_by(d.id)).all()
    )


def was_clock_set_back(connection: Connection, now: datetime) -> bool:
    """Return whether something is written down that lies well ahead of now: then no time can be trusted."""
    e = tables.event.c
    newest: datetime | None = connection.execute(select(e.at).order_by(e.id.desc()).limit(1)).scalar()
    return newest is not None and newest > now + _DIFFER
