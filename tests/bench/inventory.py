"""`python -m tests.bench.inventory`: what a poll of 100,000 known files costs, and the listing that goes before it.

Each line tells seconds, and by how much the process's memory grew at most. The catalog is SQLite on this disk.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kspace.clock import SystemClock
from kspace.records import SourceFile
from kspace.sources.share import Share, ShareSettings
from transfer.catalog.database import Database
from transfer.catalog.listings import record_listing
from transfer.feeds.find import find

FILES = 100_000
_MB = 1e6


class Known:
    """A source that lists what it was given, made anew at each listing as a share's answers are."""

    def __init__(self, *, more: int = 0, grown: int = 0) -> None:
        self.more, self.grown = more, grown

    def find(self) -> Iterator[SourceFile]:
        """Yield so many files, named as RDS names them."""
        for number in range(FILES + self.more):
            path = f"2026/PROJECT#SPRISMA1#F{number:06}#M{number:05}#D310126#T120000#t1_mprage_sag_p2_iso.dat"
            yield SourceFile(path=path, size=10**9 + (number < self.grown), mtime_ns=1_700_000_000 * 10**9 + number)


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="inventory-", dir=os.environ.get("KSPACE_BENCH_FOLDER")) as name:
        folder = Path(name)
        database = Database(f"sqlite:///{folder / 'catalog.sqlite'}")
        database.migrate()
        poll = _poller(database)
        _say("first listing", poll, Known())
        _say("nothing new", poll, Known())
        _say("10 new, 10 grown", poll, Known(more=10, grown=10))
        _say("nothing new again", poll, Known(more=10, grown=10))
        with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
            _real(Path(made), database)
        database.close()


def _poller(database: Database) -> Callable[[Known], int]:
    def poll(source: Known) -> int:
        return find(
            source,  # type: ignore[arg-type]
            scanner="prisma-1",
            name="prisma-1/1",
            database=database,
            clock=SystemClock(),
            quiet_s=120.0,
        )

    return poll


def _real(share: Path, database: Database) -> None:
    """List real files, in memory."""
    for number in range(FILES):
        if number % 1000 == 0:
            (share / f"{number // 1000}").mkdir(parents=True)
        (share / f"{number // 1000}" / f"meas_MID{number:05}_t1_mprage.dat").touch()
    source = Share(ShareSettings(path=share))
    at = datetime.now(UTC)
    given = {"scanner": "prisma-2", "source": "prisma-2/1", "quiet_s": 120.0}
    record_listing(database, files=source.find(), at=at, **given)
    _say(
        "nothing new, real files",
        lambda s: record_listing(database, files=s.find(), at=at + timedelta(seconds=30), **given),
        source,
    )


def _say(what: str, work: Callable[..., object], source: object) -> None:
    pid = os.fork()  # the greatest memory of a process never sinks: each figure has a process of its own
    if pid == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, cpu = time.monotonic(), time.process_time()
        work(source)
        took, cpu = time.monotonic() - began, time.process_time() - cpu
        grew = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / _MB
        sys.stdout.write(f"{what:24} {took:6.2f} s, {cpu:6.2f} s of CPU, {grew:5.0f} MB\n")
        sys.stdout.flush()
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise SystemExit(f"{what} failed")


if __name__ == "__main__":
    main()
