"""The Clock port: the only way any part of the relay learns the time or waits."""

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards, for measuring intervals."""

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or at once when there is nothing left to wait for."""


class SystemClock:
    """The machine's own clock; ``stop`` ends every wait, so that a shutdown never waits for a pause."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards, for measuring intervals."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or as soon as the stop event is set."""
        self._stop.wait(max(0.0, seconds))
