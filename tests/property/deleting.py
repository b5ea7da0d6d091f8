"""A file on a share that everything says may be deleted, and what can be wrong with each of these things."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from sqlalchemy import delete, insert, select, update

from kspace.clock import SystemClock
from kspace.sources.deleting import Deleter
from kspace.sources.limiting import Limiter
from kspace.sources.share import Share, ShareSettings
from tests.unit.transfer.test_receipts import CAPTURE, DELIVERY, PROOFS
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.scanner_tables import deletion
from transfer.feeds.delete import Deleting, Terms, approve, propose
from transfer.receipts import Signer, write_receipt

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BYTES = bytes(range(256)) * 9000  # more than two blocks
DIGEST = sha256(BYTES).hexdigest()
OTHER = BYTES[:1_500_000] + b"x" + BYTES[1_500_001:]
WRITTEN_NS = 1_700_000_000_000_000_000
PATH = "day/1200.dat"


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=max(0.0, seconds))


class World:
    """One file, proved by two archives long ago, and a catalog that says so."""

    def __init__(self, folder: Path, *, machine: str = "box") -> None:
        self.folder, self.share, self.clock, self.machine = folder, folder / "share", SetClock(), machine
        self.path = self.share / PATH
        self.signer = Signer(folder / f"{machine}.pem")
        self.database = Database(f"sqlite:///{folder / machine}.sqlite")
        self.proves = True
        self.while_proving: Callable[[], None] = lambda: None
        self.terms = Terms(
            source="prisma/1", machine=machine, public_key=self.signer.public_key, hold_s=86_400.0,
            files_per_day=5, bytes_per_day=1e9,
        )  # fmt: skip

    def fill(self) -> "World":
        """Write the file and the rows, into an empty catalog if there is none yet."""
        self.database.migrate()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.write(BYTES)
        work = {"since_at": NOW - timedelta(days=9), "due_at": NOW + timedelta(days=9), "machine": self.machine}
        with self.database.write() as connection:
            seen = dict.fromkeys(("changed_at", "first_seen_at"), NOW - timedelta(days=9))
            file = {"scanner": "prisma", "source": "prisma/1", "path": PATH, "version": 1, "size": len(BYTES)}
            file |= {"mtime_ns": WRITTEN_NS, "scope": "store"}
            connection.execute(insert(tables.source_file).values(id=1, **file, **seen))
            row = {"id": 1, "source_file_id": 1, "state": "retired", "sha256": DIGEST}
            connection.execute(insert(tables.capture).values(**row, **work))
            who = {"study_uid": "1.1", "called_ae": "A", "calling_ae": "B", "document": {}}
            times = {"first_arrival_at": NOW, "last_arrival_at": NOW}
            connection.execute(insert(tables.study).values(id=1, **who, **times))
            for number, name in enumerate(("central", "vault"), start=1):
                way = {"id": number, "kind": "raw", "capture_id": 1, "study_id": 1, "destination": name}
                way |= {"project": "P", "state": "verified", "place": DELIVERY.place}
                connection.execute(insert(tables.delivery).values(**way, **work))
                document = self.receipt(destination=name)
                connection.execute(insert(tables.receipt).values(delivery_id=number, document=document, at=NOW))
        return self

    def write(self, data: bytes, path: Path | None = None) -> None:
        """Write bytes in place, with the time that the file always had."""
        with (path or self.path).open("r+b" if (path or self.path).exists() else "wb") as out:
            out.write(data)
        os.utime(path or self.path, ns=(WRITTEN_NS, WRITTEN_NS))

    def replace(self, data: bytes) -> None:
        """Put another file under the same name, as long and as old."""
        beside = self.path.with_suffix(".new")
        self.write(data, beside)
        beside.rename(self.path)

    def receipt(self, *, days: int = 8, sha: str = DIGEST, signer: Signer | None = None, **more: str) -> bytes:
        """Return the receipt of an archive."""
        capture = replace(CAPTURE, sha256=sha, file=replace(CAPTURE.file, size=len(BYTES)))
        delivery = replace(DELIVERY, capture=capture, **more)
        at = NOW - timedelta(days=days)
        return write_receipt(delivery, PROOFS, folder="f", at=at, signer=signer or self.signer)

    def change(self, table, *where, **values) -> None:
        """Change rows of the catalog."""
        with self.database.write() as connection:
            connection.execute(update(table).where(*where).values(values))

    def give_receipt(self, document: bytes | None) -> None:
        """Put a document in the place of vault's receipt, or none."""
        with self.database.write() as connection:
            connection.execute(delete(tables.receipt).where(tables.receipt.c.delivery_id == 2))
            if document is not None:
                connection.execute(insert(tables.receipt).values(delivery_id=2, document=document, at=NOW))

    def approve(self) -> None:
        """List, and approve the list, as a person does."""
        propose(self.database, self.terms, actor="somebody", clock=self.clock)
        if self.journal():
            approve(self.database, self.terms, actor="somebody", clock=self.clock)

    def run(self, deleter: type[Deleter] = Deleter) -> None:
        """Let the relay delete what was approved."""
        limiter = Limiter(mbit_per_s=100_000, clock=SystemClock())
        made = deleter(self.share, limiter=limiter, within_s=20.0)
        ports = {"prove": self._prove, "waits": lambda: False, "database": self.database, "clock": self.clock}
        Deleting(self.terms, made, **ports)()

    def _prove(self, _delivery_id: int) -> bool:
        self.while_proving()
        return self.proves

    def journal(self) -> list[tuple[str, str | None]]:
        """Return steps and reasons of the journal."""
        with self.database.read() as connection:
            return [
                tuple(row)
                for row in connection.execute(select(deletion.c.state, deletion.c.reason).order_by(deletion.c.id))
            ]

    def listed(self) -> list[str]:
        """Return what the share lists."""
        return [file.path for file in Share(ShareSettings(path=self.share)).find()]

    def close(self) -> None:
        self.database.close()


