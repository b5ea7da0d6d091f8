"""How the join's clues do in the field: per scanner model and software, which agreed, and which did not."""

from collections import Counter
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from dicom.clue import Strength
from dicom.join import default_clues
from dicom.records import Certainty, Decision, Level, Weight
from kspace.records import Measurement
from transfer.catalog import documents, tables
from transfer.catalog.database import Database
from transfer.catalog.judging import judge
from transfer.states import CaptureState

Row = dict[str, Any]
_UNKNOWN = "unknown"


def field_evidence(database: Database) -> list[Row]:
    """Return one row a model and software: how many raw files were joined how, and what each clue said.

    Of a joined file the clues on its series count, as they were when it was joined; of one that waits, those on every
    series that agrees with it in number, time or mark, as they are now.
    """
    found: dict[tuple[str, str], Row] = {}
    with database.read() as connection:
        _add_joined(connection, found)
        waiting = _waiting(connection)
    for measurement in waiting:
        decision = judge(database, measurement)
        row = _row(found, measurement)
        row["files"][str(decision.certainty)] += 1
        _add_doubts(row, decision)
    return [{"model": model, "software": software, **row} for (model, software), row in sorted(found.items())]


def _row(found: dict[tuple[str, str], Row], measurement: Measurement) -> Row:
    kind = (measurement.model or _UNKNOWN, measurement.software or _UNKNOWN)
    empty = {"files": Counter(), "clues": {clue.name: Counter() for clue in default_clues()}}
    return found.setdefault(kind, empty)


def _add_joined(connection: Connection, found: dict[tuple[str, str], Row]) -> None:
    m, e = tables.match.c, tables.evidence.c
    latest = select(func.max(m.id)).where(m.undone_at.is_(None)).group_by(m.capture_id)
    image, last = _image()
    query = (
        select(m.id, m.series_uid, m.certainty, image.document)
        .select_from(tables.match)
        .join(last, last.c.capture_id == m.capture_id)
        .join(tables.measurement, and_(image.capture_id == m.capture_id, image.number == last.c.number))
        .where(m.id.in_(latest))
    )
    matches = connection.execute(query).all()
    said: dict[tuple[int, str], list[tuple[str, str]]] = {}
    for match_id, series_uid, clue, weight in connection.execute(
        select(e.match_id, e.series_uid, e.clue, e.weight).where(e.match_id.in_(latest))
    ):
        said.setdefault((match_id, series_uid), []).append((clue, weight))
    for match in matches:
        row = _row(found, documents.to_measurement(match.document))
        row["files"][match.certainty] += 1
        is_its_own = match.certainty != Certainty.BESIDE  # else it is another measurement's series
        for clue, weight in said.get((match.id, match.series_uid), ()) if is_its_own else ():
            row["clues"].setdefault(clue, Counter())[weight] += 1


def _waiting(connection: Connection) -> list[Measurement]:
    c = tables.capture.c
    image, last = _image()
    is_held = and_(c.state == CaptureState.HELD, c.held_code == "join")
    query = (
        select(image.document)
        .select_from(tables.capture)
        .join(last, last.c.capture_id == c.id)
        .join(tables.measurement, and_(image.capture_id == c.id, image.number == last.c.number))
        .where(or_(c.state == CaptureState.PACKED, is_held))
    )
    return [documents.to_measurement(document) for document in connection.execute(query).scalars()]


def _add_doubts(row: Row, decision: Decision) -> None:
    """Count the clues on the series that a strong clue of the measurement speaks for."""
    strong = {c.name for c in default_clues() if c.level is Level.MEASUREMENT and c.strength is Strength.STRONG}
    for judged in decision.judged:
        if any(e.clue in strong and e.weight is Weight.SUPPORTS for e in judged.evidence):
            for one in judged.evidence:
                row["clues"][one.clue][str(one.weight)] += 1


def _image() -> tuple[Any, Any]:
    """Return the columns of measurements, and which of each capture is the imaging one."""
    n = tables.measurement.c
    last = select(n.capture_id, func.max(n.number).label("number")).group_by(n.capture_id).subquery()
    return n, last
