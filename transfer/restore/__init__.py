"""Archive -> byte-identical .dat: several parts and captures at once, from where an earlier restore ended.

What comes back is believed for its digests alone: each chunk's from the manifest before it is written, the whole
file's before it appears under its name.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from kspace.clock import Clock, SystemClock
from kspace.errors import DestinationError, KspaceError
from transfer.destinations import RawArchive
from transfer.destinations.errors import DestinationDown
from transfer.restore.fetch import Crew, Job
from transfer.restore.work import Ended, Failure, Source, Wish, Work

AT_ONCE = 4
"""Parts that are fetched at the same time; each costs a few chunks of memory."""


def restore(  # noqa: PLR0913 -- from where, what, to where
    archive: RawArchive,
    *,
    place: str,
    folder: str,
    sha256_expected: str,
    target: Path,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> int:
    """Write one original file to ``target`` and return its size; it appears there only once it is proved whole.

    Raises:
        BadInput: there is a file already.
        NotHeld: the archive lacks something, or gives back other bytes.
        DestinationError: it does not answer.
        TargetFailed: the disk does not take it.
    """
    source = Source(name="the archive", archive=archive, place=place)
    wish = Wish(sources=(source,), folder=folder, target=target, sha256_expected=sha256_expected)
    (ended,) = restore_all([wish], progress=lambda _wish, done, of: progress(done, of))
    if ended.error is not None:
        raise ended.error
    return ended.size


def restore_all(
    wishes: Sequence[Wish],
    *,
    at_once: int = AT_ONCE,
    progress: Callable[[Wish, int, int], None] = lambda _wish, _done, _of: None,
    clock: Clock | None = None,
) -> Iterator[Ended]:
    """Restore every wish and yield how each ended, as they end; one that cannot be fulfilled holds up no other.

    What one archive lacks, or gives back damaged, is fetched from the next that has the capture. ``progress`` is told
    of a wish how many bytes are written, of how many.

    Raises:
        KspaceError: none can go on: the one archive does not answer, or the disk is full. What is proved is kept.
    """
    waiting, begun = _Waiting(wishes), list[Work]()
    with Crew(at_once, clock=clock or SystemClock()) as crew:
        try:
            while waiting or begun:
                while waiting and len(begun) < at_once:
                    wish = waiting.next()
                    try:
                        work = Work(wish, functools.partial(progress, wish))
                    except KspaceError as error:
                        waiting.raise_if_general(error)
                        yield from waiting.failed(Ended(wish=wish, said=str(error), error=error, given=wish.given))
                        continue
                    begun.append(work)
                    for piece in sorted(work.left, key=lambda piece: piece.start):
                        crew.add(Job(work, piece))
                for work in [w for w in begun if not w.left]:
                    begun.remove(work)
                    ended = work.end()
                    yield from [ended] if ended.error is None else waiting.failed(ended, is_open=True)
                if begun:
                    job, came = crew.next()
                    if isinstance(came, KspaceError):
                        waiting.raise_if_general(came)
                    job.work.take(job.piece, came)
        finally:
            for work in begun:
                work.give_up()


class _Waiting:
    """Wishes that wait; one that an archive did not fulfil waits once more, for the next archive."""

    def __init__(self, wishes: Sequence[Wish]) -> None:
        self._wishes = deque(wishes)
        self._is_only = len({source.name for wish in wishes for source in wish.sources}) == 1
        self._down: dict[str, KspaceError] = {}

    def __len__(self) -> int:
        return len(self._wishes)

    def next(self) -> Wish:
        """Return the next, past archives that do not answer, as long as there are others."""
        wish = self._wishes.popleft()
        while len(wish.sources) > 1 and (error := self._down.get(wish.source.name)) is not None:
            wish = _after(wish, Failure(wish.source, error, is_open=False))
        return wish

    def failed(self, ended: Ended, *, is_open: bool = False) -> Iterator[Ended]:
        """Let the next archive try, or yield how it ended with all of them."""
        wish, error = ended.wish, ended.error
        if not isinstance(error, DestinationError):
            yield ended
            return
        if error.pauses:
            self._down[wish.source.name] = error
        failure = Failure(wish.source, error, is_open)
        further = _after(replace(wish, given=ended.given), failure)
        if further.sources:
            self._wishes.appendleft(further)
            return
        opened = next((f.source for f in further.failures if f.is_open), None)
        is_last = any(f.source == wish.source for f in wish.failures)
        if wish.keeps_damaged and not is_open and opened is not None and not is_last:
            self._wishes.appendleft(replace(further, sources=(opened,)))  # what that one holds is all there is
            return
        yield _told(ended, further.failures)

    def raise_if_general(self, error: KspaceError) -> None:
        """Raise what ends all: a disk that takes nothing more, or the only archive there is."""
        if isinstance(error, DestinationError) and not self._is_only:
            return
        if isinstance(error, DestinationDown):
            what = str(error).partition(". ")[0]
            raise DestinationDown(f"{what}. What was proved until then is kept; the same command goes on from it.")
        if error.pauses:
            raise error


def _after(wish: Wish, failure: Failure) -> Wish:
    return replace(wish, sources=wish.sources[1:], failures=(*wish.failures, failure))


def _told(ended: Ended, failures: Sequence[Failure]) -> Ended:
    """Say of every archive why it did not do."""
    if len(failures) == 1:
        return ended
    last = {failure.source.name: failure for failure in failures}
    said = " ".join(f"{name}: {failure.error}" for name, failure in last.items())
    kind = next((type(f.error) for f in reversed(failures) if f.is_open), type(failures[-1].error))
    return replace(ended, said=said, error=kind(said))
