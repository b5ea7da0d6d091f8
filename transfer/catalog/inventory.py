"""What lies on the scanners: every file seen becomes a row, captured or not."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, exists, insert, or_, select, update

from kspace.errors import FileVanished
from kspace.records import SourceFile
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.notices import RELAY, clear_alert, note
from transfer.states import LOST_CODES, CaptureState, DeliveryState


def record_listing(  # noqa: PLR0913 -- the facts of one listing
    database: Database,
    *,
    scanner: str,
    source: str,
    files: Iterable[SourceFile],
    at: datetime,
    quiet_s: float,
) -> int:
    """Write one complete listing of a source and return how many files were new or changed.

    A file that changes while it is only FOUND is still growing; one that changes later is another file under the same
    name, and becomes a row of its own. Files the listing lacks are marked as gone, and their captures looked at.
    """
    due_at = at + timedelta(seconds=quiet_s)
    news = 0
    with database.write() as connection:
        known = _known(connection, source)
        for file in files:
            row = known.pop(file.path, None)
            if row is not None and (row.size, row.mtime_ns) == (file.size, file.mtime_ns):
                _see(connection, row, at)
                continue
            if row is not None and row.is_leased:
                continue  # a stage is looking at it; the next listing is soon enough
            news += 1
            if row is not None and row.state == CaptureState.FOUND:
                _grow(connection, row.id, file, at, due_at)
            else:
                version = row.version + 1 if row is not None else 1
                _add(connection, scanner, source, file, version, at, due_at)
        for row in known.values():
            if row.gone_at is None:
                _lose(connection, row.id, at)
    return news


def find_twin(database: Database, sha256: str, capture_id: int) -> int | None:
    """Return another capture that holds the same bytes, in the spool or verified in an archive."""
    with database.read() as connection:
        return find_twin_in(connection, sha256, capture_id)


def find_twin_in(connection: Connection, sha256: str, capture_id: int) -> int | None:
    """Return the same within a transaction."""
    c, d = tables.capture.c, tables.delivery.c
    # The manifest tells that it was packed; what was skipped or released since then holds nothing any more. Nor does
    # what an archive lost or the spool spoiled, unless another archive has it.
    is_there = exists().where(d.capture_id == c.id, d.state == DeliveryState.VERIFIED)
    is_lost = exists().where(d.capture_id == c.id, d.state == DeliveryState.HELD, d.held_code.in_(LOST_CODES))
    holds = and_(
        c.manifest.is_not(None),
        c.state.not_in([CaptureState.SKIPPED, CaptureState.RELEASED]),
        or_(is_there, and_(~is_lost, c.state != CaptureState.RETIRED, c.held_code.is_distinct_from("lost"))),
    )
    query = select(c.id).where(c.sha256 == sha256, c.id != capture_id, holds).order_by(c.id).limit(1)
    found: int | None = connection.execute(query).scalar()
    return found


def look_again(connection: Connection, capture_id: int, *, why: str, at: datetime) -> None:
    """Let a file that was skipped be looked at from the start."""
    values = {"state": CaptureState.FOUND, "since_at": at, "due_at": at, "sha256": None, "reason": None}
    connection.execute(update(tables.capture).where(tables.capture.c.id == capture_id).values(values))
    note(
        connection,
        at=at,
        actor=RELAY,
        subject="capture",
        subject_id=capture_id,
        verb="capture.reopened",
        before=CaptureState.SKIPPED,
        after=CaptureState.FOUND,
        detail=why,
    )


@dataclass(frozen=True, slots=True)
class _Known:
    id: int
    version: int
    size: int
    mtime_ns: int
    gone_at: datetime | None
    state: str
    is_leased: bool


def _known(connection: Connection, source: str) -> dict[str, _Known]:
    f, c = tables.source_file.c, tables.capture.c
    rows = connection.execute(
        select(f.path, f.id, f.version, f.size, f.mtime_ns, f.gone_at, c.state, c.lease_token.is_not(None))
        .join(tables.capture)
        .where(f.source == source)
        .order_by(f.version)
    )
    return {path: _Known(*rest) for path, *rest in rows}


def _add(  # noqa: PLR0913, PLR0917 -- the columns of a new row
    connection: Connection,
    scanner: str,
    source: str,
    file: SourceFile,
    version: int,
    at: datetime,
    due_at: datetime,
) -> None:
    file_id = connection.execute(
        insert(tables.source_file)
        .values(
            scanner=scanner,
            source=source,
            path=file.path,
            version=version,
            size=file.size,
            mtime_ns=file.mtime_ns,
            changed_at=at,
            first_seen_at=at,
            last_seen_at=at,
        )
        .returning(tables.source_file.c.id)
    ).scalar_one()
    capture_id = connection.execute(
        insert(tables.capture)
        .values(source_file_id=file_id, state=CaptureState.FOUND, since_at=at, due_at=due_at, lane=scanner)
        .returning(tables.capture.c.id)
    ).scalar_one()
    note(connection, at=at, actor=RELAY, subject="capture", subject_id=capture_id, verb="capture.found", after="found")


def _grow(connection: Connection, file_id: int, file: SourceFile, at: datetime, due_at: datetime) -> None:
    f, c = tables.source_file.c, tables.capture.c
    connection.execute(
        update(tables.source_file)
        .where(f.id == file_id)
        .values(size=file.size, mtime_ns=file.mtime_ns, changed_at=at, last_seen_at=at, gone_at=None)
    )
    connection.execute(
        update(tables.capture)
        .where(c.source_file_id == file_id)
        .values(due_at=due_at, reason="The file is still growing on the share.")
    )


def _see(connection: Connection, row: _Known, at: datetime) -> None:
    f, c = tables.source_file.c, tables.capture.c
    connection.execute(update(tables.source_file).where(f.id == row.id).values(last_seen_at=at, gone_at=None))
    if row.gone_at is None or row.state != CaptureState.HELD:
        return
    # A share that lost its mount lists as empty: what was held for that goes on by itself.
    vanished = (c.source_file_id == row.id) & (c.held_code == FileVanished.code)
    held = connection.execute(select(c.id, c.held_from).where(vanished)).first()
    if held is None:
        return
    columns = {"state": held.held_from, "since_at": at, "due_at": at, "held_from": None, "held_code": None}
    connection.execute(update(tables.capture).where(vanished).values(columns | {"reason": "The file is back."}))
    clear_alert(connection, key=f"capture:{held.id}", at=at)
    note(
        connection,
        at=at,
        actor=RELAY,
        subject="capture",
        subject_id=held.id,
        verb="capture.reopened",
        before=CaptureState.HELD,
        after=held.held_from,
        detail="the file is back",
    )


def _lose(connection: Connection, file_id: int, at: datetime) -> None:
    f, c = tables.source_file.c, tables.capture.c
    connection.execute(update(tables.source_file).where(f.id == file_id).values(gone_at=at))
    waiting = and_(
        c.source_file_id == file_id,
        c.state.in_([CaptureState.FOUND, CaptureState.SETTLED]),
        c.lease_token.is_(None),
    )
    connection.execute(update(tables.capture).where(waiting).values(due_at=at))
