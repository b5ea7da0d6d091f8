"""The power-cut drill: what was synced and acknowledged before the plug was pulled must be there after it."""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from kspace.errors import BadInput, SpoolError
from kspace.paths import sync_folder

_RECORD_BYTES = 65_536
_IN_FILE = 256
_MOST = 65_536
"""4 GB in all; a person has pulled the plug by then."""


def write_until_cut(folder: Path, *, acknowledge: Callable[[int], None]) -> None:
    """Write numbered records into a new folder, each synced before its number is acknowledged, as the relay does.

    Raises:
        BadInput: the records of an earlier drill are there.
        SpoolError: the disk does not take them.
    """
    try:
        folder.mkdir(parents=True)
        sync_folder(folder.parent)
        for first in range(1, _MOST, _IN_FILE):
            with (folder / f"{first:08d}").open("xb", buffering=0) as out:
                sync_folder(folder)
                for number in range(first, first + _IN_FILE):
                    out.write(_record(number))
                    os.fsync(out.fileno())
                    acknowledge(number)
    except FileExistsError as error:
        raise BadInput(
            f"The records of an earlier drill are in {folder}; look at them with --after-power-cut first."
        ) from error
    except BrokenPipeError:
        raise  # whoever read the numbers is gone; the disk is not to blame
    except OSError as error:
        raise SpoolError(
            f"The disk under {folder} refused the drill ({error.strerror}); see that it is healthy."
        ) from error


def last_kept(folder: Path) -> int:
    """Return up to which number every record is there, whole and right; 0: none is.

    Raises:
        BadInput: no drill was begun here.
        SpoolError: the disk does not give them back.
    """
    if not folder.is_dir():
        raise BadInput(f"There are no records of a drill in {folder}; begin one with --power-cut.")
    last = 0
    try:
        for number, record in enumerate(_records(folder), start=1):
            if record != _record(number):
                break
            last = number
    except OSError as error:
        raise SpoolError(f"The records in {folder} cannot be read ({error.strerror}).") from error
    return last


def clear(folder: Path) -> None:
    """Remove the records of a drill."""
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def _records(folder: Path) -> Iterator[bytes]:
    for file in sorted(folder.iterdir()):
        with file.open("rb") as back:
            while record := back.read(_RECORD_BYTES):
                yield record


def _record(number: int) -> bytes:
    return sha256(str(number).encode()).digest() * (_RECORD_BYTES // 32)
