"""What the join says of a measurement now, and which of its answers a person took back."""

from sqlalchemy import func, select

from dicom.join import decide
from dicom.records import Decision
from kspace.records import Measurement
from transfer.catalog import tables
from transfer.catalog.candidates import find_candidates, find_rivals
from transfer.catalog.database import Database


def judge(database: Database, measurement: Measurement) -> Decision:
    """Return what the join says of a measurement and all series known by now, with the evidence."""
    known = [c.series for c in find_candidates(database, measurement)]
    return decide(measurement, known, rivals=find_rivals(database, measurement))


def is_rejected(database: Database, capture_id: int, decision: Decision) -> bool:
    """Return whether a person took just this answer back by `unlink`, and nobody undid that."""
    m, e, s = tables.match.c, tables.event.c, tables.study.c
    unlinked = select(e.at).where(e.subject == "capture", e.subject_id == capture_id, e.verb == "capture.unlinked")
    of_this = (m.capture_id == capture_id) & m.undone_at.in_(unlinked)
    last_of_each = select(func.max(m.id)).where(of_this).group_by(m.undone_at)
    with database.read() as connection:
        found = connection.execute(
            select(s.study_uid, m.series_uid).select_from(tables.match).join(tables.study).where(m.id.in_(last_of_each))
        ).all()
    return any(
        series in decision.series_uids if series else study == decision.study_uid and not decision.series_uids
        for study, series in found
    )
