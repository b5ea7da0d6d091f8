"""What waits and what goes, per scanner and per destination, in the order in which it will be taken."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, case, func, literal, select, tuple_

from transfer.catalog import tables
from transfer.states import CaptureState, DeliveryState

Row = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_TO_READ = (CaptureState.FOUND, CaptureState.SETTLED)
_TO_SEND = (DeliveryState.QUEUED, DeliveryState.SENT, DeliveryState.WAITING, DeliveryState.OBSERVING)


def lines(connection: Connection, *, now: datetime) -> dict[str, Row]:
    """Return how much waits, is at work and is held, by ``scanner:<name>`` (to be read) and ``destination:<name>``.

    ``bytes`` are of raw data: on the scanner as they lie there, for a destination as packed.
    """
    c, d, f = tables.capture.c, tables.delivery.c, tables.source_file.c
    of_scanners = (
        select(f.scanner, func.sum(f.size), *_counts(tables.capture, _TO_READ, now))
        .select_from(tables.capture.join(tables.source_file))
        .where(c.state.in_((*_TO_READ, CaptureState.HELD)), f.gone_at.is_(None))
        .group_by(f.scanner)
    )
    of_destinations = (
        select(d.destination, func.sum(c.stored_bytes), *_counts(tables.delivery, _TO_SEND, now))
        .select_from(tables.delivery.outerjoin(tables.capture, c.id == d.capture_id))
        .where(d.state.in_((*_TO_SEND, DeliveryState.HELD)))
        .group_by(d.destination)
    )
    return {
        f"{kind}:{name}": {"bytes": int(size or 0), "waits": waits or 0, "at_work": at_work or 0, "held": held or 0}
        for kind, query in (("scanner", of_scanners), ("destination", of_destinations))
        for name, size, waits, at_work, held in connection.execute(query)
    }


def pauses(connection: Connection, *, now: datetime) -> list[Row]:
    """Return what the relay itself leaves alone for a while, until when and why."""
    p = tables.pause.c
    query = select(p.what, p.until_at, p.reason).where(p.until_at > now).order_by(p.what)
    return [dict(row) for row in connection.execute(query).mappings()]


def turns(connection: Connection, line: str, *, after: str | None = None, limit: int = 25) -> list[Row]:
    """Return what a line takes next, each with the cursor that goes on after it."""
    kind, _, name = line.partition(":")
    table = tables.capture if kind == "scanner" else tables.delivery
    c, f, t = tables.capture.c, tables.source_file.c, table.c
    mine = (t.id, t.state, t.priority, t.due_at, t.reason, t.lease_token.is_not(None).label("is_at_work"))
    if kind == "scanner":
        query = select(*mine, c.id.label("capture_id"), literal(None).label("study_id"), f.size, f.scanner)
        query = query.join(tables.source_file).where(t.state.in_(_TO_READ), f.scanner == name, f.gone_at.is_(None))
    else:
        query = select(*mine, t.capture_id, t.study_id, t.project, c.stored_bytes.label("size"))
        query = query.outerjoin(tables.capture, c.id == t.capture_id)
        query = query.where(t.state.in_(_TO_SEND), t.destination == name)
    if after is not None:
        query = query.where(_behind(table, after))
    found = connection.execute(query.order_by(t.priority.desc(), t.due_at, t.id).limit(limit)).mappings()
    return [
        dict(row) | {"cursor": f"{-row['priority']}.{(row['due_at'] - _EPOCH) // _MICRO}.{row['id']}"} for row in found
    ]


def _behind(table: Table, cursor: str) -> ColumnElement[bool]:
    t = table.c
    priority, micros, number = (int(part) for part in cursor.split("."))
    at = literal(_EPOCH + micros * _MICRO, t.due_at.type)
    given = (literal(priority), at, literal(number))
    behind: ColumnElement[bool] = tuple_(-t.priority, t.due_at, t.id) > tuple_(*given)
    return behind


def _counts(table: Table, states: tuple[str, ...], now: datetime) -> list[ColumnElement[int]]:
    t = table.c
    is_open = t.state.in_(states)
    at_work = and_(t.lease_token.is_not(None), t.lease_until > now)
    held = t.state == CaptureState.HELD
    return [func.sum(case((condition, 1), else_=0)) for condition in (and_(is_open, ~at_work), at_work, held)]
