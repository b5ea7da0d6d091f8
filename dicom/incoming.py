"""Objects on their way from the network to the disk, piece by piece, so that memory stays flat for any size."""

import hashlib
import itertools
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from dicom.shelf import Shelf
from kspace.errors import KspaceError, SpoolError

_IMPLEMENTATION_UID = "2.25.178283091672214580270932171529310411297"
"""Ours for ever, with the name below: the same object received twice must be the same bytes twice."""
_IMPLEMENTATION_NAME = "KSPACE_RELAY"
_BEGINNING_BYTES = 256 << 10
"""The header of most images."""
_ASK_BYTES = 64 << 20
"""After so much of one object the pool is asked again: an endless one would fill the disk."""

_log = structlog.get_logger()


class PoolFull(SpoolError):
    """The pool takes no more."""

    code = "pool_full"


class Stored(NamedTuple):
    """A file that has every byte, durable at its place; ``sha256`` is of the whole file."""

    path: Path
    size: int
    sha256: str


class Incoming:
    """One object being received: a DICOM file (PS3.10 7.1) that grows in the folder under a name of its own."""

    def __init__(self, path: Path, *, is_open: Callable[[], bool], head: bytes) -> None:
        self.path = path
        self.beginning = bytearray()
        """The first of the data set, also of an object that is not taken."""
        self.problem: KspaceError | None = None
        """Why it is not taken; from then on the rest is let pass."""
        self.let_pass = 0
        """So many bytes came since."""
        self._is_open = is_open
        self._ask_at = _ASK_BYTES
        self._digest = hashlib.sha256()
        self._size = 0
        try:
            self._demand_room()
            self._out = self.path.open("xb", buffering=0)
            self._append(memoryview(head))
        except (OSError, SpoolError) as error:
            self._give_up(error)

    def write(self, piece: memoryview) -> None:
        """Take a fragment. Never raises: after a failure the rest is let pass, and `settle` tells of it."""
        if len(self.beginning) < _BEGINNING_BYTES:
            self.beginning += piece[: _BEGINNING_BYTES - len(self.beginning)]
        if self.problem is not None:
            self.let_pass += len(piece)
            return
        try:
            self._append(piece)
            if self._size >= self._ask_at:
                self._ask_at = self._size + _ASK_BYTES
                self._demand_room()
        except (OSError, SpoolError) as error:
            self._give_up(error)

    def settle(self) -> None:
        """Return if every byte is in the file, not yet known to be durable.

        Raises:
            PoolFull: the pool took no more when the object began, or meanwhile.
            SpoolError: the disk failed or is full.
        """
        if self.problem is not None:
            raise self.problem

    def keep(self, shelf: Shelf, *, study_uid: str) -> Stored:
        """Return the settled file once it is durable at its place on the shelf.

        Raises:
            SpoolError: the disk failed or is full.
        """
        sha256 = self._digest.hexdigest()
        try:
            place = shelf.keep(self._out.fileno(), self.path, study_uid=study_uid, sha256=sha256)
        except OSError as error:
            raise _told(error) from error
        return Stored(place, self._size, sha256)

    def close(self) -> None:
        """Close the file and remove what is left of it under its name."""
        if self._size:
            with suppress(OSError):  # nobody wants its bytes any more
                self._out.close()
        self.path.unlink(missing_ok=True)

    def _demand_room(self) -> None:
        if not self._is_open():
            raise PoolFull("The pool takes no more; nothing of the object was kept. Send it again later.")

    def _give_up(self, error: OSError | SpoolError) -> None:
        """Free at once what the object took: the rest of it may be long in coming."""
        self.problem = _told(error)
        self.close()

    def _append(self, piece: memoryview) -> None:
        self._digest.update(piece)
        self._size += len(piece)
        while piece:
            piece = piece[self._out.write(piece) :]


def clear(folder: Path, *, of_process: int | None = None) -> None:
    """Make the folder, and remove what a process that ended left there: no sender was ever told that it arrived.

    What a disk does not let go now stays, and goes at the next start.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob("*.part" if of_process is None else f"{of_process}-*.part"):
        try:
            left.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("incoming.left", file=left.name, reason=os.strerror(error.errno or 0))


class Intake:
    """All objects being received at present, and the one way to wait until there are none."""

    def __init__(self, folder: Path, *, is_open: Callable[[], bool]) -> None:
        self._folder = folder
        self._is_open = is_open
        self._number = 0
        self._names = itertools.count()
        self._changed = threading.Condition()

    @contextmanager
    def receiving(self, *, sop_class: str, sop_uid: str, syntax: str) -> Iterator[Incoming]:
        """Yield the place for a new object; what is still under its name at the end is removed."""
        with self._changed:
            self._number += 1
        try:
            path = self._folder / f"{os.getpid()}-{next(self._names)}.part"
            incoming = Incoming(path, is_open=self._is_open, head=file_head(sop_class, sop_uid, syntax))
            try:
                yield incoming
            finally:
                incoming.close()
        finally:
            with self._changed:
                self._number -= 1
                self._changed.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """Return True once nothing is being received, False after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._number, timeout_s)


def _told(error: OSError | SpoolError) -> KspaceError:
    if isinstance(error, SpoolError):
        return error
    reason = os.strerror(error.errno or 0)
    told = SpoolError(f"The spool did not take a received object ({reason}). Nothing of it was kept; send it again.")
    told.__cause__ = error
    return told


def file_head(sop_class: str, sop_uid: str, syntax: str) -> bytes:
    """Return preamble, prefix and file meta information (PS3.10 7.1), explicit VR little endian."""
    told = (
        (0x0002, b"UI", sop_class),
        (0x0003, b"UI", sop_uid),
        (0x0010, b"UI", syntax),
        (0x0012, b"UI", _IMPLEMENTATION_UID),
        (0x0013, b"SH", _IMPLEMENTATION_NAME),
    )
    content = struct.pack("<HH2sHL2s", 2, 1, b"OB", 0, 2, b"\x00\x01")
    for element, kind, text in told:
        value = text.encode("ascii") + (b" " if kind == b"SH" else b"\0") * (len(text) % 2)
        content += struct.pack("<HH2sH", 2, element, kind, len(value)) + value
    return b"\x00" * 128 + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(content)) + content