def _link_away(world: World) -> None:
    away = world.folder / "away"
    shutil.copytree(world.path.parent, away)
    shutil.rmtree(world.path.parent)
    os.utime(away / "1200.dat", ns=(WRITTEN_NS, WRITTEN_NS))
    world.path.parent.symlink_to(away)


def _link_to_a_copy(world: World) -> None:
    copy = world.folder / "copy.dat"
    world.write(BYTES, copy)
    world.path.unlink()
    world.path.symlink_to(copy)


def _set_back(world: World) -> None:
    event = {"at": NOW + timedelta(hours=1), "actor": "a", "subject": "capture", "subject_id": 1, "verb": "b"}
    with world.database.write() as connection:
        connection.execute(insert(tables.event).values(event))


def _doubt(world: World) -> None:
    with world.database.write() as connection:
        connection.execute(insert(tables.alert).values(key="doubt:1", severity="warning", text="t", raised_at=NOW))


_C, _D, _F = tables.capture, tables.delivery, tables.source_file
WRONG: dict[str, Callable[[World], None]] = {
    "other bytes in place, as long and as old": lambda w: w.write(OTHER),
    "another file under the name, as long and as old": lambda w: w.replace(OTHER),
    "longer": lambda w: w.path.open("ab").write(b"x"),
    "newer": lambda w: os.utime(w.path),
    "a second name": lambda w: os.link(w.path, w.share / "second"),
    "a link to a copy": _link_to_a_copy,
    "a folder that leads out of the share": _link_away,
    "one archive has not verified": lambda w: w.change(_D, _D.c.id == 2, state="sent"),
    "one archive's copy is held": lambda w: w.change(_D, _D.c.id == 1, state="held"),
    "no receipt": lambda w: w.give_receipt(None),
    "a receipt for other bytes": lambda w: w.give_receipt(w.receipt(sha="b" * 64, destination="vault")),
    "a receipt of the other archive": lambda w: w.give_receipt(w.receipt(destination="central")),
    "a receipt for another place": lambda w: w.give_receipt(w.receipt(destination="vault", place="/elsewhere")),
    "a receipt with another key": lambda w: w.give_receipt(
        w.receipt(destination="vault", signer=Signer(w.folder / "foreign.pem"))
    ),
    "a receipt that was changed": lambda w: w.give_receipt(
        w.receipt(destination="vault", days=0).replace(b"2026-03", b"2026-02")
    ),
    "a receipt of today": lambda w: w.give_receipt(w.receipt(destination="vault", days=0)),
    "a receipt of tomorrow": lambda w: w.give_receipt(w.receipt(destination="vault", days=-1)),
    "an archive that lost it meanwhile, or does not answer": lambda w: setattr(w, "proves", False),
    "a capture that is fetched back": lambda w: w.change(_C, state="recalled"),
    "a capture that is held": lambda w: w.change(_C, state="held"),
    "a capture on its way": lambda w: w.change(_C, state="planned"),
    "a capture that is worked on": lambda w: w.change(_C, lease_token="t"),
    "another digest": lambda w: w.change(_C, sha256="c" * 64),
    "another file in the last listing": lambda w: w.change(_F, size=5),
    "nothing in the last listing": lambda w: w.change(_F, gone_at=NOW),
    "a clock that was set back": _set_back,
    "a scan in doubt": _doubt,
}
"""What must keep the file where it is, whenever it becomes so before the archives have proved it once more."""


class Dying(Deleter):
    """A deleter whose process is killed before its call of a number, or after it."""

    number, is_after = 0, False

    def _call(self, act, call):
        type(self).number -= act != "read a file"
        is_it = type(self).number == 0 and act != "read a file"
        if is_it and not self.is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = super()._call(act, call)
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def killed(folder: Path, number: int, *, is_after: bool) -> int:
    """Run once in a process of its own that is killed at a call of a number, and return how it ended."""
    pid = os.fork()
    if pid == 0:
        Dying.number, Dying.is_after = number, is_after
        World(folder).run(Dying)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
