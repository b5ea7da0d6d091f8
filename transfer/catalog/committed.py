"""What is true of the instances that a request for storage commitment names."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from dicom.commitment import Failure, Report
from transfer.catalog import tables
from transfer.catalog.commitments import Commitment
from transfer.catalog.database import Database
from transfer.states import DeliveryState


def judge(database: Database, commitment: Commitment, *, here: bool, is_late: bool) -> Report | None:
    """Return what is true of every instance, None while the archive may still come to hold one.

    ``here``: what is durable on this machine counts. Otherwise only what every archive of its study has proved to hold.
    """
    with database.read() as connection:
        rows = _found(connection, commitment.id)
        archived = _archived(connection, rows)
    kept: list[tuple[str, str]] = []
    failed: list[tuple[str, str, Failure]] = []
    for _, group in groupby(rows, key=lambda row: row.sop_uid):
        of_one = list(group)
        item = (of_one[0].sop_class, of_one[0].sop_uid)
        failure = _wrong_with(of_one) or _missing(of_one, archived, here=here)
        if failure is None:
            kept.append(item)
        elif failure is Failure.PROCESSING_FAILURE and len(of_one) == 1 and not here and not is_late:
            return None
        else:
            failed.append((*item, failure))
    return Report(transaction_uid=commitment.transaction_uid, kept=kept, failed=failed)


def _found(connection: Connection, commitment_id: int) -> Sequence[Any]:
    """Return a row for each instance that is asked for, more where several lie here under its UID."""
    item, i, s = tables.commitment_item.c, tables.instance.c, tables.series.c
    joined = tables.commitment_item.outerjoin(tables.instance, i.sop_uid == item.sop_uid).outerjoin(
        tables.series, s.id == i.series_id
    )
    columns = (item.sop_uid, item.sop_class, i.id, i.path, i.document, s.series_uid, s.study_id)
    asked = select(*columns).select_from(joined).where(item.commitment_id == commitment_id)
    return connection.execute(asked.order_by(item.sop_uid)).all()


def _archived(connection: Connection, rows: Sequence[Any]) -> set[int]:
    """Return the instances that every archive of their study, at least one, has proved to hold.

    A proved delivery may have left some out: by its route's filters, or because the archive refused or lost them.
    """
    d = tables.delivery.c
    of_these = (d.kind == "dicom") & d.study_id.in_({row.study_id for row in rows if row.study_id is not None})
    ways: dict[int, list[tuple[Mapping[str, int], Collection[int]]]] = {}
    for way in connection.execute(select(d.study_id, d.state, d.imported, d.lacking).where(of_these)).all():
        proved = way.imported if way.state == DeliveryState.VERIFIED else None
        ways.setdefault(way.study_id, []).append((proved or {}, way.lacking or ()))
    return {
        row.id
        for row in rows
        if row.study_id in ways
        and all(
            row.id <= proved.get(row.series_uid, 0) and row.id not in lacking for proved, lacking in ways[row.study_id]
        )
    }


def _wrong_with(rows: Sequence[Any]) -> Failure | None:
    if rows[0].study_id is None:
        return Failure.NO_SUCH_INSTANCE
    if any(row.document["sop_class"] != row.sop_class for row in rows):
        return Failure.CLASS_INSTANCE_CONFLICT
    return None


def _missing(rows: Sequence[Any], archived: Collection[int], *, here: bool) -> Failure | None:
    """Two objects under one UID are kept here, but only the first goes to the archive: nobody knows which is meant."""
    is_archived = len(rows) == 1 and rows[0].id in archived
    is_here = here and all(Path(row.path).exists() for row in rows)
    return None if is_archived or is_here else Failure.PROCESSING_FAILURE
