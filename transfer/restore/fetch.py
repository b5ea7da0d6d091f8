"""Fetches parts, several at once, and writes what proves itself to its place in the original file."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from kspace.chunks import decoded
from kspace.clock import Clock
from kspace.codecs import Codec
from kspace.errors import KspaceError, Retry, SpoolError
from transfer.destinations import Ranged
from transfer.destinations.errors import NotHeld, Unauthorized
from transfer.restore.copy import Copy, Piece
from transfer.restore.damage import Damage
from transfer.restore.work import Work

_TRIES = 3
_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Job:
    """One part to fetch, and for which work."""

    work: Work
    piece: Piece


class Crew:
    """A few threads that fetch parts. They are daemons: whoever is interrupted need not wait for a silent network."""

    def __init__(self, at_once: int, *, clock: Clock) -> None:
        self._clock = clock
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Job, Damage | BaseException | None]] = SimpleQueue()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(at_once)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        for _ in self._threads:
            self._jobs.put(None)

    def add(self, job: Job) -> None:
        """Have a part fetched when its turn comes."""
        self._jobs.put(job)

    def next(self) -> tuple[Job, Damage | KspaceError | None]:
        """Wait for the next part to end: proved (None), damaged, or not to be had now."""
        job, came = self._results.get()
        if isinstance(came, BaseException) and not isinstance(came, KspaceError):
            raise came
        return job, came

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._stop.is_set():
                continue
            try:
                self._results.put((job, self._ended(job)))
            except BaseException as error:
                self._results.put((job, error))
                raise

    def _ended(self, job: Job) -> Damage | KspaceError | None:
        if job.work.error is not None:
            return None
        for left in reversed(range(_TRIES)):
            counted = _Counted(job.work.count)
            try:
                damage = _fetch(job, counted, stop=self._stop)
            except NotHeld:
                return Damage(job.piece.name, "missing", ((job.piece.start, job.piece.end),))
            except KspaceError as error:
                if not left or error.retry is Retry.PERSON or isinstance(error, Unauthorized):
                    return error
                self._clock.sleep(_PAUSE_S)
            else:
                if damage is None or not left:
                    return damage
            counted.take_back()  # the bytes may have been flipped on the way: look once more
        raise AssertionError("the last try returns")


class _Counted:
    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress, self._written = progress, 0

    def add(self, number: int) -> None:
        self._written += number
        self._progress(number)

    def take_back(self) -> None:
        self._progress(-self._written)


def _fetch(job: Job, counted: _Counted, *, stop: threading.Event) -> Damage | None:
    """Read a part once, write every chunk that proves itself, and note the part if all did."""
    decoders, bad, digest = dict[str, Codec](), list[tuple[int, int]](), sha256()
    with _opened(job.work.copy, job.piece) as blocks:
        read = _Reader(blocks)
        for at, chunk in job.piece.chunks:
            try:
                raw = decoded(chunk, read(chunk.stored_bytes), decoders)
            except SpoolError:
                bad.append((at, at + chunk.raw_bytes))
                continue
            job.work.partial.write(at, raw)
            digest.update(raw)
            counted.add(len(raw))
            del raw  # before the next chunk is read: this and its stored bytes are what a thread costs
            if stop.is_set():
                return None
    if bad:
        return Damage(job.piece.name, "damaged", tuple(bad))
    job.work.partial.note(job.piece, digest.hexdigest())
    return None


def _opened(copy: Copy, piece: Piece) -> AbstractContextManager[Iterator[bytes]]:
    archive, name = copy.archive, f"{copy.folder}/{piece.name}"
    if isinstance(archive, Ranged):
        return archive.read_range(copy.place, name, start=piece.skip, size=piece.size)
    return archive.read(copy.place, name)


class _Reader:
    """Gives a stream of blocks in the lengths that are asked for; less only at its end."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""

    def __call__(self, size: int) -> bytes:
        found, left = [], size
        while left and (block := self._rest or next(self._blocks, b"")):
            found.append(block[:left])
            self._rest = block[left:]
            left -= len(found[-1])
        return b"".join(found)
