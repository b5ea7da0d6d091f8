"""The listener's Inbox: a received image gets its place in the spool and its rows before anybody says Success."""

import os
from collections.abc import Sequence
from pathlib import Path

from dicom.listener import Received, Status
from dicom.records import Study
from kspace.clock import Clock
from kspace.errors import SpoolError
from kspace.paths import sync_folder
from transfer.catalog.arrivals import Arrival, record_arrival, route_again
from transfer.catalog.database import Database
from transfer.catalog.notices import raise_alert
from transfer.routing import Route, Target, targets


class CatalogInbox:
    """Files images by their digest, so that receiving one twice equals receiving it once."""

    def __init__(  # noqa: PLR0913 -- the ports
        self, database: Database, *, folder: Path, routes: Sequence[Route], clock: Clock, machine: str, quiet_s: float
    ) -> None:
        self._database = database
        self._folder = folder
        self._routes = routes
        self._clock = clock
        self._machine = machine
        self._quiet_s = quiet_s

    def accept(self, received: Received) -> Status:
        """Return Success once the file and its rows are durable.

        Raises:
            SpoolError: the disk refuses.
        """
        path = self._file(received)
        found = self._targets(received.study, received.called_ae, received.calling_ae)
        at = self._clock.now()
        arrival = Arrival(
            study=received.study,
            series=received.series,
            instance=received.instance,
            path=path,
            size=received.size,
            sha256=received.sha256,
            called_ae=received.called_ae,
            calling_ae=received.calling_ae,
        )
        record_arrival(self._database, arrival, targets=found, machine=self._machine, at=at, quiet_s=self._quiet_s)
        if not found:
            self._unrouted(received)
        return Status.SUCCESS

    def route_again(self) -> int:
        """Begin the deliveries of studies that came before their route was made; return of how many."""
        return route_again(self._database, self._targets, machine=self._machine, at=self._clock.now())

    def _targets(self, study: Study, called_ae: str, calling_ae: str) -> tuple[Target, ...]:
        return targets(self._routes, study, called_ae=called_ae, calling_ae=calling_ae)

    def _file(self, received: Received) -> Path:
        place = self._folder / received.sha256[:2] / f"{received.sha256}.dcm"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            received.path.replace(place)
            sync_folder(place.parent)
            sync_folder(self._folder)
        except OSError as error:
            raise SpoolError(f"The spool did not take a received image ({os.strerror(error.errno or 0)}).") from error
        return place

    def _unrouted(self, received: Received) -> None:
        with self._database.write() as connection:
            raise_alert(
                connection,
                key=f"route:{received.called_ae}",
                severity="warning",
                text=f"DICOM sent to {received.called_ae} by {received.calling_ae} has no route to any archive. It is "
                "safe in the spool; add a [[route]] for it.",
                at=self._clock.now(),
            )
