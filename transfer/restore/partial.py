"""The file that is being restored, and beside it which parts of it are proved: a restore that ended goes on there."""

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from kspace.errors import BadInput, KspaceError, Retry
from kspace.paths import sync_folder
from transfer.restore.copy import Copy, Piece
from transfer.restore.damage import joined

_BLOCK = 1 << 20


class TargetFailed(KspaceError):
    """The disk that is restored to does not take the data."""

    code = "target_failed"
    exit_code = 6
    retry = Retry.PERSON
    pauses = True


class Partial:
    """A file as large as the original, with holes where nothing was fetched yet; one restore at a time works on it.

    The journal beside it has a line for each piece whose bytes are on the disk, with their SHA-256 as decoded: they are
    hashed again before a later restore relies on them.

    Raises:
        BadInput: another restore works on it.
        TargetFailed: the disk does not take it.
    """

    def __init__(self, folder: Path, copy: Copy) -> None:
        self.path = folder / f".{copy.folder}.partial"
        self._journal_path = self.path.with_suffix(".journal")
        self._size = copy.manifest.size
        self._head = json.dumps({"sha256": copy.manifest.sha256, "size": self._size}).encode() + b"\n"
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._data = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
            try:
                self._take()
                self._journal = self._journal_path.open("a+b")
            except BaseException:
                self._data.close()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock, suppress(OSError):  # what counts was flushed, and its errors were told
            self._data.close()
            self._journal.close()

    def proved(self, pieces: tuple[Piece, ...]) -> frozenset[Piece]:
        """Return the pieces that an earlier restore wrote and that are still on the disk as it wrote them."""
        with disk(self.path):
            self._journal.seek(0)
            if self._journal.readline() != self._head:
                self._begin_anew()
                return frozenset()
            noted = set[tuple[int, int, str]]()
            for line in self._journal:
                with suppress(ValueError, KeyError, TypeError):  # torn by a crash
                    said = json.loads(line)
                    start, end = map(int, said["range"])
                    if any(start < piece.end and piece.start < end for piece in pieces):
                        noted.add((start, end, str(said["sha256"])))
            self._journal.write(b"\n")  # so that a torn line never spoils the next one
            whole = joined((start, end) for start, end, digest in noted if digest == self._digest(start, end))
            # Another archive's pieces end elsewhere: what counts is that all of their bytes are there.
            return frozenset(p for p in pieces if any(start <= p.start and p.end <= end for start, end in whole))

    def check_room(self, missing: int) -> None:
        """See that the disk has so many bytes.

        Raises:
            TargetFailed: it has less.
        """
        free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            raise TargetFailed(
                f"The disk of {self.path.parent} has {free:,} bytes free, and {missing:,} are missing; nothing was "
                "fetched. Make room, or name another folder."
            )

    def write(self, at: int, raw: bytes | bytearray) -> None:
        """Write decoded bytes to their place; nothing once the file is closed, when the restore was given up."""
        with self._lock, disk(self.path):
            if self._data.closed:
                return
            self._data.seek(at)
            left = memoryview(raw)
            while left:
                left = left[self._data.write(left) :]

    def blank(self, start: int, end: int) -> None:
        """Write zeros where something may have been left."""
        for at in range(start, end, _BLOCK):
            self.write(at, bytes(min(_BLOCK, end - at)))

    def note(self, piece: Piece, digest: str) -> None:
        """Note that a piece is proved, once its bytes are on the disk."""
        line = json.dumps({"part": piece.name, "range": [piece.start, piece.end], "sha256": digest})
        with self._lock, disk(self.path):
            if self._data.closed:
                return
            os.fdatasync(self._data.fileno())
            self._journal.write(line.encode() + b"\n")
            self._journal.flush()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield what is written there; zeros where nothing is."""
        with self.path.open("rb") as handle:
            handle.seek(start)
            while start < end and (block := handle.read(min(_BLOCK, end - start))):
                start += len(block)
                yield block

    def sha256(self) -> str:
        """Return the digest of the file as it lies there."""
        digest = sha256()
        for block in self.read(0, self._size):
            digest.update(block)
        return digest.hexdigest()

    def become(self, target: Path) -> None:
        """Give the file its name, which nobody else may have taken meanwhile, and forget the journal."""
        with disk(self.path):
            os.fsync(self._data.fileno())
            appear(self.path, target)
        self.drop()

    def drop(self) -> None:
        """Remove what is left of it."""
        self.path.unlink(missing_ok=True)
        self._journal_path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Prove nothing of it any more: what was noted turned out wrong."""
        with self._lock, disk(self.path):
            self._begin_anew()

    def _take(self) -> None:
        try:
            fcntl.flock(self._data, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.fstat(self._data.fileno()).st_ino == self.path.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        if not is_ours:
            raise BadInput(f"Another restore of this capture works in {self.path.parent}; wait for it or end it.")

    def _begin_anew(self) -> None:
        self._journal.truncate(0)
        self._journal.write(self._head)
        self._journal.flush()
        self._data.truncate(0)
        self._data.truncate(self._size)

    def _digest(self, start: int, end: int) -> str:
        digest = sha256()
        for block in self.read(start, end):
            digest.update(block)
        return digest.hexdigest()


def appear(path: Path, target: Path) -> None:
    """Let a finished file appear under its name; unlike a rename, this never replaces a file that came meanwhile.

    Raises:
        BadInput: there is one.
    """
    try:
        os.link(path, target)
    except FileExistsError:
        raise exists(target) from None
    except OSError:  # a disk without hard links, as memory sticks are
        if target.exists():
            raise exists(target) from None
        path.rename(target)
    sync_folder(target.parent)


def exists(target: Path) -> BadInput:
    """Return the error for a file that is there already."""
    return BadInput(f"{target} exists already and is left as it is; name another place.")


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Say in one sentence what the disk refused and what is kept."""
    try:
        yield
    except OSError as error:
        raise TargetFailed(
            f"{path.parent} does not take the data ({os.strerror(error.errno or 0)}). What was proved until then stays "
            "there: make room or see to that disk, and the same command goes on from it."
        ) from error
