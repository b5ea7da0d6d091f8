"""Which series a measurement could be of: by indexed keys, whatever number of series the catalog knows."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, case, func, or_, select, union

from dicom.evidence.reference_image import planned_on
from dicom.join import index_keys, visit_of
from dicom.records import Level, Series
from dicom.ticks import DAY, SECOND, Span, reach_of, span_of
from kspace.records import Measurement
from transfer.catalog import documents, tables
from transfer.catalog.database import Database


@dataclass(frozen=True, slots=True)
class Candidate:
    """A series worth judging for a measurement, and when its study last grew."""

    series: Series
    last_arrival_at: datetime


def find_candidates(database: Database, measurement: Measurement) -> list[Candidate]:
    """Return every series that shares a key with the measurement, and all others of a study that shares one.

    Of a series' instances only the ticks and the images that the measurement was planned on are looked up: a study may
    have a hundred thousand.
    """
    k, s, study = tables.series_key.c, tables.series.c, tables.study.c
    shared = select(k.series_id).where(k.key.in_(index_keys(measurement)))
    of_study = k.key.in_(index_keys(measurement, level=Level.STUDY))
    studies = select(s.study_id).where(s.id.in_(select(k.series_id).where(of_study)))
    ids = union(shared, select(s.id).where(s.study_id.in_(studies)))
    with database.read() as connection:
        # As a query inside the next one PostgreSQL would take them for many and read every series there is.
        ids_found = list(connection.execute(ids).scalars())
        query = select(s.id, s.document, study.last_arrival_at).join(tables.study).where(s.id.in_(ids_found))
        found = connection.execute(query).all() if ids_found else []
        ticks, images = _ticks(connection, ids_found, measurement), _planned_on(connection, measurement)
    return [
        Candidate(
            documents.to_series(row.document, sop_uids=frozenset(images[row.id]), ticks=ticks[row.id]),
            row.last_arrival_at,
        )
        for row in found
    ]


def find_rivals(database: Database, measurement: Measurement) -> list[Measurement]:
    """Return the other measurements of its visit that ran at about the same time of day, as far as the catalog knows.

    Those may rival it where the scanner's clock was set back, or is not that of the images. Copies are left out.
    """
    m, reach, visit = tables.measurement.c, reach_of(measurement.ticks), visit_of(measurement)
    if reach is None or visit is None:
        return []
    of_visit = select(m.id, m.mid, m.first_tick, m.last_tick).where(m.visit == visit, m.first_tick.is_not(None))
    with database.read() as connection:
        known = [(row.id, row.mid, Span(row.first_tick, row.last_tick)) for row in connection.execute(of_visit)]
        mine = (measurement.mid, reach)
        ids = [i for i, *other in known if tuple(other) != mine and other[1].is_near(reach)]
        query = select(m.document).where(m.id.in_(ids)).order_by(m.id)
        return [documents.to_measurement(document) for document in connection.execute(query).scalars()] if ids else []


def _ticks(connection: Connection, series_ids: list[int], measurement: Measurement) -> defaultdict[int, frozenset[int]]:
    """Return every tick of the series that have one within the measurement; of the others the ends and an uncut one.

    Those tell as much: that all lie outside.
    """
    t, span = tables.series_tick.c, span_of(measurement.ticks)
    known = t.series_id.in_(series_ids)
    uncut = func.min(case((t.tick % SECOND != 0, t.tick), else_=None))
    ends = select(t.series_id, func.min(t.tick), func.max(t.tick), uncut).where(known).group_by(t.series_id)
    found = defaultdict(frozenset, {i: frozenset(ticks) - {None} for i, *ticks in connection.execute(ends)})
    if span is not None and found:
        near = known & _within(t.tick, span)
        query = select(t.series_id, t.tick).where(t.series_id.in_(select(t.series_id).where(near)))
        for series_id, rows in groupby(connection.execute(query.order_by(t.series_id)), lambda row: row.series_id):
            found[series_id] = frozenset(row.tick for row in rows)
    return found


def _within(tick: ColumnElement[int], span: Span) -> ColumnElement[bool]:
    first, last = span.first % DAY, span.last % DAY
    return tick.between(first, last) if first <= last else or_(tick >= first, tick <= last)


def _planned_on(connection: Connection, measurement: Measurement) -> defaultdict[int, set[str]]:
    i = tables.instance.c
    found = defaultdict(set)
    query = select(i.series_id, i.sop_uid).where(i.sop_uid.in_(planned_on(measurement)))
    for series_id, sop_uid in connection.execute(query):
        found[series_id].add(sop_uid)
    return found
