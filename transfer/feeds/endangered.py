"""What only the scanner has and will overwrite soon: read first, and told in good time."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from sqlalchemy import Connection, select, update

from kspace.clock import Clock
from kspace.errors import SourceError
from kspace.sources import Source
from kspace.sources.settings import Scope
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.lying import born_at, note_store, ring_of
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.overwriting import Left, Ring
from transfer.states import CaptureState

_TOLD_S = 36 * 3600.0
"""So long before it may be overwritten a loss is announced."""
_CRITICAL_S = 12 * 3600.0


def is_endangered(left: Left, *, age_s: float) -> bool:
    """Return whether people must know: it may go soon, and a good part of its time there is over already."""
    return left.at_least_s < _TOLD_S and age_s * 2 >= left.at_least_s


def watch_store(
    sources: Collection[Source], *, scanner: str, capacity_bytes: int | None, database: Database, clock: Clock
) -> None:
    """Order what waits on a scanner by age, and hold an alert open while something wanted may be overwritten soon.

    ``sources`` are those that show the store: what is free there tells how much more it holds, until it was full.
    """
    now, key = clock.now(), f"overwriting:{scanner}"
    free_bytes = _free(sources)
    with database.write() as connection:
        note_store(connection, scanner, capacity_bytes=capacity_bytes, free_bytes=free_bytes)
    with database.read() as connection:
        waiting = _waiting(connection, scanner)
        ring = ring_of(connection, scanner, now=now) if waiting else None
    said = _said(scanner, ring, waiting, now) if ring else None
    with database.write() as connection:
        _put_in_order(connection, [one for one in waiting if one.may_be_moved and one.due_at <= now])
        if said:
            raise_alert(connection, key=key, severity=said[0], text=said[1], at=now)
        else:
            clear_alert(connection, key=key, at=now)


def _free(sources: Collection[Source]) -> int | None:
    """Return what is free on all of a scanner's shares together; None where one does not say or does not answer."""
    try:
        each = [source.free_bytes() for source in sources]
    except SourceError:
        return None
    known = [free for free in each if free is not None]
    return sum(known) if known and len(known) == len(each) else None


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: int
    size: int
    born_at: datetime
    due_at: datetime
    may_be_moved: bool


def _waiting(connection: Connection, scanner: str) -> list[_Waiting]:
    """Return what is wanted, or not looked into yet, and only there; the oldest first."""
    c, f = tables.capture.c, tables.source_file.c
    unread = (CaptureState.FOUND, CaptureState.SETTLED)
    only_there = (c.state.in_(unread) | c.held_from.in_(unread)) & f.gone_at.is_(None) & (f.scope == Scope.STORE)
    columns = (c.id, c.state, c.due_at, c.lease_token, f.size, f.mtime_ns, f.first_seen_at)
    rows = connection.execute(select(*columns).join(tables.source_file).where(f.scanner == scanner, only_there)).all()
    found = [
        _Waiting(
            id=row.id,
            size=row.size,
            born_at=born_at(row.mtime_ns, row.first_seen_at),
            due_at=row.due_at,
            may_be_moved=row.state == CaptureState.SETTLED and row.lease_token is None,
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (one.born_at, one.id))


def _put_in_order(connection: Connection, due: list[_Waiting]) -> None:
    """Let the oldest be read first: they change their turns among themselves, and nobody else's turn changes."""
    c = tables.capture.c
    for one, turn in zip(due, sorted(one.due_at for one in due), strict=True):
        if one.due_at != turn:
            same = (c.id == one.id) & c.lease_token.is_(None) & (c.state == CaptureState.SETTLED)
            connection.execute(update(tables.capture).where(same).values(due_at=turn))


def _said(scanner: str, ring: Ring, waiting: Iterable[_Waiting], now: datetime) -> tuple[str, str] | None:
    """Return severity and text; None: there is time. ``waiting`` are the oldest first: who came later has longer."""
    lefts = ((one, ring.left(one.born_at)) for one in waiting)
    short = takewhile(lambda pair: pair[1].at_least_s < _TOLD_S, ((one, left) for one, left in lefts if left))
    soon = [(one, left) for one, left in short if is_endangered(left, age_s=(now - one.born_at).total_seconds())]
    if not soon:
        return None
    first = min((left for _, left in soon), key=lambda left: left.at_least_s)
    size = sum(one.size for one, _ in soon)
    text = (
        f"{len(soon)} raw files ({size / 1e9:.1f} GB) that only scanner {scanner} has may be overwritten before "
        f"they are captured; the first in {first}. Give the relay more time or speed there (windows, "
        "hold_while_scanning, limit_mbit_per_s), see to what is held, or export them at the console."
    )
    return ("critical" if first.at_least_s < _CRITICAL_S else "warning"), text
