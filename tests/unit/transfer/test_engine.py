"""The engine: one mistake holds its own row and nothing else, gates close stages, and an outage ends no thread."""

import threading

import pytest

from kspace.clock import SystemClock
from kspace.errors import SourceError
from kspace.records import Audit, SourceFile, Verdict
from transfer.catalog import lists, tables
from transfer.catalog.database import CatalogDown, Database
from transfer.catalog.listings import record_listing
from transfer.catalog.store import Store
from transfer.engine import Engine, Feed
from transfer.records import Done, Later, Settled
from transfer.selection import Choice, Step
from transfer.states import CaptureState

CLOCK = SystemClock()
SKIP = Done(
    Settled(
        Audit(verdict=Verdict.NOT_TWIX, position=0, reason="no TWIX"),
        (),
        Choice(step=Step.CAPTURE, is_wanted=False, rule=None, reason="unwanted"),
    )
)


@pytest.fixture
def database(tmp_path):
    opened = Database(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    opened.migrate()
    for number in range(6):
        file = SourceFile(path=f"{number}.dat", size=1, mtime_ns=1)
        source = f"scanner-{number}"
        record_listing(opened, scanner=source, source=source, files=[file], at=CLOCK.now(), quiet_s=0)
    yield opened
    opened.close()


@pytest.fixture
def run(database):
    """Run an engine until a condition holds on the captures by name."""
    started = []

    def _run(settle, *, until, closed=lambda: (), feeds=()):
        store = Store(database, clock=CLOCK, machine="box", backoff_s=0.05)
        engine = Engine(store, stages={"settle": settle}, feeds=feeds, closed=closed, clock=CLOCK, workers=2)
        started.append(engine)
        engine.start()
        pause = threading.Event()
        for _ in range(200):
            with database.read() as connection:
                found = {row["path"]: row for row in lists.captures(connection)}
            if until(found):
                return found
            pause.wait(0.05)
        raise AssertionError({name: (row["state"], row["reason"]) for name, row in found.items()})

    yield _run
    for engine in started:
        engine.stop(within_s=5)


def test_a_mistake_in_one_item_never_stops_the_others(run):
    def settle(capture, _progress):
        if capture.file.path == "3.dat":
            raise ZeroDivisionError("DOE^JANE")
        return SKIP

    def is_over(found):
        return sum(r["state"] == CaptureState.SKIPPED for r in found.values()) == 5 and found["3.dat"]["reason"]

    found = run(settle, until=is_over)
    assert found["3.dat"]["state"] == CaptureState.FOUND
    assert "ZeroDivisionError" in found["3.dat"]["reason"]
    assert "JANE" not in found["3.dat"]["reason"]


def test_a_closed_stage_is_not_begun_until_it_opens(run):
    gate, begun_while_closed, asked = {"settle"}, [], []

    def settle(capture, _progress):
        begun_while_closed.extend([capture.id] if gate else [])
        return SKIP

    def closed():
        asked.append(1)
        if len(asked) > 10:
            gate.clear()
        return gate

    run(settle, until=lambda f: {r["state"] for r in f.values()} == {"skipped"}, closed=closed)
    assert begun_while_closed == []


def test_an_outage_of_the_catalog_ends_no_thread(run):
    failures = iter([CatalogDown("down"), KeyError("a mistake")])

    def closed():
        error = next(failures, None)
        if error is not None:
            raise error
        return ()

    run(
        lambda _capture, _progress: SKIP, until=lambda f: {r["state"] for r in f.values()} == {"skipped"}, closed=closed
    )


def test_what_waits_is_not_counted_as_a_failure(run, database):
    run(lambda _c, _p: Later("not yet", 60.0), until=lambda f: all(r["reason"] == "not yet" for r in f.values()))
    with database.read() as connection:
        assert lists.counts(connection)["capture"] == {"found": 6}
        assert lists.alerts(connection) == []


@pytest.mark.parametrize("error", [CatalogDown("down"), OSError("disk"), KeyError("a mistake")])
def test_a_failing_feed_is_run_again(run, error):
    runs = []

    def feed():
        runs.append(1)
        raise error

    run(lambda _c, _p: SKIP, until=lambda _f: len(runs) > 2, feeds=[Feed("feed", 0.05, feed)])


class Told(Store):
    """A store that keeps what it was told of failures."""

    def fail(self, claim, error, *, progressed=False):
        self.told = (claim.stage, progressed)
        return super().fail(claim, error, progressed=progressed)


@pytest.mark.parametrize(("state", "told"), [("settled", ("pack", True)), ("found", ("settle", False))])
def test_a_failure_after_progress_is_a_first_one_only_where_the_progress_stays(database, state, told):
    """What was packed or sent is not packed or sent again; what was only looked at is looked at from its start."""
    with database.write() as connection:
        connection.execute(tables.capture.update().values(state=state))

    def some_way(_capture, progress):
        progress()
        raise SourceError("the share went away")

    store = Told(database, clock=CLOCK, machine="box")
    stages = {"pack": some_way, "settle": some_way}
    Engine(store, stages=stages, feeds=(), closed=lambda: (), clock=CLOCK, workers=1)._work(0)
    assert store.told == told
