"""The relay in figures: how much stands where, and what was done in all; by scanner and destination alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select

from transfer.catalog import tables
from transfer.catalog.outbox_tables import acknowledgement, outbox
from transfer.states import LOST_CODES, CaptureState, DeliveryState

Figures = dict[tuple[str, ...], int]
"""Values by their labels, in the order of the question."""

_ENDED = {CaptureState.SKIPPED, CaptureState.DELIVERED, CaptureState.RETIRED, CaptureState.RELEASED}
_OPEN = tuple(set(CaptureState) - _ENDED)
_UNPROVED = tuple(set(DeliveryState) - {DeliveryState.VERIFIED, DeliveryState.WITHDRAWN})


def standing(connection: Connection) -> dict[str, Figures]:
    """Return what stands where now; what has ended is counted by its state alone, which an index does.

    What has not is few, and counted by scanner, or by destination and kind, as well.
    """
    c, d, f = tables.capture.c, tables.delivery.c, tables.source_file.c
    of_files = tables.capture.join(tables.source_file)
    is_open = c.state.in_(_OPEN)
    a, k, o, p = tables.alert.c, acknowledgement.c, outbox.c, tables.pause.c
    is_seen_to = (k.alert_id == a.id) & (k.severity == a.severity)
    queries: dict[str, Select[Any]] = {
        "captures": select(c.state, func.count()).group_by(c.state),
        "waiting_captures": select(f.scanner, c.state, func.count())
        .select_from(of_files)
        .where(is_open)
        .group_by(f.scanner, c.state),
        "waiting_bytes": select(f.scanner, func.sum(f.size)).select_from(of_files).where(is_open).group_by(f.scanner),
        "deliveries": select(d.state, func.count()).group_by(d.state),
        "waiting_deliveries": select(d.destination, d.kind, d.state, func.count())
        .where(d.state.in_(_UNPROVED))
        .group_by(d.destination, d.kind, d.state),
        "backlog_bytes": select(d.destination, d.kind, func.sum(c.stored_bytes))
        .select_from(tables.delivery.join(tables.capture))
        .where(d.state.in_(_UNPROVED))
        .group_by(d.destination, d.kind),
        "image_backlog": _image_backlog(),
        "alerts": select(a.severity, func.count()).where(a.cleared_at.is_(None)).group_by(a.severity),
        "acknowledged": select(a.severity, func.count())
        .select_from(tables.alert.join(acknowledgement, is_seen_to))
        .where(a.cleared_at.is_(None))
        .group_by(a.severity),
        "pauses": select(p.what, p.failures),
        "messages": select(o.sink, func.count()).where(o.sent_at.is_(None)).group_by(o.sink),
    }
    return {n: {tuple(row[:-1]): int(row[-1] or 0) for row in connection.execute(q)} for n, q in queries.items()}


def oldest_unsent(connection: Connection) -> dict[str, datetime]:
    """Return since when, of each scanner, the oldest file waits that is not proved in every archive yet."""
    c, f = tables.capture.c, tables.source_file.c
    query = (
        select(f.scanner, func.min(f.first_seen_at))
        .select_from(tables.capture.join(tables.source_file))
        .where(c.state.in_(_OPEN))
        .group_by(f.scanner)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


@dataclass(slots=True)
class Done:
    """How often something was done, with how many bytes of source and spool, and when it was done last."""

    number: int = 0
    source_bytes: int = 0
    stored_bytes: int = 0
    last_at: datetime | None = None


class Totals:
    """What was done in all, counted on from where the last look ended: a look costs only what came since."""

    def __init__(self) -> None:
        self._upto = 0
        self._found: dict[tuple[str, str, str], Done] = {}

    def look(self, connection: Connection, *, until: datetime | None = None) -> Mapping[tuple[str, str, str], Done]:
        """Return what was done, by name (as `done`), scanner or destination, and kind."""
        e = tables.event.c
        newest = select(e.id).order_by(e.id.desc()).limit(1)
        upto = connection.execute(newest if until is None else newest.where(e.at <= until)).scalar() or 0
        if upto > self._upto:
            for key, news in done(connection, after=self._upto, upto=upto).items():
                known = self._found.setdefault(key, Done())
                known.number += news.number
                known.source_bytes += news.source_bytes
                known.stored_bytes += news.stored_bytes
                known.last_at = news.last_at
            self._upto = upto
        return self._found


def done(connection: Connection, *, after: int, upto: int) -> dict[tuple[str, str, str], Done]:
    """Return what the events of a range of ids did.

    ``packed`` is of a scanner, ``sent`` and ``verified`` are of a destination, ``held`` is of both.
    """
    c, d, e, f = tables.capture.c, tables.delivery.c, tables.event.c, tables.source_file.c
    in_range = (e.id > after) & (e.id <= upto) & (e.before.is_distinct_from(e.after))
    sums = (func.count(), func.sum(f.size), func.sum(c.stored_bytes), func.max(e.at))
    of_captures = (
        select(e.verb, f.scanner, literal(""), *sums)
        .select_from(tables.event.join(tables.capture, c.id == e.subject_id).join(tables.source_file))
        .where(in_range, e.verb.in_(["capture.packed", "capture.held"]))
        .group_by(e.verb, f.scanner)
    )
    joined = tables.event.join(tables.delivery, d.id == e.subject_id).outerjoin(tables.capture, c.id == d.capture_id)
    of_deliveries = (
        select(e.verb, d.destination, d.kind, *sums)
        .select_from(joined.outerjoin(tables.source_file, f.id == c.source_file_id))
        .where(in_range, e.verb.in_(["delivery.sent", "delivery.verified", "delivery.held"]))
        .group_by(e.verb, d.destination, d.kind)
    )
    found = {}
    for query in (of_captures, of_deliveries):
        for verb, of, kind, number, size, stored, at in connection.execute(query):
            sums_of = Done(number=number, source_bytes=int(size or 0), stored_bytes=int(stored or 0), last_at=at)
            found[verb.partition(".")[2], of, kind] = sums_of
    return found


def last_event_before(connection: Connection, at: datetime) -> int:
    """Return the id of the last event before an instant: what came after it has a greater one."""
    e = tables.event.c
    return connection.execute(select(func.max(e.id)).where(e.at < at)).scalar() or 0


def flow(connection: Connection, *, after: int) -> Iterator[tuple[str, datetime, int]]:
    """Yield ``packed`` and ``verified``, when it was, and of how many bytes as packed, of the events after an id."""
    c, d, e = tables.capture.c, tables.delivery.c, tables.event.c
    is_news = (e.id > after) & (e.before.is_distinct_from(e.after))
    events = tables.event
    of_captures = select(e.at, c.stored_bytes).select_from(events.join(tables.capture, c.id == e.subject_id))
    of_deliveries = select(e.at, c.stored_bytes).select_from(
        events.join(tables.delivery, d.id == e.subject_id).join(tables.capture, c.id == d.capture_id)
    )
    for word, verb, query in (
        ("packed", "capture.packed", of_captures),
        ("verified", "delivery.verified", of_deliveries),
    ):
        for at, stored in connection.execute(query.where(is_news, e.verb == verb)):
            yield word, at, int(stored or 0)


def lost(connection: Connection) -> dict[str, int]:
    """Return how many files were gone before they were captured, and how many an archive lost and nobody can send."""
    c, d = tables.capture.c, tables.delivery.c
    gone = (c.state == CaptureState.HELD) & (c.held_code == "file_vanished")
    lost_there = (d.state == DeliveryState.HELD) & d.held_code.in_(LOST_CODES)
    return {
        "scanner": connection.execute(select(func.count(c.id)).where(gone)).scalar_one(),
        "archive": connection.execute(select(func.count(d.id)).where(lost_there)).scalar_one(),
    }


def _image_backlog() -> Select[Any]:
    d, i, s = tables.delivery.c, tables.instance.c, tables.series.c
    return (
        select(d.destination, func.sum(i.size))
        .select_from(
            tables.delivery.join(tables.series, s.study_id == d.study_id).join(tables.instance, i.series_id == s.id)
        )
        .where(d.kind == "dicom", d.state.in_(_UNPROVED))
        .group_by(d.destination)
    )
