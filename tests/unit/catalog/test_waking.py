"""What waits for images is asked again when some come, however either side names its scanner."""

from dataclasses import replace

import pytest

from kspace.records import Audit, Measurement, Packed, SourceFile, Verdict
from transfer import linking
from transfer.catalog import lists
from transfer.records import Done, Held, Later, PackedUp, Settled
from transfer.selection import Choice, Step

FRAME = "1.3.12.2.1107.5.2.43.4711.1.20260301110000000.0.0.0"
RAW = Measurement(
    index=0, offset=0, header_bytes=9, baseline="VE", mid=7, serial="4711", protocol="gre", frame_of_reference=FRAME
)
WHOLE = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
DOUBT = Held("In doubt.", "join")


@pytest.fixture
def pack(store, list_files):
    """Take one raw file into the spool."""

    def _pack(*measurements: Measurement) -> None:
        list_files(SourceFile(path="a.dat", size=5, mtime_ns=1))
        wanted = Choice(step=Step.CAPTURE, is_wanted=True, rule="all", reason="Wanted.")
        packed = Packed(sha256="ab" * 32, size=5, audit=WHOLE, measurements=measurements, chunks=(), stored_bytes=3)
        for result in (Settled(WHOLE, measurements, wanted), PackedUp(packed, b"{}")):
            store.commit(store.claim("capture", row_id=1), Done(result))

    return _pack


def _state(database) -> str:
    with database.read() as connection:
        return lists.captures(connection)[0]["state"]


@pytest.mark.parametrize("outcome", [Later("Nothing yet.", 86_400.0), DOUBT])
@pytest.mark.parametrize(
    ("raw", "series"),
    [
        (RAW, {"serial": "4711"}),
        (replace(RAW, serial=None), {"serial": "4711"}),
        (RAW, {"serial": None, "frame_of_reference": FRAME}),
        (RAW, {"serial": None}),
        (replace(RAW, serial=None, frame_of_reference=None), {"serial": "4711"}),
    ],
)
def test_images_that_may_be_of_its_scanner_wake_it(  # noqa: PLR0917 -- fixtures
    store, database, clock, pack, arrive, outcome, raw, series
):
    pack(raw)
    store.commit(store.claim("capture"), outcome)
    clock.sleep(60)
    assert store.claim("capture") is None
    arrive("1.1", 1, **series)
    clock.sleep(2)
    assert store.claim("capture").stage == "join"
    assert _state(database) == "packed"


def test_images_of_another_scanner_wake_nothing(store, clock, pack, arrive):
    pack(RAW)
    store.commit(store.claim("capture"), DOUBT)
    arrive("1.1", 1, serial="815")
    clock.sleep(60)
    assert store.claim("capture") is None


def test_images_that_come_while_the_join_runs_are_judged_whatever_it_says(store, database, clock, pack, arrive):
    pack(RAW)
    claim = store.claim("capture")
    arrive("1.1", 1)
    assert store.commit(claim, DOUBT)
    assert _state(database) == "packed"
    assert store.claim("capture") is None, "the study is not quiet yet"
    clock.sleep(2)
    assert store.claim("capture").stage == "join"


def test_a_file_whose_header_cannot_be_read_is_shown_for_review(database, clock, pack, arrive):
    pack()
    arrive("1.1", 1)
    (doubt,) = linking.doubts(database)
    assert (doubt.capture.file.path, doubt.capture.image) == ("a.dat", None)
    assert "could not be read" in doubt.decision.reason
    linking.link(database, 1, "s1", actor="Ada", clock=clock)
    assert (_state(database), linking.doubts(database)) == ("matched", [])
