"""What a person may say about a study: where its images go, whatever the routes say."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, RowMapping, insert, select, update

from kspace.clock import Clock
from kspace.errors import BadInput, NotFound
from transfer.catalog import documents, tables
from transfer.catalog.database import Database
from transfer.catalog.matching import plan_anew
from transfer.catalog.notices import clear_alert, note
from transfer.feeds.sweep import free_unwanted
from transfer.routing import Route, Target, target_to
from transfer.states import DeliveryState

_LABELS = ("project", "subject", "session")
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNSENT = frozenset({DeliveryState.QUEUED, DeliveryState.HELD})


def assign(  # noqa: PLR0913 -- the facts of the act
    database: Database,
    study: str,
    *,
    routes: Sequence[Route],
    destination: str,
    project: str,
    subject: str | None,
    session: str | None,
    machine: str,
    actor: str,
    clock: Clock,
    is_raw_only: bool = False,
) -> Target:
    """Say where the images of a study (``t3``) go at one destination, and return that.

    What the way there asks for (filters, a profile) holds all the same. Labels left out are as a route would make them.
    The project's rules decide anew about raw data. Nothing that lies in an archive is moved or removed.

    Raises:
        NotFound: there is no such study.
        BadInput: a label that XNAT does not take; the study is at work; its images were sent elsewhere already.
    """
    at, study_id = clock.now(), _study_id(study)
    for label in (project, subject, session):
        if label is not None and not _LABEL.fullmatch(label):
            raise BadInput(f"{label!r} is no label: use letters, digits, - and _, at most 64. Nothing was changed.")
    with database.write() as connection:
        document = connection.execute(select(tables.study.c.document).where(tables.study.c.id == study_id)).scalar()
        if document is None:
            raise NotFound(f"There is no study {study}; `kspace study` lists those there are.")
        told = documents.to_study(document)
        target = target_to(routes, told, destination=destination, project=project, subject=subject, session=session)
        if is_raw_only:
            _place_raw(connection, study_id, target, actor=actor, at=at)
        else:
            _place(connection, study_id, target, machine=machine, actor=actor, at=at)
        clear_alert(connection, key=f"unrouted:t{study_id}", at=at)
    return target


def free(database: Database, study: str, *, reason: str, actor: str, clock: Clock) -> tuple[int, int]:
    """Free the images of a study (``t3``) that no archive takes, and return their number and bytes.

    Raises:
        NotFound: there is no such study.
        BadInput: the study is still on its way somewhere, or nothing of it is to be freed.
    """
    study_id = _study_id(study)
    with database.read() as connection:
        if connection.execute(select(tables.study.c.id).where(tables.study.c.id == study_id)).first() is None:
            raise NotFound(f"There is no study {study}; `kspace study` lists those there are.")
    return free_unwanted(database, study_id, reason=reason, actor=actor, clock=clock)


def _study_id(study: str) -> int:
    number = study.removeprefix("t")
    if not number.isdecimal() or len(number) > 9:
        raise NotFound(f"{study!r} names no study: give its number (t3), as `kspace study` shows it.")
    return int(number)


def _place(  # noqa: PLR0913 -- the columns
    connection: Connection, study_id: int, target: Target, *, machine: str, actor: str, at: datetime
) -> None:
    d = tables.delivery.c
    of_this = (d.kind == "dicom") & (d.study_id == study_id) & (d.destination == target.destination)
    row = connection.execute(select(tables.delivery).where(of_this).with_for_update()).mappings().first()
    values: dict[str, object] = {key: getattr(target, key) for key in _LABELS}
    values |= {"state": DeliveryState.QUEUED, "since_at": at, "due_at": at, "attempts": 0, "failures": 0}
    values |= {"held_from": None, "held_code": None, "doubted": None, "reason": f"Assigned by {actor}."}
    values |= {"assigned_by": actor}
    if row is None:
        _demand_files(connection, study_id)
        first = {"kind": "dicom", "study_id": study_id, "destination": target.destination, "machine": machine}
        first |= {"lane": f"{target.destination}/{study_id}"}
        new = insert(tables.delivery).values(**values, **first).returning(d.id)
        delivery_id = int(connection.execute(new).scalar_one())
    else:
        delivery_id = int(row["id"])
        connection.execute(update(tables.delivery).where(d.id == delivery_id).values(**values, **_left(row, target)))
        clear_alert(connection, key=f"delivery:{delivery_id}", at=at)
        if row["project"] != target.project:
            plan_anew(connection, study_id, actor=actor, at=at)
    note(
        connection,
        at=at,
        actor=actor,
        subject="delivery",
        subject_id=delivery_id,
        verb="delivery.assigned",
        before=row["state"] if row else None,
        after=DeliveryState.QUEUED,
        detail=f"to project {target.project} at {target.destination}" + (f", before {row['project']}" if row else ""),
    )


def _place_raw(connection: Connection, study_id: int, target: Target, *, actor: str, at: datetime) -> None:
    """Say where the raw data of a study go, to a destination that takes no images."""
    t = tables.target.c
    of_this = (t.study_id == study_id) & (t.destination == target.destination)
    known = update(tables.target).where(of_this).values(project=target.project, assigned_by=actor)
    if connection.execute(known).rowcount == 0:
        new = {"study_id": study_id, "destination": target.destination, "project": target.project}
        new |= {"assigned_by": actor}
        connection.execute(insert(tables.target).values(new))
    plan_anew(connection, study_id, actor=actor, at=at)
    detail = f"raw data alone to project {target.project} at {target.destination}"
    note(connection, at=at, actor=actor, subject="study", subject_id=study_id, verb="study.assigned", detail=detail)


def _left(row: RowMapping, target: Target) -> dict[str, object]:
    """Return what changes of a delivery's place: nothing where it keeps its labels; what was sent elsewhere is left."""
    if row["lease_token"] is not None:
        raise BadInput(f"Delivery d{row['id']} is being worked on this moment. Nothing was changed; try again shortly.")
    is_gone = row["held_code"] == "gone"
    if not is_gone and all(row[key] == getattr(target, key) for key in _LABELS):
        return {}
    if (row["place"] is not None and not is_gone) or row["state"] not in _UNSENT:
        raise BadInput(
            f"Images of this study are in project {row['project']} at {row['destination']} already, and the relay "
            "removes nothing there. Move the session there and retry, or remove it there first. Nothing was changed."
        )
    former = [*(row["former_places"] or []), *([row["place"]] if row["place"] else [])]
    forgotten = dict.fromkeys(("place", "experiment", "imported", "refused", "lacking"))
    return {**forgotten, "former_places": former or None}


def _demand_files(connection: Connection, study_id: int) -> None:
    i = tables.instance.c
    paths = select(i.path).join(tables.series).where(tables.series.c.study_id == study_id, i.freed_at.is_(None))
    path = connection.execute(paths.limit(1)).scalar()
    if path is None or not Path(path).exists():
        raise BadInput("The images of this study are not on this machine (any more). Nothing was changed.")
