"""The one place that deletes: packed files that are retired, released or twins; images long verified, or unwanted."""

import operator
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select, update

from kspace.clock import Clock
from kspace.errors import BadInput
from kspace.pack import drop
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.notices import RELAY, clear_alert, note
from transfer.states import CaptureState, DeliveryState

_FRESH = timedelta(days=7)
"""An older proof is made anew before images are freed on it."""


def sweep(*, spool: Path, database: Database) -> int:
    """Free the spool of what the catalog says is no longer needed, and return how many packed files went.

    A file the catalog does not know stays where it is: it may be somebody's only copy. What a fetch that was killed
    left half-written (``.coming``) goes once its capture is not fetched back any more.
    """
    for coming in sorted(spool.glob("*.coming")):
        if coming.stem.isdigit():
            _drop_half_fetched(database, int(coming.stem), coming)
    packed = {int(path.stem): path for path in sorted(spool.glob("*.packed")) if path.stem.isdigit()}
    with database.read() as connection:
        due = [capture_id for capture_id in packed if _may_go(connection, capture_id)]
    return sum(_drop(database, capture_id, packed[capture_id]) for capture_id in due)


def _drop_half_fetched(database: Database, capture_id: int, coming: Path) -> None:
    c = tables.capture.c
    with database.write() as connection:
        state = connection.execute(select(c.state).where(c.id == capture_id).with_for_update()).scalar()
        if state not in {None, CaptureState.RECALLED}:
            coming.unlink(missing_ok=True)


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


def sweep_images(  # noqa: PLR0913 -- how long, how much
    *,
    database: Database,
    clock: Clock,
    machine: str,
    keep_s: float,
    keep_filtered_s: float | None = None,
    is_enough: Callable[[], bool] = lambda: False,
) -> int:
    """Free the spool of images that every archive of their study has held for ``keep_s``, and return how many.

    The study that was proved longest ago goes first, until it ``is_enough``. Right before, the archives are looked at
    once more: a study whose proof is older than a week is made due for that. What no archive was seen to hold stays:
    images that an archive refused, that came a second time with other bytes, and, but after ``keep_filtered_s`` where
    that is given, those that a filter leaves out.
    """
    now = clock.now()
    with database.read() as connection:
        due = _studies(connection, machine, now - timedelta(seconds=keep_s))
    wanted = takewhile(lambda _: not is_enough(), due)
    freed = sum(_free(database, study_id, now - timedelta(seconds=keep_s), now) for study_id in wanted)
    if keep_filtered_s is not None:
        before = now - timedelta(seconds=keep_filtered_s)
        with database.read() as connection:
            due = _studies(connection, machine, before)
        freed += sum(_free_filtered(database, study_id, before, now) for study_id in due)
    return freed


def free_unwanted(database: Database, study_id: int, *, reason: str, actor: str, clock: Clock) -> tuple[int, int]:
    """Free, on a person's word, what no archive takes of a study, and return number and bytes.

    That is what filters left out, what archives refused or do not show, and what came a second time with other bytes.

    Raises:
        BadInput: the study is still on its way somewhere, or there is nothing to free.
    """
    with database.write() as connection:
        deliveries = _deliveries(connection, study_id)
        if not deliveries or not all(map(_is_settled, deliveries)):
            raise BadInput(
                f"Study t{study_id} is not settled everywhere it goes, so it is not certain yet what no archive "
                "takes. Nothing was freed. See `kspace study`."
            )
        firsts = _firsts(connection, study_id)
        seconds = _seconds(connection, study_id)
        rows = [*(row for row in firsts if _is_unwanted(row, deliveries)), *seconds]
        if not rows:
            raise BadInput(f"Study t{study_id} has no images here that no archive takes. Nothing was freed.")
        why = f"taken by no archive; {reason}"
        _remove(connection, study_id, rows, why=why, actor=actor, now=clock.now())
        for row in seconds:
            clear_alert(connection, key=f"instance:{row['sop_uid']}", at=clock.now())
    return len(rows), sum(row["size"] for row in rows)


def _studies(connection: Connection, machine: str, before: datetime) -> Sequence[int]:
    d, i, s = tables.delivery.c, tables.instance.c, tables.series.c
    is_open = (d.state != DeliveryState.VERIFIED) | d.verified_at.is_(None) | (d.since_at > before)
    still_needed = select(d.study_id).where(d.kind == "dicom", is_open | d.machine.is_distinct_from(machine))
    verified = select(d.study_id).where(d.kind == "dicom", d.study_id.not_in(still_needed)).distinct()
    kept = select(s.study_id).join(tables.instance).where(i.freed_at.is_(None), s.study_id.in_(verified)).distinct()
    proved = select(d.study_id).where(d.kind == "dicom", d.study_id.in_(kept)).group_by(d.study_id)
    return connection.execute(proved.order_by(func.max(d.since_at))).scalars().all()


