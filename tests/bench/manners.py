"""`python -m tests.bench.manners`: what a reader beside the relay keeps of its speed, and how an idle share is used.

One slow server answers one request at a time, as a console's disk does. A foreground reader reads from it without a
pause: alone, beside the relay at a fixed limit, and beside the relay with `adaptive`. Printed are MB/s and the ratio to
the same reader alone; of the relay, with nobody beside it, the ratio to a plain reader.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kspace.clock import Clock, SystemClock
from kspace.records import SourceFile
from kspace.sources import Source
from kspace.sources.limiting import LimitedSource, Limiter
from kspace.sources.yielding import Yielding

_BLOCK = 1 << 20
_PER_S = 40e6
_FOR_S = 12.0


def main() -> None:
    """Print a table."""
    clock = SystemClock()
    _say("", "foreground MB/s", "of its own", "relay MB/s", "of a plain reader")
    alone, _ = _run(clock, _none, is_busy=True)
    _, plain = _run(clock, _plain, is_busy=False)
    _say("nobody else", f"{alone:.1f}", "1.00", f"{plain:.1f}", "1.00")
    for name, yielding in {"fixed limit": None, "adaptive": Yielding()}.items():
        limited = _limited(clock, yielding)
        _, own = _run(clock, limited, is_busy=False)
        _say(f"{name}, idle", "", "", f"{own:.1f}", f"{own / plain:.2f}")
        front, own = _run(clock, limited, is_busy=True)
        _say(f"{name}, busy", f"{front:.1f}", f"{front / alone:.2f}", f"{own:.1f}", f"{own / plain:.2f}")


class _SlowServer:
    """Serves whoever asks first, one block after another."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = threading.Semaphore()
        self._block = bytes(_BLOCK)
        self._free_at = 0.0

    def find(self) -> Iterator[SourceFile]:
        yield from ()

    def stat(self, path: str) -> SourceFile:
        return SourceFile(path=path, size=_BLOCK, mtime_ns=0)

    @contextmanager
    def open(self, path: str) -> Iterator["_SlowServer"]:
        del path
        yield self

    def read(self, offset: int, length: int) -> bytes:
        """Queue behind what was asked before, then take the time that the disk takes."""
        del offset
        with self._turn:
            self._free_at = max(self._free_at, self._clock.monotonic()) + length / _PER_S
            ready_at = self._free_at
        self._clock.sleep(ready_at - self._clock.monotonic())
        return self._block


_Wrap = Callable[[Source], Source | None]


def _none(source: Source) -> None:
    del source


def _plain(source: Source) -> Source:
    return source


def _limited(clock: Clock, yielding: Yielding | None) -> _Wrap:
    limiter = Limiter(mbit_per_s=400.0, clock=clock, yielding=yielding)
    return lambda source: LimitedSource(source, limiter)


def _run(clock: Clock, wrap: _Wrap, *, is_busy: bool) -> tuple[float, float]:
    """Return MB/s of the foreground reader and of the relay, both reading for a while."""
    server = _SlowServer(clock)
    readers = [server if is_busy else None, wrap(server)]
    counts = [0, 0]
    until = clock.monotonic() + _FOR_S

    def read(number: int, source: Source) -> None:
        with source.open("a.dat") as reader:
            while clock.monotonic() < until:
                reader.read(0, _BLOCK)
                counts[number] += 1

    threads = [threading.Thread(target=read, args=(n, source)) for n, source in enumerate(readers) if source]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts[0] * _BLOCK / _FOR_S / 1e6, counts[1] * _BLOCK / _FOR_S / 1e6


def _say(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")


if __name__ == "__main__":
    main()
