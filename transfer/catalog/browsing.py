"""What the page asks of the catalog: sessions by filter and cursor, as far as the viewer sees them; by indexes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, desc, exists, false, literal, or_, select, tuple_

from transfer.catalog import tables
from transfer.catalog.glance import UNDER_WAY, UNPROVED, doubted
from transfer.catalog.sight import Sight

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which sessions are asked for. ``text`` is looked for in labels and in the archive's ids."""

    text: str = ""
    project: str = ""
    scanner: str = ""
    since: datetime | None = None
    until: datetime | None = None
    is_open: bool = False
    """Only sessions of which something is not safe yet; a few more may be among them."""
    may_lack: bool = False
    """With ``is_open``, those too that need files of others: whether these are there is not told by an index."""


def study_ids(
    connection: Connection, wanted: Wanted, sight: Sight, *, after: str | None = None, limit: int = 25
) -> list[tuple[str, int]]:
    """Return the studies that grew last, each with the cursor that goes on after it."""
    s = tables.study.c
    query = select(s.id, s.last_arrival_at).where(sight.study(), *_conditions(wanted, sight))
    if after is not None:
        micros, _, number = after.partition("-")
        at = literal(_EPOCH + timedelta(microseconds=int(micros)), s.last_arrival_at.type)
        query = query.where(tuple_(s.last_arrival_at, s.id) < tuple_(at, literal(int(number))))
    found = connection.execute(query.order_by(desc(s.last_arrival_at), desc(s.id)).limit(limit))
    return [(f"{(at - _EPOCH) // timedelta(microseconds=1)}-{study}", study) for study, at in found]


def sees(connection: Connection, sight: Sight, *, study: int | None = None, capture: int | None = None) -> bool:
    """Return whether a study or a capture is there and seen."""
    if study is not None:
        query = select(tables.study.c.id).where(tables.study.c.id == study, sight.study())
    else:
        query = select(tables.capture.c.id).where(tables.capture.c.id == capture, sight.capture())
    return connection.execute(query).first() is not None


def _conditions(wanted: Wanted, sight: Sight) -> Sequence[ColumnElement[bool]]:
    s, d, t = tables.study.c, tables.delivery.c, tables.target.c
    found: list[ColumnElement[bool]] = []
    if wanted.text:
        named = or_(d.session.icontains(wanted.text, autoescape=True), d.experiment == wanted.text)
        found.append(s.id.in_(select(d.study_id).where(d.kind == "dicom", named, sight.within(d))))
    if wanted.project:
        is_sent = exists().where(d.study_id == s.id, d.kind == "dicom", d.project == wanted.project, sight.within(d))
        found.append(is_sent | exists().where(t.study_id == s.id, t.project == wanted.project, sight.within(t)))
    if wanted.scanner:
        found.append(_has_raw(tables.source_file.c.scanner == wanted.scanner))
    if wanted.since:
        found.append(s.last_arrival_at >= wanted.since)
    if wanted.until:
        found.append(s.last_arrival_at < wanted.until)
    if wanted.is_open:
        found.append(_may_be_open(may_lack=wanted.may_lack))
    return found


def _has_raw(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition on ``study`` that a raw file of it fulfils another one."""
    c, f = tables.capture.c, tables.source_file.c
    m, b, s = tables.match.c, tables.belonging.c, tables.study.c
    joined = exists().where(m.study_id == s.id, m.undone_at.is_(None), m.capture_id == c.id, f.id == c.source_file_id)
    placed = exists().where(b.study_id == s.id, b.capture_id == c.id, f.id == c.source_file_id)
    return joined.where(condition) | placed.where(condition)


def _may_be_open(*, may_lack: bool) -> ColumnElement[bool]:
    """Return a condition on ``study`` that each fulfils that is not complete: a few that are do so too."""
    c, d, s, n = tables.capture.c, tables.delivery.c, tables.study.c, tables.dependency.c
    m, b = tables.match.c, tables.belonging.c
    open_captures = or_(
        c.state.in_(UNDER_WAY),
        c.id.in_(select(n.capture_id).where(n.is_wanted)) if may_lack else false(),
        c.id.in_(select(d.capture_id).where(d.capture_id.is_not(None), d.state.in_(UNPROVED))),
        c.id.in_(doubted()),
    )
    ids = select(c.id).where(open_captures)
    return or_(
        s.id.in_(select(d.study_id).where(d.state.in_(UNPROVED))),
        ~exists().where(d.study_id == s.id, d.kind == "dicom"),
        s.id.in_(select(m.study_id).where(m.capture_id.in_(ids))),
        s.id.in_(select(b.study_id).where(b.capture_id.in_(ids))),
    )


def projects_seen(connection: Connection, sight: Sight) -> list[str]:
    """Return the projects that something goes to, as far as they are seen."""
    d, t = tables.delivery.c, tables.target.c
    of_images = select(d.destination, d.project).distinct()
    found = {
        row.project
        for query in (of_images.where(d.kind == "dicom"), select(t.destination, t.project).distinct())
        for row in connection.execute(query)
        if sight.of({"destination": row.destination, "project": row.project})
    }
    return sorted(found)
