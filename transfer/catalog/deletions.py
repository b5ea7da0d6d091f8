"""The journal of what is deleted at sources: each wish and its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, func, insert, select, update

from transfer.catalog import tables
from transfer.catalog.notices import note
from transfer.catalog.receipted import Lying
from transfer.catalog.scanner_tables import deletion

_DAY = timedelta(days=1)


class Step(StrEnum):
    """Where one wish to delete a file stands."""

    LISTED = "listed"
    APPROVED = "approved"
    INTENDED = "intended"
    """All was proved: from here on the file may be gone."""
    DELETED = "deleted"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Wish:
    """An open row of the journal."""

    id: int
    capture_id: int
    path: str
    step: Step
    size: int
    mtime_ns: int
    sha256: str


def wishes(connection: Connection, source: str, *steps: Step, machine: str) -> list[Wish]:
    """Return the open wishes of a source at these steps, as they were asked for; those begun by another are its own."""
    c, d, f = tables.capture.c, deletion.c, tables.source_file.c
    is_asked = (d.source == source) & d.state.in_(steps) & d.ended_at.is_(None) & (d.machine.in_([machine, ""]))
    joined = deletion.join(tables.capture, c.id == d.capture_id).join(tables.source_file)
    columns = (d.id, d.capture_id, f.path, d.state, d.size, d.mtime_ns, d.sha256)
    query = select(*columns).select_from(joined).where(is_asked).order_by(d.id)
    return [Wish(row.id, row.capture_id, row.path, Step(row.state), *row[4:]) for row in connection.execute(query)]


def deleted_today(connection: Connection, source: str, *, now: datetime) -> tuple[int, int]:
    """Return number and bytes of what was deleted at a source within a day, or is dated after now."""
    d = deletion.c
    query = select(func.count(), func.coalesce(func.sum(d.size), 0))
    is_recent = (d.source == source) & (d.state == Step.DELETED) & (d.ended_at > now - _DAY)
    number, size = connection.execute(query.where(is_recent)).one()
    return int(number), int(size)


def ask_for(connection: Connection, source: str, files: Sequence[Lying], *, actor: str, at: datetime) -> None:
    """Write the list of a dry run; what an older list has beside it is not asked for any more."""
    d = deletion.c
    asked = {(file.capture_id, file.size, file.mtime_ns, file.sha256) for file in files}
    columns = (d.id, d.capture_id, d.state, d.source, d.size, d.mtime_ns, d.sha256)
    under_way = set()
    for row in connection.execute(select(*columns).where(d.ended_at.is_(None))).all():
        if row.state == Step.LISTED and row.source == source and (row.capture_id, *row[4:]) not in asked:
            over = {"state": Step.KEPT, "ended_at": at, "reason": "A later list has it no more."}
            connection.execute(update(deletion).where(d.id == row.id).values(over))
        else:
            under_way.add(row.capture_id)
    for file in files:
        if file.capture_id not in under_way:
            asked_by = {"source": source, "state": Step.LISTED, "asked_by": actor, "machine": "", "at": at}
            identity = {"size": file.size, "mtime_ns": file.mtime_ns, "sha256": file.sha256}
            connection.execute(insert(deletion).values(capture_id=file.capture_id, **asked_by, **identity))


def move(  # noqa: PLR0913 -- the facts of the step
    connection: Connection,
    wish: Wish,
    step: Step,
    *,
    actor: str,
    at: datetime,
    reason: str | None = None,
    machine: str = "",
) -> bool:
    """Take a wish one step on, with an event; False: it does not stand where it did, and nothing is written.

    ``machine`` is the one that begins it: no other goes on with it.
    """
    d = deletion.c
    ended = at if step in {Step.DELETED, Step.KEPT} else None
    values = {"state": step, "ended_at": ended, "reason": reason, "machine": machine} | (
        {"asked_by": actor} if step is Step.APPROVED else {}
    )
    same = (d.id == wish.id) & (d.state == wish.step) & d.ended_at.is_(None)
    if connection.execute(update(deletion).where(same).values(values)).rowcount == 0:
        return False
    if step is Step.DELETED:
        f, c = tables.source_file.c, tables.capture.c
        its = select(c.source_file_id).where(c.id == wish.capture_id).scalar_subquery()
        gone = update(tables.source_file).where(f.id == its, f.gone_at.is_(None))
        connection.execute(gone.values(gone_at=at))
    note(
        connection,
        at=at,
        actor=actor,
        subject="capture",
        subject_id=wish.capture_id,
        verb=f"source.deletion_{step}",
        detail=reason or f"{wish.size} bytes, SHA-256 {wish.sha256}",
    )
    return True
