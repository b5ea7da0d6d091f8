"""The signs by which a scanner is known to be measuring, bound to where each is looked for."""

from collections.abc import Callable
from datetime import UTC, datetime

from kspace.clock import Clock
from kspace.errors import SourceError
from kspace.sources.answering import AnsweringSource
from kspace.sources.share import Share, ShareSettings
from transfer.catalog.database import Database
from transfer.catalog.measuring import last_image_at, last_raw_at
from transfer.config import Scanner
from transfer.stages.manners import Sign


def signs_of(scanner: Scanner, *, database: Database, clock: Clock) -> Callable[[], list[Sign]]:
    """Return what looks for the signs of one scanner."""
    beat = _heartbeat(scanner, clock)

    def look() -> list[Sign]:
        found = {
            "raw data came": last_raw_at(database, scanner.name),
            "images came": last_image_at(database, scanner.name, serial=scanner.serial),
            "its heartbeat was seen": beat(),
        }
        return [Sign(what, at) for what, at in found.items() if at is not None]

    return look


def _heartbeat(scanner: Scanner, clock: Clock) -> Callable[[], datetime | None]:
    """Return what tells the time of change of the scanner's heartbeat; one that is not there, or not seen, tells none.

    A clock there that is ahead tells "now".
    """
    path = scanner.heartbeat
    if path is None:
        return lambda: None
    share = AnsweringSource(Share(ShareSettings(path=path.parent)), within_s=scanner.answer_s)

    def look() -> datetime | None:
        try:
            mtime_ns = share.stat(path.name).mtime_ns
        except SourceError:
            return None
        return min(datetime.fromtimestamp(mtime_ns / 1e9, UTC), clock.now())

    return look
