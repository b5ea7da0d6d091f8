"""Reads the session ledger of 2,000 sessions: `python tests/bench/ledger.py [postgresql+psycopg://…]`.

Each has ten series and twelve raw files: ten that were delivered, of which one needs the two others, its adjustments. A
tenth as many files lie on the scanners without a session. Without a URL it is SQLite in a temporary folder. An empty
database of PostgreSQL is filled and left as it is.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import Connection, Table, insert

from kspace.records import Measurement
from transfer.catalog import documents, ledger, tables
from transfer.catalog.database import Database

SESSIONS, SERIES, RAW = 2000, 10, 12
_HELD = ("manifest", "sha256", "stored_bytes")
AT = datetime(2026, 3, 1, tzinfo=UTC)


def _measurement(study: int, mid: int, *, before: int) -> Measurement:
    frame = f"1.3.12.2.1107.5.2.43.4711.1.{study:017}.0.0.0"
    needs = (before + 11, before + 12) if mid == 1 else ()
    told = {"index": 0, "offset": 0, "header_bytes": 9, "baseline": "VE", "serial": "4711", "protocol": "gre"}
    return Measurement(**told, mid=before + mid, frame_of_reference=frame, dependency_mids=needs)


def _work(state: str) -> dict[str, Any]:
    return {"state": state, "since_at": AT, "due_at": AT}


def _study(study: int, at: datetime) -> dict[str, Any]:
    uid = f"1.2.{study}"
    document = {"study_uid": uid, "date": "20260301"}
    told = {"called_ae": "A", "calling_ae": "B", "first_arrival_at": at, "last_arrival_at": at, "document": document}
    return {"id": study, "study_uid": uid, **told}


def _series(study: int, number: int) -> dict[str, Any]:
    told = {"document": {"description": "gre"}, "told": {}, "called_ae": "A", "calling_ae": "B"}
    named = {"series_uid": f"1.2.{study}.{number}", "number": number, "protocol": "gre", "serial": "4711"}
    return {"id": study * SERIES + number, "study_id": study, **named, **told}


def _file(capture: int) -> dict[str, Any]:
    seen = {"changed_at": AT, "first_seen_at": AT, "scope": "store"}
    named = {"scanner": "prisma", "source": "prisma/1", "path": f"{capture}.dat", "version": 1}
    return {"id": capture, **named, "size": 5, "mtime_ns": 1, **seen}


def fill(
    connection: Connection,
    *,
    sessions: int = SESSIONS,
    anew_after: int = 1,
    begin: datetime = AT,
    apart: timedelta = timedelta(minutes=1),
) -> None:
    """Write the catalog of a relay that has worked for a while; the MIDs start anew after so many sessions."""
    t = tables
    named = {"kind": "dicom", "destination": "x", "project": "P", "subject": "S"}
    rows: dict[Table, list[dict[str, Any]]] = {
        table: [] for table in (t.study, t.series, t.source_file, t.capture, t.measurement, t.dependency)
    } | {table: [] for table in (t.match, t.delivery)}
    for study in range(1, sessions + 1):
        rows[t.study].append(_study(study, begin + study * apart))
        rows[t.series] += [_series(study, number) for number in range(1, SERIES + 1)]
        image = {"id": study, "capture_id": None, "study_id": study, "session": f"E{study}", "verified_at": AT}
        rows[t.delivery].append({**named, **image, **_work("verified")})
        before = study % anew_after * RAW
        for mid in range(1, RAW + 1):
            capture = study * RAW + mid
            rows[t.source_file].append(_file(capture))
            held = dict(zip(_HELD, (b"{}", f"{capture:064}", 3), strict=True))
            rows[t.capture].append({"id": capture, "source_file_id": capture, **_work("retired"), **held})
            document = documents.to_document(_measurement(study, mid, before=before))
            of = {"capture_id": capture, "number": 0, "mid": before + mid, "serial": "4711", "protocol": "gre"}
            rows[t.measurement].append({**of, "document": document})
            series = f"1.2.{study}.{mid if mid <= SERIES else 1}"
            said = {"certainty": "certain", "reason": "keys agree", "actor": "relay", "at": AT}
            rows[t.match].append({"capture_id": capture, "study_id": study, "series_uid": series, **said})
            sent = {"id": sessions + capture, "capture_id": capture, "study_id": study, "session": None}
            rows[t.delivery].append({**named, "kind": "raw", **sent, "verified_at": AT, **_work("verified")})
            if mid == 1:
                needed = {"capture_id": capture, "serial": "4711", "is_wanted": True}
                rows[t.dependency] += [{**needed, "mid": before + other} for other in (11, 12)]
    last = (sessions + 1) * RAW
    for capture in range(last + 1, last + 1 + sessions * RAW // 10):
        rows[t.source_file].append(_file(capture))
        rows[t.capture].append({"id": capture, "source_file_id": capture, **_work("skipped"), **dict.fromkeys(_HELD)})
    for table, values in rows.items():
        connection.execute(insert(table), values)


def _timed(read: Callable[[Connection], object], database: Database) -> float:
    with database.read() as connection:
        started = time.perf_counter()
        read(connection)
        return time.perf_counter() - started


def main(url: str) -> None:
    """Fill a catalog and print how long each page of the ledger takes."""
    database = Database(url)
    database.migrate()
    with database.write() as connection:
        fill(connection)
    now = AT + timedelta(days=365)
    pages: dict[str, Callable[[Connection], object]] = {
        "sessions, the 50 that grew last": lambda c: ledger.sessions(c, now=now),
        f"sessions, all {SESSIONS:,}": lambda c: ledger.sessions(c, now=now, limit=SESSIONS),
        "one session": lambda c: ledger.session(c, "E1000", now=now),
        "files without a session": lambda c: ledger.homeless(c, now=now),
    }
    out = Console()
    for name, read in pages.items():
        took = min(_timed(read, database) for _ in range(3))
        out.print(f"{name}: {took:.3f} s", highlight=False)
    database.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(f"sqlite:///{Path(folder) / 'catalog.sqlite'}")
