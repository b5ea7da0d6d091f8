"""Listings of RaidTool that somebody left in an export folder: what the scanner has beside what was exported."""

from kspace.clock import Clock
from kspace.errors import BadInput
from kspace.raidlist import read_listing
from kspace.records import SourceFile
from kspace.sources import Source
from transfer.catalog.database import Database
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.catalog.onscanner import record_on_scanner

_LARGEST = 8_000_000


class Listings:
    """Reads the text files of one folder, each once as it is; keeps numbers, protocols, sizes and times alone."""

    def __init__(self, source: Source, *, scanner: str, name: str, database: Database, clock: Clock) -> None:
        self._source = source
        self._scanner = scanner
        self._name = name
        self._database = database
        self._clock = clock
        self._read: set[SourceFile] = set()

    def __call__(self) -> None:
        """Read what is new.

        Raises:
            SourceError: the share does not answer.
        """
        there = [file for file in self._source.find() if 0 < file.size <= _LARGEST]
        for file in sorted(set(there) - self._read, key=lambda one: one.mtime_ns):
            self._take(file)
        self._read = set(there)

    def _take(self, file: SourceFile) -> None:
        with self._source.open(file.path) as reader:
            data = reader.read(0, file.size)
        try:
            rows, unread = read_listing(data)
        except BadInput:
            return  # somebody's notes: they are not for the relay
        now, key = self._clock.now(), f"listing_unread:{self._name}"
        with self._database.write() as connection:
            record_on_scanner(connection, self._scanner, rows, at=now)
            if unread:
                said = _UNREAD.format(name=self._name, unread=unread, read=len(rows))
                raise_alert(connection, key=key, severity="warning", text=said, at=now)
            else:
                clear_alert(connection, key=key, at=now)


_UNREAD = (
    "A listing of RaidTool in the folder of source {name} has {unread} lines that could not be read, beside {read} "
    "that could. Make it with `RaidTool -d` as it is, and leave a new one; raw files are not touched by this."
)
