"""One listing of a source against what is known: only what differs is written, however many files there are."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, and_, func, insert, select, tuple_, update

from kspace.errors import FileVanished
from kspace.records import SourceFile
from kspace.sources.settings import Scope
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.notices import RELAY, clear_alert, note
from transfer.states import CaptureState

WITHDRAWN = "file_withdrawn"
"""The code of a capture that is held since its file was taken out of an export folder: no loss by itself."""
_AT_ONCE = 500
"""Files in one transaction: others write meanwhile."""
_MANY = 10
_QUARTER_S = 900
"""Clocks are set and time zones change by quarters of an hour; files that were written anew differ by anything."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Listed:
    """What one listing brought."""

    news: int = 0
    """Files that are new or changed."""
    gone: int = 0
    clock_moved_s: int = 0
    """By how much the share's clock was set since: then every file's time differs by as much, and is the same file."""


def record_listing(  # noqa: PLR0913 -- the facts of one listing
    database: Database,
    *,
    scanner: str,
    source: str,
    files: Iterable[SourceFile],
    at: datetime,
    quiet_s: float,
    scope: Scope = Scope.STORE,
) -> Listed:
    """Write one complete listing of a source.

    A file that changes while it is only FOUND is still growing; one that changes later is another file under the same
    name, and becomes a row of its own. Files the listing lacks are marked as gone, and their captures looked at.
    """
    listed = {file.path: file for file in files}
    seen = len(listed)
    differing = _differing(database, source, listed)
    moved_s = _clock_moved_s(differing.changed, seen=seen)
    if moved_s:
        with database.write() as connection:
            _move_clock(connection, source, moved_s)
        return Listed(clock_moved_s=moved_s)
    news = [*(listed[path] for path in differing.changed), *(f for f in listed.values() if f.path in differing.unknown)]
    writing = _Writing(scanner, source, scope, at, at + timedelta(seconds=quiet_s))
    count = 0
    for some in _batches(news):
        with database.write() as connection:
            count += writing.write(connection, _latest(connection, source, some))
    for ids in _batches(differing.gone):
        with database.write() as connection:
            _lose(connection, ids, at)
    return Listed(count, len(differing.gone))


def count_there(database: Database, source: str) -> int:
    """Return how many files the last listing of a source showed."""
    f = tables.source_file.c
    with database.read() as connection:
        query = select(func.count()).where(f.source == source, f.gone_at.is_(None))
        return connection.execute(query).scalar_one()


@dataclass(slots=True)
class _Differing:
    unknown: set[str]
    """Paths of which no file is known to be there."""
    changed: dict[str, int] = field(default_factory=dict)
    """By path: how many nanoseconds the time of change moved on; 0: the size differs."""
    gone: list[int] = field(default_factory=list)


def _differing(database: Database, source: str, listed: Mapping[str, SourceFile]) -> _Differing:
    """Compare row by row; of several versions under one path the last one counts."""
    f = tables.source_file.c
    query = (
        select(f.id, f.path, f.size, f.mtime_ns)
        .where(f.source == source, f.gone_at.is_(None))
        .order_by(f.path, f.version)
        .execution_options(yield_per=2000)
    )
    found = _Differing(set(listed))
    with database.read() as connection:
        for row_id, path, size, mtime_ns in connection.execute(query):
            file = listed.get(path)
            found.unknown.discard(path)
            if file is None:
                found.gone.append(row_id)
            elif (file.size, file.mtime_ns) == (size, mtime_ns):
                found.changed.pop(path, None)
            else:
                found.changed[path] = file.mtime_ns - mtime_ns if file.size == size else 0
    return found


