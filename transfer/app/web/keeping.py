"""What is dear to find out and changes slowly: found out now and then, and told from memory meanwhile."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Keeps what ``find`` returned for some time; one thread at a time finds it out."""

    def __init__(self, find: Callable[[], T], *, lasts: timedelta, now: Callable[[], datetime]) -> None:
        self._find = find
        self._lasts = lasts
        self._now = now
        self._lock = threading.Lock()
        self._known: tuple[datetime, T] | None = None

    def __call__(self) -> T:
        """Return it."""
        with self._lock:
            if self._known is None or self._now() - self._known[0] >= self._lasts:
                self._known = (self._now(), self._find())
            return self._known[1]
