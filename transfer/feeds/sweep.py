"""The one place that deletes: packed files of captures that are retired, released or twins; images long verified."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, RowMapping, func, select, update

from kspace.clock import Clock
from kspace.pack import drop
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.notices import RELAY, note
from transfer.states import CaptureState, DeliveryState


def sweep(*, spool: Path, database: Database) -> int:
    """Free the spool of what the catalog says is no longer needed, and return how many packed files went.

    A file the catalog does not know stays where it is: it may be somebody's only copy.
    """
    packed = {int(path.stem): path for path in sorted(spool.glob("*.packed")) if path.stem.isdigit()}
    with database.read() as connection:
        due = [capture_id for capture_id in packed if _may_go(connection, capture_id)]
    return sum(_drop(database, capture_id, packed[capture_id]) for capture_id in due)


def _drop(database: Database, capture_id: int, packed: Path) -> bool:
    """Remove the file within the transaction that decides it: what wants it again meanwhile comes before or after."""
    with database.write() as connection:
        may_go = _may_go(connection, capture_id, is_locked=True)
        if may_go:
            drop(packed)
    return may_go


def _may_go(connection: Connection, capture_id: int, *, is_locked: bool = False) -> bool:
    c = tables.capture.c
    query = select(c.state, c.sha256).where(c.id == capture_id)
    row = connection.execute(query.with_for_update() if is_locked else query).first()
    if row is None:
        return False
    if row.state == CaptureState.RETIRED:
        return _is_receipted(connection, capture_id, is_locked=is_locked)
    # SKIPPED with a digest: another capture holds the bytes. Without one it never was packed; the file is not its.
    return row.state == CaptureState.RELEASED or (row.state == CaptureState.SKIPPED and row.sha256 is not None)


def _is_receipted(connection: Connection, capture_id: int, *, is_locked: bool) -> bool:
    """Ask for the receipts themselves, whatever the state says: every archive proved it, and none lost it since."""
    d, r = tables.delivery.c, tables.receipt.c
    ours = (d.capture_id == capture_id) & (d.state != DeliveryState.WITHDRAWN)
    query = select(d.state, select(r.id).where(r.delivery_id == d.id).exists()).where(ours)
    found = connection.execute(query.with_for_update(of=tables.delivery) if is_locked else query).all()
    return bool(found) and all(has and now == DeliveryState.VERIFIED for now, has in found)


def sweep_images(*, database: Database, clock: Clock, machine: str, keep_s: float) -> int:
    """Free the spool of images that every archive of their study proved to hold, ``keep_s`` ago, and return how many.

    What no archive was seen to hold stays: images that a filter leaves out, that an archive refused, or that came a
    second time with other bytes.
    """
    before = clock.now() - timedelta(seconds=keep_s)
    with database.read() as connection:
        due = _studies(connection, machine, before)
    return sum(_free(database, study_id, before, clock.now()) for study_id in due)


def _studies(connection: Connection, machine: str, before: datetime) -> Sequence[int]:
    d, i, s = tables.delivery.c, tables.instance.c, tables.series.c
    is_open = (d.state != DeliveryState.VERIFIED) | d.verified_at.is_(None) | (d.verified_at > before)
    still_needed = select(d.study_id).where(d.kind == "dicom", is_open | d.machine.is_distinct_from(machine))
    verified = select(d.study_id).where(d.kind == "dicom", d.study_id.not_in(still_needed)).distinct()
    kept = select(s.study_id).join(tables.instance).where(i.freed_at.is_(None), s.study_id.in_(verified)).distinct()
    return connection.execute(kept).scalars().all()


def _free(database: Database, study_id: int, before: datetime, now: datetime) -> int:
    """Remove the files within the transaction that says so: an image that is sent anew meanwhile comes after it."""
    d, i = tables.delivery.c, tables.instance.c
    with database.write() as connection:
        of_study = select(tables.delivery).where(d.kind == "dicom", d.study_id == study_id).with_for_update()
        deliveries = connection.execute(of_study).mappings().all()
        if any(one["state"] != DeliveryState.VERIFIED or one["verified_at"] > before for one in deliveries):
            return 0  # more came since
        proved = [row for row in _firsts(connection, study_id) if all(_is_proved(row, one) for one in deliveries)]
        for row in proved:
            Path(row["path"]).unlink(missing_ok=True)
        ids = [row["id"] for row in proved]
        connection.execute(update(tables.instance).where(i.id.in_(ids)).values(freed_at=now))
        if proved:
            held = ", ".join(f"{one['destination']} since {one['verified_at']:%Y-%m-%d}" for one in deliveries)
            note(
                connection,
                at=now,
                actor=RELAY,
                subject="study",
                subject_id=study_id,
                verb="study.freed",
                detail=f"{len(proved)} images, {sum(r['size'] for r in proved):,} bytes; verified in {held}",
            )
    return len(proved)


def _firsts(connection: Connection, study_id: int) -> Sequence[RowMapping]:
    """Return the instances that were delivered: of each UID the one that came first; not those freed before."""
    i, s = tables.instance.c, tables.series.c
    first = select(func.min(i.id)).join(tables.series).where(s.study_id == study_id).group_by(i.sop_uid)
    query = select(i.id, i.path, i.size, i.received_at, s.series_uid).join(tables.series)
    return connection.execute(query.where(i.id.in_(first), i.freed_at.is_(None))).mappings().all()


def _is_proved(row: RowMapping, delivery: RowMapping) -> bool:
    """Whether the archive was seen to hold it."""
    is_sent = row["id"] <= (delivery["imported"] or {}).get(row["series_uid"], 0)
    is_sent = is_sent and row["id"] not in (delivery["lacking"] or ())
    return bool(is_sent and row["received_at"] <= delivery["verified_at"])
