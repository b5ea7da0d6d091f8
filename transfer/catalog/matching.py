"""What a capture is joined to: the join's answer, a person's word, and how either takes the place of an earlier one."""

from datetime import datetime

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from dicom.records import Decision
from kspace.errors import BadInput, NotFound
from transfer.catalog import tables
from transfer.catalog.notices import RELAY, clear_alert, note
from transfer.states import CaptureState, DeliveryState

BY_HAND = "by hand"
"""The certainty of a person's word, and why a capture is held that a person unlinked."""
BY_A_PERSON = "person"
"""Why work is held that a person held: nothing but their `retry` lets it go."""
_FREED = {CaptureState.RETIRED, CaptureState.RECALLED}
_LINKABLE = {CaptureState.PACKED, CaptureState.MATCHED, CaptureState.PLANNED, CaptureState.DELIVERED, *_FREED}


def record_decision(connection: Connection, capture_id: int, decision: Decision, *, at: datetime) -> None:
    """Write what the join is certain of, with all the evidence."""
    study = select(tables.study.c.id).where(tables.study.c.study_uid == decision.study_uid)
    match_id = connection.execute(
        insert(tables.match)
        .values(
            capture_id=capture_id,
            study_id=connection.execute(study).scalar_one(),
            series_uid=decision.series_uids[0] if decision.series_uids else None,
            series_uids=list(decision.series_uids),
            certainty=decision.certainty,
            reason=decision.reason,
            actor=RELAY,
            at=at,
        )
        .returning(tables.match.c.id)
    ).scalar_one()
    proofs = [
        {"match_id": match_id, "series_uid": j.series_uid, "clue": e.clue, "weight": e.weight, "detail": e.detail}
        for j in decision.judged
        for e in j.evidence
    ]
    if proofs:
        connection.execute(insert(tables.evidence), proofs)


def add_series(connection: Connection, capture_id: int, decision: Decision) -> None:
    """Write all series of the measurement once more, since images that came later showed others; its scan stays."""
    m = tables.match.c
    newest = select(func.max(m.id)).where(m.capture_id == capture_id, m.undone_at.is_(None)).scalar_subquery()
    values = {"series_uids": list(decision.series_uids)}
    connection.execute(update(tables.match).where(m.id == newest).values(values))


def movable(connection: Connection, capture_id: int) -> RowMapping:
    """Lock and return a capture that may be joined anew: packed, and nobody works on a delivery of it.

    What a stage makes of the capture itself this moment only reads, and is dropped: `move` takes the lease from it.

    Raises:
        NotFound: there is no such capture.
        BadInput: it is at work this moment, held by a person, or neither in the spool nor in an archive.
    """
    c, d = tables.capture.c, tables.delivery.c
    row = connection.execute(select(tables.capture).where(c.id == capture_id).with_for_update()).mappings().first()
    if row is None:
        raise NotFound(f"There is no capture {capture_id}; `kspace status` lists those there are.")
    state = row["held_from"] if row["state"] == CaptureState.HELD else row["state"]
    if state not in _LINKABLE:
        raise BadInput(
            f"Capture {capture_id} is {row['state']}: only what lies packed in the spool, or went from it to an "
            "archive, can be linked. Nothing was changed."
        )
    held = select(d.reason).where(d.capture_id == capture_id, d.held_code == BY_A_PERSON)
    said = row["reason"] if row["held_code"] == BY_A_PERSON else connection.execute(held).scalar()
    if said is not None:
        raise BadInput(
            f"A person holds capture {capture_id} ({said}). Nothing was changed; `kspace retry {capture_id}` lets it "
            "go, then say it again."
        )
    at_work = select(d.id).where(d.capture_id == capture_id, d.lease_token.is_not(None))
    if connection.execute(at_work).first():
        raise BadInput(
            f"Capture {capture_id} is being sent or verified this moment. Nothing was changed; try again shortly."
        )
    return row


