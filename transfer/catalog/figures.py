"""The relay in figures: how much stands where now; by scanner, destination and state alone."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from transfer.catalog import tables
from transfer.catalog.outbox_tables import acknowledgement, outbox
from transfer.states import LOST_CODES, CaptureState, DeliveryState

Figures = dict[tuple[str, ...], int]
"""Values by their labels, in the order of the question."""

_ENDED = {CaptureState.SKIPPED, CaptureState.DELIVERED, CaptureState.RETIRED, CaptureState.RELEASED}
_OPEN = tuple(set(CaptureState) - _ENDED)
_UNPROVED = tuple(set(DeliveryState) - {DeliveryState.VERIFIED, DeliveryState.WITHDRAWN})


def standing(connection: Connection) -> dict[str, Figures]:
    """Return what stands where now; what has ended is counted by its state alone, which an index does.

    What has not is few, and counted by scanner, or by destination and kind, as well.
    """
    c, d, f = tables.capture.c, tables.delivery.c, tables.source_file.c
    of_files = tables.capture.join(tables.source_file)
    is_open = c.state.in_(_OPEN)
    a, k, o, p = tables.alert.c, acknowledgement.c, outbox.c, tables.pause.c
    is_seen_to = (k.alert_id == a.id) & (k.severity == a.severity)
    queries: dict[str, Select[Any]] = {
        "captures": select(c.state, func.count()).group_by(c.state),
        "waiting_captures": select(f.scanner, c.state, func.count())
        .select_from(of_files)
        .where(is_open)
        .group_by(f.scanner, c.state),
        "waiting_bytes": select(f.scanner, func.sum(f.size)).select_from(of_files).where(is_open).group_by(f.scanner),
        "deliveries": select(d.state, func.count()).group_by(d.state),
        "waiting_deliveries": select(d.destination, d.kind, d.state, func.count())
        .where(d.state.in_(_UNPROVED))
        .group_by(d.destination, d.kind, d.state),
        "backlog_bytes": select(d.destination, d.kind, func.sum(c.stored_bytes))
        .select_from(tables.delivery.join(tables.capture))
        .where(d.state.in_(_UNPROVED))
        .group_by(d.destination, d.kind),
        "image_backlog": _image_backlog(),
        "alerts": select(a.severity, func.count()).where(a.cleared_at.is_(None)).group_by(a.severity),
        "acknowledged": select(a.severity, func.count())
        .select_from(tables.alert.join(acknowledgement, is_seen_to))
        .where(a.cleared_at.is_(None))
        .group_by(a.severity),
        "pauses": select(p.what, p.failures),
        "messages": select(o.sink, func.count()).where(o.sent_at.is_(None)).group_by(o.sink),
    }
    return {n: {tuple(row[:-1]): int(row[-1] or 0) for row in connection.execute(q)} for n, q in queries.items()}


def oldest_unsent(connection: Connection) -> dict[str, datetime]:
    """Return since when, of each scanner, the oldest file waits that is not proved in every archive yet."""
    c, f = tables.capture.c, tables.source_file.c
    query = (
        select(f.scanner, func.min(f.first_seen_at))
        .select_from(tables.capture.join(tables.source_file))
        .where(c.state.in_(_OPEN))
        .group_by(f.scanner)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def lost(connection: Connection) -> dict[str, int]:
    """Return how many files were gone before they were captured, and how many an archive lost and nobody can send."""
    c, d = tables.capture.c, tables.delivery.c
    gone = (c.state == CaptureState.HELD) & (c.held_code == "file_vanished")
    lost_there = (d.state == DeliveryState.HELD) & d.held_code.in_(LOST_CODES)
    return {
        "scanner": connection.execute(select(func.count(c.id)).where(gone)).scalar_one(),
        "archive": connection.execute(select(func.count(d.id)).where(lost_there)).scalar_one(),
    }


def _image_backlog() -> Select[Any]:
    d, i, s = tables.delivery.c, tables.instance.c, tables.series.c
    return (
        select(d.destination, func.sum(i.size))
        .select_from(
            tables.delivery.join(tables.series, s.study_id == d.study_id).join(tables.instance, i.series_id == s.id)
        )
        .where(d.kind == "dicom", d.state.in_(_UNPROVED))
        .group_by(d.destination)
    )
