"""Claim, renew, commit, fail: the queue's promises, on both databases."""

import threading
from itertools import product

import pytest
from sqlalchemy import select

from kspace.errors import FileChanged, FileVanished, SourceError, SpoolError
from kspace.records import Audit, SourceFile, Verdict
from transfer.catalog import lists, tables
from transfer.catalog.store import LEASE_S, MAX_ATTEMPTS, MAX_FAILURES, Store
from transfer.records import Done, Held, Later, Retired, Settled
from transfer.selection import Choice, Step
from transfer.states import TRANSITIONS, CaptureState


def a_file(name="a.dat", size=10):
    return SourceFile(path=name, size=size, mtime_ns=1)


def settled(wanted=True):
    choice = Choice(step=Step.CAPTURE, is_wanted=wanted, rule="r", reason="because")
    audit = Audit(verdict=Verdict.COMPLETE_NATIVE, position=10, reason="whole")
    return Done(Settled(audit, (), choice))


def state_of(database, capture_id=1):
    with database.read() as connection:
        return connection.execute(select(tables.capture.c.state).where(tables.capture.c.id == capture_id)).scalar_one()


def test_a_claim_is_the_row_that_is_due_and_only_one_gets_it(store, list_files):
    list_files(a_file())
    claim = store.claim("capture")
    assert (claim.stage, claim.record.file.path) == ("settle", "a.dat")
    assert store.claim("capture") is None


def test_a_row_is_not_claimed_before_it_is_due(store, database, clock, list_files):
    list_files(a_file())
    store.commit(store.claim("capture"), Later("growing", 60.0))
    assert store.claim("capture") is None
    clock.sleep(61)
    assert store.claim("capture").stage == "settle"


def test_one_scanner_is_read_by_one_stage_at_a_time_and_never_waits_for_another(store, list_files):
    list_files(a_file("a.dat"), a_file("b.dat"), scanner="prisma")
    list_files(a_file("a.dat"), scanner="skyra")
    first, second = store.claim("capture"), store.claim("capture")
    assert {first.record.scanner, second.record.scanner} == {"prisma", "skyra"}
    assert store.claim("capture") is None


def test_a_commit_moves_the_row_and_writes_the_event(store, database, list_files):
    list_files(a_file())
    assert store.commit(store.claim("capture"), settled())
    with database.read() as connection:
        story = lists.story(connection, 1)
    assert story["state"] == CaptureState.SETTLED
    assert story["decisions"][0]["reason"] == "because"
    assert [e["verb"] for e in story["events"]] == ["capture.found", "capture.settled"]


def test_an_unwanted_file_stays_in_the_inventory(store, database, list_files):
    list_files(a_file())
    store.commit(store.claim("capture"), settled(wanted=False))
    assert state_of(database) == CaptureState.SKIPPED
    assert store.claim("capture") is None


def test_the_result_of_a_lost_lease_is_dropped(store, database, clock, list_files):
    list_files(a_file())
    slow = store.claim("capture")
    clock.sleep(LEASE_S + 1)
    quick = store.claim("capture")
    assert not store.commit(slow, settled())
    assert not store.renew(slow)
    assert state_of(database) == CaptureState.FOUND
    assert store.commit(quick, settled())


def test_a_renewed_lease_is_kept(store, clock, list_files):
    list_files(a_file())
    claim = store.claim("capture")
    for _ in range(3):
        clock.sleep(LEASE_S - 1)
        assert store.renew(claim)
    assert store.commit(claim, settled())


def test_a_result_about_the_past_is_dropped(store, database, list_files):
    list_files(a_file())
    claim = store.claim("capture")
    with database.write() as connection:
        connection.execute(tables.capture.update().values(state=CaptureState.HELD))
    assert not store.commit(claim, settled())
    assert state_of(database) == CaptureState.HELD


