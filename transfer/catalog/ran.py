"""What the scanners ran for a project: its own sessions' raw files, by protocol, captured or not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, exists, func, select

from transfer.catalog import tables
from transfer.catalog.latest import counts, is_image
from transfer.catalog.sight import Sight
from transfer.states import CaptureState, DeliveryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """The raw files of one protocol on one scanner. ``protocol`` is empty where no header could be read."""

    protocol: str
    scanner: str
    files: int
    size: int
    """Bytes, as the scanner wrote them."""
    skipped: int
    there: int
    """Not captured, and still on the scanner."""
    there_size: int
    packed: int
    """Bytes of those that were packed, and what was stored of them."""
    stored: int
    first_at: datetime
    last_at: datetime


def what_ran(connection: Connection, project: str, *, since: datetime, destination: str | None = None) -> list[Ran]:
    """Return what ran in a project's sessions that grew since then, the largest first; the same bytes count once.

    With a ``destination`` it is the project of that archive alone, as others have of it.
    """
    c, f, m = tables.capture.c, tables.source_file.c, tables.measurement.c
    own = captures_of(project, since=since, destination=destination).subquery().c
    protocol = func.coalesce(m.protocol, "")
    is_skipped = c.state == CaptureState.SKIPPED
    is_there = is_skipped & f.gone_at.is_(None)
    query = (
        select(
            protocol.label("protocol"),
            f.scanner,
            func.count(c.id).label("files"),
            func.sum(f.size).label("size"),
            _sum(is_skipped, 1).label("skipped"),
            _sum(is_there, 1).label("there"),
            _sum(is_there, f.size).label("there_size"),
            _sum(c.stored_bytes.is_not(None), f.size).label("packed"),
            _sum(c.stored_bytes.is_not(None), c.stored_bytes).label("stored"),
            func.min(f.first_seen_at).label("first_at"),
            func.max(f.first_seen_at).label("last_at"),
        )
        .select_from(tables.capture.join(tables.source_file).outerjoin(tables.measurement, _of(c.id)))
        .where(c.id.in_(select(own.id)), ~(is_skipped & c.sha256.is_not(None)))
        .group_by(protocol, f.scanner)
        .order_by(func.sum(f.size).desc(), protocol, f.scanner)
    )
    sums = ("size", "skipped", "there", "there_size", "packed", "stored")
    return [Ran(**{**row, **{k: int(row[k]) for k in sums}}) for row in connection.execute(query).mappings()]


def by_project(connection: Connection, sight: Sight, *, since: datetime) -> dict[str, dict[str, int]]:
    """Return of each project that is seen how many sessions grew since then, and their raw files with the bytes."""
    c, f, m, b = tables.capture.c, tables.source_file.c, tables.match.c, tables.belonging.c
    s, d, t = tables.study.c, tables.delivery.c, tables.target.c
    recent = s.last_arrival_at >= since
    sent = select(d.project, s.id).join(tables.study, d.study_id == s.id).where(recent, d.kind == "dicom")
    aimed = select(t.project, s.id).join(tables.study, t.study_id == s.id).where(recent, sight.within(t))
    goes = sent.where(d.state != DeliveryState.WITHDRAWN, sight.within(d)).union(aimed).cte("goes")
    joined = select(goes.c.project, m.capture_id).join(tables.match, m.study_id == goes.c.id).where(counts())
    is_joined = select(m.id).where(m.capture_id == b.capture_id, m.undone_at.is_(None)).correlate(tables.belonging)
    placed = select(goes.c.project, b.capture_id).join(tables.belonging, b.study_id == goes.c.id)
    own = joined.union(placed.where(~is_joined.exists())).subquery().c
    is_skipped = c.state == CaptureState.SKIPPED
    files = (
        select(own.project, func.count(c.id), func.sum(f.size), _sum(~is_skipped, 1))
        .select_from(tables.capture.join(tables.source_file).join(own.project.table, own.capture_id == c.id))
        .where(~(is_skipped & c.sha256.is_not(None)))
        .group_by(own.project)
    )
    sessions = select(goes.c.project, func.count()).group_by(goes.c.project)
    found = {
        project: {"sessions": number, "files": 0, "bytes": 0, "captured": 0}
        for project, number in connection.execute(sessions)
    }
    for project, number, size, captured in connection.execute(files):
        found[project] |= {"files": number, "bytes": int(size), "captured": int(captured)}
    return found


def destinations_of(connection: Connection, project: str) -> set[str]:
    """Return the destinations that something goes to for a project of this name."""
    d, t = tables.delivery.c, tables.target.c
    sent = select(d.destination).where(d.kind == "dicom", d.state != DeliveryState.WITHDRAWN, d.project == project)
    return set(connection.execute(sent.union(select(t.destination).where(t.project == project))).scalars())


def captures_of(project: str, *, since: datetime, destination: str | None = None) -> Select[Any]:
    """Select the captures of a project's sessions that grew since then: joined with one, or of one by its header."""
    m, b = tables.match.c, tables.belonging.c
    studies = sessions_of(project, since=since, destination=destination).subquery().c
    joined = select(m.capture_id.label("id")).where(counts(), m.study_id.in_(select(studies.id)))
    is_joined = select(m.id).where(m.capture_id == b.capture_id, m.undone_at.is_(None)).correlate(tables.belonging)
    placed = select(b.capture_id.label("id")).where(b.study_id.in_(select(studies.id)), ~is_joined.exists())
    both = joined.union(placed).subquery()
    return select(both.c.id)


def sessions_of(project: str, *, since: datetime, destination: str | None = None) -> Select[Any]:
    """Select the sessions that go to a project of this name and grew since then."""
    s, d, t = tables.study.c, tables.delivery.c, tables.target.c
    is_sent = (d.study_id == s.id) & (d.kind == "dicom") & (d.state != DeliveryState.WITHDRAWN) & (d.project == project)
    is_aimed = (t.study_id == s.id) & (t.project == project)
    if destination is not None:
        is_sent, is_aimed = is_sent & (d.destination == destination), is_aimed & (t.destination == destination)
    return select(s.id).where(s.last_arrival_at >= since, exists().where(is_sent) | exists().where(is_aimed))


def _of(capture_id: ColumnElement[int]) -> ColumnElement[bool]:
    return (tables.measurement.c.capture_id == capture_id) & is_image()


def _sum(condition: ColumnElement[bool], value: Any) -> ColumnElement[int]:  # noqa: ANN401 -- a number or a column
    return func.coalesce(func.sum(case((condition, value), else_=0)), 0)
