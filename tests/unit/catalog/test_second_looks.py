"""What happens to a row behind the back of its stage, its twin or its share loses nothing, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, text, update

from kspace.errors import DestinationError, FileVanished, SourceError
from kspace.records import Audit, Packed, SourceFile, Verdict
from transfer import operations
from transfer.catalog import lists, tables
from transfer.catalog.database import Database
from transfer.catalog.inventory import find_twin
from transfer.catalog.store import MAX_FAILURES, Store
from transfer.catalog.twins import recognised
from transfer.destinations.errors import Forbidden
from transfer.feeds.sweep import sweep
from transfer.records import Changed, CutAgain, Done, Held, Later, PackedUp, Settled, Twin, Verified
from transfer.selection import Choice, Step
from transfer.states import CaptureState, DeliveryState

WHOLE = Audit(verdict=Verdict.COMPLETE_NATIVE, position=1, reason="whole")
PACKED = Packed(sha256="a" * 64, size=10, audit=WHOLE, measurements=(), chunks=(), stored_bytes=3)
FILES = [SourceFile(path=name, size=10, mtime_ns=1) for name in ("a.dat", "b.dat")]


def settled():
    return Done(Settled(WHOLE, (), Choice(step=Step.CAPTURE, is_wanted=True, rule="r", reason="because")))


def put(database, capture_id=1, **columns):
    with database.write() as connection:
        connection.execute(update(tables.capture).where(tables.capture.c.id == capture_id).values(**columns))


def put_delivery(database, at, **columns):
    """Enter a delivery of capture 1; of its study, once."""
    with database.write() as connection:
        study = {"study_uid": "1.2", "called_ae": "A", "calling_ae": "B", "document": {"study_uid": "1.2"}}
        if connection.execute(select(tables.study.c.id)).first() is None:
            connection.execute(insert(tables.study).values(first_arrival_at=at, last_arrival_at=at, **study))
        sent = {"kind": "raw", "capture_id": 1, "study_id": 1, "destination": "x", "project": "P"}
        sent |= {"state": DeliveryState.SENT, "since_at": at, "due_at": at}
        connection.execute(insert(tables.delivery).values(sent | columns))


def row_of(database, capture_id=1):
    with database.read() as connection:
        return lists.story(connection, capture_id)


@pytest.fixture
def twins(store, database, clock, list_files):
    """Two captures of the same bytes: the first matched, the second its twin."""
    list_files(*FILES)
    for number, result in ((1, PackedUp(PACKED, b"{}")), (2, Twin(PACKED, 1))):
        put(database, number, state=CaptureState.SETTLED)
        put(database, number, due_at=clock.now() - timedelta(hours=1))
        claim = store.claim("capture")
        assert (claim.id, claim.stage) == (number, "pack")
        store.commit(claim, Done(result))
        put(database, 1, due_at=clock.now() + timedelta(hours=1))
    put(database, 1, state=CaptureState.MATCHED, due_at=clock.now())


def test_a_capture_that_lost_its_packed_file_holds_nothing_for_a_twin(twins, store, database):
    assert find_twin(database, PACKED.sha256, 2) == 1
    claim = store.claim("capture")
    assert (claim.id, claim.stage) == (1, "plan")
    store.commit(claim, Done(Changed(FILES[0], "The packed file in the spool is damaged.")))
    assert find_twin(database, PACKED.sha256, 2) is None
    assert row_of(database, 2)["state"] == CaptureState.FOUND, "the twin goes on by itself"


@pytest.mark.parametrize(("state", "code"), [(CaptureState.RETIRED, "lost"), (CaptureState.PLANNED, "spool_damaged")])
def test_what_neither_spool_nor_archive_has_any_more_holds_nothing_for_a_twin(
    twins, store, database, clock, *, list_files, state, code
):
    put(database, 1, state=state)
    list_files(FILES[1])  # else the first would be read from there once more
    put_delivery(database, clock.now(), state=DeliveryState.QUEUED, doubted=["f/part-00001.bin"])
    claim = store.claim("delivery")
    assert (find_twin(database, PACKED.sha256, 2) is None) == (state is CaptureState.RETIRED)
    store.commit(claim, Held("gone", code))
    assert find_twin(database, PACKED.sha256, 2) is None
    assert row_of(database, 2)["state"] == CaptureState.FOUND, "its own file is looked at again"
    put_delivery(database, clock.now(), state=DeliveryState.VERIFIED, destination="y")
    assert find_twin(database, PACKED.sha256, 2) == 1, "another archive has it"


def test_two_machines_that_pack_the_same_bytes_at_one_instant_see_each_other(store, database, clock, list_files):
    list_files(FILES[0])
    list_files(FILES[1], scanner="skyra")
    stores = {1: store, 2: Store(database, clock=clock, machine="box-2")}
    claims = {}
    for number, its in stores.items():
        put(database, number, state=CaptureState.SETTLED)
        claims[number] = its.claim("capture", row_id=number)
        assert claims[number].stage == "pack"
    with ThreadPoolExecutor(1) as other:
        with database.write() as connection:  # the first one's commit, just before its end
            row = connection.execute(select(tables.capture).where(tables.capture.c.id == 1)).mappings().one()
            outcome = recognised(Done(PackedUp(PACKED, b"{}")), connection, row)
            assert isinstance(outcome.result, PackedUp)
            packed = {"state": CaptureState.PACKED, "sha256": PACKED.sha256, "manifest": b"{}", "lease_token": None}
            connection.execute(update(tables.capture).where(tables.capture.c.id == 1).values(packed))
            second = other.submit(stores[2].commit, claims[2], Done(PackedUp(PACKED, b"{}")))
            while not (second.done() or waits_for_it(database)):
                pass
        assert second.result()
    assert [row_of(database, n)["state"] for n in (1, 2)] == [CaptureState.PACKED, CaptureState.SKIPPED]
    assert find_twin(database, PACKED.sha256, 2) == 1


def waits_for_it(database):
    """Whether somebody waits for a lock of PostgreSQL; a second writer of SQLite waits from its beginning."""
    if database.is_sqlite:
        return True
    with database.read() as connection:
        return connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one() > 0


def test_an_empty_file_that_a_person_wants_as_it_is_has_no_parts(twins, store, database, clock):
    put_delivery(database, clock.now(), state=DeliveryState.QUEUED)
    claim = store.claim("delivery")
    assert store.commit(claim, Done(CutAgain((), 70_000)))
    with database.read() as connection:
        assert connection.execute(select(tables.part)).first() is None


def test_a_twin_whose_own_file_is_gone_is_left_as_it_is(twins, store, database, list_files):
    list_files(FILES[0])
    store.commit(store.claim("capture"), Done(Changed(FILES[0], "damaged")))
    assert row_of(database, 2)["state"] == CaptureState.SKIPPED


def test_only_a_twins_packed_file_is_swept_never_that_of_a_number_used_before(twins, database, tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number:08d}.packed").write_bytes(b"x")
    put(database, 1, state=CaptureState.SKIPPED, sha256=None)
    assert sweep(spool=tmp_path, database=database) == 1
    assert [p.name for p in tmp_path.glob("*.packed")] == ["00000001.packed"]


@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [
        (CaptureState.SKIPPED, {"state": CaptureState.FOUND}),
        (CaptureState.RELEASED, {"state": CaptureState.PACKED}),
        (CaptureState.RETIRED, {"state": CaptureState.PACKED}),
        (CaptureState.RETIRED, None),
    ],
)
def test_what_is_wanted_again_while_the_sweep_looks_stays(twins, database, clock, *, tmp_path, before, meanwhile):
    """A link, an undo, a retry, or an audit that comes between the look at the catalog and the removal."""
    put(database, 1, state=before)
    put_delivery(database, clock.now(), state=DeliveryState.VERIFIED)
    with database.write() as connection:
        connection.execute(insert(tables.receipt).values(delivery_id=1, document=b"{}", at=clock.now()))
    packed = tmp_path / "00000001.packed"
    packed.write_bytes(b"x")

    class Meddled(Database):
        @contextmanager
        def read(self):
            with super().read() as connection:
                yield connection
            if meanwhile:
                put(database, 1, **meanwhile)
            else:
                with database.write() as connection:
                    connection.execute(update(tables.delivery).values(state=DeliveryState.QUEUED))

    meddled = Meddled(database.url.render_as_string(hide_password=False))
    assert sweep(spool=tmp_path, database=meddled) == 0
    meddled.close()
    assert packed.exists()
    put(database, 1, state=before)
    with database.write() as connection:
        connection.execute(update(tables.delivery).values(state=DeliveryState.VERIFIED))
    assert sweep(spool=tmp_path, database=database) == 1
    assert not packed.exists()


def test_what_a_killed_fetch_left_goes_once_its_capture_is_not_fetched_back_any_more(database, tmp_path, list_files):
    list_files(FILES[0])
    left, unknown, other = (tmp_path / name for name in ("00000001.coming", "00000009.coming", "mine.coming"))
    for path in (left, unknown, other):
        path.write_bytes(b"half")
    put(database, 1, state=CaptureState.RECALLED)
    sweep(spool=tmp_path, database=database)
    assert left.exists(), "the next try writes over it"
    put(database, 1, state=CaptureState.HELD, held_from=CaptureState.RECALLED)
    sweep(spool=tmp_path, database=database)
    assert [path.exists() for path in (left, unknown, other)] == [False, True, True]


def test_a_failure_of_what_a_person_held_meanwhile_changes_nothing(store, database, clock, list_files):
    list_files(FILES[0])
    put(database, failures=MAX_FAILURES - 1)
    claim = store.claim("capture")
    operations.hold(database, "1", reason="wait", actor="ann", clock=clock)

    class Stubborn(SourceError):
        pauses = False

    assert not store.fail(claim, Stubborn("again"))
    assert (row_of(database)["state"], row_of(database)["reason"]) == (CaptureState.HELD, "wait")
    operations.retry(database, "1", actor="ann", clock=clock)
    assert store.claim("capture").id == 1


def test_files_of_a_share_that_comes_back_go_on_by_themselves(store, database, list_files):
    list_files(FILES[0])
    store.commit(store.claim("capture"), settled())
    list_files()
    store.fail(store.claim("capture"), FileVanished("gone"))
    assert row_of(database)["state"] == CaptureState.HELD
    list_files(FILES[0])
    assert row_of(database)["state"] == CaptureState.SETTLED
    assert store.claim("capture").stage == "pack"
    with database.read() as connection:
        assert lists.alerts(connection) == []


def test_what_a_person_held_stays_held_when_its_share_comes_back(database, clock, list_files):
    list_files(FILES[0])
    operations.hold(database, "1", reason="wait", actor="ann", clock=clock)
    list_files()
    list_files(FILES[0])
    assert row_of(database)["state"] == CaptureState.HELD


def test_a_capture_retried_after_its_last_delivery_is_delivered(store, database, clock, list_files):
    list_files(FILES[0])
    put(database, state=CaptureState.PLANNED)
    at = clock.now()
    put_delivery(database, at)
    operations.hold(database, "1", reason="wait", actor="ann", clock=clock)
    operations.retry(database, "d1", actor="ann", clock=clock)
    assert store.commit(store.claim("delivery"), Done(Verified(b"{}")))
    assert row_of(database)["state"] == CaptureState.HELD
    operations.retry(database, "1", actor="ann", clock=clock)
    assert row_of(database)["state"] == CaptureState.DELIVERED


class Wrong(DestinationError):
    """Somebody mistyped a password."""

    pauses = True
    pause_s = 900.0


def test_a_retry_wakes_everything_that_met_the_same_trouble(store, database, clock, list_files):
    list_files(*FILES)
    for number in (1, 2):
        put_delivery(database, clock.now(), capture_id=number)
    claims = [store.claim("delivery", row_id=number) for number in (1, 2)]
    for claim in claims:
        store.fail(claim, Wrong("401"))
    assert store.claim("delivery") is None
    operations.retry(database, "d1", actor="ann", clock=clock)
    assert [store.claim("delivery").id, store.claim("delivery").id] == [1, 2]


def test_a_missing_right_keeps_its_project_waiting_and_nothing_else(store, database, clock, list_files):
    list_files(*FILES, SourceFile(path="c.dat", size=10, mtime_ns=1))
    for capture, destination, project in ((1, "x", "P"), (1, "y", "P"), (2, "x", "Q"), (3, "x", "P")):
        put_delivery(database, clock.now(), capture_id=capture, destination=destination, project=project)
    denied = store.claim("delivery", row_id=1)
    store.fail(denied, Forbidden("403"))
    others = [store.claim("delivery"), store.claim("delivery")]
    assert [one.id for one in others] == [2, 3], "the fourth goes to the same project at the same destination"
    assert store.claim("delivery") is None
    clock.sleep(3600)
    again = store.claim("delivery", row_id=4)
    store.commit(again, Done(Verified(b"{}")))
    with database.read() as connection:
        assert lists.alerts(connection) == []


def test_images_and_raw_data_of_one_study_never_go_to_one_archive_at_the_same_time(store, database, clock, list_files):
    """XNAT does not merge two writers of a session: an import, a commit and a raw upload exclude each other."""
    list_files(*FILES)
    at = clock.now()
    put_delivery(database, at, kind="dicom", capture_id=None, state=DeliveryState.QUEUED, lane="x/1")
    put_delivery(database, at, capture_id=1, lane="x/1")
    put_delivery(database, at, capture_id=2, destination="y", lane="y/1")
    first, other = store.claim("delivery"), store.claim("delivery")
    assert [(first.stage, first.id), (other.stage, other.id)] == [("forward", 1), ("verify", 3)]
    assert store.claim("delivery") is None
    store.commit(first, Later("not quiet yet", 60.0))
    assert store.claim("delivery").id == 2


def test_two_of_the_same_bytes_packed_at_once_are_one_and_its_twin(store, database, clock, list_files):
    list_files(FILES[0], scanner="prisma")
    list_files(FILES[0], scanner="skyra")
    for number in (1, 2):
        put(database, number, state=CaptureState.SETTLED)
    first, second = store.claim("capture"), store.claim("capture")
    store.commit(first, Done(PackedUp(PACKED, b"{}")))
    store.commit(second, Done(PackedUp(PACKED, b"{}")))
    assert (row_of(database, 1)["state"], row_of(database, 2)["state"]) == ("packed", "skipped")
    assert "capture 1, which goes on for both" in row_of(database, 2)["reason"]


@pytest.mark.parametrize(("state", "code"), [(CaptureState.RETIRED, "lost"), (CaptureState.PLANNED, "spool_damaged")])
@pytest.mark.usefixtures("twins")
def test_what_was_lost_stands_back_once_the_same_bytes_are_proved_anew(store, database, clock, state, code):
    """Its twin was captured meanwhile: both would lie in one folder, and each would find the other's document there."""
    put(database, 1, state=state)
    put_delivery(database, clock.now(), state=DeliveryState.HELD, held_code=code, place="there")
    put(database, 2, state=CaptureState.PLANNED, manifest=b"{}")
    put_delivery(database, clock.now(), capture_id=2, place="there")
    store.commit(store.claim("delivery"), Done(Verified(b"{}")))
    first = row_of(database, 1)
    assert (first["state"], row_of(database, 2)["state"]) == ("skipped", "delivered")
    assert "capture 2, which goes on for both" in first["reason"]
    assert [(d["state"], d["place"], d["former_places"]) for d in first["deliveries"]] == [("withdrawn", None, None)]
