"""One look at the relay: what moves, what waits for a person, what only a scanner has, and how fast it goes."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Integer, Select, case, cast, desc, exists, func, literal, or_, select

from transfer.catalog import tables
from transfer.catalog.sight import Sight
from transfer.states import CaptureState, DeliveryState

Row = dict[str, Any]
_TARGET = tables.target.c
_DOUBT = "doubt:"
_EVENTS = 2000
_HOUR = timedelta(hours=1)
_ENDED = (CaptureState.SKIPPED, CaptureState.DELIVERED, CaptureState.RETIRED, CaptureState.RELEASED)
UNDER_WAY = tuple(set(CaptureState) - {*_ENDED})
UNPROVED = tuple(set(DeliveryState) - {DeliveryState.VERIFIED, DeliveryState.WITHDRAWN})


def moving(connection: Connection, sight: Sight, *, now: datetime) -> list[Row]:
    """Return what some worker has in hand now: captures, and deliveries with their destination."""
    c, d, f = tables.capture.c, tables.delivery.c, tables.source_file.c
    of_captures = (
        select(c.id, c.state, c.since_at, f.scanner, f.size, literal(None).label("destination"))
        .select_from(tables.capture.join(tables.source_file))
        .where(c.lease_token.is_not(None), c.lease_until > now, c.state.in_(UNDER_WAY), sight.capture())
    )
    of_deliveries = (
        select(c.id, d.state, d.since_at, f.scanner, f.size, d.destination)
        .select_from(tables.delivery.join(tables.capture, c.id == d.capture_id).join(tables.source_file))
        .where(d.lease_token.is_not(None), d.lease_until > now, d.state.in_(UNPROVED), sight.within(d))
    )
    return [dict(row) for query in (of_captures, of_deliveries) for row in connection.execute(query).mappings()]


def doubted() -> Select[int]:
    """Select the captures whose scan images that came late put in doubt; by the alerts, which are few."""
    a = tables.alert.c
    number = cast(func.substr(a.key, len(_DOUBT) + 1), Integer)
    return select(number).where(a.key.startswith(_DOUBT), a.cleared_at.is_(None))


def waiting_for_a_person(connection: Connection, sight: Sight, *, limit: int = 8) -> tuple[int, list[Row]]:
    """Return how many captures are held, have a delivery that is, or are in doubt, and the newest of them."""
    c, d, f, m = tables.capture.c, tables.delivery.c, tables.source_file.c, tables.measurement.c
    held = select(d.capture_id).where(d.state == DeliveryState.HELD, d.kind == "raw")
    is_held = or_(c.state == CaptureState.HELD, c.id.in_(held), c.id.in_(doubted())) & sight.capture()
    protocol = select(func.max(m.protocol)).where(m.capture_id == c.id).scalar_subquery()
    query = (
        select(c.id, c.state, c.since_at, c.reason, f.scanner, protocol.label("protocol"))
        .join(tables.source_file)
        .where(is_held)
        .order_by(desc(c.id))
        .limit(limit)
    )
    number = connection.execute(select(func.count(c.id)).where(is_held)).scalar_one()
    return number, [dict(row) for row in connection.execute(query).mappings()]


def images_waiting_for_a_person(connection: Connection, sight: Sight) -> int:
    """Return of how many sessions the images are held, or (for who sees everything) have no route."""
    d, s = tables.delivery.c, tables.study.c
    held = select(func.count(d.study_id.distinct())).where(d.state == DeliveryState.HELD, d.kind == "dicom")
    number: int = connection.execute(held.where(sight.within(d))).scalar_one()
    if sight.is_all:
        unrouted = ~exists().where(d.study_id == s.id, d.kind == "dicom") & ~exists().where(_TARGET.study_id == s.id)
        number += connection.execute(select(func.count(s.id)).where(unrouted)).scalar_one()
    return number


def only_there(connection: Connection, sight: Sight, *, now: datetime, limit: int = 200) -> tuple[int, list[Row]]:
    """Return how many files only the scanner has, for a day or after failed attempts, and the oldest that it alone has.

    ``is_late`` says of each whether it is counted.
    """
    c, f = tables.capture.c, tables.source_file.c
    unread = c.state.in_([CaptureState.FOUND, CaptureState.SETTLED]) & c.manifest.is_(None) & f.gone_at.is_(None)
    is_late = or_(c.failures > 0, f.first_seen_at < now - timedelta(days=1))
    columns = (c.id, c.state, c.reason, f.scanner, f.size, f.scope, f.mtime_ns, f.first_seen_at.label("since_at"))
    query = select(*columns, is_late.label("is_late")).join(tables.source_file).where(unread, sight.capture())
    found = connection.execute(query.order_by(f.mtime_ns, c.id).limit(limit)).mappings()
    counted = select(func.count(c.id)).join(tables.source_file).where(unread, is_late, sight.capture())
    return connection.execute(counted).scalar_one(), [dict(row) for row in found]


def pace(connection: Connection, *, now: datetime) -> tuple[float, float]:
    """Return how many bytes a second were packed and proved in the last hour; of its last events if they are many."""
    c, d, e = tables.capture.c, tables.delivery.c, tables.event.c
    last = select(tables.event).order_by(desc(e.id)).limit(_EVENTS).subquery().c
    is_news = (last.at > now - _HOUR) & last.before.is_distinct_from(last.after)
    whose = case((last.subject == "capture", last.subject_id), else_=d.capture_id)
    query = (
        select(last.verb, func.sum(c.stored_bytes), func.min(last.at))
        .outerjoin(tables.delivery, (last.subject == "delivery") & (d.id == last.subject_id))
        .join(tables.capture, c.id == whose)
        .where(is_news, last.verb.in_(["capture.packed", "delivery.verified"]))
        .group_by(last.verb)
    )
    found = {verb: (int(size or 0), at) for verb, size, at in connection.execute(query)}
    since = min((at for _, at in found.values()), default=now - _HOUR)
    span_s = max((now - min(since, now - timedelta(minutes=5))).total_seconds(), 1.0)
    packed, proved = (found.get(verb, (0, None))[0] / span_s for verb in ("capture.packed", "delivery.verified"))
    return packed, proved