def test_a_restart_frees_its_own_leases_and_no_others(store, database, clock, list_files):
    list_files(a_file(), scanner="prisma")
    list_files(a_file(), scanner="skyra")
    mine = store.claim("capture")
    Store(database, clock=clock, machine="box-2").claim("capture")
    assert store.free_leases() == 1
    assert store.claim("capture").id == mine.id


def test_a_stage_that_kills_its_process_ends_held(store, database, list_files):
    list_files(a_file())
    for _ in range(MAX_ATTEMPTS):
        assert store.claim("capture") is not None
        store.free_leases()
    assert store.claim("capture") is None
    assert state_of(database) == CaptureState.HELD


def test_progress_resets_the_count_of_attempts(store, database, list_files):
    list_files(a_file())
    for _ in range(MAX_ATTEMPTS + 5):
        claim = store.claim("capture")
        store.renew(claim, progressed=True)
        store.free_leases()
    assert state_of(database) == CaptureState.FOUND


def test_an_error_for_a_person_holds_with_an_alert(store, database, list_files):
    list_files(a_file())
    store.fail(store.claim("capture"), FileVanished("gone"))
    with database.read() as connection:
        assert [a["text"] for a in lists.alerts(connection)] == ["gone"]
    assert state_of(database) == CaptureState.HELD


def test_giving_up_is_held_never_done(store, database, clock, list_files):
    list_files(a_file())

    class Stubborn(SourceError):
        pauses = False

    for _ in range(MAX_FAILURES):
        store.fail(store.claim("capture"), Stubborn("again"))
        clock.sleep(7200)
    assert state_of(database) == CaptureState.HELD


def test_a_share_that_is_down_pauses_only_itself_and_resumes_by_itself(store, database, clock, list_files):
    list_files(a_file("a.dat"), a_file("b.dat"), scanner="prisma")
    list_files(a_file(), scanner="skyra")
    down = store.claim("capture")
    assert down.record.scanner == "prisma"
    store.fail(down, SourceError("down"))
    assert store.claim("capture").record.scanner == "skyra"
    assert store.claim("capture") is None
    clock.sleep(901)
    back = store.claim("capture")
    assert back.record.scanner == "prisma"
    store.commit(back, settled())
    with database.read() as connection:
        assert lists.alerts(connection) == []


def test_a_full_disk_pauses_packing_and_nothing_else(store, clock, list_files):
    list_files(a_file(), scanner="prisma")
    list_files(a_file(), scanner="skyra")
    first = store.claim("capture")
    store.commit(first, settled())
    packing = store.claim("capture")
    while packing.stage != "pack":
        store.commit(packing, settled())
        packing = store.claim("capture")
    store.fail(packing, SpoolError("full"))
    clock.sleep(1)
    left = store.claim("capture")
    assert left is None or left.stage == "settle"


def test_a_held_outcome_names_its_reason(store, database, list_files):
    list_files(a_file())
    store.commit(store.claim("capture"), Held("cut", "damaged"))
    with database.read() as connection:
        assert lists.story(connection, 1)["reason"] == "cut"


def test_every_pair_of_states_is_allowed_or_refused_as_the_table_says(store, database, list_files):
    list_files(a_file())
    wrong = []
    for before, after in product(CaptureState, CaptureState):
        with database.write() as connection:
            connection.execute(tables.capture.update().values(state=before))
            row = connection.execute(select(tables.capture)).mappings().one()
            try:
                store._move(connection, tables.capture, row, after, {}, store._clock.now(), detail="test")
                was_allowed = True
            except AssertionError:
                was_allowed = False
        if was_allowed is not (after in TRANSITIONS[CaptureState][before]):
            wrong.append((before, after))
    assert wrong == []


def test_a_stage_cannot_skip_a_state(store, list_files):
    list_files(a_file())
    with pytest.raises(AssertionError):
        store.commit(store.claim("capture"), Done(Retired()))


