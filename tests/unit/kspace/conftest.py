"""A share with raw files, a clock a test sets, and readers that count or fail."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kspace.errors import SourceError
from kspace.twix.synthetic import Synthetic, write_twix


class SetClock:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.at += timedelta(seconds=max(0.0, seconds))


class BytesReader:
    """A file in memory that keeps account of what was read, and may break off at an offset."""

    def __init__(self, data: bytes, *, breaks_at: int | None = None) -> None:
        self.data = data
        self.breaks_at = breaks_at
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        if self.breaks_at is not None and offset + length > self.breaks_at:
            raise SourceError("The share did not answer.")
        self.reads.append((offset, length))
        return self.data[offset : offset + length]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> bytes:
    """Return a whole file of two measurements, about 1.5 MB."""
    path = tmp_path_factory.mktemp("raw") / "meas.dat"
    write_twix(path, Synthetic(mid=6, readouts=20, samples=256), Synthetic(mid=7, readouts=160, samples=256))
    return path.read_bytes()


@pytest.fixture
def reader() -> Callable[..., BytesReader]:
    return BytesReader


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


@pytest.fixture
def threads() -> Callable[..., None]:
    """Run one function in several threads at once and wait; what one of them raises is raised."""

    def run(work: Callable[[], None], *, count: int) -> None:
        errors: list[BaseException] = []

        @contextmanager
        def kept() -> Iterator[None]:
            try:
                yield
            except BaseException as error:  # noqa: BLE001 -- handed to the test below
                errors.append(error)

        def one() -> None:
            with kept():
                work()

        started = [threading.Thread(target=one) for _ in range(count)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join(30)
        if errors:
            raise errors[0]

    return run