def withdraw(connection: Connection, capture_id: int, *, why: str, actor: str, at: datetime) -> None:
    """End the deliveries to where the capture was thought to belong, and keep their places in mind.

    Nothing is deleted in an archive, and the spool keeps the capture until the new place is verified.
    """
    d = tables.delivery.c
    of_this = (d.capture_id == capture_id) & (d.state != DeliveryState.WITHDRAWN)
    for row in connection.execute(select(tables.delivery).where(of_this)).mappings().all():
        former = [*(row["former_places"] or []), *([row["place"]] if row["place"] else [])]
        values = {"state": DeliveryState.WITHDRAWN, "since_at": at, "place": None, "former_places": former or None}
        values |= {"reason": why, "held_from": None, "held_code": None, "verified_at": None}
        # Whoever sends it there this moment ends, and has no say: by then the row may lead to the new place.
        values |= {"lease_token": None, "lease_until": None}
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


def plan_anew(connection: Connection, study_id: int, *, actor: str, at: datetime) -> None:
    """Let the captures of a study be planned once more, since its images go elsewhere: another project decides.

    What is held is planned once a person lets it go; a plan being made this moment is dropped.
    """
    c, d, m = tables.capture.c, tables.delivery.c, tables.match.c
    joined = select(m.capture_id).where(m.study_id == study_id, m.undone_at.is_(None))
    in_plan = c.id.in_(joined) & (c.state == CaptureState.MATCHED)
    again = {"lease_token": None, "lease_until": None, "due_at": at}
    connection.execute(update(tables.capture).where(in_plan).values(again))
    of_study = select(d.capture_id).where(d.kind == "raw", d.study_id == study_id)
    ends = [CaptureState.PLANNED, CaptureState.DELIVERED]
    is_held = (c.state == CaptureState.HELD) & c.held_from.in_(ends)
    planned = c.id.in_(of_study) & (c.state.in_(ends) | is_held)
    for row in connection.execute(select(c.id, c.state).where(planned)).all():
        withdraw(connection, row.id, why="The study goes elsewhere.", actor=actor, at=at)
        after = row.state if row.state == CaptureState.HELD else CaptureState.MATCHED
        values: dict[str, object] = {"state": after, "since_at": at, "due_at": at}
        if after == CaptureState.HELD:
            values = {"held_from": CaptureState.MATCHED}
        else:
            values |= {"reason": "Its study goes elsewhere."}
        connection.execute(update(tables.capture).where(c.id == row.id).values(values))
        note(
            connection,
            at=at,
            actor=actor,
            subject="capture",
            subject_id=row.id,
            verb="capture.planned anew",
            before=row.state,
            after=after,
        )


def move(  # noqa: PLR0913 -- the facts of the act
    connection: Connection, row: RowMapping, state: CaptureState, *, verb: str, reason: str, actor: str, at: datetime
) -> None:
    """Let a capture go on from a state; HELD: until a person says which scan it is.

    What was freed from the spool is fetched back first.
    """
    is_held = state is CaptureState.HELD
    is_freed = (row["held_from"] if row["state"] == CaptureState.HELD else row["state"]) in _FREED
    state = CaptureState.RECALLED if is_freed and not is_held else state
    held_from = CaptureState.RECALLED if is_freed else CaptureState.PACKED
    values = {"state": state, "since_at": at, "due_at": at, "reason": reason, "attempts": 0, "failures": 0}
    values |= {"lease_token": None, "lease_until": None}
    values |= {"held_from": held_from if is_held else None, "held_code": BY_HAND if is_held else None}
    connection.execute(update(tables.capture).where(tables.capture.c.id == row["id"]).values(values))
    for key in ("capture", "doubt"):
        clear_alert(connection, key=f"{key}:{row['id']}", at=at)
    note(
        connection,
        at=at,
        actor=actor,
        subject="capture",
        subject_id=row["id"],
        verb=f"capture.{verb}",
        before=row["state"],
        after=state,
        detail=reason,
    )
