"""What a stage's result changes besides the state: one function a result, all in the commit's own transaction."""

from dataclasses import asdict
from datetime import datetime, timedelta
from functools import singledispatch
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from dicom.evidence.serial import serial_of_measurement
from dicom.join import visit_of
from dicom.ticks import reach_of
from kspace.records import Audit, Measurement, Part
from transfer.catalog import documents, tables
from transfer.catalog.dependencies import set_dependencies, wake_needed
from transfer.catalog.matching import plan_anew, record_decision
from transfer.catalog.notices import RELAY, clear_alert, note, raise_alert
from transfer.catalog.probes import set_body_limit
from transfer.catalog.twins import stand_back, wake_twins
from transfer.records import (
    Archived,
    Changed,
    CutAgain,
    Imported,
    Joined,
    Looked,
    NewDelivery,
    PackedUp,
    Planned,
    Released,
    Rerouted,
    Result,
    Retired,
    SendAgain,
    Sent,
    Settled,
    StillHeld,
    Twin,
    Verified,
    Waiting,
)
from transfer.selection import Choice
from transfer.states import CaptureState, DeliveryState, Kind

Columns = dict[str, Any]

_NOT_BY_ITSELF = timedelta(days=36_500)
"""A verified delivery is due again only when its turn to be proved anew has come (`transfer.feeds.recheck`)."""


