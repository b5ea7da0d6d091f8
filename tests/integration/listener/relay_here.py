"""A relay's listener with its catalog, whose archive proves what a test says."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select, update

from dicom.listener import Listener
from dicom.settings import ListenerSettings
from transfer.catalog import lists, tables
from transfer.catalog.database import Database
from transfer.feeds.report import report
from transfer.inbox import CatalogInbox
from transfer.routing import Route
from transfer.states import DeliveryState


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def passes(self, **time) -> None:
        self.at += timedelta(**time)


class Site:
    """A relay's listener with its catalog, and the feed that reports; opened anew it is the same site."""

    def __init__(self, folder: Path, clock: Clock, **settings) -> None:
        self.settings = ListenerSettings(**{"port": 0, "processes": 1} | settings)
        self.clock = clock
        self.database = Database(f"sqlite:///{folder / 'catalog.sqlite'}")
        self.database.migrate()
        route = Route(destinations=("central",), project="P")
        ports = {"clock": clock, "machine": "box", "quiet_s": 1.0, "settings": self.settings}
        ports |= {"notes": folder / "refused.jsonl"}
        inbox = CatalogInbox(self.database, routes=[route], **ports)
        self.listener = Listener(self.settings, inbox=inbox, folder=folder / "incoming", shelf=folder / "dicom")

    def report(self) -> int:
        return report(listeners=[self.settings], database=self.database, clock=self.clock, machine="box")

    def archive(self, *, but: str = "") -> None:
        """Let the archive have proved that it holds everything, except a series that its filter did not take."""
        with self.database.write() as connection:
            imported = {
                uid: 1000 for uid in connection.execute(select(tables.series.c.series_uid)).scalars() if uid != but
            }
            connection.execute(update(tables.delivery).values(state=DeliveryState.VERIFIED, imported=imported))

    def alerts(self) -> list[str]:
        with self.database.read() as connection:
            return [a["text"] for a in lists.alerts(connection)]

    @contextmanager
    def open(self):
        self.listener.start()
        try:
            yield self
        finally:
            self.listener.stop(grace_s=5)
            self.database.close()

    def uids(self) -> set[str]:
        """Return every instance in the catalog."""
        with self.database.read() as connection:
            return set(connection.execute(select(tables.instance.c.sop_uid)).scalars())

    def kept(self, sop_uid: str) -> list[Path]:
        """Return the files of one instance."""
        i = tables.instance.c
        with self.database.read() as connection:
            return [
                Path(path) for path in connection.execute(select(i.path).where(i.sop_uid == str(sop_uid))).scalars()
            ]
