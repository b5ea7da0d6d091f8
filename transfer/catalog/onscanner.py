"""What listings of the console show of a scanner's own store, and whether each measurement of it was exported."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from kspace.raidlist import OnScanner
from transfer.catalog import tables
from transfer.catalog.scanner_tables import on_scanner


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One measurement that a listing showed; ``capture_id`` is its raw file here, None: nobody exported it."""

    file_id: int
    meas_id: int
    protocol: str | None
    status: str
    size: int
    created: str
    is_retro: bool
    is_there: bool
    """Whether the newest listing of the scanner has it still."""
    capture_id: int | None


def record_on_scanner(connection: Connection, scanner: str, rows: Iterable[OnScanner], *, at: datetime) -> None:
    """Write what one listing has."""
    s = on_scanner.c
    for row in rows:
        seen = {"protocol": row.protocol, "status": row.status[:16], "size": row.size, "listed_at": at}
        which = {"file_id": row.file_id, "meas_id": row.meas_id, "created": row.created}
        same = (s.scanner == scanner) & (s.file_id == row.file_id) & (s.meas_id == row.meas_id)
        known = update(on_scanner).where(same, s.created == row.created).values(seen)
        if connection.execute(known).rowcount == 0:
            connection.execute(insert(on_scanner).values(scanner=scanner, **which, **seen))


def on_scanner_of(connection: Connection, scanner: str) -> list[Listed]:
    """Return what listings showed of a scanner, the newest measurement first.

    A raw file is that measurement's if its header has both numbers, and it was seen after the listing's day of it or
    on that day: numbers start again.
    """
    s = on_scanner.c
    rows = connection.execute(select(on_scanner).where(s.scanner == scanner).order_by(s.created.desc(), s.id)).all()
    newest = connection.execute(select(func.max(s.listed_at)).where(s.scanner == scanner)).scalar()
    exported = _exported(connection, scanner)
    return [
        Listed(
            file_id=row.file_id,
            meas_id=row.meas_id,
            protocol=row.protocol,
            status=row.status,
            size=row.size,
            created=row.created,
            is_retro=OnScanner.is_retro_id(row.meas_id),
            is_there=row.listed_at == newest,
            capture_id=next(
                (n for n, on in exported.get((row.meas_id, row.file_id), ()) if on >= row.created[:10]), None
            ),
        )
        for row in rows
    ]


def _exported(connection: Connection, scanner: str) -> dict[tuple[int, int], list[tuple[int, str]]]:
    """Return by MID and FID the captures, each with the day on which its file was seen first, as ISO 8601 has it."""
    f, m = tables.source_file.c, tables.measurement.c
    joined = tables.measurement.join(tables.capture, tables.capture.c.id == m.capture_id).join(tables.source_file)
    query = select(m.capture_id, m.mid, m.document, f.first_seen_at).select_from(joined)
    found: dict[tuple[int, int], list[tuple[int, str]]] = {}
    for row in connection.execute(query.where(f.scanner == scanner, m.mid.is_not(None)).order_by(m.id)):
        if row.document.get("fid") is not None:
            seen = f"{row.first_seen_at:%Y-%m-%d}"
            found.setdefault((row.mid, row.document["fid"]), []).append((row.capture_id, seen))
    return found
