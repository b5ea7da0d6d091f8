"""What the review desk asks of the catalog: raw files without a certain scan, images without raw data; and whose."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, desc, exists, func, or_, select

from transfer.catalog import tables
from transfer.catalog.glance import doubted
from transfer.catalog.latest import is_image
from transfer.catalog.matching import BY_HAND
from transfer.catalog.sight import Sight
from transfer.states import CaptureState, DeliveryState

Row = dict[str, Any]


def waits() -> ColumnElement[bool]:
    """Return the condition on ``capture`` that it has no session yet, or that late images put its scan in doubt."""
    c = tables.capture.c
    is_held = (c.state == CaptureState.HELD) & c.held_code.in_(["join", BY_HAND])
    return or_(c.state == CaptureState.PACKED, is_held, c.id.in_(doubted()))


def waiting(connection: Connection, sight: Sight, *, after: int | None = None, limit: int = 25) -> list[Row]:
    """Return the raw files that wait for a scan, the newest first."""
    c, f, m = tables.capture.c, tables.source_file.c, tables.measurement.c
    columns = (c.id, c.state, c.held_code, c.reason, c.since_at, f.scanner, f.size, f.first_seen_at, m.mid, m.protocol)
    query = (
        select(*columns)
        .join(tables.source_file)
        .outerjoin(tables.measurement, (m.capture_id == c.id) & is_image())
        .where(waits(), sight.capture())
        .order_by(desc(c.id))
        .limit(limit)
    )
    if after is not None:
        query = query.where(c.id < after)
    return [dict(row) for row in connection.execute(query).mappings()]


def images_alone(connection: Connection, sight: Sight, *, since: datetime, limit: int = 10) -> list[Row]:
    """Return the sessions that came since then and have images and no raw file, the newest first."""
    s, m, b, d = tables.study.c, tables.match.c, tables.belonging.c, tables.delivery.c
    named = select(func.max(d.session)).where(d.study_id == s.id, d.kind == "dicom", sight.within(d)).scalar_subquery()
    has_raw = exists().where(m.study_id == s.id, m.undone_at.is_(None)) | exists().where(b.study_id == s.id)
    query = (
        select(s.id, s.last_arrival_at, named.label("session"))
        .where(s.last_arrival_at > since, ~has_raw, sight.study())
        .order_by(desc(s.last_arrival_at), desc(s.id))
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def goes_to(connection: Connection, *, capture: int | None = None, study: int | None = None) -> list[Row]:
    """Return every destination and project that a study, or a raw file and its session, go to."""
    d, t, m, b = tables.delivery.c, tables.target.c, tables.match.c, tables.belonging.c
    is_current = d.state != DeliveryState.WITHDRAWN
    if capture is not None:
        newest = select(m.study_id).where(m.capture_id == capture, m.undone_at.is_(None)).order_by(desc(m.id)).limit(1)
        study = connection.execute(newest).scalar()
        study = study or connection.execute(select(b.study_id).where(b.capture_id == capture)).scalar()
    of_study = (d.study_id == study) & (d.kind == "dicom")
    meant = of_study if capture is None else of_study | (d.capture_id == capture)
    ways = select(d.destination, d.project).where(meant, is_current)
    both = ways.union(select(t.destination, t.project).where(t.study_id == study))
    return [dict(row) for row in connection.execute(both).mappings()]


def study_of(connection: Connection, scan: str) -> int | None:
    """Return the study that a series (``s12``) or a session (``t3``) names."""
    kind, number = scan[:1], scan[1:]
    if not number.isdecimal() or len(number) > 9:
        return None
    table, column = (tables.series, "study_id") if kind == "s" else (tables.study, "id")
    found: int | None = connection.execute(select(table.c[column]).where(table.c.id == int(number))).scalar()
    return found


def series_of(connection: Connection, uid: str) -> Row:
    """Return what a series is called in words, how many images of it came, and which session it is of."""
    s, i, d = tables.series.c, tables.instance.c, tables.delivery.c
    images = select(func.count()).where(i.series_id == s.id).scalar_subquery()
    named = select(func.max(d.session)).where(d.study_id == s.study_id, d.kind == "dicom").scalar_subquery()
    query = select(s.document, images.label("images"), named.label("label")).where(s.series_uid == uid)
    row = connection.execute(query).mappings().one()
    return {"description": row["document"].get("description"), "images": row["images"], "label": row["label"]}
