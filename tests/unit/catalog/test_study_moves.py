"""What a person says counts at once, whatever a stage makes of the raw data this moment or a person holds them for."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select, update

from kspace.records import SourceFile
from transfer import linking, operations
from transfer.assigning import assign
from transfer.catalog import tables
from transfer.records import Done, Later, Planned, Sent
from transfer.routing import Route
from transfer.states import CaptureState, DeliveryState, Kind

ROUTES = (Route(destinations=("bucket", "x"), project="P"),)


@pytest.fixture
def joined(database, clock, arrive, list_files):
    """Write a capture that is joined to a study, in a state."""

    def _joined(state):
        arrive("1.1", 1)
        list_files(SourceFile(path="a.dat", size=5, mtime_ns=1))
        now = clock.now()
        with database.write() as connection:
            way = {
                "capture_id": connection.execute(select(tables.capture.c.id)).scalar_one(),
                "study_id": connection.execute(select(tables.study.c.id)).scalar_one(),
            }
            connection.execute(update(tables.capture).values(state=state, due_at=now, lane=None))
            connection.execute(
                insert(tables.match).values(**way, certainty="certain", reason="", actor="relay", at=now)
            )
        return way

    return _joined


@pytest.fixture
def to_project(database, clock):
    def _to_project(project, destination="bucket"):
        given = {"subject": None, "session": None, "machine": "box-1", "is_raw_only": destination == "bucket"}
        given |= {"destination": destination, "project": project, "actor": "somebody"}
        assign(database, "t1", routes=ROUTES, clock=clock, **given)

    return _to_project


def state_of(database, table):
    with database.read() as connection:
        return connection.execute(select(table.c.state)).scalar_one()


def test_a_plan_being_made_for_the_former_project_is_dropped(database, store, joined, to_project):
    joined(CaptureState.MATCHED)
    claim = store.claim("capture")
    to_project("Q")
    assert not store.commit(claim, Done(Planned((), ())))
    again = store.claim("capture")
    assert (again.stage, again.record.match.targets) == ("plan", (("bucket", "Q"), ("x", "P")))


@pytest.mark.parametrize("destination", ["bucket", "x"])
def test_raw_data_on_the_line_to_the_former_project_are_dropped_and_count_for_nothing(
    database, store, joined, to_project, destination
):
    way, now, d = joined(CaptureState.PLANNED), datetime(2026, 1, 1, tzinfo=UTC), tables.delivery.c
    with database.write() as connection:
        row = {"kind": "raw", "destination": destination, "project": "P", "state": DeliveryState.QUEUED}
        row |= {"machine": "box-1", "since_at": now, "due_at": now}
        raw = connection.execute(insert(tables.delivery).values(**way, **row).returning(d.id)).scalar_one()
    claim = store.claim("delivery")
    assert (claim.kind, claim.id) == (Kind.RAW, raw)
    to_project("Q", destination)
    assert not store.renew(claim, progressed=True), "the sender ends at its next block"
    with database.write() as connection:  # planned anew, the same row goes to the new project
        again = {"state": DeliveryState.QUEUED, "project": "Q", "due_at": now}
        connection.execute(update(tables.delivery).where(d.id == raw).values(again))
    assert not store.commit(claim, Done(Sent("/of/the/former/project")))
    with database.read() as connection:
        left = connection.execute(select(d.state, d.project, d.place).where(d.id == raw)).one()
    assert tuple(left) == ("queued", "Q", None)


def test_what_a_person_holds_is_planned_anew_once_it_is_let_go(database, store, clock, joined, to_project):
    way, now = joined(CaptureState.PLANNED), clock.now()
    with database.write() as connection:
        row = {"kind": "raw", "destination": "bucket", "project": "P", "state": DeliveryState.QUEUED}
        connection.execute(insert(tables.delivery).values(**way, **row, since_at=now, due_at=now))
        connection.execute(tables.delivery.delete().where(tables.delivery.c.kind == "dicom"))
    operations.hold(database, "1", reason="wait", actor="somebody", clock=clock)
    to_project("Q")
    assert (state_of(database, tables.capture), state_of(database, tables.delivery)) == ("held", "withdrawn")
    operations.retry(database, "1", actor="somebody", clock=clock)
    assert (state_of(database, tables.capture), state_of(database, tables.delivery)) == ("matched", "withdrawn")


def test_unlinking_does_not_wait_for_a_stage_that_only_reads(database, store, clock, joined):
    joined(CaptureState.DELIVERED)
    claim = store.claim("capture")
    linking.unlink(database, 1, actor="somebody", clock=clock)
    assert not store.commit(claim, Later("kept for a while", 60.0))
    assert state_of(database, tables.capture) == "held"
