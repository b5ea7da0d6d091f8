"""Rows to the records that stages are given. Reads only."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, desc, select

from dicom.records import Study
from kspace.errors import NotFound
from kspace.records import Audit, Measurement, Part, SourceFile, Verdict
from kspace.sources.settings import Scope
from transfer.catalog import documents, tables
from transfer.records import Capture, DicomDelivery, Match, RawDelivery, SeriesHead, StoredInstance
from transfer.states import CaptureState, DeliveryState


def load_capture(connection: Connection, capture_id: int) -> Capture:
    """Return a capture with its file, measurements and latest match.

    Raises:
        NotFound: there is none.
    """
    c, f = tables.capture.c, tables.source_file.c
    row = _one(
        connection,
        select(tables.capture, f.scanner, f.source, f.scope, f.path, f.size, f.mtime_ns, f.changed_at)
        .join(tables.source_file)
        .where(c.id == capture_id),
        f"There is no capture {capture_id}; `kspace status` lists those there are.",
    )
    return Capture(
        id=row["id"],
        state=CaptureState(row["state"]),
        scanner=row["scanner"],
        source=row["source"],
        scope=Scope(row["scope"]),
        file=SourceFile(path=row["path"], size=row["size"], mtime_ns=row["mtime_ns"]),
        changed_at=row["changed_at"],
        since_at=row["since_at"],
        as_is=row["as_is"],
        audit=_audit(row),
        measurements=_measurements(connection, capture_id),
        sha256=row["sha256"],
        manifest=row["manifest"],
        match=_match(connection, capture_id),
    )


def load_delivery(connection: Connection, delivery_id: int) -> RawDelivery | DicomDelivery:
    """Return a delivery of either kind with all its stage needs.

    Raises:
        NotFound: there is none.
    """
    query = select(tables.delivery).where(tables.delivery.c.id == delivery_id)
    row = _one(connection, query, f"There is no delivery {delivery_id}.")
    return _dicom(connection, row) if row["kind"] == "dicom" else _raw(connection, row)


def load_study(connection: Connection, study_id: int) -> Study:
    """Return a study by its row."""
    document = connection.execute(select(tables.study.c.document).where(tables.study.c.id == study_id)).scalar_one()
    return documents.to_study(document)


def _raw(connection: Connection, row: RowMapping) -> RawDelivery:
    p = tables.part.c
    parts = connection.execute(select(tables.part).where(p.delivery_id == row["id"]).order_by(p.number)).mappings()
    d = tables.delivery.c
    # A session that more DICOM has arrived for has no scan yet for the series of it: it counts once it is whole again.
    images = connection.execute(
        select(d.experiment, d.aliases).where(
            d.kind == "dicom",
            d.study_id == row["study_id"],
            d.destination == row["destination"],
            d.state == DeliveryState.VERIFIED,
        )
    ).first()
    capture = load_capture(connection, row["capture_id"])
    series = capture.match.series_uid if capture.match else None
    return RawDelivery(
        id=row["id"],
        state=DeliveryState(row["state"]),
        destination=row["destination"],
        project=row["project"],
        capture=capture,
        parts=tuple(Part(**{k: r[k] for k in ("number", "name", "offset", "size", "md5", "sha256")}) for r in parts),
        experiment=images.experiment if images else None,
        place=row["place"],
        alias=(images.aliases or {}).get(series) if images else None,
        doubted=frozenset(row["doubted"] or ()),
        receipt=_receipt(connection, row["id"]),
        found=None if row["found"] is None else frozenset(row["found"]["names"]),
        found_at=row["found"] and row["found"]["place"],
        heads=_heads(connection, row["study_id"]),
        assigned_by=_assigned_by(connection, row),
    )


def _receipt(connection: Connection, delivery_id: int) -> bytes | None:
    r = tables.receipt.c
    newest = select(r.document).where(r.delivery_id == delivery_id).order_by(desc(r.id)).limit(1)
    found: bytes | None = connection.execute(newest).scalar()
    return found


def _assigned_by(connection: Connection, row: RowMapping) -> str | None:
    t = tables.target.c
    of_this = (t.study_id == row["study_id"]) & (t.destination == row["destination"])
    said: str | None = connection.execute(select(t.assigned_by).where(of_this)).scalar()
    return said


def _dicom(connection: Connection, row: RowMapping) -> DicomDelivery:
    i, s, study = tables.instance.c, tables.series.c, tables.study.c
    last_arrival_at = connection.execute(select(study.last_arrival_at).where(study.id == row["study_id"])).scalar_one()
    rows = connection.execute(
        select(i.id, i.document, i.path, i.size, i.sha256, i.freed_at, s.series_uid)
        .join(tables.series)
        .where(s.study_id == row["study_id"])
        .order_by(s.id, i.id)
    ).all()
    first_of_each = {r.document["sop_uid"]: r for r in reversed(rows)}
    stored = [
        StoredInstance(
            id=r.id,
            instance=documents.to_instance(r.document),
            series_uid=r.series_uid,
            path=Path(r.path),
            size=r.size,
            sha256=r.sha256,
        )
        for r in rows
        if first_of_each[r.document["sop_uid"]] is r and r.freed_at is None
    ]
    return DicomDelivery(
        id=row["id"],
        state=DeliveryState(row["state"]),
        destination=row["destination"],
        project=row["project"],
        subject=row["subject"],
        session=row["session"],
        study=load_study(connection, row["study_id"]),
        since_at=row["since_at"],
        last_arrival_at=last_arrival_at,
        heads=_heads(connection, row["study_id"]),
        instances=tuple(stored),
        place=row["place"],
        experiment=row["experiment"],
        imported=row["imported"] or {},
        refused=row["refused"] or {},
        doubted=frozenset(row["doubted"] or ()),
        assigned_by=row["assigned_by"],
        as_is=row["as_is"],
        lacking=frozenset(row["lacking"] or ()),
    )


def _heads(connection: Connection, study_id: int) -> dict[str, SeriesHead]:
    s = tables.series.c
    columns = (s.series_uid, s.told, s.document, s.called_ae, s.calling_ae)
    nothing = frozenset[Any]()
    return {
        row.series_uid: SeriesHead(
            study=documents.to_study(row.told),
            series=documents.to_series(row.document, sop_uids=nothing, ticks=nothing),
            called_ae=row.called_ae,
            calling_ae=row.calling_ae,
        )
        for row in connection.execute(select(*columns).where(s.study_id == study_id).order_by(s.id))
    }


def _audit(row: RowMapping) -> Audit | None:
    if row["verdict"] is None:
        return None
    return Audit(verdict=Verdict(row["verdict"]), position=row["verdict_position"], reason=row["verdict_reason"])


def _measurements(connection: Connection, capture_id: int) -> tuple[Measurement, ...]:
    m = tables.measurement.c
    query = select(m.document).where(m.capture_id == capture_id).order_by(m.number)
    return tuple(documents.to_measurement(d) for d in connection.execute(query).scalars())


def _match(connection: Connection, capture_id: int) -> Match | None:
    m, s, d, t = tables.match.c, tables.study.c, tables.delivery.c, tables.target.c
    row = (
        connection.execute(
            select(tables.match, s.study_uid)
            .join(tables.study)
            .where(m.capture_id == capture_id, m.undone_at.is_(None))
            .order_by(desc(m.id))
            .limit(1)
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    targets = connection.execute(
        select(d.destination, d.project)
        .where(d.kind == "dicom", d.study_id == row["study_id"])
        .union(select(t.destination, t.project).where(t.study_id == row["study_id"]))
        .order_by("destination")
    )
    return Match(
        study_uid=row["study_uid"],
        series_uid=row["series_uid"],
        certainty=row["certainty"],
        reason=row["reason"],
        targets=tuple((destination, project) for destination, project in targets),
    )


def _one(connection: Connection, query: Select[Any], missing: str) -> RowMapping:
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(missing)
    return row
