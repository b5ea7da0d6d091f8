"""What a person may say about the join: which scan a raw file is of, or that it is of none known."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, or_, select, update

from dicom.join import decide
from dicom.records import Certainty, Decision
from kspace.clock import Clock
from kspace.errors import BadInput, NotFound
from kspace.records import Measurement
from transfer.catalog import tables
from transfer.catalog.candidates import find_candidates
from transfer.catalog.database import Database
from transfer.catalog.loading import load_capture
from transfer.catalog.notices import clear_alert, note
from transfer.states import CaptureState, DeliveryState

_LINKABLE = {CaptureState.PACKED, CaptureState.MATCHED, CaptureState.PLANNED, CaptureState.DELIVERED}
_BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Doubt:
    """A raw file that waits for a scan: what it is, what the join says now, and what its candidates are called."""

    capture_id: int
    scanner: str
    image: Measurement
    state: CaptureState
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


def doubts(database: Database) -> list[Doubt]:
    """Return every capture that has no session yet, with all evidence on every series it could be of."""
    c = tables.capture.c
    waits = or_(c.state == CaptureState.PACKED, (c.state == CaptureState.HELD) & c.held_code.in_(["join", _BY_HAND]))
    with database.read() as connection:
        captures = [load_capture(connection, i) for i in connection.execute(select(c.id).where(waits)).scalars().all()]
    found = []
    for capture in captures:
        if capture.image is None:
            continue
        decision = decide(capture.image, [k.series for k in find_candidates(database, capture.image)])
        if decision.certainty is not Certainty.CERTAIN or capture.state is CaptureState.HELD:
            names = _names(database, [j.series_uid for j in decision.judged])
            found.append(Doubt(capture.id, capture.scanner, capture.image, capture.state, decision, names))
    return found


def link(database: Database, capture_id: int, scan: str, *, actor: str, clock: Clock) -> str:
    """Say which series (``s12``) or only which session (``t3``) a capture is of, and return that in words.

    A capture that was under way, or delivered elsewhere, is delivered anew to the new place; what an archive holds in
    the old one stays there, noted on the delivery for its owner. The spool keeps the capture until the new place is
    verified.

    Raises:
        NotFound: there is no such capture, series or session.
        BadInput: the capture is at work this moment, or not in the spool.
    """
    at = clock.now()
    with database.write() as connection:
        study_id, series_uid, words = _scan(connection, scan)
        row = _capture(connection, capture_id)
        _withdraw(connection, capture_id, actor=actor, at=at)
        connection.execute(
            insert(tables.match).values(
                capture_id=capture_id,
                study_id=study_id,
                series_uid=series_uid,
                certainty=_BY_HAND,
                reason=f"Linked by hand to {words}.",
                actor=actor,
                at=at,
            )
        )
        _move(connection, row, CaptureState.MATCHED, f"Linked by hand to {words}.", actor=actor, at=at)
    return words


def unlink(database: Database, capture_id: int, *, actor: str, clock: Clock) -> None:
    """Take back what a capture was linked or joined to; it is held until a person links it.

    Raises:
        NotFound: there is no such capture.
        BadInput: it is at work this moment, not in the spool, or joined to nothing.
    """
    at, m = clock.now(), tables.match.c
    with database.write() as connection:
        row = _capture(connection, capture_id)
        current = (m.capture_id == capture_id) & m.undone_at.is_(None)
        if connection.execute(update(tables.match).where(current).values(undone_at=at)).rowcount == 0:
            raise BadInput(f"Capture {capture_id} is joined to nothing; `kspace review` shows what it could be of.")
        _withdraw(connection, capture_id, actor=actor, at=at)
        reason = "Unlinked by hand: say with `kspace link` which scan it is."
        _move(connection, row, CaptureState.HELD, reason, actor=actor, at=at)


def _capture(connection: Connection, capture_id: int) -> RowMapping:
    """Return a capture that may be linked: in the spool, and nobody works on it or on a delivery of it."""
    c, d = tables.capture.c, tables.delivery.c
    row = connection.execute(select(tables.capture).where(c.id == capture_id).with_for_update()).mappings().first()
    if row is None:
        raise NotFound(f"There is no capture {capture_id}; `kspace status` lists those there are.")
    state = row["held_from"] if row["state"] == CaptureState.HELD else row["state"]
    if state not in _LINKABLE:
        raise BadInput(
            f"Capture {capture_id} is {row['state']}: only what lies packed in the spool can be linked. Nothing was "
            "changed."
        )
    at_work = select(d.id).where(d.capture_id == capture_id, d.lease_token.is_not(None))
    if row["lease_token"] is not None or connection.execute(at_work).first():
        raise BadInput(f"Capture {capture_id} is being worked on this moment. Nothing was changed; try again shortly.")
    return row


def _scan(connection: Connection, scan: str) -> tuple[int, str | None, str]:
    kind, number, s = scan[:1], scan[1:], tables.series.c
    if kind not in {"s", "t"} or not number.isdigit() or len(number) > 9:
        raise NotFound(f"{scan!r} names no scan: give a series (s12) or a session (t3), as `kspace review` shows them.")
    if kind == "t":
        study = connection.execute(select(tables.study.c.id).where(tables.study.c.id == int(number))).scalar()
        if study is None:
            raise NotFound(f"There is no session {scan}; `kspace review` shows those that could be meant.")
        return study, None, f"the session {scan} itself"
    row = connection.execute(select(s.study_id, s.series_uid, s.number).where(s.id == int(number))).first()
    if row is None:
        raise NotFound(f"There is no series {scan}; `kspace review` shows those that could be meant.")
    return row.study_id, row.series_uid, f"series {row.number} ({scan})"


def _withdraw(connection: Connection, capture_id: int, *, actor: str, at: datetime) -> None:
    """End the deliveries to where the capture was thought to belong, and keep their places in mind."""
    d = tables.delivery.c
    of_this = (d.capture_id == capture_id) & (d.state != DeliveryState.WITHDRAWN)
    for row in connection.execute(select(tables.delivery).where(of_this)).mappings().all():
        former = [*(row["former_places"] or []), *([row["place"]] if row["place"] else [])]
        values = {"state": DeliveryState.WITHDRAWN, "since_at": at, "place": None, "former_places": former or None}
        values |= {"reason": "Linked elsewhere by hand.", "held_from": None, "held_code": None, "verified_at": None}
        connection.execute(update(tables.delivery).where(d.id == row["id"]).values(values))
        clear_alert(connection, key=f"delivery:{row['id']}", at=at)
        note(
            connection,
            at=at,
            actor=actor,
            subject="delivery",
            subject_id=row["id"],
            verb="delivery.withdrawn",
            before=row["state"],
            after=DeliveryState.WITHDRAWN,
            detail=row["place"] and f"what lies at {row['place']} is left to its owner",
        )


def _move(  # noqa: PLR0913 -- the facts of the act
    connection: Connection, row: RowMapping, state: CaptureState, reason: str, *, actor: str, at: datetime
) -> None:
    is_held = state is CaptureState.HELD
    values = {"state": state, "since_at": at, "due_at": at, "reason": reason, "attempts": 0, "failures": 0}
    values |= {"held_from": CaptureState.PACKED if is_held else None, "held_code": _BY_HAND if is_held else None}
    connection.execute(update(tables.capture).where(tables.capture.c.id == row["id"]).values(values))
    clear_alert(connection, key=f"capture:{row['id']}", at=at)
    note(
        connection,
        at=at,
        actor=actor,
        subject="capture",
        subject_id=row["id"],
        verb="capture.unlinked" if is_held else "capture.linked",
        before=row["state"],
        after=state,
        detail=reason,
    )


def _names(database: Database, uids: list[str]) -> dict[str, SeriesName]:
    s = tables.series.c
    query = select(s.series_uid, s.id, s.study_id, s.number, s.protocol).where(s.series_uid.in_(uids))
    with database.read() as connection:
        return {
            uid: SeriesName(f"s{row_id}", f"t{study_id}", number, protocol)
            for uid, row_id, study_id, number, protocol in connection.execute(query)
        }
