"""What a person may do: each act moves exactly what it names, leaves an event, and can be taken back."""

import pytest
from sqlalchemy import insert, select

from kspace.clock import SystemClock
from kspace.errors import BadInput, NotFound
from kspace.records import SourceFile
from transfer import operations
from transfer.catalog import lists, tables
from transfer.catalog.database import Database
from transfer.catalog.listings import record_listing
from transfer.catalog.store import Store
from transfer.states import CaptureState

CLOCK = SystemClock()


@pytest.fixture
def database(tmp_path):
    opened = Database(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    opened.migrate()
    file = SourceFile(path="a.dat", size=1, mtime_ns=1)
    record_listing(opened, scanner="s", source="s/1", files=[file], at=CLOCK.now(), quiet_s=0)
    yield opened
    opened.close()


def put(database, state, **columns):
    with database.write() as connection:
        connection.execute(tables.capture.update().values(state=state, **columns))


def now(database):
    with database.read() as connection:
        return lists.story(connection, 1)


@pytest.mark.parametrize(
    "state",
    [
        CaptureState.FOUND,
        CaptureState.SETTLED,
        CaptureState.PACKED,
        CaptureState.MATCHED,
        CaptureState.PLANNED,
        CaptureState.DELIVERED,
    ],
)
def test_what_is_held_goes_on_where_it_was(database, state):
    put(database, state)
    assert operations.hold(database, "1", reason="wait", actor="ann", clock=CLOCK) == ["1"]
    assert (now(database)["state"], now(database)["reason"]) == (CaptureState.HELD, "wait")
    assert operations.retry(database, "1", actor="bob", clock=CLOCK) == ["1"]
    assert now(database)["state"] == state
    assert [(e["verb"], e["actor"]) for e in now(database)["events"][-2:]] == [
        ("capture.held", "ann"),
        ("capture.retried", "bob"),
    ]


@pytest.mark.parametrize("state", [CaptureState.SKIPPED, CaptureState.RETIRED, CaptureState.RELEASED])
def test_what_is_done_can_be_neither_held_nor_retried(database, state):
    put(database, state)
    with pytest.raises(BadInput):
        operations.hold(database, "1", reason="wait", actor="ann", clock=CLOCK)
    with pytest.raises(BadInput):
        operations.retry(database, "1", actor="ann", clock=CLOCK)
    assert now(database)["state"] == state


def test_an_unwanted_file_is_captured_on_a_persons_word(database):
    put(database, CaptureState.SKIPPED)
    operations.retry(database, "1", actor="ann", clock=CLOCK, as_is=True)
    assert now(database)["state"] == CaptureState.FOUND
    with database.read() as connection:
        assert connection.execute(select(tables.capture.c.as_is)).scalar() is True


def test_holding_raises_an_alert_and_retrying_clears_it(database):
    operations.hold(database, "1", reason="wait", actor="ann", clock=CLOCK)
    with database.read() as connection:
        assert [a["text"] for a in lists.alerts(connection)] == ["Held by a person; `kspace retry 1` goes on."]
    operations.retry(database, "1", actor="ann", clock=CLOCK)
    with database.read() as connection:
        assert lists.alerts(connection) == []


def test_a_retry_ends_pauses(database):
    with database.write() as connection:
        values = {"what": "destination:x", "until_at": CLOCK.now(), "reason": "down", "failures": 9}
        connection.execute(insert(tables.pause).values(values))
    operations.retry(database, "1", actor="ann", clock=CLOCK)
    with database.read() as connection:
        assert connection.execute(select(tables.pause)).all() == []


def test_what_a_stage_works_on_is_left_to_it(database):
    put(database, CaptureState.FOUND, lease_token="t")
    with pytest.raises(BadInput):
        operations.retry(database, "1", actor="ann", clock=CLOCK)


@pytest.mark.parametrize("reference", ["2", "d1", "x", "", "d", "-1", "1e3", "99999999999999"])
def test_a_reference_to_nothing_is_not_found(database, reference):
    with pytest.raises(NotFound):
        operations.retry(database, reference, actor="ann", clock=CLOCK)


def test_what_a_person_prefers_goes_first_and_the_event_says_who(database):
    later = SourceFile(path="b.dat", size=1, mtime_ns=1)
    record_listing(database, scanner="t", source="t/1", files=[later], at=CLOCK.now(), quiet_s=0)
    store = Store(database, clock=CLOCK, machine="box")
    assert operations.prefer(database, "2", priority=1, actor="ann", clock=CLOCK) == ["2"]
    assert [store.claim("capture").id, store.claim("capture").id] == [2, 1]
    with database.read() as connection:
        event = lists.story(connection, 2)["events"][-1]
    assert (event["verb"], event["actor"], event["detail"]) == ("capture.preferred", "ann", "priority 1")
    with pytest.raises(NotFound):
        operations.prefer(database, "9", priority=1, actor="ann", clock=CLOCK)
