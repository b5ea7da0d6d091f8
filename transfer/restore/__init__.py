"""Archive -> byte-identical .dat: several parts and captures at once, from where an earlier restore ended.

What comes back is believed for its digests alone: each chunk's from the manifest before it is written, the whole
file's before it appears under its name.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kspace.clock import Clock, SystemClock
from kspace.errors import KspaceError
from transfer.destinations import RawArchive
from transfer.destinations.errors import DestinationDown
from transfer.restore.fetch import Crew, Job
from transfer.restore.work import Ended, Wish, Work

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
    wish = Wish(archive=archive, place=place, folder=folder, target=target, sha256_expected=sha256_expected)
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

    ``progress`` is told of a wish how many bytes are written, of how many.

    Raises:
        KspaceError: none can go on: the archive does not answer, or the disk is full. What is proved is kept.
    """
    waiting, begun = deque(wishes), list[Work]()
    with Crew(at_once, clock=clock or SystemClock()) as crew:
        try:
            while waiting or begun:
                while waiting and len(begun) < at_once:
                    wish = waiting.popleft()
                    try:
                        work = Work(wish, functools.partial(progress, wish))
                    except KspaceError as error:
                        _raise_if_general(error)
                        yield Ended(wish=wish, said=str(error), error=error)
                        continue
                    begun.append(work)
                    for piece in sorted(work.left, key=lambda piece: piece.start):
                        crew.add(Job(work, piece))
                for work in [w for w in begun if not w.left]:
                    begun.remove(work)
                    yield work.end()
                if begun:
                    job, came = crew.next()
                    if isinstance(came, KspaceError):
                        _raise_if_general(came)
                    job.work.take(job.piece, came)
        finally:
            for work in begun:
                work.give_up()


def _raise_if_general(error: KspaceError) -> None:
    if isinstance(error, DestinationDown):
        what = str(error).partition(". ")[0]
        raise DestinationDown(f"{what}. What was proved until then is kept; the same command goes on from it.")
    if error.pauses:
        raise error
