"""A migrated catalog on SQLite and on PostgreSQL, a clock that a test sets, and a store over both."""

from datetime import UTC, datetime, timedelta

import pytest

from dicom.records import Instance, Series, Study
from kspace.records import SourceFile
from transfer.catalog.arrivals import Arrival, record_arrivals
from transfer.catalog.database import Database
from transfer.catalog.listings import record_listing
from transfer.catalog.store import Store
from transfer.routing import Target


class SetClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=max(0.0, seconds))


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    else:
        url = request.getfixturevalue("postgres_url")
    opened = Database(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def store(database, clock):
    return Store(database, clock=clock, machine="box-1")


@pytest.fixture
def list_files(database, clock):
    """List files of a scanner as one listing would, quiet since long."""

    def listed(*files: SourceFile, scanner: str = "prisma") -> int:
        return record_listing(
            database, scanner=scanner, source=f"{scanner}/1", files=files, at=clock.now(), quiet_s=0.0
        ).news

    return listed


@pytest.fixture
def arrive(database, clock, tmp_path):
    """Let one image of a series arrive."""

    def _arrive(study: str, number: int, *, image: int = 1, ticks=(), **more) -> None:
        uid = f"{study}.{number}.{image}"
        told = {"serial": "4711"} | more
        series = Series(series_uid=f"{study}.{number}", study_uid=study, number=number, **told)
        arrival = Arrival(
            study=Study(study_uid=study),
            series=series,
            instance=Instance(sop_uid=uid, sop_class="1.2", transfer_syntax="1.2", ticks=ticks),
            path=tmp_path / uid,
            size=5,
            sha256=uid.ljust(64, "0"),
            called_ae="KSPACE",
            calling_ae="SCANNER",
        )
        target = Target(destination="x", project="P", subject="S", session="E", route="r", why="its AE title")
        record_arrivals(database, [(arrival, [target])], machine="box-1", clock=clock, quiet_s=1.0)

    return _arrive
