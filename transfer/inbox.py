"""The listener's Inbox: a received image gets its place in the spool and its rows before anybody says Success."""

import itertools
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy.exc import DBAPIError

from dicom.commitment import Report
from dicom.inbox import Caller, Received, Refused, Status
from dicom.records import Study
from dicom.settings import ListenerSettings
from kspace.clock import Clock
from kspace.errors import BadInput, KspaceError, SpoolError
from transfer.catalog.arrivals import Arrival, Memory, record_arrivals, route_again
from transfer.catalog.commitments import open_request, record_report, record_request
from transfer.catalog.committed import judge
from transfer.catalog.database import Database
from transfer.catalog.notices import raise_alert
from transfer.catalog.reception import tell_lost, tell_turned_away
from transfer.catalog.refusals import note_refusal, record_refusal
from transfer.feeds.returned import returned
from transfer.routing import Route, Target, targets

_log = structlog.get_logger()
_A_DAY = timedelta(days=1)
_MOST_CALLERS = 1000
"""Addresses with what they were refused for; beyond that counting begins anew."""


class CatalogInbox:
    """Writes the rows of images that lie durable on the shelf."""

    def __init__(  # noqa: PLR0913 -- the ports
        self,
        database: Database,
        *,
        notes: Path,
        routes: Sequence[Route],
        clock: Clock,
        machine: str,
        quiet_s: float,
        settings: ListenerSettings | None = None,
        raw_only: Collection[str] = (),
    ) -> None:
        self._database = database
        self._routes = routes
        self._raw_only = raw_only
        self._clock = clock
        self._machine = machine
        self._quiet_s = quiet_s
        self._settings = settings or ListenerSettings()
        self._memory = Memory()
        self._notes = notes
        self._may_miss = True
        """Whether images may be missing that were refused, in this life or an earlier one."""
        self._unnoted: list[tuple[Refused, datetime]] = []
        """Refusals that neither catalog nor disk took: tried again with the next image."""
        self._turned_away: dict[tuple[str, str], tuple[datetime, int]] = {}
        self._changing = threading.Lock()

    def accept(self, together: Sequence[Received]) -> list[Status | KspaceError]:
        """Return Success for each image once all their rows are durable; one that cannot be held harms no other.

        Refused is what the catalog cannot hold of what the image says of itself (`BadInput`), what was freed as it
        came again (`SpoolError`), and all of them while the catalog is down.
        """
        found = [self._targets(one.study, one.called_ae, one.calling_ae) for one in together]
        try:
            self._record(list(zip(map(_arrival, together), found, strict=True)))
        except (BadInput, SpoolError) as error:
            return [error] if len(together) == 1 else [one for each in together for one in self.accept([each])]
        except KspaceError as error:
            return [error] * len(together)
        if self._unnoted:
            self._remember([])
        if self._may_miss:
            self.look_back()
        for one in itertools.compress(together, (not ways for ways in found)):
            self._unrouted(one)
        return [Status.SUCCESS] * len(together)

    def refuse(self, refused: Refused) -> None:
        """Remember that an instance was refused; while the catalog is down, in the notes beside it."""
        self._remember([(refused, self._clock.now())])

    def turn_away(self, caller: Caller, why: str) -> None:
        """Tell that associations are refused: of the first, and each time there were twice as many in a day."""
        now = self._clock.now()
        with self._changing:
            since, number = self._turned_away.get((caller.peer, why), (now, 0))
            since, number = (since, number + 1) if now - since < _A_DAY else (now, 1)
            if len(self._turned_away) > _MOST_CALLERS:
                self._turned_away.clear()
            self._turned_away[caller.peer, why] = since, number
        if number & number - 1:
            return
        try:
            with self._database.write() as connection:
                tell_turned_away(connection, caller, why, number, at=now)
        except KspaceError as error:
            _log.warning("turned_away.unwritten", code=error.code)

    def lost(self, reason: str, *, was_alive: bool) -> None:
        """Tell that a receiving process ended or hung; that none can begin is critical, since nothing is received."""
        try:
            with self._database.write() as connection:
                tell_lost(connection, self._settings.ae_title, reason, was_alive=was_alive, at=self._clock.now())
        except KspaceError as error:
            _log.warning("lost.unwritten", code=error.code)

    def promise(self, transaction_uid: str, wanted: Sequence[tuple[str, str]], caller: Caller) -> Status:
        """Return Success once a request for storage commitment is durable."""
        now = self._clock.now()
        is_taken = record_request(self._database, transaction_uid, wanted, caller, machine=self._machine, at=now)
        return Status.SUCCESS if is_taken else Status.INVALID_ARGUMENT

    def report(self, transaction_uid: str, caller: Caller) -> Report | None:
        """Return the answer for a caller that has no address of its own, once it is known."""
        if caller.calling_ae in (self._settings.report_to or {}):
            return None
        found = open_request(self._database, transaction_uid, caller)
        if found is None:
            return None
        return judge(self._database, found, here=self._settings.commits_here, is_late=False)

    def reported(self, transaction_uid: str, caller: Caller) -> None:
        """Take note that the caller has the answer."""
        found = open_request(self._database, transaction_uid, caller)
        if found is not None:
            record_report(self._database, found, at=self._clock.now())

    def route_again(self) -> int:
        """Begin the deliveries of studies that came before their route was made; return of how many."""
        return route_again(self._database, self._targets, machine=self._machine, at=self._clock.now())

    def look_back(self) -> None:
        """Take over what was refused while the catalog was down, and end the alerts of what has arrived since."""
        self._may_miss = False
        try:
            self._may_miss |= returned(database=self._database, clock=self._clock, notes=self._notes)
        except KspaceError as error:
            _log.warning("refusals.unread", code=error.code)
            self._may_miss = True

    def _targets(self, study: Study, called_ae: str, calling_ae: str) -> tuple[Target, ...]:
        found = targets(self._routes, study, called_ae=called_ae, calling_ae=calling_ae)
        return tuple(replace(target, is_raw_only=target.destination in self._raw_only) for target in found)

    def _record(self, arrivals: Sequence[tuple[Arrival, Iterable[Target]]]) -> None:
        try:
            record_arrivals(
                self._database,
                arrivals,
                machine=self._machine,
                clock=self._clock,
                quiet_s=self._quiet_s,
                memory=self._memory,
            )
        except DBAPIError as error:
            kind = type(error.orig).__name__
            raise BadInput(
                f"The catalog cannot hold what an image says of itself ({kind}); it was not taken."
            ) from error

    def _remember(self, refused: Sequence[tuple[Refused, datetime]]) -> None:
        self._may_miss = True
        with self._changing:
            refused, self._unnoted = [*self._unnoted, *refused], []
        try:
            with self._database.write() as connection:
                for one, at in refused:
                    record_refusal(connection, one, at=at)
        except KspaceError as error:
            _log.warning("refusal.unwritten", code=error.code, number=len(refused))
            try:
                for one, at in refused:
                    note_refusal(self._notes, one, at=at)
            except OSError:
                with self._changing:
                    self._unnoted = [*refused, *self._unnoted]

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


def _arrival(received: Received) -> Arrival:
    return Arrival(
        study=received.study,
        series=received.series,
        instance=received.instance,
        path=received.path,
        size=received.size,
        sha256=received.sha256,
        called_ae=received.called_ae,
        calling_ae=received.calling_ae,
    )
