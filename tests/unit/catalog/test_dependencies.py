"""What a reconstruction needs: looked at again once it is needed, in its own visit only, and missed in the ledger."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from kspace.records import Audit, Measurement, Packed, SourceFile, Verdict
from transfer.catalog import ledger, lists, tables
from transfer.catalog.dependencies import beside, dependencies_of, needed_by
from transfer.feeds.remind import remind
from transfer.records import Beside, Done, PackedUp, Settled
from transfer.selection import Choice, Step
from transfer.standing import Standing

FRAME = "1.3.12.2.1107.5.2.43.4711.1.2026030111000000{}.0.0.0"
WHOLE = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
WANTED = Choice(step=Step.CAPTURE, is_wanted=True, rule="t1", reason="Wanted.", dependencies=True)
UNWANTED = Choice(step=Step.CAPTURE, is_wanted=False, rule=None, reason="Inventory only.")
ADJUSTMENT = Measurement(
    index=0,
    offset=0,
    header_bytes=9,
    baseline="VE",
    mid=5,
    serial="4711",
    protocol="AdjCoilSens",
    frame_of_reference=FRAME.format(0),
)
IMAGE = replace(ADJUSTMENT, mid=7, protocol="t1", dependency_mids=(5, 6))


@pytest.fixture
def settle(store, list_files):
    """Settle a file on the share, and return its capture's number."""
    paths: list[str] = []

    def _settle(*measurements: Measurement, choice: Choice) -> int:
        paths.append(f"{len(paths)}.dat")
        list_files(*(SourceFile(path=path, size=5, mtime_ns=1) for path in paths))
        claim = store.claim("capture", row_id=len(paths))
        store.commit(claim, Done(Settled(WHOLE, measurements, choice)))
        return len(paths)

    return _settle


def _states(database) -> dict[int, str]:
    with database.read() as connection:
        return {row["id"]: row["state"] for row in lists.captures(connection)}


def test_what_nobody_wanted_is_looked_at_again_once_it_is_needed(database, settle):
    assert settle(ADJUSTMENT, choice=UNWANTED) == 1
    assert needed_by(database, ADJUSTMENT) == []
    settle(IMAGE, choice=WANTED)
    assert _states(database) == {1: "found", 2: "settled"}
    assert needed_by(database, ADJUSTMENT) == [IMAGE]
    assert beside(database, ADJUSTMENT) == Beside(mid=7, study_uid=None, series_uid=None)


def test_the_same_number_of_another_visit_is_not_meant(database, settle):
    other = replace(ADJUSTMENT, frame_of_reference=FRAME.format(1))
    settle(other, choice=UNWANTED)
    settle(IMAGE, choice=WANTED)
    assert _states(database)[1] == "skipped"
    assert needed_by(database, other) == []
    assert beside(database, other) is None


def test_what_tells_no_visit_is_needed_by_nothing(database, settle):
    nowhere = {"frame_of_reference": None, "study_loid": None, "study_uid": None}
    settle(replace(ADJUSTMENT, **nowhere), choice=UNWANTED)
    settle(replace(IMAGE, **nowhere), choice=WANTED)
    assert _states(database)[1] == "skipped"
    assert needed_by(database, replace(ADJUSTMENT, **nowhere)) == []
    with database.read() as connection:
        assert {one["lacks"] for one in dependencies_of(connection, [2])[2]} == {"not seen"}


def test_without_the_rules_word_nothing_is_looked_at_again_but_it_is_told_what_is_needed(database, settle):
    settle(ADJUSTMENT, choice=UNWANTED)
    settle(IMAGE, choice=WANTED.model_copy(update={"dependencies": False}))
    assert _states(database)[1] == "skipped"
    with database.read() as connection:
        assert dependencies_of(connection, [2]) == {
            2: [
                {"mid": 5, "is_wanted": False, "capture": 1, "lacks": "not captured"},
                {"mid": 6, "is_wanted": False, "capture": None, "lacks": "not seen"},
            ]
        }


def test_what_lies_in_the_same_file_is_not_missed(database, settle):
    settle(ADJUSTMENT, replace(ADJUSTMENT, mid=6), replace(IMAGE, index=2), choice=WANTED)
    with database.read() as connection:
        assert dependencies_of(connection, [1]) == {}


def test_raw_data_without_images_have_an_age_their_bytes_and_an_alert(database, store, clock, settle):
    settle(IMAGE, choice=WANTED)
    packed = Packed(sha256="ab" * 32, size=5, audit=WHOLE, measurements=(IMAGE,), chunks=(), stored_bytes=3_000_000)
    store.commit(store.claim("capture", row_id=1), Done(PackedUp(packed, b"{}")))
    with database.read() as connection:
        found = ledger.homeless(connection, now=clock.now())
    assert (found["kept"], found["kept_bytes"], found["oldest_at"]) == (1, 3_000_000, clock.now())
    assert found["counts"] == {Standing.ON_ITS_WAY: 1}

    def told() -> list[tuple[str, bool]]:
        remind(database=database, clock=clock)
        with database.read() as connection:
            return [(a["text"], a["cleared_at"] is None) for a in lists.alerts(connection, open_only=False)]

    assert told() == []
    clock.sleep(timedelta(days=4).total_seconds())
    ((text, is_open),) = told()
    assert "1 raw files (0.003 GB in the spool) have no session, the oldest for 4 days." in text
    assert is_open
    assert len(told()) == 1
    clock.sleep(timedelta(days=8).total_seconds())
    ((text, is_open),) = told()
    assert is_open
    assert "for 12 days" in text


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"state": "released"}, "released"),
        ({"state": "skipped"}, "not captured"),
        ({"state": "held", "held_code": "file_vanished"}, "gone"),
        ({"state": "settled"}, None),
    ],
)
def test_what_is_needed_and_is_not_there_is_said_to_be_missing(database, settle, list_files, end, said):
    """Also where it was captured once: released, or gone from the scanner before it was packed."""
    settle(ADJUSTMENT, choice=WANTED)
    settle(replace(IMAGE, dependency_mids=(5,)), choice=WANTED)
    if said == "gone":
        list_files(SourceFile(path="1.dat", size=5, mtime_ns=1))
    with database.write() as connection:
        connection.execute(update(tables.capture).where(tables.capture.c.id == 1).values(end))
    with database.read() as connection:
        (needed,) = dependencies_of(connection, [2])[2]
    assert needed == {"mid": 5, "is_wanted": True, "capture": 1, "lacks": said}
