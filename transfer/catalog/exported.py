"""Images whose raw file nobody exported: where a scanner shows only exports, a missing file is no loss, and told."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, desc, select

from kspace.sources.settings import Scope
from transfer.catalog import tables

_RECENT = 20
"""So many files of a scanner tell what its sources show: it may have been given another source since."""


@dataclass(frozen=True, slots=True)
class NotExported:
    """A series that was measured, and of which no raw file came."""

    study_id: int
    series_uid: str
    number: int | None
    protocol: str | None
    scanner: str
    projects: tuple[str, ...]


def not_exported(connection: Connection, study_ids: Collection[int]) -> list[NotExported]:
    """Return the series of these studies without a raw file, of scanners that show only what somebody exported.

    Series that were computed from others have no raw file of their own: those of one protocol number (lProtID) share
    one, and what says DERIVED of itself (ImageType, PS3.3 C.7.6.1.1.2) has none.
    """
    s, m = tables.series.c, tables.match.c
    query = select(s.study_id, s.series_uid, s.number, s.protocol, s.serial, s.document).where(
        s.study_id.in_(study_ids)
    )
    series = connection.execute(query.order_by(s.number, s.id)).all()
    shown_by = {serial: _exporting(connection, serial) for serial in {row.serial for row in series if row.serial}}
    if not any(shown_by.values()):
        return []
    matches = select(m.series_uid, m.series_uids).where(m.study_id.in_(study_ids), m.undone_at.is_(None))
    joined = {uid for row in connection.execute(matches) for uid in (row.series_uid, *(row.series_uids or ()))}
    shared = {(row.study_id, row.document["lprotid"]) for row in series if row.series_uid in joined}
    projects = _projects(connection, study_ids)
    return [
        NotExported(row.study_id, row.series_uid, row.number, row.protocol, scanner, projects.get(row.study_id, ()))
        for row in series
        if (scanner := shown_by.get(row.serial))
        and row.series_uid not in joined
        and (row.document["lprotid"] is None or (row.study_id, row.document["lprotid"]) not in shared)
        and not (row.document["image_type"] or "").upper().startswith("DERIVED")
    ]


def _exporting(connection: Connection, serial: str) -> str | None:
    """Return the scanner's name, if all that it showed of late was exported."""
    c, f, m = tables.capture.c, tables.source_file.c, tables.measurement.c
    query = (
        select(f.scanner, f.scope)
        .join_from(tables.measurement, tables.capture, m.capture_id == c.id)
        .join(tables.source_file)
        .where(m.serial == serial)
        .order_by(desc(m.id))
        .limit(_RECENT)
    )
    found = connection.execute(query).all()
    return found[0].scanner if found and {row.scope for row in found} == {Scope.EXPORTS} else None


def _projects(connection: Connection, study_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    d, t = tables.delivery.c, tables.target.c
    sent = select(d.study_id, d.project).where(d.study_id.in_(study_ids), d.kind == "dicom")
    raw = select(t.study_id, t.project).where(t.study_id.in_(study_ids))
    found: dict[int, dict[str, None]] = {}
    for study_id, project in connection.execute(sent.union(raw).order_by("study_id", "project")):
        found.setdefault(study_id, {})[project] = None
    return {study_id: tuple(names) for study_id, names in found.items()}
