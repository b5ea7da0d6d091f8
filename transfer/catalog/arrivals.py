"""What the listener received: instances with their series and study, and the deliveries they begin or re-open."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, and_, insert, select, update

from dicom.join import index_keys
from dicom.records import Instance, Series, Study
from kspace.errors import SpoolError
from transfer.catalog import documents, tables
from transfer.catalog.database import Database
from transfer.catalog.notices import RELAY, clear_alert, note, raise_alert
from transfer.catalog.refusals import record_return
from transfer.routing import Target
from transfer.states import CaptureState, DeliveryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One instance that lies durable on this machine's disk."""

    study: Study
    series: Series
    instance: Instance
    path: Path
    size: int
    sha256: str
    called_ae: str
    calling_ae: str


class Seen(StrEnum):
    """Whether the catalog knew the instance."""

    NEW = "new"
    SAME = "same"
    """The same bytes were received before."""
    OTHER_BYTES = "other bytes"
    """Its SOP Instance UID is known with other bytes: both are kept."""


def record_arrivals(
    database: Database,
    arrivals: Iterable[tuple[Arrival, Iterable[Target]]],
    *,
    machine: str,
    at: datetime,
    quiet_s: float,
) -> list[Seen]:
    """Write instances with where they go, all or none, and return once that is durable.

    Their studies' deliveries are due when they have been quiet.
    """
    due_at = at + timedelta(seconds=quiet_s)
    with database.write() as connection:
        return [
            _arrive(database, connection, arrival, targets=targets, machine=machine, at=at, due_at=due_at)
            for arrival, targets in arrivals
        ]


def _arrive(  # noqa: PLR0913 -- the facts of one arrival
    database: Database,
    connection: Connection,
    arrival: Arrival,
    *,
    targets: Iterable[Target],
    machine: str,
    at: datetime,
    due_at: datetime,
) -> Seen:
    study_id = _study(database, connection, arrival, at)
    series_id = _series(database, connection, arrival, study_id)
    seen = _instance(connection, arrival, series_id, at)
    record_return(connection, [arrival.instance.sop_uid], at=at)
    for target in targets:  # also of what was here before: its route may be new
        _delivery(database, connection, study_id, target, machine, at, due_at)
    if seen is Seen.SAME:
        return seen
    _reopen(connection, study_id, at, due_at)
    _wake_captures(connection, arrival.series.serial, due_at)
    return seen


def route_again(
    database: Database, find: Callable[[Study, str, str], Iterable[Target]], *, machine: str, at: datetime
) -> int:
    """Begin deliveries of the studies on this machine that no route fitted when they came; return of how many.

    ``find`` is given the study, the called and the calling AE title.
    """
    s, d, t, i = tables.study.c, tables.delivery.c, tables.target.c, tables.instance.c
    routed, waiting = 0, set()
    with database.write() as connection:
        unrouted = select(tables.study).where(
            s.id.not_in(select(d.study_id).where(d.kind == "dicom").union(select(t.study_id)))
        )
        for row in connection.execute(unrouted).mappings().all():
            of_study = select(i.path).join(tables.series).where(tables.series.c.study_id == row["id"]).limit(1)
            path = connection.execute(of_study).scalar()
            found = list(find(documents.to_study(row["document"]), row["called_ae"], row["calling_ae"]))
            if path is None or not found or not Path(path).exists():
                waiting.add(row["called_ae"])
                continue
            routed += 1
            for target in found:
                _delivery(database, connection, row["id"], target, machine, at, at)
            if row["called_ae"] not in waiting:
                clear_alert(connection, key=f"route:{row['called_ae']}", at=at)
    return routed


def _study(database: Database, connection: Connection, arrival: Arrival, at: datetime) -> int:
    s = tables.study.c
    database.insert_new(
        connection,
        tables.study,
        {
            "study_uid": arrival.study.study_uid,
            "called_ae": arrival.called_ae,
            "calling_ae": arrival.calling_ae,
            "first_arrival_at": at,
            "last_arrival_at": at,
            "document": documents.to_document(arrival.study),
        },
    )
    of_this = s.study_uid == arrival.study.study_uid
    connection.execute(update(tables.study).where(of_this).values(last_arrival_at=at))
    return int(connection.execute(select(s.id).where(of_this)).scalar_one())


def _series(database: Database, connection: Connection, arrival: Arrival, study_id: int) -> int:
    s = tables.series.c
    database.insert_new(
        connection,
        tables.series,
        {
            "study_id": study_id,
            "series_uid": arrival.series.series_uid,
            "number": arrival.series.number,
            "protocol": arrival.series.protocol,
            "serial": arrival.series.serial,
            "document": documents.to_document(arrival.series),
            "told": documents.to_document(arrival.study),
        },
    )
    series_id = connection.execute(select(s.id).where(s.series_uid == arrival.series.series_uid)).scalar_one()
    of_instance = replace(
        arrival.series, sop_uids=frozenset({arrival.instance.sop_uid}), ticks=frozenset(arrival.instance.ticks)
    )
    for key in index_keys(of_instance):
        database.insert_new(connection, tables.series_key, {"key": key, "series_id": series_id})
    for tick in of_instance.ticks:
        database.insert_new(connection, tables.series_tick, {"series_id": series_id, "tick": tick})
    return int(series_id)


