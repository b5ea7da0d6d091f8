"""No call to a share lasts for ever: each runs in a thread that can be left behind."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from kspace.errors import KspaceError, SourceError
from kspace.records import SourceFile
from kspace.sources import Reader, Source

_Answer = TypeVar("_Answer")
_AT_ONCE = 200
"""So many files of a listing make one call; a slow share still answers, a dead one does not."""


class Asking:
    """Lets every call to one share end within a time, with an answer or as an error.

    A read from a dead mount cannot be ended, not even by SIGKILL; its thread is left behind, and until it comes back
    the share is not asked again. So a dead share costs one thread, and its scanner alone stands still.
    """

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self.left: threading.Thread | None = None

    def __call__(self, act: Callable[[], _Answer]) -> _Answer:
        """Return the answer, or raise what the call raised.

        Raises:
            SourceError: there is no answer in time.
        """
        if self.left is not None and self.left.is_alive():
            raise SourceError(_SILENT.format("still", self._within_s))
        call = _Call(act)
        thread = threading.Thread(target=call.run, name="source", daemon=True)
        thread.start()
        thread.join(self._within_s)
        if thread.is_alive():
            self.left = thread
            raise SourceError(_SILENT.format("", self._within_s))
        if call.error is not None:
            raise call.error
        return call.answers[0]


class AnsweringSource:
    """A source of which every call ends within a time."""

    def __init__(self, source: Source, *, within_s: float) -> None:
        self._source = source
        self._ask = Asking(within_s)

    def find(self) -> Iterator[SourceFile]:
        """List the source, some files at a time."""
        listing = self._source.find()
        while some := self._ask(lambda: list(islice(listing, _AT_ONCE))):
            yield from some

    def stat(self, path: str) -> SourceFile:
        """Look at one file."""
        return self._ask(lambda: self._source.stat(path))

    def free_bytes(self) -> int | None:
        """Ask for the room that is left."""
        return self._ask(self._source.free_bytes)

    @contextmanager
    def open(self, path: str) -> Iterator[Reader]:
        """Open one file; each of its reads has the same time."""
        opened = self._source.open(path)
        reader = self._ask(opened.__enter__)
        try:
            yield _AnsweringReader(reader, self._ask)
        except BaseException as error:
            self._close(opened, error)
            raise
        self._close(opened, None)

    def _close(self, opened: AbstractContextManager[Reader], error: BaseException | None) -> None:
        """Close it now, or as soon as the call that was left behind comes back."""
        left = self._ask.left

        def close() -> None:
            if left is not None:
                left.join()
            opened.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

        if left is not None and left.is_alive():
            threading.Thread(target=_quietly, args=(close,), daemon=True).start()
        else:
            self._ask(lambda: _quietly(close))


_SILENT = (
    "The share {} does not answer ({:g} s waited); nothing was changed, and what was captured is safe. See whether the "
    "scanner is on and the network to it works; the relay goes on by itself when the share answers."
)


@dataclass(slots=True)
class _Call(Generic[_Answer]):
    act: Callable[[], _Answer]
    answers: list[_Answer] = field(default_factory=list)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.answers.append(self.act())
        except KspaceError as error:
            self.error = error
        except BaseException as error:
            self.error = error
            raise


class _AnsweringReader:
    def __init__(self, reader: Reader, ask: Callable[[Callable[[], bytes]], bytes]) -> None:
        self._reader = reader
        self._ask = ask

    def read(self, offset: int, length: int) -> bytes:
        return self._ask(lambda: self._reader.read(offset, length))


def _quietly(close: Callable[[], None]) -> None:
    """Close, whatever the share says to that: what was read was read."""
    try:
        close()
    except KspaceError:
        return
