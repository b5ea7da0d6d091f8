"""Late evidence: what is joined already is judged anew when images of its study, or raw files that rival it, come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from dicom.records import Certainty, Decision
from dicom.ticks import DAY, NEAR
from kspace.errors import BadInput
from transfer.catalog import documents, tables
from transfer.catalog.database import Database
from transfer.catalog.dependencies import beside, lay_beside, wake_needed
from transfer.catalog.judging import is_rejected, judge
from transfer.catalog.latest import counts, is_image
from transfer.catalog.matching import BY_A_PERSON, add_series, movable, move, record_decision, withdraw
from transfer.catalog.notices import RELAY, clear_alert, raise_alert
from transfer.states import CaptureState, DeliveryState

_LOOKED_AT_FOR = timedelta(days=30)
_MOVABLE = [CaptureState.MATCHED, CaptureState.PLANNED, CaptureState.DELIVERED, CaptureState.RETIRED]


@dataclass(frozen=True, slots=True)
class _Joined:
    id: int
    study_uid: str
    series_uid: str | None
    certainty: str
    document: documents.Document

    @property
    def is_beside(self) -> bool:
        """Whether it lies with what needs it."""
        return self.certainty == Certainty.BESIDE


def rejoin(database: Database, *, now: datetime, grown_since: datetime, quiet_s: float) -> bool:
    """Judge anew what the relay itself joined, once its study grew and is quiet, or it has a rival; False: some work.

    What had a study alone, or lay beside what needs it, and has a series now is delivered there too, and its former
    place stays; what was freed from the spool is fetched back for it. Where a series is in doubt now, nothing is moved:
    a person is told. A person's word is never judged.
    """
    quiet = timedelta(seconds=quiet_s)
    with database.read() as connection:
        found = _joined(connection, now=now, after=grown_since - quiet, until=now - quiet)
    is_all_done = True
    for row in found:
        decision = _judge(database, row)
        if is_rejected(database, row.id, decision):
            continue
        try:
            with database.write() as connection:
                _weigh(connection, row, decision, at=now)
        except BadInput:  # it is at work: the next look is soon
            is_all_done = False
    return is_all_done


def _judge(database: Database, row: _Joined) -> Decision:
    """Return where it belongs by what is known now: its own series, or, beside others, where the first of them goes."""
    measurement = documents.to_measurement(row.document)
    decision = judge(database, measurement)
    needed = beside(database, measurement) if row.is_beside and decision.certainty is not Certainty.CERTAIN else None
    return lay_beside(needed, decision) or decision if needed else decision


def _joined(connection: Connection, *, now: datetime, after: datetime, until: datetime) -> Sequence[_Joined]:
    c, m, s, n, d = (t.c for t in (tables.capture, tables.match, tables.study, tables.measurement, tables.delivery))
    held = select(d.capture_id).where(d.kind == "raw", d.state == DeliveryState.HELD, d.held_code == BY_A_PERSON)
    query = (
        select(c.id, s.study_uid, m.series_uid, m.certainty, n.document)
        .select_from(tables.capture)
        .join(tables.match)
        .join(tables.study, s.id == m.study_id)
        .join(tables.measurement, n.capture_id == c.id)
        .where(counts(), is_image(), m.actor == RELAY, m.at > now - _LOOKED_AT_FOR)
        .where(c.state.in_(_MOVABLE), c.id.not_in(held))
        .where(_is_news(after, until))
        .order_by(c.id)
    )
    return [_Joined(*row) for row in connection.execute(query)]


def _is_news(after: datetime, until: datetime) -> ColumnElement[bool]:
    """Return whether the answer may be another: images or a rival came, what needs it moved, or a hold ended."""
    c, m, s, n, d = (t.c for t in (tables.capture, tables.match, tables.study, tables.measurement, tables.delivery))
    one, other, of = tables.series.c, tables.match.alias().c, tables.dependency.c
    grown = select(s.id).where(s.last_arrival_at > after, s.last_arrival_at <= until)
    # While it was held it was passed over.
    is_let_go = or_(c.since_at >= after, c.id.in_(select(d.capture_id).where(d.kind == "raw", d.since_at >= after)))
    is_grown = and_(s.last_arrival_at > m.at, or_(s.id.in_(grown), is_let_go))
    # What has no series may have one in another study of its scanner: closed and opened again, or split on its way.
    is_loose = or_(m.series_uid.is_(None), m.certainty == Certainty.BESIDE)
    may_be = or_(one.serial == n.serial, one.serial.is_(None), n.serial.is_(None))
    is_of_scanner = select(one.id).where(one.study_id.in_(grown.correlate(None)), may_be).correlate(tables.measurement)
    needing = select(other.id).where(of.capture_id == other.capture_id, of.serial == n.serial, of.mid == n.mid)
    has_moved = needing.where(other.at >= after, other.at > m.at).correlate(tables.measurement, tables.match)
    is_left_behind = and_(m.certainty == Certainty.BESIDE, has_moved.exists())
    is_quiet = s.last_arrival_at <= until
    is_rivalled = n.id.in_(_rivalled(after))
    return is_quiet & or_(is_grown, is_rivalled, is_left_behind, and_(is_loose, or_(is_of_scanner.exists(), is_let_go)))


def _rivalled(after: datetime) -> Select[tuple[int]]:
    """Return the measurements of whose visit another, at about the same time of day, was captured since or moved on."""
    one, other, its = (t.alias() for t in (tables.measurement, tables.measurement, tables.capture))
    is_same_visit = and_(other.c.visit == one.c.visit, other.c.capture_id != one.c.capture_id)
    is_near = or_(_begins_within(one.c, other.c), _begins_within(other.c, one.c))
    found = select(one.c.id).join(other, is_same_visit).join(its, its.c.id == other.c.capture_id)
    return found.where(is_near, its.c.since_at >= after)


def _begins_within(one: Any, other: Any) -> ColumnElement[bool]:  # noqa: ANN401 -- SQLAlchemy's own
    """Return whether the other's first readout lies in the one's reach or soon after it, as `Span.is_near` says."""
    length = (one.last_tick - one.first_tick + DAY) % DAY
    condition: ColumnElement[bool] = (other.first_tick - one.first_tick + DAY) % DAY <= length + NEAR
    return condition


def _weigh(connection: Connection, row: _Joined, decision: Decision, *, at: datetime) -> None:
    is_certain = decision.certainty in {Certainty.CERTAIN, Certainty.BESIDE}
    is_there = is_certain and row.series_uid in decision.series_uids
    if is_there:
        add_series(connection, row.id, decision)
    if is_there or _stays_loose(row, decision):
        clear_alert(connection, key=f"doubt:{row.id}", at=at)
    elif is_certain and (row.series_uid is None or row.is_beside):
        capture = movable(connection, row.id)
        why = "Images that came later show its scan; what lies in the former place is left to its owner."
        withdraw(connection, row.id, why=why, actor=RELAY, at=at)
        record_decision(connection, row.id, decision, at=at)
        wake_needed(connection, row.id, at=at)
        move(connection, capture, CaptureState.MATCHED, verb="rejoined", reason=decision.reason, actor=RELAY, at=at)
    else:
        _doubt(connection, row, decision, at=at)


def _stays_loose(row: _Joined, decision: Decision) -> bool:
    """Whether the join still knows no series of its own for it, and nothing speaks against the session it lies in."""
    if row.is_beside:
        return decision.certainty not in {Certainty.CERTAIN, Certainty.BESIDE}
    is_same = decision.study_uid == row.study_uid
    return row.series_uid is None and is_same and decision.certainty is Certainty.STUDY_ONLY


def _doubt(connection: Connection, row: _Joined, decision: Decision, *, at: datetime) -> None:
    text = (
        f"What came later, images or another raw file, puts the scan of capture {row.id} in doubt. Nothing was moved. "
        f"See `kspace review`, then say with `kspace link {row.id}` which it is. {decision.reason}"
    )
    raise_alert(connection, key=f"doubt:{row.id}", severity="warning", text=text, at=at)