@singledispatch
def save(result: Result, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    """Write what the result says and return the columns of its own row that change with it."""
    del result, connection, row, at
    return {}


@save.register
def _(result: Settled, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    _set_measurements(connection, row["id"], result.measurements)
    _set_choices(connection, row["id"], [result.choice], at)
    is_wanted = result.choice.is_wanted and result.choice.dependencies
    set_dependencies(connection, row["id"], result.measurements, is_wanted=is_wanted, at=at)
    return {**_audit(result.audit), "reason": result.choice.reason}


@save.register
def _(result: Changed, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    f = tables.source_file.c
    wake_twins(connection, row["id"], at)
    scanner = connection.execute(
        update(tables.source_file)
        .where(f.id == row["source_file_id"])
        .values(size=result.file.size, mtime_ns=result.file.mtime_ns, changed_at=at)
        .returning(f.scanner)
    ).scalar_one()
    # What it was packed to counts no more: as long as it is not packed anew, it holds nothing for a twin.
    return {"reason": result.reason, "lane": scanner, "sha256": None, "stored_bytes": None, "manifest": None}


@save.register
def _(result: PackedUp, connection: Connection, row: RowMapping, at: datetime) -> Columns:  # noqa: ARG001 -- save's signature
    _set_measurements(connection, row["id"], result.packed.measurements)
    return {
        **_audit(result.packed.audit),
        "sha256": result.packed.sha256,
        "stored_bytes": result.packed.stored_bytes,
        "manifest": result.manifest,
        "lane": None,
        "reason": result.packed.audit.reason,
    }


@save.register
def _(result: Twin, connection: Connection, row: RowMapping, at: datetime) -> Columns:  # noqa: ARG001 -- save's signature
    _set_measurements(connection, row["id"], result.packed.measurements)
    reason = f"The same bytes as capture {result.other}, which goes on for both."
    return {**_audit(result.packed.audit), "sha256": result.packed.sha256, "reason": reason}


@save.register
def _(result: Joined, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    record_decision(connection, row["id"], result.decision, at=at)
    wake_needed(connection, row["id"], at=at)
    return {"reason": result.decision.reason}


@save.register
def _(result: Planned, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    _set_choices(connection, row["id"], result.choices, at)
    m = tables.match.c
    study_id = connection.execute(
        select(m.study_id).where(m.capture_id == row["id"], m.undone_at.is_(None)).order_by(m.id.desc()).limit(1)
    ).scalar_one()
    for new in result.deliveries:
        delivery_id = _begin(connection, row, study_id, new, at)
        _set_parts(connection, delivery_id, new.parts)
        note(connection, at=at, actor=RELAY, subject="delivery", subject_id=delivery_id, verb="delivery.queued")
    return {"reason": None}


def _begin(connection: Connection, row: RowMapping, study_id: int, new: NewDelivery, at: datetime) -> int:
    """Begin a delivery, or begin one anew that was withdrawn."""
    d = tables.delivery.c
    of_this = (d.capture_id == row["id"]) & (d.study_id == study_id) & (d.destination == new.destination)
    values = {"project": new.project, "state": DeliveryState.QUEUED, "since_at": at, "due_at": at, "reason": None}
    values |= {"found": None, "failures": 0, "attempts": 0}
    again = update(tables.delivery).where(of_this, d.state == DeliveryState.WITHDRAWN).values(values).returning(d.id)
    known: int | None = connection.execute(again).scalar()
    if known is not None:
        return known
    first = {
        "kind": "raw",
        "capture_id": row["id"],
        "study_id": study_id,
        "destination": new.destination,
        "machine": row["machine"],
        "lane": f"{new.destination}/{study_id}",
        "priority": row["priority"],
        "doubted": _doubted(connection, row["sha256"], new.destination),
    }
    return int(connection.execute(insert(tables.delivery).values(**values, **first).returning(d.id)).scalar_one())


def _doubted(connection: Connection, sha256: str, destination: str) -> list[str] | None:
    """Return what of the same bytes the archive was seen to have lost or altered: its list may still show it whole."""
    d, c = tables.delivery.c, tables.capture.c
    of_same = select(d.doubted).join(tables.capture, c.id == d.capture_id)
    found = connection.execute(of_same.where(c.sha256 == sha256, d.destination == destination)).scalars()
    return sorted({name for names in found for name in names or ()}) or None


@save.register
def _(result: Retired, connection: Connection, row: RowMapping, at: datetime) -> Columns:  # noqa: ARG001 -- save's signature
    return {"reason": "Every archive proved to hold it; then the spool was freed."}


@save.register
def _(result: Released, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    _set_choices(connection, row["id"], result.choices, at)
    return {"reason": " ".join(c.reason for c in result.choices)}


@save.register
def _(result: Looked, connection: Connection, row: RowMapping, at: datetime) -> Columns:  # noqa: ARG001 -- save's signature
    found = {"place": result.place, "names": sorted(result.found)}
    return {"found": found, "reason": None, "failures": row["failures"]}


@save.register
def _(result: Sent, connection: Connection, row: RowMapping, at: datetime) -> Columns:  # noqa: ARG001 -- save's signature
    doubted = row["doubted"] if row["kind"] == Kind.DICOM else None  # there it says what was sent a second time
    former = [place for place in row["former_places"] or () if place != result.place] or None  # it lies there again
    columns = {"place": result.place, "former_places": former, "doubted": doubted}
    return {**columns, "reason": None, "failures": row["failures"]}


@save.register
def _(result: Imported, connection: Connection, row: RowMapping, at: datetime) -> Columns:  # noqa: ARG001 -- save's signature
    columns = {"place": result.place, "imported": dict(result.imported), "refused": dict(result.refused)}
    return {**columns, "reason": result.said, "failures": row["failures"]}


@save.register
def _(result: Rerouted, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    alone = tables.target  # raw data go where the images go, also to archives that take no images
    of_study = (alone.c.study_id == row["study_id"]) & alone.c.assigned_by.is_(None)
    connection.execute(update(alone).where(of_study).values(project=result.project))
    if result.project != row["project"]:
        plan_anew(connection, row["study_id"], actor=RELAY, at=at)
    labels = {"project": result.project, "subject": result.subject, "session": result.session}
    return {**labels, "reason": result.said}


@save.register
def _(result: Waiting, connection: Connection, row: RowMapping, at: datetime) -> Columns:  # noqa: ARG001 -- save's signature
    return {"reason": result.said}


@save.register
def _(result: SendAgain, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    if row["state"] == DeliveryState.VERIFIED:
        key = f"lost:{row['id']}"
        raise_alert(connection, key=key, severity="critical", text=result.reason, at=at)
        unend(connection, row["capture_id"], at)
    columns = {"reason": result.reason, "failures": row["failures"] + 1}
    if row["kind"] == Kind.DICOM:
        again = {uid: last for uid, last in (row["imported"] or {}).items() if uid not in result.names}
        doubted = sorted({*(row["doubted"] or ()), *result.names})
        return {**columns, "imported": again, "doubted": doubted, "as_is": False}
    if (found := row["found"]) is not None:  # what is sent again is this delivery's own
        found = {**found, "names": sorted({*found["names"]} - result.names)}
    return {**columns, "doubted": sorted(result.names), "found": found}


@save.register
def _(result: CutAgain, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    _set_parts(connection, row["id"], result.parts)
    set_body_limit(connection, row["destination"], result.limit, at)
    return {"reason": f"A part was refused as too large (413); cut anew into {len(result.parts)} parts."}


@save.register
def _(result: Archived, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    d = tables.delivery.c
    connection.execute(
        update(tables.delivery)
        .where(
            d.kind == "raw",
            d.study_id == row["study_id"],
            d.destination == row["destination"],
            d.state == DeliveryState.QUEUED,
        )
        .values(due_at=at)
    )
    key = f"refused:{row['id']}"
    if row["refused"]:
        text = (
            f"The archive's own filter refused {len(row['refused'])} series of session {result.experiment}. Their "
            f"images are kept here. See `kspace study t{row['study_id']}`; once it takes them, `kspace retry "
            f"d{row['id']}`."
        )
        raise_alert(connection, key=key, severity="warning", text=text, at=at)
    else:
        clear_alert(connection, key=key, at=at)
    clear_alert(connection, key=f"waiting:{row['id']}", at=at)
    columns = {"experiment": result.experiment, "place": result.place, "verified_at": at, "reason": result.said}
    if row["state"] == DeliveryState.VERIFIED:
        columns["since_at"] = row["since_at"]  # proved once more; it has been held there all the time
    if result.imported is not None:
        columns["imported"] = dict(result.imported)
    # What was freed here is not looked for again: what it is called there stays known.
    aliases = {**(row["aliases"] or {}), **result.aliases}
    columns |= {"lacking": sorted(result.lacking) or None, "as_is": False}
    return {**columns, "aliases": aliases or None, "doubted": None, "due_at": at + _NOT_BY_ITSELF}


@save.register
def _(result: Verified, connection: Connection, row: RowMapping, at: datetime) -> Columns:
    connection.execute(insert(tables.receipt).values(delivery_id=row["id"], document=result.receipt, at=at))
    end_if_delivered(connection, row["capture_id"], at, but_for=row["id"])
    clear_alert(connection, key=f"lost:{row['id']}", at=at)
    stand_back(connection, row["capture_id"], at)
    return {"verified_at": at, "reason": None, "due_at": at + _NOT_BY_ITSELF}


@save.register
def _(result: StillHeld, connection: Connection, row: RowMapping, at: datetime) -> Columns:  # noqa: ARG001 -- save's signature
    return {"verified_at": at, "reason": f"It {result.said}.", "due_at": at + _NOT_BY_ITSELF}


def end_if_delivered(connection: Connection, capture_id: int, at: datetime, *, but_for: int | None = None) -> None:
    """Move a PLANNED capture on if every delivery of it is verified; ``but_for`` is the one being verified now."""
    d, c = tables.delivery.c, tables.capture.c
    rows = connection.execute(select(d.id, d.state).where(d.capture_id == capture_id)).all()
    left = [row for row in rows if row.state != DeliveryState.WITHDRAWN]
    if not left or any(row.state != DeliveryState.VERIFIED and row.id != but_for for row in left):
        return
    moved = connection.execute(
        update(tables.capture)
        .where(c.id == capture_id, c.state == CaptureState.PLANNED)
        .values(state=CaptureState.DELIVERED, since_at=at, due_at=at, reason=None)
    )
    if moved.rowcount:
        clear_alert(connection, key=f"former:{capture_id}", at=at)
        note(
            connection,
            at=at,
            actor=RELAY,
            subject="capture",
            subject_id=capture_id,
            verb="delivered",
            before=CaptureState.PLANNED,
            after=CaptureState.DELIVERED,
        )


def unend(connection: Connection, capture_id: int, at: datetime) -> None:
    """Take a DELIVERED capture back to PLANNED: what the spool has of it may be needed again, so it must not retire."""
    c = tables.capture.c
    is_delivered = (c.id == capture_id) & (c.state == CaptureState.DELIVERED)
    taken_back = connection.execute(
        update(tables.capture).where(is_delivered).values(state=CaptureState.PLANNED, since_at=at, due_at=at)
    )
    if taken_back.rowcount:
        note(
            connection,
            at=at,
            actor=RELAY,
            subject="capture",
            subject_id=capture_id,
            verb="capture.reopened",
            before=CaptureState.DELIVERED,
            after=CaptureState.PLANNED,
            detail="an archive does not hold it any more",
        )


def _audit(audit: Audit) -> Columns:
    return {"verdict": audit.verdict, "verdict_reason": audit.reason, "verdict_position": audit.position}


def _set_measurements(connection: Connection, capture_id: int, measurements: tuple[Measurement, ...]) -> None:
    connection.execute(delete(tables.measurement).where(tables.measurement.c.capture_id == capture_id))
    for number, measurement in enumerate(measurements):
        reach = reach_of(measurement.ticks)
        connection.execute(
            insert(tables.measurement).values(
                capture_id=capture_id,
                number=number,
                mid=measurement.mid,
                serial=serial_of_measurement(measurement),
                protocol=measurement.protocol,
                visit=visit_of(measurement),
                first_tick=reach and reach.first,
                last_tick=reach and reach.last,
                document=documents.to_document(measurement),
            )
        )


def _set_parts(connection: Connection, delivery_id: int, parts: tuple[Part, ...]) -> None:
    connection.execute(delete(tables.part).where(tables.part.c.delivery_id == delivery_id))
    if parts:  # an empty file has none, and no rows would be taken for one of defaults
        connection.execute(insert(tables.part), [{"delivery_id": delivery_id, **asdict(part)} for part in parts])


def _set_choices(
    connection: Connection, capture_id: int, choices: list[Choice] | tuple[Choice, ...], at: datetime
) -> None:
    for choice in choices:
        connection.execute(
            insert(tables.decision).values(
                capture_id=capture_id,
                step=choice.step,
                is_wanted=choice.is_wanted,
                rule=choice.rule,
                project=choice.project,
                version=choice.version,
                reason=choice.reason,
                at=at,
            )
        )
