"""The ledger's reading of the catalog, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest

from dicom.inbox import Received, Status
from dicom.records import Instance, Series, Study
from kspace.errors import NotFound
from kspace.records import Audit, Measurement, SourceFile, Verdict
from transfer.catalog import ledger
from transfer.inbox import CatalogInbox
from transfer.records import Done, Settled
from transfer.routing import Route
from transfer.selection import Choice, Step
from transfer.standing import Standing

LONG_AGO = datetime.min.replace(tzinfo=UTC)
FRAME = "1.3.12.2.1107.5.2.43.4711.1.20260301110000000.0.0.0"


@pytest.fixture
def unwanted(store, list_files):
    """Settle one raw file that no rule asks for."""
    list_files(SourceFile(path="a.dat", size=5, mtime_ns=1))
    claim = store.claim("capture")
    measurement = Measurement(
        index=0, offset=0, header_bytes=9, baseline="VE", mid=7, serial="4711", protocol="gre", frame_of_reference=FRAME
    )
    choice = Choice(step=Step.CAPTURE, is_wanted=False, rule=None, reason="Inventory only.")
    audit = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
    store.commit(claim, Done(Settled(audit, (measurement,), choice)))


@pytest.fixture
def images(database, clock, tmp_path):
    path = tmp_path / "incoming"
    path.write_bytes(b"image")
    inbox = CatalogInbox(
        database,
        notes=tmp_path / "notes",
        routes=(Route(destinations=("x",), project="P"),),
        clock=clock,
        machine="box",
        quiet_s=1.0,
    )
    series = Series(series_uid="1.2.3", study_uid="1.2", number=4, serial="4711", frame_of_reference=FRAME)
    [status] = inbox.accept(
        [
            Received(
                path=path,
                study=Study(study_uid="1.2"),
                series=series,
                instance=Instance(sop_uid="1.2.3.4", sop_class="1.2", transfer_syntax="1.2"),
                size=5,
                sha256="ab" * 32,
                calling_ae="SCANNER",
                called_ae="KSPACE",
                peer="127.0.0.1",
            )
        ]
    )
    assert status is Status.SUCCESS


@pytest.mark.usefixtures("unwanted")
def test_a_file_is_placed_once_its_images_came_though_nobody_wants_it(database, clock, request):
    assert ledger.place(database, now=clock.now(), since=LONG_AGO) == 0
    with database.read() as connection:
        assert ledger.homeless(connection, now=clock.now())["counts"] == {Standing.NOT_WANTED: 1}
        assert ledger.sessions(connection, now=clock.now()) == []
    looked_at = clock.now()
    clock.sleep(60)
    assert ledger.place(database, now=clock.now(), since=looked_at) == 0
    request.getfixturevalue("images")
    assert ledger.place(database, now=clock.now(), since=looked_at + timedelta(seconds=1)) == 1
    assert ledger.place(database, now=clock.now(), since=LONG_AGO) == 0
    with database.read() as connection:
        (one,) = ledger.sessions(connection, now=clock.now(), project="P")
        assert (one["badge"], one["counts"]) == (Standing.ON_ITS_WAY, {Standing.NOT_WANTED: 1})
        assert (one["series_received"], one["instances_received"]) == (1, 1)
        (shown,) = ledger.session(connection, one["sessions"][0]["session"], now=clock.now())
        assert [m["mid"] for m in shown["measurements"]] == [7]
        assert [s["number"] for s in shown["series"]] == [4]
        assert ledger.homeless(connection, now=clock.now())["raw"] == []
        assert ledger.sessions(connection, now=clock.now(), project="Q") == []


def test_an_unknown_session_is_said(database, clock):
    with database.read() as connection, pytest.raises(NotFound, match="kspace sessions"):
        ledger.session(connection, "nobody", now=clock.now())


@pytest.mark.parametrize(
    ("needed", "inside", "said"),
    [((6,), (6,), "in its own file"), ((), (6,), "unknown"), ((), (), "unknown")],
)
def test_what_a_file_needs_is_in_it_only_where_it_says_so(
    *, database, store, clock, list_files, request, needed, inside, said
):
    list_files(SourceFile(path="a.dat", size=5, mtime_ns=1))
    told = {"offset": 0, "header_bytes": 9, "baseline": "VE", "serial": "4711", "frame_of_reference": FRAME}
    measurements = tuple(
        Measurement(index=n, mid=mid, dependency_mids=needed if mid == 7 else (), **told)
        for n, mid in enumerate((*inside, 7))
    )
    choice = Choice(step=Step.CAPTURE, is_wanted=False, rule=None, reason="Inventory only.")
    audit = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
    store.commit(store.claim("capture"), Done(Settled(audit, measurements, choice)))
    request.getfixturevalue("images")
    ledger.place(database, now=clock.now(), since=LONG_AGO)
    with database.read() as connection:
        (one,) = ledger.sessions(connection, now=clock.now())
        (shown,) = ledger.session(connection, one["sessions"][0]["session"], now=clock.now())
    assert [m["needs"] for m in shown["measurements"]] == [said]
