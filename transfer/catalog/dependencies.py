"""What a measurement's reconstruction needs: adjustments and noise scans, by MID (TWIX ReconMeasDependencies).

MIDs start anew now and then, so they count only within one visit (`dicom.join.visit_of`), by which all is looked up.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from dicom.evidence.serial import serial_of_measurement
from dicom.join import visit_of
from dicom.records import Certainty, Decision
from kspace.records import Measurement
from transfer.catalog import documents, tables
from transfer.catalog.database import Database
from transfer.catalog.inventory import find_twin_in, look_again
from transfer.catalog.latest import is_image
from transfer.records import Beside
from transfer.states import LOST_CODES, CaptureState, DeliveryState


def set_dependencies(
    connection: Connection, capture_id: int, measurements: Sequence[Measurement], *, is_wanted: bool, at: datetime
) -> None:
    """Write which other measurements a capture needs, and have those looked at again that nobody wanted so far."""
    n = tables.dependency.c
    connection.execute(delete(tables.dependency).where(n.capture_id == capture_id))
    inside = {m.mid for m in measurements}
    image = measurements[-1] if measurements else None
    serial = image and serial_of_measurement(image)
    if image is None or serial is None:
        return
    for mid in image.dependency_mids:
        if mid not in inside:
            values = {"capture_id": capture_id, "serial": serial, "mid": mid, "is_wanted": is_wanted}
            connection.execute(insert(tables.dependency).values(values))
    if is_wanted:
        _wake(connection, image, at)


def wake_needed(connection: Connection, capture_id: int, *, at: datetime) -> None:
    """Let what a capture needs, and what waits for its scan to be known, be joined now."""
    n, m, c = tables.dependency.c, tables.measurement.c, tables.capture.c
    visits = select(m.visit).where(m.capture_id == capture_id)
    mids = select(n.mid).where(n.capture_id == capture_id)
    needed = select(m.capture_id).where(m.visit.in_(visits), m.mid.in_(mids))
    waits = and_(c.id.in_(needed), c.state == CaptureState.PACKED)
    connection.execute(update(tables.capture).where(waits).values(due_at=at))


def needed_by(database: Database, measurement: Measurement) -> list[Measurement]:
    """Return the measurements of its visit that need it and may be captured, the lowest capture first."""
    with database.read() as connection:
        return [of for _, _, of in _dependents(connection, measurement)]


def beside(database: Database, measurement: Measurement) -> Beside | None:
    """Return where the first measurement that needs it goes; None: no measurement of its visit does."""
    m, s = tables.match.c, tables.study.c
    with database.read() as connection:
        captured = [(n, of) for n, state, of in _dependents(connection, measurement) if state != CaptureState.SKIPPED]
        goes: list[Beside] = []
        for capture_id, of in captured:
            match = select(s.study_uid, m.series_uid).join(tables.study).where(m.capture_id == capture_id)
            found = connection.execute(match.where(m.undone_at.is_(None)).order_by(m.id.desc()).limit(1)).first()
            goes.append(Beside(mid=of.mid, **(found._mapping if found else _NOWHERE)))  # noqa: SLF001 -- SQLAlchemy's own
    return min(goes, key=lambda one: (one.series_uid is None, one.study_uid is not None), default=None)


_NOWHERE = {"study_uid": None, "series_uid": None}


def lay_beside(needed: Beside, decision: Decision) -> Decision | None:
    """Return the answer that a measurement goes to the scan of what needs it; None: that has none, or another study."""
    if needed.series_uid is None or decision.study_uid not in {None, needed.study_uid}:
        return None
    reason = f"The reconstruction of MID {needed.mid} needs it: it goes to the scan of that one."
    uids = (needed.series_uid,)
    return replace(decision, certainty=Certainty.BESIDE, reason=reason, study_uid=needed.study_uid, series_uids=uids)


def dependencies_of(connection: Connection, capture_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Return for each capture what it needs outside its own file: MID, whether a rule wants it, and the capture of it.

    ``lacks`` says why it is not there, None: it is there or on its way. Of several with one MID those of the same visit
    count, and of these one that is there.
    """
    n, m = tables.dependency.c, tables.measurement.c
    rows = connection.execute(select(tables.dependency).where(n.capture_id.in_(capture_ids)).order_by(n.mid)).all()
    images = select(m.capture_id, m.visit, m.mid).where(is_image(), m.visit.is_not(None))
    needing = connection.execute(images.where(m.capture_id.in_({r.capture_id for r in rows}))).all()
    visits = {one.capture_id: one.visit for one in needing}
    there = defaultdict(set)
    known = images.where(m.visit.in_(set(visits.values())), m.mid.in_({r.mid for r in rows}))
    for one in connection.execute(known).all():
        there[one.visit, one.mid].add(one.capture_id)
    seen = {r: there[visits.get(r.capture_id), r.mid] - {r.capture_id} for r in rows}
    lacks = _lacks(connection, {number for numbers in seen.values() for number in numbers})
    found: dict[int, list[dict[str, Any]]] = {}
    for row, numbers in seen.items():
        number = min(numbers, key=lambda one: (lacks[one] is not None, one), default=None)
        said = "not seen" if number is None else lacks[number]
        needed = {"mid": row.mid, "is_wanted": row.is_wanted, "capture": number, "lacks": said}
        found.setdefault(row.capture_id, []).append(needed)
    return found


