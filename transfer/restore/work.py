"""One wish on its way: which parts it needs, what came of each, and how it ends."""

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path

from kspace.errors import KspaceError
from kspace.twix.excerpt import Ranges, excerpt, header_ranges, measurement_ranges
from transfer.destinations import RawArchive
from transfer.destinations.errors import NotHeld
from transfer.restore.copy import Copy, Piece, open_copy
from transfer.restore.damage import Damage, lost_ranges, told, whole_measurements
from transfer.restore.partial import Partial, appear, disk, exists

HEADER = "header"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an archive, by its destination's name, keeps a capture."""

    name: str
    archive: RawArchive
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to restore, and to where."""

    sources: tuple[Source, ...]
    """The first is asked, and each further one for what those before did not give."""
    folder: str
    target: Path
    """The file; or a folder that is there, in which it gets the name it had."""
    sha256_expected: str | None = None
    only: str | int | None = None
    """`HEADER`: the headers alone; a number: that measurement, counted from 1."""
    keeps_damaged: bool = False
    given: Mapping[str, int] = field(default_factory=dict)
    """What archives gave of it so far, in bytes of the original."""
    failures: tuple["Failure", ...] = ()
    """How it ended with those that were asked before."""

    @property
    def source(self) -> Source:
        """The archive that is asked now."""
        return self.sources[0]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one archive did not do; ``is_open``: it has a copy, which lacks something."""

    source: Source
    error: KspaceError
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one wish ended; ``error`` is None where it was fulfilled."""

    wish: Wish
    said: str
    size: int = 0
    error: KspaceError | None = None
    given: Mapping[str, int] = field(default_factory=dict)


class Work:
    """A wish that parts are fetched for.

    Raises:
        KspaceError: it cannot be begun.
    """

    def __init__(self, wish: Wish, progress: Callable[[int, int], None]) -> None:
        self.wish = wish
        self.copy = copy = open_copy(
            wish.source.archive, place=wish.source.place, folder=wish.folder, sha256_expected=wish.sha256_expected
        )
        self._ranges = _wanted(copy, wish.only)
        self.path = _path(wish, copy)
        self.is_there = self.path.exists() and _is_there(wish, copy, self.path)
        self.left: set[Piece] = set()
        self.error: KspaceError | None = None
        self._damages: list[Damage] = []
        self._given = Counter(wish.given)
        self._progress, self._done, self._lock = progress, 0, threading.Lock()
        pieces = tuple(p for p in copy.pieces if any(p.start < end and start < p.end for start, end in self._ranges))
        self._size = _bytes(pieces)
        with ExitStack() as stack:
            if not self.is_there:
                self.partial = stack.enter_context(Partial(self.path.parent, copy))
                proved = self.partial.proved(pieces)
                self.left = set(pieces) - proved
                self.partial.check_room(_bytes(self.left))
            self._open = stack.pop_all()
        self.count(self._size - _bytes(self.left))

    def count(self, number: int) -> None:
        """Note that so many bytes more are written."""
        with self._lock:
            self._done += number
            self._progress(self._done, self._size)

    def take(self, piece: Piece, came: Damage | KspaceError | None) -> None:
        """Note what came of a part; after an error that is not of the part alone the others are not fetched."""
        self.left.remove(piece)
        if isinstance(came, Damage):
            self._damages.append(came)
        elif came is None:
            self._given[self.wish.source.name] += piece.end - piece.start
        self.error = came if isinstance(came, KspaceError) else self.error

    def end(self) -> Ended:
        """Let the file appear if it is what was wished for, or say what is wrong and what is whole."""
        with self._open:
            try:
                if self.is_there:
                    said = f"{self.path}: is there already, identical to the original."
                elif self.error is not None:
                    return self._failed(self.error)
                elif lost := lost_ranges(self._damages, within=self._ranges):
                    return self._damaged(lost)
                elif self.wish.only is None:
                    said = self._whole()
                else:
                    said = self._excerpt()
            except KspaceError as error:
                return self._failed(error)
        return Ended(wish=self.wish, said=said + self._shares(), size=self.path.stat().st_size)

    def _failed(self, error: KspaceError, *, size: int = 0) -> Ended:
        return Ended(wish=self.wish, said=str(error), error=error, size=size, given=self._given)

    def _shares(self) -> str:
        """Return who gave what, where one archive alone did not do."""
        if not self.wish.failures:
            return ""
        return " " + ", ".join(f"{size:,} bytes of it from {name}" for name, size in self._given.items()) + "."

    def give_up(self) -> None:
        """Close what is open; what is proved stays for the next time."""
        self._open.close()

    def _whole(self) -> str:
        manifest = self.copy.manifest
        if self.partial.sha256() != manifest.sha256:
            self.partial.forget()
            raise NotHeld(
                "What came back is not the original file although each part is what the manifest says: the manifest "
                "there is wrong. Nothing was written."
            )
        self.partial.become(self.path)
        said = f"{self.path}: {manifest.size:,} bytes, SHA-256 {manifest.sha256}"
        return f"{said}, identical to the file on the scanner."

    def _excerpt(self) -> str:
        only, beside = self.wish.only, self.path.with_name(f".{self.path.name}.new")
        numbers = range(1, len(self.copy.manifest.headers) + 1) if only == HEADER else [int(only or 0)]
        blocks = excerpt(self.partial.read, self._ranges, numbers=numbers)
        with disk(self.path):
            with beside.open("wb") as out:
                out.writelines(blocks)
                os.fsync(out.fileno())
            appear(beside, self.path)
            beside.unlink(missing_ok=True)
        self.partial.drop()
        what = "the headers" if only == HEADER else f"measurement {only}"
        how = (
            "byte for byte, under a directory that lists only what is in this file"
            if len(self._ranges) > 1
            else "byte for byte"
        )
        return (
            f"{self.path}: {self.path.stat().st_size:,} bytes, {what} of {self.copy.folder} {how}; each chunk proved."
        )

    def _damaged(self, lost: Ranges) -> Ended:
        said = told(self._damages, lost, copy=self.copy)
        if not (self.wish.keeps_damaged and self.wish.only is None and len(self.wish.sources) == 1):
            more = "What is proved stays beside it, so the same command later fetches the rest only"
            return self._failed(NotHeld(f"{said} {more}; --keep-damaged writes what there is."))
        target = self.path.with_name(f"{self.path.stem}.damaged{self.path.suffix}")
        holes = target.with_name(f"{target.name}.holes.json")
        document = {
            "source": {"size": self.copy.manifest.size, "sha256": self.copy.manifest.sha256},
            "holes": [{"part": d.part, "how": d.how, "ranges": d.ranges} for d in self._damages],
            "whole_measurements": whole_measurements(self.copy, lost),
        }
        if taken := next((path for path in (target, holes) if path.exists()), None):
            raise exists(taken)
        with disk(self.path), holes.open("x") as out:
            json.dump(document, out, indent=1)
        for start, end in lost:
            self.partial.blank(start, end)
        self.partial.become(target)
        error = NotHeld(f"{said} {target} holds what there is, with zeros in the holes that {holes.name} names.")
        return self._failed(error, size=self.copy.manifest.size)


def _bytes(pieces: Iterable[Piece]) -> int:
    return sum(piece.end - piece.start for piece in pieces)


def _wanted(copy: Copy, only: str | int | None) -> Ranges:
    manifest = copy.manifest
    if only is None:
        return ((0, manifest.size),)
    if isinstance(only, int):
        return measurement_ranges(manifest.headers, only, size=manifest.size)
    return header_ranges(manifest.headers)


def _path(wish: Wish, copy: Copy) -> Path:
    if not wish.target.is_dir():
        return wish.target
    name = Path(copy.manifest.name or f"{copy.folder}.dat")
    if wish.only is None:
        return wish.target / name
    kind = HEADER if wish.only == HEADER else f"measurement-{wish.only}"
    return wish.target / f"{name.stem}.{kind}{name.suffix}"


def _is_there(wish: Wish, copy: Copy, path: Path) -> bool:
    """Return True where a folder holds the very file already, as after a restore that ended half-way."""
    if wish.only is None and path != wish.target and path.stat().st_size == copy.manifest.size:
        with path.open("rb") as handle:
            if file_digest(handle, "sha256").hexdigest() == copy.manifest.sha256:
                return True
    raise exists(path)
