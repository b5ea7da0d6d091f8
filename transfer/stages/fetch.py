"""RECALLED -> MATCHED or PACKED: the packed file comes back into the spool from an archive that proved to hold it."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from kspace.errors import DestinationError, SpoolError
from kspace.paths import sync_folder
from kspace.records import Part
from transfer.catalog.copies import Copy
from transfer.destinations import RawArchive
from transfer.destinations.errors import Missing, NotHeld
from transfer.records import Capture, Done, Fetched, Held, Later, Outcome

_AGAIN_S = 300.0
_NO_ROOM_S = 20.0
_LOST = (
    "No archive gives back the copy that it proved to hold, and the spool was freed since. Ask for {names}'s backup, "
    "then retry; and look whether the scanner still has the file: exported once more, it is captured anew."
)


def fetch(  # noqa: PLR0913 -- the ports
    capture: Capture,
    *,
    copies: Callable[[int], Sequence[Copy]],
    archives: Mapping[str, RawArchive],
    spool: Path,
    room_for: Callable[[Path, int], AbstractContextManager[bool]],
    progress: Callable[[], None],
) -> Outcome:
    """Fetch every part of the first copy that can be had, each against its SHA-256; nothing is removed there.

    Raises:
        SpoolError: the disk does not take it.
    """
    known = copies(capture.id)
    down: list[str] = []
    for copy in known:
        if copy.destination not in archives:
            down.append(f"the configuration no longer has {copy.destination!r}")
            continue
        target = spool / capture.spooled
        try:
            with room_for(_coming(target), sum(part.size for part in copy.parts)) as has_room:
                if not has_room:
                    return Later("Waits until the spool has room for it. See `kspace pools`.", _NO_ROOM_S)
                _fetch(copy, archives[copy.destination], target, progress)
        except (NotHeld, Missing):
            continue
        except DestinationError as error:
            down.append(str(error))
        else:
            return Done(Fetched(is_joined=capture.match is not None))
    if down:
        return Later(f"Its copy is fetched back from the archive once that can be: {'; '.join(down)}", _AGAIN_S)
    return Held(_LOST.format(names=", ".join(sorted({copy.destination for copy in known})) or "the archive"), "lost")


def _fetch(copy: Copy, archive: RawArchive, target: Path, progress: Callable[[], None]) -> None:
    """Write the parts one after the other beside the target; it takes its name once all are proved and on the disk."""
    coming = _coming(target)
    try:
        with coming.open("wb") as out:
            for part in copy.parts:
                _append(part, copy.place, archive, out)
                progress()
            out.flush()
            os.fsync(out.fileno())
        coming.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise SpoolError("The spool does not take what is fetched back; the relay tries again by itself.") from error
    finally:
        coming.unlink(missing_ok=True)


def _coming(target: Path) -> Path:
    return target.with_suffix(".coming")


def _append(part: Part, place: str, archive: RawArchive, out: BinaryIO) -> None:
    seen, left = sha256(), part.size
    with archive.read(place, part.name) as blocks:
        for block in blocks:
            left -= len(block)
            if left < 0:
                break
            seen.update(block)
            out.write(block)
    if left or seen.hexdigest() != part.sha256:
        raise NotHeld("The archive gives back other bytes than it proved to hold.", names=[part.name])
