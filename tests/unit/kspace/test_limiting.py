"""The one limiter of a scanner: the rate holds over every window, and one reader at a time, whoever reads."""

import threading
from contextlib import contextmanager

import pytest

from kspace.errors import SourceError
from kspace.records import SourceFile
from kspace.sources.limiting import LimitedSource, Limiter

MBIT = 8.0
BYTES_PER_S = 1_000_000


class WatchedSource:
    """A source that notes when each call came, and whether two were ever inside at once."""

    def __init__(self, clock) -> None:
        self._clock = clock
        self._inside = threading.Lock()
        self.calls: list[tuple[float, int]] = []

    @contextmanager
    def _alone(self, cost: int):
        assert self._inside.acquire(blocking=False), "two calls reached the scanner at once"
        try:
            self.calls.append((self._clock.monotonic(), cost))
            yield
        finally:
            self._inside.release()

    def find(self):
        for number in range(3):
            with self._alone(0):
                yield SourceFile(path=f"{number}.dat", size=1, mtime_ns=1)

    def stat(self, path: str) -> SourceFile:
        with self._alone(0):
            return SourceFile(path=path, size=1, mtime_ns=1)

    @contextmanager
    def open(self, _path: str):
        yield self

    def read(self, offset: int, length: int) -> bytes:
        with self._alone(length):
            if offset < 0:
                raise SourceError("The share did not answer.")
            return bytes(length)


@pytest.fixture
def watched(clock):
    return WatchedSource(clock)


@pytest.fixture
def limited(watched, clock):
    return LimitedSource(watched, Limiter(mbit_per_s=MBIT, clock=clock))


def _worst(calls: list[tuple[float, int]], *, block: int) -> float:
    """Return by how many bytes any window took more than its time allows, one block of burst granted."""
    return max(
        sum(cost for _, cost in calls[i : j + 1]) - block - (calls[j][0] - calls[i][0]) * BYTES_PER_S
        for i in range(len(calls))
        for j in range(i, len(calls))
    )


def test_the_rate_holds_over_every_window(limited, watched):
    sizes = [65_536, 100, 1_000_000, 10_240, 8, 500_000, 1_000_000, 3]
    with limited.open("a.dat") as reader:
        for size in sizes * 3:
            assert len(reader.read(0, size)) == size
    assert _worst(watched.calls, block=max(sizes)) <= 1
    assert watched.calls[-1][0] - watched.calls[0][0] >= (sum(sizes) * 3 - 3) / BYTES_PER_S - 1e-3


def test_header_reads_are_counted_like_any_other(limited, watched, clock):
    began = clock.monotonic()
    with limited.open("a.dat") as reader:
        for _ in range(100):
            reader.read(0, 10_240)
    limited.stat("a.dat")
    assert clock.monotonic() - began == pytest.approx(100 * 10_240 / BYTES_PER_S, abs=1e-3)


def test_an_idle_hour_does_not_save_up_a_burst(limited, watched, clock):
    with limited.open("a.dat") as reader:
        reader.read(0, 1000)
        clock.sleep(3600)
        watched.calls.clear()
        for _ in range(5):
            reader.read(0, 1_000_000)
    assert _worst(watched.calls, block=1_000_000 + BYTES_PER_S // 4) <= 1


def test_a_reader_that_is_held_up_now_and_then_still_reaches_its_limit(limited, watched, clock):
    began = clock.monotonic()
    with limited.open("a.dat") as reader:
        for _ in range(40):
            for _ in range(10):
                reader.read(0, 65_536)
            clock.sleep(0.2)
    wanted = 400 * 65_536 / BYTES_PER_S
    assert clock.monotonic() - began == pytest.approx(wanted, abs=0.25)
    assert _worst(watched.calls, block=65_536 + BYTES_PER_S // 4) <= 1


def test_a_failed_read_is_paid_for_and_lets_the_next_one_in(limited, watched, clock):
    with limited.open("a.dat") as reader:
        with pytest.raises(SourceError):
            reader.read(-1, 1_000_000)
        reader.read(0, 10)
    assert watched.calls[1][0] - watched.calls[0][0] == pytest.approx(1.0, abs=1e-3)


def test_one_call_at_a_time_whatever_the_threads_do(limited, watched, threads):
    def work() -> None:
        with limited.open("a.dat") as reader:
            for _ in range(20):
                reader.read(0, 1000)
                limited.stat("a.dat")
                assert len(list(limited.find())) == 3

    threads(work, count=8)
    assert len(watched.calls) == 8 * 20 * 5
    assert _worst(watched.calls[::7], block=1000) <= 1
    assert sum(cost for _, cost in watched.calls) == 8 * 20 * 1000


def test_two_shares_of_one_scanner_share_its_limit(clock):
    limiter = Limiter(mbit_per_s=MBIT, clock=clock)
    sources = [WatchedSource(clock), WatchedSource(clock)]
    with LimitedSource(sources[0], limiter).open("a") as one, LimitedSource(sources[1], limiter).open("b") as other:
        for _ in range(10):
            one.read(0, 500_000)
            other.read(0, 500_000)
    calls = sorted([*sources[0].calls, *sources[1].calls])
    assert calls[-1][0] - calls[0][0] == pytest.approx(9.5, abs=1e-3)
