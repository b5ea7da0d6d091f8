"""Joins one arrival against 100,000 known series: `python tests/bench/join.py [postgresql+psycopg://…]`.

The peer is the join without keys: every series of the scanner is judged. Without a URL it is SQLite in a temporary
folder. An empty database of PostgreSQL is filled and left as it is.
"""

import statistics
import sys
import tempfile
import time
from array import array
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from sqlalchemy import Connection, insert, text

from dicom.join import decide, index_keys, visit_of
from dicom.records import Certainty, Instance, Series, Study
from kspace.records import Measurement
from transfer.catalog import documents, tables
from transfer.catalog.candidates import find_candidates, find_rivals
from transfer.catalog.database import Database

STUDIES, SERIES, IMAGES, SCANNERS, TRIES = 5000, 20, 100, 5, 200
"""Images: of each series of the first study of each scanner; of all others two."""
_DAY, _HOUR, _MINUTE = 24 * 3600 * 400, 3600 * 400, 60 * 400
AT = datetime(2026, 3, 1, tzinfo=UTC)


def measurement(study: int, number: int, readouts: int = 20_000) -> Measurement:
    """Return a raw file of a study: 20,000 readouts, as a functional run has."""
    root = f"1.3.12.2.1107.5.2.43.{study % SCANNERS}"
    first = (8 * _HOUR + study // SCANNERS * 7919 % 600 * _MINUTE + number * 20_000) % _DAY
    return Measurement(
        index=0,
        offset=0,
        header_bytes=1,
        baseline="VE",
        serial=str(study % SCANNERS),
        protocol="ep2d_bold",
        lprotid=-number,
        frame_of_reference=f"{root}.1.{study:017}.0.0.0",
        reference_image_uids=(f"{root}.{study}.1.0",),
        ticks=array("I", range(first, first + readouts)),
    )


def series_of(study: int, number: int) -> tuple[Series, list[Instance]]:
    """Return a series of a study with its images."""
    of, images = measurement(study, number, readouts=1), IMAGES if study < SCANNERS else 2
    uid = f"1.3.12.2.1107.5.2.43.{study % SCANNERS}.{study}.{number}"
    made = [
        Instance(sop_uid=f"{uid}.{n}", sop_class="1", transfer_syntax="1", ticks=(of.ticks[0] + n * 150,))
        for n in range(images)
    ]
    series = Series(
        series_uid=uid,
        study_uid=f"1.2.{study}",
        number=number,
        protocol="ep2d_bold",
        serial=of.serial,
        lprotid=of.lprotid,
        frame_of_reference=of.frame_of_reference,
        sop_uids=frozenset(i.sop_uid for i in made),
        ticks=frozenset(t for i in made for t in i.ticks),
    )
    return series, made


def fill(connection: Connection, study: int) -> None:
    """Write one study."""
    told = {"called_ae": "K", "calling_ae": "S", "first_arrival_at": AT, "last_arrival_at": AT}
    document = documents.to_document(Study(study_uid=f"1.2.{study}"))
    connection.execute(insert(tables.study).values(id=study + 1, study_uid=f"1.2.{study}", document=document, **told))
    names = ("series", "series_key", "series_tick", "instance", "measurement")
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in names}
    file = {"id": study + 1, "scanner": "s", "source": "s/1", "path": f"{study}.dat", "version": 1, "size": 1}
    file |= {"scope": "", "mtime_ns": 1, "first_seen_at": AT, "changed_at": AT}
    connection.execute(insert(tables.source_file).values(file))
    state = {"state": "settled", "since_at": AT, "due_at": AT}
    connection.execute(insert(tables.capture).values(id=study + 1, source_file_id=study + 1, **state))
    for number in range(1, SERIES + 1):
        series, images = series_of(study, number)
        row = study * SERIES + number
        what = {"study_id": study + 1, "series_uid": series.series_uid, "number": number, "serial": series.serial}
        heard = {"told": {}, "called_ae": "K", "calling_ae": "S"}
        rows["series"].append({"id": row, **what, **heard, "document": documents.to_document(series)})
        raw = measurement(study, number, readouts=1)
        ran = {"first_tick": raw.ticks[0], "last_tick": (raw.ticks[0] + 19_999) % _DAY, "visit": visit_of(raw)}
        known = {"capture_id": study + 1, "number": number, "serial": raw.serial, **ran}
        rows["measurement"].append({**known, "document": documents.to_document(raw)})
        rows["series_key"] += [{"series_id": row, "key": key} for key in index_keys(series)]
        rows["series_tick"] += [{"series_id": row, "tick": tick} for tick in series.ticks]
        rows["instance"] += [
            {
                "series_id": row,
                "sop_uid": image.sop_uid,
                "sha256": image.sop_uid,
                "size": 1,
                "path": "",
                "received_at": AT,
                "document": documents.to_document(image),
            }
            for image in images
        ]
    for name, values in rows.items():
        connection.execute(insert(tables.metadata.tables[name]), values)


def main(url: str) -> None:
    """Fill, join, tell."""
    out, database = Console(width=150, highlight=False), Database(url)
    database.migrate()
    for start in range(0, STUDIES, 500):
        with database.write() as connection:
            for study in range(start, start + 500):
                fill(connection, study)
    with database.write() as connection:
        connection.execute(text("ANALYZE"))
    took, worked, candidates = [], [], 0
    for number in range(TRIES):
        study = number * 7 % STUDIES if number % 2 else number % SCANNERS
        raw, true = measurement(study, 1 + number % SERIES), series_of(study, 1 + number % SERIES)[0]
        begun, busy = time.perf_counter(), time.process_time()
        near = find_candidates(database, raw)
        decision = decide(raw, [c.series for c in near], rivals=find_rivals(database, raw))
        took.append(time.perf_counter() - begun)
        worked.append(time.process_time() - busy)
        candidates += len(near)
        if decision.certainty is not Certainty.CERTAIN or decision.series_uids != (true.series_uid,):
            raise AssertionError(decision.reason)
    every = [series_of(study, number)[0] for study in range(0, STUDIES, SCANNERS) for number in range(1, SERIES + 1)]
    begun = time.perf_counter()
    decide(measurement(0, 1), every)
    pairwise = time.perf_counter() - begun
    middle, last = statistics.median(took), sorted(took)[TRIES * 99 // 100]
    own, most = statistics.median(worked), sorted(worked)[TRIES * 99 // 100]
    out.print(
        f"{database.url.get_backend_name()}: {STUDIES * SERIES:,} series; one arrival {middle * 1000:.1f} ms "
        f"(99 of 100 under {last * 1000:.1f} ms), of which this process works {own * 1000:.1f} ms (99 of 100 under "
        f"{most * 1000:.1f} ms), {candidates / TRIES:.0f} candidates; every series of the scanner "
        f"judged, without reading them: {pairwise * 1000:.0f} ms, {pairwise / middle:.0f} times as long"
    )
    database.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main((*sys.argv, f"sqlite:///{Path(folder) / 'catalog.sqlite'}")[1])
