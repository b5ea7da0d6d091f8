"""What is read of the box into the catalog, and its findings into alerts: one feed a reader."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import Connection, or_, select

from hardware.judgement import judge
from hardware.readings import NoAnswer, NotHere, Reader
from hardware.records import Limit, Reading, Severity
from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.catalog.readings import thin_readings, write_readings
from transfer.catalog.tables import alert

_STORED_EVERY_S = 55.0
_log = structlog.get_logger()

_SILENT = Limit(
    key="reader",
    what="reader_failures",
    warning=3,
    text="The box cannot be watched in full ({of}): {said}",
)
"""Once may be chance. What is not installed is no failure: `kspace pools` says what is not watched."""


class Sampling:
    """One reader's turns; the machine's name keeps its alerts apart from those of other boxes on the same catalog."""

    def __init__(self, kind: str, reader: Reader, *, database: Database, clock: Clock, machine: str) -> None:
        self._kind = kind
        self._reader = reader
        self._database = database
        self._clock = clock
        self._machine = machine
        self._failures = 0
        self._said = ""
        self._stored_at: float | None = None

    def __call__(self) -> None:
        """Read once, raise or clear the alerts that follow, and store it: each minute, and when an alert changes."""
        readings = self._read()
        now, at = self._clock.monotonic(), self._clock.now()
        with self._database.write() as connection:
            is_news = self._tell(connection, readings, at)
            if is_news or self._stored_at is None or now - self._stored_at >= _STORED_EVERY_S:
                write_readings(connection, readings, machine=self._machine, at=at)
                self._stored_at = now

    def _read(self) -> list[Reading]:
        """Return what was read, with a last line on the reading itself; what fails is logged once."""
        readings, said, is_missing = list[Reading](), "", False
        try:
            for reading in self._reader.read():
                readings.append(reading)
        except NoAnswer as error:
            said = str(error)
        except NotHere as error:
            said, is_missing = str(error), True
        self._failures = self._failures + 1 if said and not is_missing else 0
        if said != self._said:
            tell = _log.warning if said else _log.info
            tell("reader.failed" if said else "reader.works", kind=self._kind, missing=is_missing)
            self._said = said
        of_itself = Reading(what="reader_failures", of=self._kind, value=self._failures, said=said)
        if is_missing:
            of_itself = Reading(what="reader_is_missing", of=self._kind, value=1, said=said)
        return [*readings, of_itself]

    def _tell(self, connection: Connection, readings: Sequence[Reading], at: datetime) -> bool:
        """Raise and clear alerts, and return whether that changed anything.

        Where the reader got no answer nobody knows whether what was found is over: it stays until somebody looked.
        """
        limits, end = (*self._reader.limits, _SILENT), f"@{self._machine}"
        prefixes = [f"{limit.key}:" for limit in self._reader.limits] + [f"{_SILENT.key}:{self._kind}{end}"]
        ours = or_(*(alert.c.key.startswith(prefix, autoescape=True) for prefix in prefixes))
        mine = alert.c.cleared_at.is_(None) & alert.c.key.endswith(end, autoescape=True) & ours
        rows = connection.execute(select(alert.c.key, alert.c.severity).where(mine)).all()
        was = {key.removesuffix(end): Severity(severity) for key, severity in rows}
        found = {finding.key: finding for finding in judge(readings, limits, was=was)}
        own = f"{_SILENT.key}:{self._kind}"
        unseen = was.keys() - found.keys()
        over = unseen & {own} if self._failures else unseen
        for key in over:
            clear_alert(connection, key=key + end, at=at)
        for key, finding in found.items():
            raise_alert(connection, key=key + end, severity=finding.severity, text=finding.text, at=at)
        return bool(over) or any(was.get(key) is not finding.severity for key, finding in found.items())


def thin(*, database: Database, clock: Clock, machine: str) -> int:
    """Thin this machine's readings with their age, and return how many went."""
    with database.write() as connection:
        return thin_readings(connection, machine=machine, now=clock.now())
