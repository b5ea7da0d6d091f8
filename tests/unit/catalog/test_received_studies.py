"""Studies in the catalog, on both databases: what is short, what no route fits, who assigned it, what may be freed."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from dicom.records import Instance, Series, Study
from transfer.assigning import assign
from transfer.catalog import lists, tables
from transfer.catalog.arrivals import Arrival, record_arrivals
from transfer.catalog.studies import studies, study
from transfer.feeds.reconcile import Reconciling
from transfer.feeds.sweep import sweep_images
from transfer.routing import Route, target_to
from transfer.states import DeliveryState

ROUTES = (Route(destinations=("central",), project="P"),)
_DAY_S = 86_400.0


@pytest.fixture
def receive(database, tmp_path, clock):
    """Return a way to receive images of one series of a study."""

    def _receive(number, *, of=1, count=3, skip=(), routed=True, protocol="bold"):
        told = Study(study_uid=f"1.{of}", date="20260301", patient_id=f"P{of}")
        series = Series(
            series_uid=f"1.{of}.{number}", study_uid=f"1.{of}", number=number, protocol=protocol, serial="7"
        )
        targets = [target_to(ROUTES, told, destination="central", project="P")] if routed else []
        arrivals = []
        for n in sorted(set(range(1, count + 1)) - set(skip)):
            path = tmp_path / f"{of}-{number}-{n}"
            path.write_bytes(b"image")
            instance = Instance(sop_uid=path.name, sop_class="1.2", transfer_syntax="1", number=n)
            arrival = Arrival(
                study=told, series=series, instance=instance, path=path, size=5, sha256=path.name,
                called_ae="KSPACE", calling_ae="MR",
            )  # fmt: skip
            arrivals.append((arrival, targets))
        return record_arrivals(database, arrivals, machine="box-1", clock=clock, quiet_s=60.0)

    return _receive


@pytest.fixture
def look(database, clock):
    """Look once what is the matter, and return the open alerts."""
    feed = Reconciling(database=database, clock=clock, routes=(), quiet_s=60.0)

    def _look():
        clock.sleep(61)
        feed()
        with database.read() as connection:
            return sorted(alert["key"] for alert in lists.alerts(connection))

    return _look


def verified(database, clock, marks):
    """Let the archive have proved what the marks say."""
    values = {"state": DeliveryState.VERIFIED, "verified_at": clock.now(), "imported": marks, "experiment": "E1"}
    values |= {"since_at": clock.now(), "due_at": clock.now() + timedelta(days=36_500)}
    with database.write() as connection:
        connection.execute(update(tables.delivery).values(values))


def test_a_hole_is_alerted_until_it_is_filled(database, receive, look):
    receive(1, count=4, skip={2})
    assert look() == ["short:t1"]
    receive(1, count=4)
    assert look() == []
    with database.read() as connection:
        (found,) = studies(connection)
    assert (found["received"], found["short"]) == (4, [])
    assert found["series"][0]["why"] == "highest instance number (0020,0013)"


def test_a_run_shorter_than_all_before_is_alerted(database, receive, look):
    for of in (1, 2):
        receive(1, of=of, count=5)
    assert look() == []
    receive(1, of=3, count=4)
    receive(2, of=3, count=2, protocol="another")
    (alert,) = look()
    with database.read() as connection:
        (newest, *earlier) = studies(connection)
    assert alert == f"short:{newest['study']}"
    assert (newest["short"], [one["short"] for one in earlier]) == ([1], [[], []])


def test_a_study_without_a_route_is_alerted_until_somebody_assigns_it(database, receive, look, clock):
    receive(1, routed=False)
    assert look() == ["unrouted:t1"]
    given = {"destination": "central", "project": "Q", "subject": None, "session": "S", "machine": "box-1"}
    assign(database, "t1", routes=ROUTES, actor="somebody", clock=clock, **given)
    assert look() == []
    with database.read() as connection:
        found = study(connection, "t1")
    assert [(d["project"], d["session"], d["assigned_by"]) for d in found["deliveries"]] == [("Q", "S", "somebody")]
    assert [e["actor"] for e in found["events"]] == ["somebody"]


def test_raw_data_alone_may_be_assigned_too(database, receive, look, clock):
    receive(1, routed=False)
    given = {"destination": "bucket", "subject": None, "session": None, "machine": "box-1", "is_raw_only": True}
    for project in ("Q", "R"):
        assign(database, "t1", routes=ROUTES, project=project, actor="somebody", clock=clock, **given)
    with database.read() as connection:
        found = study(connection, "t1")
    assert found["raw_only"] == [{"destination": "bucket", "project": "R"}]
    assert look() == []


def test_only_what_was_proved_is_freed_and_only_after_its_time(database, receive, clock, tmp_path):
    receive(1)
    receive(2)
    sweep = {"database": database, "clock": clock, "machine": "box-1", "keep_s": 30 * _DAY_S}
    clock.sleep(60 * _DAY_S)
    assert sweep_images(**sweep) == 0
    verified(database, clock, {"1.1.1": 3, "1.1.2": 5})
    clock.sleep(29 * _DAY_S)
    assert sweep_images(**sweep) == 0
    clock.sleep(2 * _DAY_S)
    assert sweep_images(**sweep | {"machine": "box-2"}) == 0
    assert sweep_images(**sweep) == 0
    with database.write() as connection:  # as the engine does, now that it is due
        assert connection.execute(select(tables.delivery.c.due_at)).scalar() == clock.now()
        connection.execute(update(tables.delivery).values(verified_at=clock.now()))
    assert sweep_images(**sweep) == 5
    assert [path.name for path in tmp_path.glob("1-*")] == ["1-2-3"]
    with database.read() as connection:
        assert [s["freed"] for s in study(connection, "t1")["series"]] == [3, 2]
        assert lists.counts(connection)["image"] == {"here": 1, "freed": 5}


def test_one_archive_that_has_not_proved_it_keeps_it_here(database, receive, clock):
    receive(1)
    verified(database, clock, {"1.1.1": 3})
    with database.write() as connection:
        row = dict(connection.execute(select(tables.delivery)).mappings().one())
        other = row | {"id": 2, "destination": "other", "lane": "other/1", "state": DeliveryState.HELD}
        connection.execute(tables.delivery.insert().values(other))
    clock.sleep(90 * _DAY_S)
    assert sweep_images(database=database, clock=clock, machine="box-1", keep_s=0) == 0
    with database.write() as connection:
        connection.execute(update(tables.delivery).values(state=DeliveryState.VERIFIED, verified_at=clock.now()))
        connection.execute(update(tables.delivery).where(tables.delivery.c.id == 2).values(imported={"1.1.1": 1}))
    assert sweep_images(database=database, clock=clock, machine="box-1", keep_s=0) == 1