def test_many_threads_share_the_queue_without_taking_anything_twice(database, clock, list_files):
    for number in range(12):
        list_files(a_file(), scanner=f"scanner-{number}")
    taken, lock = [], threading.Lock()

    def work(name):
        store = Store(database, clock=clock, machine=name)
        misses = 0
        while misses < 20:
            claim = store.claim("capture")
            if claim is None:
                misses += 1
                continue
            with lock:
                taken.append(claim.id)
            store.commit(claim, settled(wanted=False))

    threads = [threading.Thread(target=work, args=(f"box-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 13))


def test_a_wake_that_comes_while_the_stage_runs_is_not_lost(store, database, clock, list_files):
    list_files(a_file())
    claim = store.claim("capture")
    with database.write() as connection:
        connection.execute(tables.capture.update().values(due_at=clock.now()))
    clock.sleep(1)
    with database.write() as connection:
        connection.execute(tables.capture.update().values(due_at=clock.now()))
    store.commit(claim, Later("waiting", 600.0))
    assert store.claim("capture") is not None


def test_a_pause_grows_from_what_its_error_asks_for_up_to_its_cap(store, database, clock, list_files):
    class LockedOut(SourceError):
        pause_s = 900.0

    list_files(a_file())
    waited = []
    for _ in range(4):
        store.fail(store.claim("capture"), LockedOut("no"))
        with database.read() as connection:
            until_at = connection.execute(select(tables.pause.c.until_at)).scalar_one()
        waited.append((until_at - clock.now()).total_seconds())
        clock.sleep(waited[-1] + 1)
    assert waited == [900.0, 1800.0, 3600.0, 3600.0]


class _Ambiguous(SourceError):
    """It may be the source's fault or the file's."""

    may_be_its_own = True


def test_what_never_gets_through_where_others_do_is_held_by_itself(store, database, clock, list_files):
    """A body that is really too large ends as its own fault, and keeps the others no longer than short pauses."""
    list_files(a_file("large.dat"), *(a_file(f"{number}.dat") for number in range(MAX_FAILURES)))
    for other in range(2, MAX_FAILURES + 2):
        assert state_of(database) == CaptureState.FOUND
        store.fail(store.claim("capture", row_id=1), _Ambiguous("Full, or it is too large. All waits."))
        clock.sleep(15)
        store.commit(store.claim("capture", row_id=other), settled())
    assert state_of(database) == CaptureState.HELD
    with database.read() as connection:
        (alert,) = lists.alerts(connection)
    assert "while others got through" in alert["text"]
    assert "All waits" not in alert["text"]


def test_what_is_full_for_all_holds_nobody(store, database, clock, list_files):
    list_files(a_file())
    for _ in range(3 * MAX_FAILURES):
        store.fail(store.claim("capture"), _Ambiguous("Full, or it is too large."))
        clock.sleep(3700)
    assert state_of(database) == CaptureState.FOUND


def pauses(store, database, clock, list_files, *, progressed):
    list_files(a_file())
    waited = []
    for _ in range(3):
        store.fail(store.claim("capture"), SourceError("down"), progressed=progressed)
        with database.read() as connection:
            until_at = connection.execute(select(tables.pause.c.until_at)).scalar_one()
        waited.append((until_at - clock.now()).total_seconds())
        clock.sleep(waited[-1] + 1)
    return waited


def test_a_line_that_breaks_often_is_not_waited_for_longer_each_time_while_work_gets_further(
    store, database, clock, list_files
):
    assert pauses(store, database, clock, list_files, progressed=True) == [10.0, 10.0, 10.0]


def test_a_source_that_stays_down_is_waited_for_longer_each_time(store, database, clock, list_files):
    assert pauses(store, database, clock, list_files, progressed=False) == [10.0, 20.0, 40.0]


def test_nothing_is_given_up_while_it_gets_further(store, clock, list_files):
    list_files(a_file())
    for _ in range(MAX_FAILURES + 1):
        store.fail(store.claim("capture"), FileChanged("again"), progressed=True)
        clock.sleep(3600)
    assert store.claim("capture").record.state is CaptureState.FOUND