def _lacks(connection: Connection, capture_ids: Collection[int]) -> dict[int, str | None]:
    """Return of each capture in a few words why nobody has it any more, or will; None: it is there or on its way."""
    c, f, d = tables.capture.c, tables.source_file.c, tables.delivery.c
    columns = (c.id, c.state, c.sha256, c.manifest.is_not(None).label("is_packed"), f.gone_at)
    rows = connection.execute(select(*columns).join(tables.source_file).where(c.id.in_(capture_ids))).all()
    sent = connection.execute(select(d.capture_id, d.state, d.held_code).where(d.capture_id.in_(capture_ids))).all()
    lost = {one.capture_id for one in sent if one.state == DeliveryState.HELD and one.held_code in LOST_CODES}
    lost -= {one.capture_id for one in sent if one.state == DeliveryState.VERIFIED}
    said: dict[int, str | None] = {}
    for row in rows:
        if row.state == CaptureState.SKIPPED:
            said[row.id] = None if row.sha256 and find_twin_in(connection, row.sha256, row.id) else "not captured"
        elif row.state == CaptureState.RELEASED:
            said[row.id] = "released"
        else:
            is_gone = row.gone_at is not None and not row.is_packed
            said[row.id] = "gone" if is_gone else "lost" if row.id in lost else None
    return said


def _dependents(connection: Connection, measurement: Measurement) -> list[tuple[int, str, Measurement]]:
    n, m = tables.dependency.c, tables.measurement.c
    needing = select(n.capture_id).where(n.serial == serial_of_measurement(measurement), n.mid == measurement.mid)
    return _of_visit(connection, measurement, m.capture_id.in_(needing))


def _of_visit(
    connection: Connection, measurement: Measurement, *where: ColumnElement[bool]
) -> list[tuple[int, str, Measurement]]:
    """Return the imaging measurements of its visit, with number and state of each capture; none if nothing tells it."""
    m, c, visit = tables.measurement.c, tables.capture.c, visit_of(measurement)
    if visit is None:
        return []
    query = select(c.id, c.state, m.document).join(tables.measurement).order_by(c.id)
    found = connection.execute(query.where(m.visit == visit, is_image(), *where))
    return [(row.id, row.state, documents.to_measurement(row.document)) for row in found]


def _wake(connection: Connection, image: Measurement, at: datetime) -> None:
    """Let files that nobody wanted, and that still lie on the share, be looked at again: they are needed now."""
    m, c, f = tables.measurement.c, tables.capture.c, tables.source_file.c
    skipped = and_(m.mid.in_(image.dependency_mids), c.state == CaptureState.SKIPPED)
    there = c.source_file_id.in_(select(f.id).where(f.gone_at.is_(None)))
    for capture_id, _, _ in _of_visit(connection, image, skipped, there, c.sha256.is_(None)):
        look_again(connection, capture_id, why=f"MID {image.mid} needs it", at=at)
