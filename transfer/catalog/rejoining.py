"""Late evidence: what is joined already is judged anew when more images of its study come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, func, or_, select

from dicom.join import decide
from dicom.records import Certainty, Decision
from kspace.errors import BadInput
from transfer.catalog import documents, tables
from transfer.catalog.candidates import find_candidates
from transfer.catalog.database import Database
from transfer.catalog.matching import add_series, movable, move, record_decision, withdraw
from transfer.catalog.notices import RELAY, clear_alert, raise_alert
from transfer.states import CaptureState

_LOOKED_AT_FOR = timedelta(days=30)
_IN_SPOOL = {CaptureState.MATCHED, CaptureState.PLANNED, CaptureState.DELIVERED}


@dataclass(frozen=True, slots=True)
class _Joined:
    id: int
    state: str
    series_uid: str | None
    measurement: documents.Document


def rejoin(database: Database, *, now: datetime, grown_since: datetime, quiet_s: float) -> bool:
    """Judge anew what the relay itself joined and whose study grew and is quiet since; False: some were at work.

    What had a study alone and has a series now is delivered there too, and its former place stays. Where a series is in
    doubt now, nothing is moved: a person is told. A person's word is never judged.
    """
    quiet = timedelta(seconds=quiet_s)
    with database.read() as connection:
        found = _joined(connection, now=now, after=grown_since - quiet, until=now - quiet)
    is_all_done = True
    for row in found:
        measurement = documents.to_measurement(row.measurement)
        decision = decide(measurement, [c.series for c in find_candidates(database, measurement)])
        try:
            with database.write() as connection:
                _weigh(connection, row, decision, at=now)
        except BadInput:  # it is at work: the next look is soon
            is_all_done = False
    return is_all_done


def _joined(connection: Connection, *, now: datetime, after: datetime, until: datetime) -> Sequence[_Joined]:
    c, m, s, n = tables.capture.c, tables.match.c, tables.study.c, tables.measurement.c
    grown = select(s.id).where(s.last_arrival_at > after, s.last_arrival_at <= until)
    # What has no series may have one in another study of its scanner: closed and opened again, or split on its way.
    scanners = select(tables.series.c.serial).where(tables.series.c.study_id.in_(grown))
    counts = select(func.max(m.id)).where(m.undone_at.is_(None)).group_by(m.capture_id)
    image = select(n.capture_id, func.max(n.number).label("number")).group_by(n.capture_id).subquery()
    query = (
        select(c.id, c.state, m.series_uid, n.document)
        .select_from(tables.capture)
        .join(tables.match)
        .join(tables.study, s.id == m.study_id)
        .join(image, image.c.capture_id == c.id)
        .join(tables.measurement, and_(n.capture_id == c.id, n.number == image.c.number))
        .where(m.id.in_(counts), m.actor == RELAY, m.certainty != Certainty.BESIDE, m.at > now - _LOOKED_AT_FOR)
        .where(c.state.in_([*_IN_SPOOL, CaptureState.RETIRED]))
        .where(
            or_(and_(s.id.in_(grown), s.last_arrival_at > m.at), and_(m.series_uid.is_(None), n.serial.in_(scanners)))
        )
        .order_by(c.id)
    )
    return [_Joined(*row) for row in connection.execute(query)]


def _weigh(
    connection: Connection,
    row: _Joined,
    decision: Decision,
    *,
    at: datetime,
) -> None:
    is_certain = decision.certainty is Certainty.CERTAIN
    if is_certain and row.series_uid in decision.series_uids:
        add_series(connection, row.id, decision)
        clear_alert(connection, key=f"doubt:{row.id}", at=at)
    elif row.series_uid is None and not is_certain:
        return
    elif row.series_uid is None and row.state in _IN_SPOOL:
        capture = movable(connection, row.id)
        why = "Images that came later show its scan; what lies in the former place is left to its owner."
        withdraw(connection, row.id, why=why, actor=RELAY, at=at)
        record_decision(connection, row.id, decision, at=at)
        move(connection, capture, CaptureState.MATCHED, verb="rejoined", reason=decision.reason, actor=RELAY, at=at)
    else:
        _doubt(connection, row.id, decision, is_late=row.series_uid is None, at=at)


def _doubt(connection: Connection, capture_id: int, decision: Decision, *, is_late: bool, at: datetime) -> None:
    what = (
        f"Images that came later show the scan of capture {capture_id}, whose data lie at the session itself, and the "
        "spool is freed. Whoever owns the session can move them there."
        if is_late
        else f"Images that came later put the scan of capture {capture_id} in doubt. Nothing was moved. See `kspace "
        f"review`, then say with `kspace link {capture_id}` which it is."
    )
    raise_alert(connection, key=f"doubt:{capture_id}", severity="warning", text=f"{what} {decision.reason}", at=at)
