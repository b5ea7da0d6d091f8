"""What waits on a scanner: read by age, its time left in the ledger, and an alert before it is overwritten."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from kspace.errors import SourceError
from kspace.records import SourceFile
from kspace.sources.settings import Scope
from transfer.catalog import tables
from transfer.catalog.listings import record_listing
from transfer.catalog.lists import alerts
from transfer.catalog.lying import tell_time_left
from transfer.feeds.endangered import watch_store

GB = 10**9
C, F = tables.capture, tables.source_file


@pytest.fixture
def list_aged(database, clock):
    """List files of 1 GB, each so many hours old."""

    def listed(*ages_h: int, scope: Scope = Scope.STORE) -> None:
        born = [clock.now() - timedelta(hours=age) for age in ages_h]
        files = [SourceFile(path=f"{at:%d%H}.dat", size=GB, mtime_ns=int(at.timestamp()) * GB) for at in born]
        record_listing(
            database, scanner="prisma", source="prisma/1", files=files, at=clock.now(), quiet_s=0.0, scope=scope
        )

    return listed


@pytest.fixture
def watch(database, clock):
    def run(capacity_bytes: int | None = None, shares=()) -> list[tuple[str, str]]:
        watch_store(shares, scanner="prisma", capacity_bytes=capacity_bytes, database=database, clock=clock)
        with database.read() as connection:
            return [(row["severity"], row["text"]) for row in alerts(connection)]

    return run


def test_what_waits_is_read_by_age_and_keeps_its_place_among_others(database, list_aged, watch, clock, store):
    list_aged(1, 30, 20, 10)
    with database.write() as connection:
        connection.execute(update(C).where(C.c.id < 4).values(state="settled"))
        for number in range(1, 5):
            due_at = clock.now() - timedelta(seconds=number)
            connection.execute(update(C).where(C.c.id == number).values(due_at=due_at))
    watch()
    with database.read() as connection:
        order = connection.execute(select(C.c.id).order_by(C.c.due_at)).scalars().all()
    assert order == [4, 2, 3, 1], "what nobody has looked into stays first, then by age"
    assert store.claim("capture", but_not=("settle",)).id == 2


def test_a_loss_is_announced_and_withdrawn_once_the_file_is_captured(database, list_aged, watch, clock):
    list_aged(*range(1, 48))
    assert watch() == [], "nobody knows what the store holds"
    assert watch(1000 * GB) == []
    ((severity, text),) = watch(60 * GB)
    assert severity == "warning"
    assert "that only scanner prisma has may be overwritten before they are captured; the first in" in text
    ((severity, _),) = watch(50 * GB)
    assert severity == "critical"
    with database.write() as connection:
        connection.execute(update(C).values(state="packed"))
    assert watch(50 * GB) == []


def test_the_ledger_tells_the_time_left_but_not_of_exports(database, list_aged, clock):
    list_aged(*range(1, 26))
    clock.sleep(3600)
    list_aged(*range(1, 25))  # the two oldest went, for one that is new
    columns = (F.c.scanner, F.c.scope, F.c.gone_at, F.c.mtime_ns, F.c.first_seen_at)
    with database.read() as connection:
        rows = [{"is_packed": n == 0, **row} for n, row in enumerate(connection.execute(select(*columns)).mappings())]
        rows.append(rows[1] | {"scope": Scope.EXPORTS})
        tell_time_left(connection, rows, now=clock.now())
    assert (rows[0]["time_left"], rows[0]["left_s"]) == (None, None)
    assert rows[1]["time_left"].endswith(" h, roughly")
    assert 0 < rows[1]["left_s"] < 86_400
    assert (rows[-1]["time_left"], rows[-1]["left_s"]) == ("unknown", None)


class Free:
    """A share that says how much is free on it."""

    def __init__(self, free_bytes: int | None) -> None:
        self._free_bytes = free_bytes

    def free_bytes(self) -> int | None:
        if self._free_bytes == -1:
            raise SourceError("The share does not answer.")
        return self._free_bytes


def time_left(database, now) -> str:
    columns = (F.c.scanner, F.c.scope, F.c.gone_at, F.c.mtime_ns, F.c.first_seen_at)
    with database.read() as connection:
        rows = [{"is_packed": False, **row} for row in connection.execute(select(*columns)).mappings()]
        tell_time_left(connection, rows, now=now)
    return rows[0]["time_left"]


@pytest.mark.parametrize(
    ("holds", "is_known"),
    [
        ((57 * GB, [500 * GB]), True),
        ((None, [10 * GB]), True),
        ((None, [4 * GB, 6 * GB]), True),
        ((None, [4 * GB, None]), False),
        ((None, [-1]), False),
        ((None, []), False),
    ],
)
def test_the_ledger_counts_on_what_is_said_or_free(database, list_aged, watch, holds, is_known):
    list_aged(*range(47, 0, -1))
    (said, free), now = holds, datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert time_left(database, now) == "unknown"
    watch(said, [Free(one) for one in free])
    assert time_left(database, now) == ("about 11 h, roughly" if is_known else "unknown")
    watch(None, [])
    assert time_left(database, now) == "unknown", "what is not said any more does not count"


def test_exports_feed_no_clock(list_aged, watch):
    list_aged(*range(1, 48), scope=Scope.EXPORTS)
    assert watch(50 * GB) == []
