"""What a person may say about the join: which scan a raw file is of, or that it is of none known."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from dicom.records import Certainty, Decision
from kspace.clock import Clock
from kspace.errors import BadInput, NotFound
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.dependencies import wake_needed
from transfer.catalog.judging import judge
from transfer.catalog.loading import load_capture
from transfer.catalog.matching import BY_HAND, movable, move, withdraw
from transfer.catalog.reviewing import waits
from transfer.records import Capture
from transfer.states import CaptureState

_ELSEWHERE = "Linked elsewhere by hand."
_ACTS = ("capture.linked", "capture.unlinked")


@dataclass(frozen=True, slots=True)
class Doubt:
    """A raw file that waits for a scan: what it is, what the join says now, and what its candidates are called."""

    capture: Capture
    decision: Decision
    names: dict[str, "SeriesName"]
    """By series UID."""


@dataclass(frozen=True, slots=True)
class SeriesName:
    """What people call a series, and what `link` takes for it (``s12``) and for its session (``t3``)."""

    name: str
    session: str
    number: int | None
    protocol: str | None


def doubts(database: Database, *, capture_id: int | None = None) -> list[Doubt]:
    """Return every capture without a session, or whose scan late images put in doubt, with all evidence.

    Of one capture it is returned however certain its scan is.

    Raises:
        NotFound: there is no capture of this number.
    """
    c = tables.capture.c
    with database.read() as connection:
        query = select(c.id).where(waits()).order_by(c.id)
        ids = connection.execute(query).scalars().all() if capture_id is None else [capture_id]
        captures = [load_capture(connection, i) for i in ids]
    found = []
    for capture in captures:
        decision = judge(database, capture.image) if capture.image else _UNREADABLE
        is_asked = capture_id is not None or capture.state is not CaptureState.PACKED
        if decision.certainty is not Certainty.CERTAIN or is_asked:
            names = _names(database, [j.series_uid for j in decision.judged])
            found.append(Doubt(capture, decision, names))
    return found


_UNREADABLE = Decision(
    certainty=Certainty.UNMATCHED,
    reason="The raw file's header could not be read, so nothing can be compared. `kspace study` lists all sessions.",
)


def link(database: Database, capture_id: int, scan: str, *, actor: str, clock: Clock) -> str:
    """Say which series (``s12``) or only which session (``t3``) a capture is of, and return that in words.

    A capture that was under way, or delivered elsewhere, is delivered anew to the new place; what an archive holds in
    the old one stays there, noted on the delivery for its owner. The spool keeps the capture until the new place is
    verified; what was freed from it is fetched back from an archive first.

    Raises:
        NotFound: there is no such capture, series or session.
        BadInput: the capture is at work this moment, held by a person, or nowhere any more.
    """
    at = clock.now()
    with database.write() as connection:
        study_id, series_uid, words = _scan(connection, scan)
        row = movable(connection, capture_id)
        withdraw(connection, capture_id, why=_ELSEWHERE, actor=actor, at=at)
        connection.execute(
            insert(tables.match).values(
                capture_id=capture_id,
                study_id=study_id,
                series_uid=series_uid,
                certainty=BY_HAND,
                reason=f"Linked by hand to {words}.",
                actor=actor,
                at=at,
            )
        )
        reason = f"Linked by hand to {words}."
        wake_needed(connection, capture_id, at=at)
        move(connection, row, CaptureState.MATCHED, verb="linked", reason=reason, actor=actor, at=at)
    return words


def unlink(database: Database, capture_id: int, *, actor: str, clock: Clock) -> None:
    """Take back what a capture was linked or joined to; it is held, in that session's sight, until a person links it.

    Raises:
        NotFound: there is no such capture.
        BadInput: it is at work this moment, held by a person, nowhere any more, or joined to nothing.
    """
    at, m, b = clock.now(), tables.match.c, tables.belonging.c
    with database.write() as connection:
        row = movable(connection, capture_id)
        current = (m.capture_id == capture_id) & m.undone_at.is_(None)
        study = connection.execute(select(m.study_id).where(current).order_by(m.id.desc()).limit(1)).scalar()
        if study is None:
            raise BadInput(f"Capture {capture_id} is joined to nothing; `kspace review` shows what it could be of.")
        connection.execute(update(tables.match).where(current).values(undone_at=at))
        # Its ledger must not say that it is complete, nor must they lose sight of it whose it was.
        connection.execute(delete(tables.belonging).where(b.capture_id == capture_id))
        connection.execute(insert(tables.belonging).values(capture_id=capture_id, study_id=study))
        withdraw(connection, capture_id, why=_ELSEWHERE, actor=actor, at=at)
        reason = "Unlinked by hand: say with `kspace link` which scan it is."
        move(connection, row, CaptureState.HELD, verb="unlinked", reason=reason, actor=actor, at=at)


def undo(database: Database, capture_id: int, *, actor: str, clock: Clock) -> str:
    """Take back the last `link` or `unlink` of a capture, and return in words what counts again.

    Raises:
        NotFound: there is no such capture.
        BadInput: it is at work this moment, held by a person, nowhere any more, or nobody linked it since the last
            `undo`.
    """
    at, m, e = clock.now(), tables.match.c, tables.event.c
    of_this = (e.subject == "capture") & (e.subject_id == capture_id) & e.verb.in_(["capture.undone", *_ACTS])
    with database.write() as connection:
        row = movable(connection, capture_id)
        last = connection.execute(select(e.verb, e.at).where(of_this).order_by(e.id.desc()).limit(1)).first()
        if last is None or last.verb not in _ACTS:
            raise BadInput(f"There is nothing to undo at capture {capture_id}; `kspace link` says what it is.")
        matches = (m.capture_id == capture_id) & m.undone_at.is_(None)
        if last.verb == "capture.linked":
            newest = select(func.max(m.id)).where(matches).scalar_subquery()
            connection.execute(update(tables.match).where(m.id == newest).values(undone_at=at))
        else:
            taken_back = (m.capture_id == capture_id) & (m.undone_at == last.at)
            connection.execute(update(tables.match).where(taken_back).values(undone_at=None))
        withdraw(connection, capture_id, why=_ELSEWHERE, actor=actor, at=at)
        before: str | None = connection.execute(select(m.reason).where(matches).order_by(m.id.desc())).scalar()
        state = CaptureState.MATCHED if before else CaptureState.PACKED
        wake_needed(connection, capture_id, at=at)
        words = before or "The join decides anew."
        move(connection, row, state, verb="undone", reason=words, actor=actor, at=at)
    return words


def _scan(connection: Connection, scan: str) -> tuple[int, str | None, str]:
    kind, number, s = scan[:1], scan[1:], tables.series.c
    if kind not in {"s", "t"} or not number.isdecimal() or len(number) > 9:
        raise NotFound(f"{scan!r} names no scan: give a series (s12) or a session (t3), as `kspace review` shows them.")
    if kind == "t":
        study = connection.execute(select(tables.study.c.id).where(tables.study.c.id == int(number))).scalar()
        if study is None:
            raise NotFound(f"There is no session {scan}; `kspace review` shows those that could be meant.")
        return study, None, f"the session {scan} itself"
    row = connection.execute(select(s.study_id, s.series_uid, s.number).where(s.id == int(number))).first()
    if row is None:
        raise NotFound(f"There is no series {scan}; `kspace review` shows those that could be meant.")
    return row.study_id, row.series_uid, f"series {'without a number' if row.number is None else row.number} ({scan})"


def _names(database: Database, uids: list[str]) -> dict[str, SeriesName]:
    s = tables.series.c
    query = select(s.series_uid, s.id, s.study_id, s.number, s.protocol).where(s.series_uid.in_(uids))
    with database.read() as connection:
        return {
            uid: SeriesName(f"s{row_id}", f"t{study_id}", number, protocol)
            for uid, row_id, study_id, number, protocol in connection.execute(query)
        }