def _clock_moved_s(changed: Mapping[str, int], *, seen: int) -> int:
    """Return by how much the share's clock was set: nearly all files, each as large as before, moved by the same."""
    if len(changed) < max(_MANY, seen * 9 // 10):
        return 0
    moved, count = Counter(changed.values()).most_common(1)[0]
    return moved // _NS if moved and moved % (_QUARTER_S * _NS) == 0 and count * 10 >= len(changed) * 9 else 0


def _move_clock(connection: Connection, source: str, moved_s: int) -> None:
    f = tables.source_file.c
    there = and_(f.source == source, f.gone_at.is_(None))
    connection.execute(update(tables.source_file).where(there).values(mtime_ns=f.mtime_ns + moved_s * _NS))


@dataclass(frozen=True, slots=True)
class _Known:
    id: int
    version: int
    size: int
    mtime_ns: int
    gone_at: datetime | None
    state: str
    is_leased: bool


def _latest(connection: Connection, source: str, files: list[SourceFile]) -> Iterator[tuple[SourceFile, _Known | None]]:
    """Yield each file with the last version that is known under its path, as it stands in this transaction."""
    f, c = tables.source_file.c, tables.capture.c
    last = select(f.path, func.max(f.version)).where(f.source == source, f.path.in_([x.path for x in files]))
    rows = connection.execute(
        select(f.path, f.id, f.version, f.size, f.mtime_ns, f.gone_at, c.state, c.lease_token.is_not(None))
        .join(tables.capture)
        .where(f.source == source, tuple_(f.path, f.version).in_(last.group_by(f.path)))
    )
    known = {path: _Known(*rest) for path, *rest in rows}
    return ((file, known.get(file.path)) for file in files)


@dataclass(frozen=True, slots=True)
class _Writing:
    scanner: str
    source: str
    scope: Scope
    at: datetime
    due_at: datetime

    def write(self, connection: Connection, files: Iterable[tuple[SourceFile, _Known | None]]) -> int:
        """Write what the listing says of these files; return how many are new or changed."""
        new, grown = [], 0
        for file, row in files:
            if row is not None and (row.size, row.mtime_ns) == (file.size, file.mtime_ns):
                if row.gone_at is not None:
                    _welcome(connection, row, self.at)
            elif row is not None and row.is_leased:
                continue  # a stage is looking at it; the next listing is soon enough
            elif row is not None and row.state == CaptureState.FOUND:
                self._grow(connection, row.id, file)
                grown += 1
            else:
                new.append((file, row))
        if new:
            self._add(connection, new)
        return len(new) + grown

    def _add(self, connection: Connection, files: list[tuple[SourceFile, _Known | None]]) -> None:
        f, c = tables.source_file, tables.capture
        always: dict[str, Any] = {"scanner": self.scanner, "source": self.source, "scope": self.scope}
        always |= {"changed_at": self.at, "first_seen_at": self.at}
        rows = [
            always
            | {"path": file.path, "size": file.size, "mtime_ns": file.mtime_ns}
            | {"version": before.version + 1 if before else 1}
            for file, before in files
        ]
        sizes = {row.id: row.size for row in connection.execute(insert(f).returning(f.c.id, f.c.size), rows)}
        work = {"state": CaptureState.FOUND, "since_at": self.at, "due_at": self.due_at, "lane": self.scanner}
        captures = connection.execute(
            insert(c).returning(c.c.id, c.c.source_file_id), [work | {"source_file_id": n} for n in sizes]
        )
        told = {"at": self.at, "actor": RELAY, "subject": "capture", "verb": "capture.found", "after": work["state"]}
        found = [told | {"subject_id": row.id, "detail": f"{sizes[row.source_file_id]} bytes"} for row in captures]
        connection.execute(insert(tables.event), found)
        # Under a known name lies another file now. A version that is not captured yet may be the very same, grown.
        waits = {CaptureState.SETTLED, CaptureState.HELD}
        over = [row.id for _, row in files if row is not None and row.state not in waits]
        connection.execute(update(f).where(f.c.id.in_(over)).values(gone_at=self.at))

    def _grow(self, connection: Connection, file_id: int, file: SourceFile) -> None:
        f, c = tables.source_file.c, tables.capture.c
        seen = {"size": file.size, "mtime_ns": file.mtime_ns, "changed_at": self.at, "gone_at": None}
        connection.execute(update(tables.source_file).where(f.id == file_id).values(seen))
        work = {"due_at": self.due_at, "reason": "The file is still growing on the share."}
        query = update(tables.capture).where(c.source_file_id == file_id).values(work).returning(c.id)
        note(
            connection,
            at=self.at,
            actor=RELAY,
            subject="capture",
            subject_id=connection.execute(query).scalar_one(),
            verb="capture.grew",
            detail=f"{file.size} bytes",
        )


def _welcome(connection: Connection, row: _Known, at: datetime) -> None:
    """A share that lost its mount lists as empty: what was held for that goes on by itself."""
    f, c = tables.source_file.c, tables.capture.c
    connection.execute(update(tables.source_file).where(f.id == row.id).values(gone_at=None))
    vanished = (c.source_file_id == row.id) & c.held_code.in_([FileVanished.code, WITHDRAWN])
    held = connection.execute(select(c.id, c.held_from).where(vanished)).first()
    if row.state != CaptureState.HELD or held is None:
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


def _lose(connection: Connection, file_ids: list[int], at: datetime) -> None:
    f, c = tables.source_file.c, tables.capture.c
    there = f.id.in_(file_ids) & f.gone_at.is_(None)
    connection.execute(update(tables.source_file).where(there).values(gone_at=at))
    waiting = and_(
        c.source_file_id.in_(file_ids),
        c.state.in_([CaptureState.FOUND, CaptureState.SETTLED]),
        c.lease_token.is_(None),
    )
    connection.execute(update(tables.capture).where(waiting).values(due_at=at))


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some