def _instance(connection: Connection, arrival: Arrival, series_id: int, at: datetime) -> Seen:
    i = tables.instance.c
    rows = connection.execute(select(i.id, i.sha256, i.freed_at).where(i.sop_uid == arrival.instance.sop_uid)).all()
    known = {row.sha256: row for row in rows}
    if (same := known.get(arrival.sha256)) is not None:
        if same.freed_at is None:
            return Seen.SAME
        if not arrival.path.exists():  # freed between its arrival and now
            raise SpoolError("A received image was freed as it came again; it was not taken. Send it once more.")
        # It was freed and lies here again: it is looked for in the archive once more before it may go again.
        again = {"freed_at": None, "received_at": at, "path": str(arrival.path)}
        connection.execute(update(tables.instance).where(i.id == same.id).values(again))
        return Seen.NEW
    connection.execute(
        insert(tables.instance).values(
            series_id=series_id,
            sop_uid=arrival.instance.sop_uid,
            sha256=arrival.sha256,
            size=arrival.size,
            path=str(arrival.path),
            received_at=at,
            document=documents.to_document(arrival.instance),
        )
    )
    if not known:
        return Seen.NEW
    raise_alert(
        connection,
        key=f"instance:{arrival.instance.sop_uid}",
        severity="warning",
        text="An image came twice under one SOP Instance UID with other bytes. Both are kept; the first is delivered. "
        "See on the scanner which of the two is meant.",
        at=at,
    )
    return Seen.OTHER_BYTES


def _reopen(connection: Connection, study_id: int, at: datetime, due_at: datetime) -> None:
    """Let what came late be delivered too; what is held goes there as well once a person lets it go."""
    d = tables.delivery.c
    of_study = select(d.id, d.state).where(d.kind == "dicom", d.study_id == study_id)
    for row in connection.execute(of_study).all():
        values: dict[str, object] = {"due_at": due_at}
        if row.state == DeliveryState.HELD:
            values = {"held_from": DeliveryState.QUEUED}
        elif row.state != DeliveryState.QUEUED:
            values |= {"state": DeliveryState.QUEUED, "since_at": at, "reason": "More images arrived."}
            note(
                connection,
                at=at,
                actor=RELAY,
                subject="delivery",
                subject_id=row.id,
                verb="delivery.reopened",
                before=row.state,
                after=DeliveryState.QUEUED,
                detail="more images arrived",
            )
        connection.execute(update(tables.delivery).where(d.id == row.id).values(values))


def _delivery(  # noqa: PLR0913, PLR0917 -- the columns of a new row
    database: Database,
    connection: Connection,
    study_id: int,
    target: Target,
    machine: str,
    at: datetime,
    due_at: datetime,
) -> None:
    """Begin the delivery of the study's images; where none are taken, note that its raw data go there."""
    if target.is_raw_only:
        way = {"study_id": study_id, "destination": target.destination, "project": target.project}
        database.insert_new(connection, tables.target, way)
        return
    database.insert_new(
        connection,
        tables.delivery,
        {
            "kind": "dicom",
            "study_id": study_id,
            "destination": target.destination,
            "project": target.project,
            "subject": target.subject,
            "session": target.session,
            "state": DeliveryState.QUEUED,
            "since_at": at,
            "due_at": due_at,
            "machine": machine,
            "lane": f"{target.destination}/{study_id}",
        },
    )


def _wake_captures(connection: Connection, serial: str | None, due_at: datetime) -> None:
    """New evidence re-opens the question for every capture of that scanner that has no series yet."""
    c, m = tables.capture.c, tables.measurement.c
    of_scanner = c.id.in_(select(m.capture_id).where(m.serial == serial))
    connection.execute(update(tables.capture).where(of_scanner, c.state == CaptureState.PACKED).values(due_at=due_at))
    held = and_(of_scanner, c.state == CaptureState.HELD, c.held_code == "join")
    for capture_id in connection.execute(select(c.id).where(held)).scalars().all():
        connection.execute(
            update(tables.capture)
            .where(c.id == capture_id)
            .values(state=CaptureState.PACKED, due_at=due_at, held_from=None, held_code=None)
        )
        clear_alert(connection, key=f"capture:{capture_id}", at=due_at)
        note(
            connection,
            at=due_at,
            actor=RELAY,
            subject="capture",
            subject_id=capture_id,
            verb="capture.reopened",
            before=CaptureState.HELD,
            after=CaptureState.PACKED,
            detail="new DICOM arrived",
        )
