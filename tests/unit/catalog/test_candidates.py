"""The look-up of what a measurement could be of: by index alone, so that its cost does not grow with the catalog."""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event, text

from dicom.records import Series
from kspace.records import Measurement
from transfer.catalog.candidates import find_candidates, find_rivals

FRAME = "1.3.12.2.1107.5.2.43.4711.1.20260301110000000.0.0.0"
RAW = Measurement(
    index=0,
    offset=0,
    header_bytes=9,
    baseline="VE",
    serial="4711",
    lprotid=-7,
    frame_of_reference=FRAME,
    reference_image_uids=("1.1.1.1",),
    ticks=array("I", range(8_000_000, 8_000_400, 4)),
)


def found(database) -> dict[str, Series]:
    return {c.series.series_uid: c.series for c in find_candidates(database, RAW)}


def test_all_series_of_a_known_study_are_candidates_with_their_times_and_planning_images(database, arrive):
    arrive("1.1", 1, image=1, frame_of_reference=FRAME, ticks=(5,))
    arrive("1.1", 1, image=2, frame_of_reference=FRAME, ticks=(5, 7))
    arrive("1.1", 2, lprotid=-9)
    arrive("1.9", 1, lprotid=-9)
    series = found(database)
    assert series.keys() == {"1.1.1", "1.1.2"}
    assert (series["1.1.1"].ticks, series["1.1.1"].sop_uids) == ({5, 7}, {"1.1.1.1"})


def test_a_number_makes_a_candidate_only_at_its_time_of_day(database, arrive):
    arrive("1.2", 1, lprotid=-7, ticks=(8_000_100,))
    arrive("1.3", 1, lprotid=-7, ticks=(18_000_100,))
    arrive("1.4", 1, lprotid=-8, ticks=(8_000_100,))
    assert found(database).keys() == {"1.2.1"}


@contextmanager
def _statements() -> Iterator[list[tuple[str, object]]]:
    seen: list[tuple[str, object]] = []

    def note(_connection, _cursor, statement, parameters, _context, _many) -> None:
        seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


def test_every_look_up_goes_by_an_index(database, arrive):
    for number in range(60):
        frame = FRAME if number == 7 else None
        arrive(f"1.{number}", 1, lprotid=-number, frame_of_reference=frame, ticks=(8_000_100,))
    with _statements() as seen:
        assert found(database).keys() == {"1.1.1", "1.7.1"}
        assert find_rivals(database, RAW) == []
    looked_up = [(s, p) for s, p in seen if s.startswith("SELECT")]
    assert len(looked_up) == 6
    with database.read() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        for statement, parameters in looked_up:
            plan = [str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters)]
            scans = [
                s
                for s in plan
                if "Seq Scan" in s or s.startswith(("SCAN series", "SCAN instance", "SCAN study", "SCAN measurement"))
            ]
            assert not scans, plan
            assert any("index" in s.lower() or "INTEGER PRIMARY KEY" in s for s in plan), plan