def _free(database: Database, study_id: int, before: datetime, now: datetime) -> int:
    """Remove the files within the transaction that says so: an image that is sent anew meanwhile comes after it."""
    with database.write() as connection:
        deliveries = _deliveries(connection, study_id)
        if _came_since(deliveries, before):
            return 0
        proved = [row for row in _firsts(connection, study_id) if all(_is_proved(row, one) for one in deliveries)]
        if not proved or _must_look_again(connection, deliveries, now):
            return 0
        held = ", ".join(f"{one['destination']} since {one['since_at']:%Y-%m-%d}" for one in deliveries)
        _remove(connection, study_id, proved, why=f"verified in {held}", actor=RELAY, now=now)
    return len(proved)


def _free_filtered(database: Database, study_id: int, before: datetime, now: datetime) -> int:
    with database.write() as connection:
        deliveries = _deliveries(connection, study_id)
        if _came_since(deliveries, before):
            return 0
        rows = [row for row in _firsts(connection, study_id) if _is_filtered(row, deliveries)]
        if rows:
            _remove(connection, study_id, rows, why="left out by filters, after keep_filtered_s", actor=RELAY, now=now)
    return len(rows)


def _came_since(deliveries: Sequence[RowMapping], before: datetime) -> bool:
    return any(one["state"] != DeliveryState.VERIFIED or one["since_at"] > before for one in deliveries)


def _must_look_again(connection: Connection, deliveries: Sequence[RowMapping], now: datetime) -> bool:
    """Make the deliveries whose proof is old due for another; what the archive lost meanwhile is sent again."""
    d, old = tables.delivery.c, [one["id"] for one in deliveries if one["verified_at"] < now - _FRESH]
    waits = d.id.in_(old) & (d.due_at > now) & d.lease_token.is_(None)
    connection.execute(update(tables.delivery).where(waits).values(due_at=now))
    return bool(old)


def _remove(  # noqa: PLR0913 -- the facts of the act
    connection: Connection, study_id: int, rows: Sequence[RowMapping], *, why: str, actor: str, now: datetime
) -> None:
    for row in rows:
        Path(row["path"]).unlink(missing_ok=True)
    i = tables.instance.c
    connection.execute(update(tables.instance).where(i.id.in_([row["id"] for row in rows])).values(freed_at=now))
    detail = f"{len(rows)} images, {sum(row['size'] for row in rows):,} bytes; {why}"
    note(connection, at=now, actor=actor, subject="study", subject_id=study_id, verb="study.freed", detail=detail)


def _deliveries(connection: Connection, study_id: int) -> Sequence[RowMapping]:
    d = tables.delivery.c
    of_study = select(tables.delivery).where(d.kind == "dicom", d.study_id == study_id).with_for_update()
    return connection.execute(of_study).mappings().all()


def _firsts(connection: Connection, study_id: int) -> Sequence[RowMapping]:
    """Return the instances that were delivered: of each UID the one that came first; not those freed before."""
    return _images(connection, study_id, tables.instance.c.id.in_(_first_ids(study_id)))


def _seconds(connection: Connection, study_id: int) -> Sequence[RowMapping]:
    """Return what came later under a known UID with other bytes: it is never delivered."""
    return _images(connection, study_id, tables.instance.c.id.not_in(_first_ids(study_id)))


def _first_ids(study_id: int) -> Select[tuple[int]]:
    i, s = tables.instance.c, tables.series.c
    return select(func.min(i.id)).join(tables.series).where(s.study_id == study_id).group_by(i.sop_uid)


def _images(connection: Connection, study_id: int, which: ColumnElement[bool]) -> Sequence[RowMapping]:
    i, s = tables.instance.c, tables.series.c
    query = select(i.id, i.sop_uid, i.path, i.size, i.received_at, s.series_uid).join(tables.series)
    kept = query.where(s.study_id == study_id, which, i.freed_at.is_(None)).with_for_update(of=tables.instance)
    return connection.execute(kept).mappings().all()


def _is_settled(delivery: RowMapping) -> bool:
    return bool(delivery["state"] == DeliveryState.VERIFIED or delivery["held_code"] == "filtered")


def _is_sent(row: RowMapping, delivery: RowMapping) -> bool:
    return bool(row["id"] <= (delivery["imported"] or {}).get(row["series_uid"], 0))


def _is_proved(row: RowMapping, delivery: RowMapping) -> bool:
    """Whether the archive was seen to hold it."""
    if delivery["verified_at"] is None or row["id"] in (delivery["lacking"] or ()):
        return False
    return _is_sent(row, delivery) and bool(row["received_at"] <= delivery["verified_at"])


def _is_unwanted(row: RowMapping, deliveries: Sequence[RowMapping]) -> bool:
    """Whether some archive does not take it: a filter's word, its own, or a person's; the others are proved to."""
    proved = [_is_proved(row, one) for one in deliveries]
    left = [not _is_sent(row, one) or row["id"] in (one["lacking"] or ()) for one in deliveries]
    return any(left) and all(map(operator.or_, proved, left))


def _is_filtered(row: RowMapping, deliveries: Sequence[RowMapping]) -> bool:
    is_refused = any(row["id"] <= (one["refused"] or {}).get(row["series_uid"], 0) for one in deliveries)
    is_lacking = any(row["id"] in (one["lacking"] or ()) for one in deliveries)
    return _is_unwanted(row, deliveries) and not is_refused and not is_lacking
