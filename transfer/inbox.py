"""The listener's Inbox: a received image gets its place in the spool and its rows before anybody says Success."""

import os
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import structlog
from sqlalchemy.exc import DBAPIError

from dicom.commitment import Report
from dicom.inbox import Caller, Received, Refused, Status
from dicom.listener import ListenerSettings
from dicom.records import Study
from kspace.clock import Clock
from kspace.errors import BadInput, KspaceError, SpoolError
from kspace.paths import sync_file, sync_folder
from transfer.catalog.arrivals import Arrival, Memory, record_arrivals, route_again
from transfer.catalog.commitments import open_request, record_report, record_request
from transfer.catalog.committed import judge
from transfer.catalog.database import Database
from transfer.catalog.notices import raise_alert
from transfer.catalog.refusals import note_refusal, record_refusal, tell_turned_away
from transfer.routing import Route, Target, targets

_log = structlog.get_logger()
_A_DAY = timedelta(days=1)
_MOST_CALLERS = 1000
"""Addresses with what they were refused for; beyond that counting begins anew."""


@dataclass(eq=False, slots=True, kw_only=True)
class _Waiting:
    """One image on its way, and what became of it: nobody is told Success for what was forgotten."""

    received: Received
    targets: tuple[Target, ...]
    place: Path
    synced: list[Future[None]]
    """File and folder on their way to the disk."""
    problem: KspaceError | None


class CatalogInbox:
    """Files images by their digest, so that receiving one twice equals receiving it once.

    What several associations bring at the same time is made durable together: one journal of the file system and one
    commit of the catalog for all of it.
    """

    def __init__(  # noqa: PLR0913 -- the ports
        self,
        database: Database,
        *,
        folder: Path,
        notes: Path,
        routes: Sequence[Route],
        clock: Clock,
        machine: str,
        quiet_s: float,
        settings: ListenerSettings | None = None,
        raw_only: Collection[str] = (),
    ) -> None:
        self._database = database
        self._folder = folder
        self._routes = routes
        self._raw_only = raw_only
        self._clock = clock
        self._machine = machine
        self._quiet_s = quiet_s
        self._settings = settings or ListenerSettings()
        self._durable: set[Path] = set()
        """Folders whose own entry is known to be on the disk."""
        self._memory = Memory()
        self._waiting: list[_Waiting] = []
        self._notes = notes
        self._unnoted: list[tuple[Refused, datetime]] = []
        """Refusals that neither catalog nor disk took: tried again with the next image."""
        self._turned_away: dict[tuple[str, str], tuple[datetime, int]] = {}
        self._syncing = ThreadPoolExecutor(2 * self._settings.max_associations, "sync")
        self._changing = threading.Lock()
        self._filing = threading.Lock()

    def accept(self, received: Received) -> Status:
        """Return Success once the file and its rows are durable.

        Raises:
            SpoolError: the disk refuses.
            BadInput: the catalog cannot hold what the image says of itself.
        """
        of_study = sha256(received.study.study_uid.encode()).hexdigest()[:16]
        place = self._folder / of_study / f"{received.sha256}.dcm"
        mine = _Waiting(
            received=received,
            targets=self._targets(received.study, received.called_ae, received.calling_ae),
            place=place,
            synced=self._place(received.path, place),
            problem=SpoolError("A received image was not filed; send it again."),
        )
        with self._changing:
            self._waiting.append(mine)
        with self._filing:
            if mine in self._waiting:  # else who had the turn before took it along
                with self._changing:
                    together, self._waiting = self._waiting, []
                self._file(together)
        if mine.problem is not None:
            raise mine.problem
        if not mine.targets:
            self._unrouted(received)
        return Status.SUCCESS

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

    def _targets(self, study: Study, called_ae: str, calling_ae: str) -> tuple[Target, ...]:
        found = targets(self._routes, study, called_ae=called_ae, calling_ae=calling_ae)
        return tuple(replace(target, is_raw_only=target.destination in self._raw_only) for target in found)

    def _place(self, path: Path, place: Path) -> list[Future[None]]:
        """Give the file its name and begin to sync it; until the row says so nobody relies on a name.

        A file system with a journal then writes it once for content and name. Only where the name is taken already
        must the content come first: a crash may not put a torn file in the place of a good one.
        """
        try:
            if place.parent not in self._durable:
                place.parent.mkdir(parents=True, exist_ok=True)
                sync_folder(self._folder)
                self._durable.add(place.parent)
            try:
                place.hardlink_to(path)
            except FileExistsError:
                sync_file(path)
                path.replace(place)
        except OSError as error:
            raise _refused_by(error) from error
        return [self._syncing.submit(sync, at) for sync, at in ((sync_file, place), (sync_folder, place.parent))]

    def _file(self, together: Sequence[_Waiting]) -> None:
        """Make all of them durable at once; one that the catalog cannot hold harms no other."""
        problem: KspaceError | None = None
        try:
            self._record(together)
        except BadInput as error:
            if len(together) > 1:
                for one in together:
                    self._file([one])
                return
            problem = error
        except KspaceError as error:
            problem = error
        for one in together:
            one.problem = problem
        if problem is None and self._unnoted:
            self._remember([])

    def _record(self, together: Sequence[_Waiting]) -> None:
        def are_on_disk() -> None:
            for one in together:
                for synced in one.synced:
                    synced.result()

        try:
            record_arrivals(
                self._database,
                [(_arrival(one), one.targets) for one in together],
                machine=self._machine,
                clock=self._clock,
                quiet_s=self._quiet_s,
                memory=self._memory,
                before_commit=are_on_disk,
            )
        except OSError as error:  # its name may be a twin's by now, so it stays: it takes no harm, and no row names it
            raise _refused_by(error) from error
        except DBAPIError as error:
            kind = type(error.orig).__name__
            raise BadInput(
                f"The catalog cannot hold what an image says of itself ({kind}); it was not taken."
            ) from error

    def _remember(self, refused: Sequence[tuple[Refused, datetime]]) -> None:
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


def _refused_by(error: OSError) -> SpoolError:
    return SpoolError(f"The spool did not take a received image ({os.strerror(error.errno or 0)}).")


def _arrival(one: _Waiting) -> Arrival:
    received = one.received
    return Arrival(
        study=received.study,
        series=received.series,
        instance=received.instance,
        path=one.place,
        size=received.size,
        sha256=received.sha256,
        called_ae=received.called_ae,
        calling_ae=received.calling_ae,
    )
