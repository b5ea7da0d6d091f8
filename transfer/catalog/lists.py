"""What people and programs may read of the catalog: plain rows, no behaviour."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, desc, func, select

from kspace.errors import NotFound
from transfer.catalog import tables
from transfer.catalog.copies import former_copies
from transfer.catalog.latest import is_image
from transfer.catalog.outbox_tables import acknowledgement

Row = dict[str, Any]
_MAX_DIGITS = 9


def captures(
    connection: Connection, *, capture_id: int | None = None, state: str | None = None, limit: int = 200
) -> list[Row]:
    """Return captures with what is known of each, the newest first; of one state, or the one of an id."""
    c, f, m = tables.capture.c, tables.source_file.c, tables.measurement.c
    query = (
        select(
            c.id,
            c.state,
            c.reason,
            c.verdict,
            c.sha256,
            c.stored_bytes,
            f.scanner,
            f.path,
            f.size,
            f.gone_at,
            m.mid,
            m.protocol,
        )
        .join(tables.source_file)
        .outerjoin(tables.measurement, (m.capture_id == c.id) & is_image())
        .order_by(desc(c.id))
        .limit(limit)
    )
    if state is not None:
        query = query.where(c.state == state)
    if capture_id is not None:
        query = query.where(c.id == capture_id)
    return _rows(connection.execute(query).mappings().all())


def deliveries(connection: Connection, *, capture_id: int | None = None, kind: str | None = None) -> list[Row]:
    """Return deliveries with their study's UID, of one capture or of one kind where given."""
    d, s = tables.delivery.c, tables.study.c
    columns = (d.id, d.kind, d.capture_id, d.destination, d.project, d.state, d.reason, d.place, d.former_places)
    query = select(*columns, d.experiment, d.verified_at, s.study_uid).join(tables.study).order_by(d.id)
    if capture_id is not None:
        query = query.where(d.capture_id == capture_id)
    if kind is not None:
        query = query.where(d.kind == kind)
    return _rows(connection.execute(query).mappings().all())


def story(connection: Connection, capture_id: int) -> Row:
    """Return everything about one capture: its file, decisions, match, evidence, parts, receipts and events.

    Raises:
        NotFound: there is no such capture.
    """
    t = tables
    rows = captures(connection, capture_id=capture_id)
    if not rows:
        raise NotFound(f"There is no capture {capture_id}; `kspace status` lists those there are.")
    sent = deliveries(connection, capture_id=capture_id)
    for row in sent:
        p, r = t.part.c, t.receipt.c
        row["parts"] = _rows(
            connection.execute(
                select(p.name, p.size, p.md5, p.sha256).where(p.delivery_id == row["id"]).order_by(p.number)
            )
            .mappings()
            .all()
        )
        receipt = connection.execute(
            select(r.document).where(r.delivery_id == row["id"]).order_by(desc(r.id)).limit(1)
        ).scalar()
        row["receipt"] = receipt.decode() if receipt else None
    matches = _of(connection, t.match, capture_id)
    for match in matches:
        e, s = t.evidence.c, t.series.c
        match["evidence"] = _rows(
            connection.execute(
                select(s.number, e.series_uid, e.clue, e.weight, e.detail)
                .outerjoin(t.series, s.series_uid == e.series_uid)
                .where(e.match_id == match["id"])
                .order_by(e.id)
            )
            .mappings()
            .all()
        )
    v = t.event.c
    of_this = (v.subject == "capture") & (v.subject_id == capture_id)
    of_sent = (v.subject == "delivery") & v.subject_id.in_([row["id"] for row in sent])
    happened = select(v.at, v.actor, v.subject, v.subject_id, v.verb, v.detail).where(of_this | of_sent)
    return {
        **rows[0],
        "measurements": [row["document"] for row in _of(connection, t.measurement, capture_id)],
        "decisions": _of(connection, t.decision, capture_id),
        "matches": matches,
        "deliveries": sent,
        "former_copies": former_copies(connection, [capture_id]).get(capture_id, []),
        "events": _rows(connection.execute(happened.order_by(v.id)).mappings().all()),
    }


def receipts(connection: Connection, reference: str) -> list[Row]:
    """Return the newest receipt of each raw delivery meant: a capture's number (``12``) or a delivery's (``d5``).

    Raises:
        NotFound: nothing of it has a receipt.
    """
    d, r = tables.delivery.c, tables.receipt.c
    digits = reference.removeprefix("d")
    number = int(digits) if digits.isdecimal() and len(digits) <= _MAX_DIGITS else 0
    newest = select(func.max(r.id)).group_by(r.delivery_id)
    query = (
        select(r.delivery_id, d.destination, d.capture_id, d.state, r.document)
        .join(tables.delivery)
        .where(r.id.in_(newest))
    )
    meant = d.id == number if reference.startswith("d") else d.capture_id == number
    found = _rows(connection.execute(query.where(meant).order_by(d.id)).mappings().all())
    if not found:
        raise NotFound(f"There is no receipt of {reference!r}: nothing of it was proved yet; see `kspace show`.")
    return found


def alerts(
    connection: Connection, *, open_only: bool = True, after: int | None = None, limit: int | None = None
) -> list[Row]:
    """Return alerts, the newest first, each with who acknowledged it as it stands; those ``after`` one."""
    a, k = tables.alert.c, acknowledgement.c
    said = (k.alert_id == a.id) & (k.severity == a.severity)
    query = (
        select(a.id, a.key, a.severity, a.text, a.raised_at, a.cleared_at, k.actor, k.note, k.at.label("acked_at"))
        .outerjoin(acknowledgement, said)
        .order_by(desc(a.id))
    )
    if open_only:
        query = query.where(a.cleared_at.is_(None))
    if after is not None:
        query = query.where(a.id < after)
    query = query.limit(limit)
    return _rows(connection.execute(query).mappings().all())


def counts(connection: Connection) -> dict[str, dict[str, int]]:
    """Return how many captures and deliveries stand in each state, and how many images are here or were freed."""
    c, d, i = tables.capture.c, tables.delivery.c, tables.instance.c
    here, freed = connection.execute(select(func.count(i.id) - func.count(i.freed_at), func.count(i.freed_at))).one()
    result: dict[str, dict[str, int]] = {"capture": {}, "raw": {}, "dicom": {}, "image": {"here": here, "freed": freed}}
    for state, number in connection.execute(select(c.state, func.count()).group_by(c.state)):
        result["capture"][state] = number
    for kind, state, number in connection.execute(select(d.kind, d.state, func.count()).group_by(d.kind, d.state)):
        result[kind][state] = number
    return result


def _of(connection: Connection, table: Any, capture_id: int) -> list[Row]:  # noqa: ANN401 -- a Table with capture_id
    query = select(table).where(table.c.capture_id == capture_id).order_by(table.c.id)
    return _rows(connection.execute(query).mappings().all())


def _rows(found: Sequence[RowMapping]) -> list[Row]:
    return [dict(row) for row in found]
