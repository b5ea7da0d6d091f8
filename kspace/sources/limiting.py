"""The one limiter of a scanner: every byte and every call to its shares passes it, one at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kspace.clock import Clock
from kspace.records import SourceFile
from kspace.sources import Reader, Source
from kspace.sources.yielding import Yielding

_BURST_S = 0.25
"""A reader that was held up may catch up with so much of its time, or a limit would never be reached."""


class Limiter:
    """Lets one reader at a time through, at no more than so many bits a second on average.

    The time a read has used up is paid back after it; a burst is never longer than a quarter of a second's bytes and
    one block. With ``yielding`` it gives way to whoever else makes the share slower.
    """

    def __init__(
        self, *, mbit_per_s: float | Callable[[], float], clock: Clock, yielding: Yielding | None = None
    ) -> None:
        self._rate = mbit_per_s if callable(mbit_per_s) else lambda: mbit_per_s
        self._clock = clock
        self._turn = threading.Lock()
        self._free_at = clock.monotonic()
        self._yielding = yielding

    @contextmanager
    def turn(self, cost_bytes: int = 0) -> Iterator[None]:
        """Hold the scanner for one call that will read at most so many bytes."""
        with self._turn:
            self._clock.sleep(self._free_at - self._clock.monotonic())
            began = self._clock.monotonic()
            try:
                yield
            finally:
                per_s = self._rate() * 1e6 / 8
                if self._yielding is not None and cost_bytes:
                    took_s = self._clock.monotonic() - began
                    per_s = self._yielding.rate(took_s=took_s, length=cost_bytes, limit=per_s, at_s=began)
                self._free_at = max(self._free_at, began - _BURST_S) + cost_bytes / per_s


class LimitedSource:
    """A source seen through its scanner's limiter; header reads and listings included."""

    def __init__(self, source: Source, limiter: Limiter) -> None:
        self._source = source
        self._limiter = limiter

    def find(self) -> Iterator[SourceFile]:
        """List the source in one turn, so that no file is read meanwhile."""
        with self._limiter.turn():
            found = list(self._source.find())
        yield from found

    def stat(self, path: str) -> SourceFile:
        """Look at one file in one turn."""
        with self._limiter.turn():
            return self._source.stat(path)

    def free_bytes(self) -> int | None:
        """Ask for the room that is left, in one turn."""
        with self._limiter.turn():
            return self._source.free_bytes()

    @contextmanager
    def open(self, path: str) -> Iterator[Reader]:
        """Open one file; each of its reads takes a turn."""
        with self._source.open(path) as reader:
            yield _LimitedReader(reader, self._limiter)


class _LimitedReader:
    def __init__(self, reader: Reader, limiter: Limiter) -> None:
        self._reader = reader
        self._limiter = limiter

    def read(self, offset: int, length: int) -> bytes:
        with self._limiter.turn(length):
            return self._reader.read(offset, length)
