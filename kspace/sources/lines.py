"""Connections to one server: each is used by one caller at a time, and kept for a moment for the next."""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from kspace.clock import Clock, SystemClock
from kspace.errors import FileUnreadable, FileVanished

_KEEP_S = 10.0
"""Longer than this nothing is kept: a server may have ended the connection meanwhile, or be another one."""
_Line = TypeVar("_Line")


class Lines(Generic[_Line]):
    """Gives out connections; one on which anything went wrong is closed, never used again."""

    def __init__(
        self, connect: Callable[[], _Line], *, close: Callable[[_Line], None], clock: Clock | None = None
    ) -> None:
        self._connect = connect
        self._close = close
        self._clock = clock or SystemClock()
        self._kept: list[tuple[_Line, float]] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._kept, close)

    @contextmanager
    def line(self) -> Iterator[_Line]:
        """Lend a connection, a kept one or a new one.

        Raises:
            SourceError: the server does not answer, or refuses.
        """
        line = self._take() or self._connect()
        try:
            yield line
        except (FileVanished, FileUnreadable):
            self._keep(line)  # an answer like any other: the connection is sound
            raise
        except BaseException:
            self._close(line)
            raise
        self._keep(line)

    def _take(self) -> _Line | None:
        while True:
            with self._lock:
                if not self._kept:
                    return None
                line, since = self._kept.pop()
            if self._clock.monotonic() - since <= _KEEP_S:
                return line
            self._close(line)

    def _keep(self, line: _Line) -> None:
        with self._lock:
            if not self._kept:
                self._kept.append((line, self._clock.monotonic()))
                return
        self._close(line)


def _close_all(kept: list[tuple[_Line, float]], close: Callable[[_Line], None]) -> None:
    """Leave no connection open behind a source that nobody uses any more, nor behind the program."""
    while kept:
        close(kept.pop()[0])
