"""What lies on a scanner, as the inventory has it, for the estimate of when it goes."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from kspace.sources.settings import Scope
from transfer.catalog import tables
from transfer.catalog.scanner_tables import deletion, raw_store
from transfer.overwriting import Lain, Ring

_KNOWN_FOR = timedelta(days=60)
"""What went before that tells nothing of the store as it is now."""


def note_store(connection: Connection, scanner: str, *, capacity_bytes: int | None, free_bytes: int | None) -> None:
    """Note what the configuration says that a scanner's store holds, and what its shares say is free there."""
    told = {"capacity_bytes": capacity_bytes, "free_bytes": free_bytes}
    known = update(raw_store).where(raw_store.c.scanner == scanner).values(told)
    if connection.execute(known).rowcount == 0:
        connection.execute(insert(raw_store).values(scanner=scanner, **told))


def ring_of(connection: Connection, scanner: str, *, now: datetime) -> Ring:
    """Return what is known of a scanner's store; what people export to it tells nothing, and is left out.

    Until enough was dropped there, it is taken to hold what the configuration says; without that, what lies there and
    what is free beside it.
    """
    f, s = tables.source_file.c, raw_store.c
    lately = or_(f.gone_at.is_(None), f.gone_at > now - _KNOWN_FOR)
    query = select(f.id, f.mtime_ns, f.first_seen_at, f.size, f.gone_at)
    rows = connection.execute(query.where(f.scanner == scanner, f.scope == Scope.STORE, lately))
    c, d = tables.capture.c, deletion.c
    by_us = (
        select(c.source_file_id)
        .join(deletion, d.capture_id == c.id)
        .where(d.state == "deleted", d.ended_at > now - _KNOWN_FOR)
    )
    deleted = set(connection.execute(by_us).scalars())
    files = [Lain(born_at(r.mtime_ns, r.first_seen_at), r.size, r.gone_at, r.id in deleted) for r in rows]
    noted = connection.execute(select(s.capacity_bytes, s.free_bytes).where(s.scanner == scanner)).first()
    holds: int | None = noted and noted.capacity_bytes
    if noted and holds is None and noted.free_bytes is not None:
        holds = noted.free_bytes + sum(file.size for file in files if file.gone_at is None)
    return Ring(files, now=now, capacity_bytes=holds)


def born_at(mtime_ns: int, first_seen_at: datetime) -> datetime:
    """Return when a file came, by the scanner's clock unless that is ahead."""
    try:
        return min(datetime.fromtimestamp(mtime_ns / 1e9, UTC), first_seen_at)
    except (OverflowError, ValueError):  # a year that no calendar has
        return first_seen_at


def tell_time_left(connection: Connection, rows: Iterable[dict[str, Any]], *, now: datetime) -> None:
    """Write into rows of raw files how long the scanner still keeps those that it alone has, in words and in seconds.

    ``left_s`` is the least time, None where nobody knows.
    """

    @cache
    def ring(scanner: str) -> Ring:
        return ring_of(connection, scanner, now=now)

    for row in rows:
        row["time_left"] = row["left_s"] = None
        if row["is_packed"] or row["gone_at"] is not None:
            continue
        is_known = row["scope"] == Scope.STORE
        left = ring(row["scanner"]).left(born_at(row["mtime_ns"], row["first_seen_at"])) if is_known else None
        row |= {"time_left": str(left or "unknown"), "left_s": left and left.at_least_s}
