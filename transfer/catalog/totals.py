"""What was done, counted from the events: in all, or since some time; by scanner and destination alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, literal, select

from transfer.catalog import tables


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
