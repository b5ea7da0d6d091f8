"""One raw file on a disk, looked into without a configuration or a catalog."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kspace.errors import FileUnreadable, FileVanished
from kspace.records import Audit, Measurement, Verdict
from kspace.twix.header import read_head
from kspace.twix.layout import Broken
from kspace.twix.walk import Walker, quick_check

_BLOCK_BYTES = 4 << 20
_TICKS_PER_SECOND = 400
_DAY_TICKS = 24 * 3600 * _TICKS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """What a look into one file told. A file of several measurements is named after the last one, the scan itself."""

    path: Path
    size: int
    audit: Audit
    measurements: tuple[Measurement, ...]

    @property
    def scan(self) -> Measurement | None:
        """The last measurement; those before it are adjustments."""
        return self.measurements[-1] if self.measurements else None


def look_into(path: Path, *, is_quick: bool = False, progress: Callable[[int], object] | None = None) -> RawFile:
    """Walk through a file in blocks of 4 MiB, or only check its head and end; ``progress`` is given bytes as read.

    Raises:
        FileVanished: it is not there.
        FileUnreadable: it cannot be opened or read, or is no regular file.
    """
    try:
        # Without O_NONBLOCK a named pipe in the folder would wait for a writer for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileUnreadable("This is no regular file; nothing was read.")
            size = status.st_size
            audit = quick_check(_reader(file), size)
            if is_quick or audit.verdict is Verdict.NOT_TWIX:
                return RawFile(path=path, size=size, audit=audit, measurements=_heads(file, size))
            return _walked(path, file, size, progress or (lambda _: None))
    except FileNotFoundError:
        raise FileVanished("There is no such file; look at its name.") from None
    except OSError as error:
        raise FileUnreadable(f"The file cannot be read ({error.strerror}); it is as it was.") from None


def clock_time(ticks: int) -> str:
    """Return ticks of 2.5 ms since midnight (MDH TimeStamp) as the scanner's local time, hh:mm:ss.mmmm."""
    whole, part = divmod(ticks % _DAY_TICKS, _TICKS_PER_SECOND)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{part * 25:04}"


def printable(text: str) -> str:
    """Return text that any terminal can show as it stands: undecodable bytes and control characters as escapes."""
    decoded = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in decoded)


def _walked(path: Path, file: BinaryIO, size: int, progress: Callable[[int], object]) -> RawFile:
    walker, left = Walker(size), size
    file.seek(0)
    while left and (block := file.read(min(_BLOCK_BYTES, left))):
        walker.feed(block)
        left -= len(block)
        progress(len(block))
    return RawFile(path=path, size=size, audit=walker.finish(), measurements=walker.measurements)


def _reader(file: BinaryIO) -> Callable[[int, int], bytes]:
    def read(offset: int, length: int) -> bytes:
        return os.pread(file.fileno(), length, offset)

    return read


def _heads(file: BinaryIO, size: int) -> tuple[Measurement, ...]:
    try:
        return read_head(_reader(file), size)
    except Broken:
        return ()
