"""A folder the system has mounted (SMB, NFS or local): the plainest source."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pydantic import BaseModel, ConfigDict, Field

from kspace.errors import FileUnreadable, FileVanished, SourceError
from kspace.paths import AbsolutePath
from kspace.records import SourceFile
from kspace.registry import Plugin
from kspace.sources.names import fits, to_bytes, to_text
from kspace.sources.settings import SourceSettings

ASIDE = ".kspace-"
"""How a name begins under which a file is deleted; it is no raw file."""


class Deleting(BaseModel):
    """A site's consent that what every archive proved to hold is deleted on a scanner, and within which limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    consent: str
    """Relay and scanner by their names: a table that is copied elsewhere deletes nothing there."""
    by: str = Field(min_length=3)
    """Who decided it, for the journal."""
    path: AbsolutePath | None = None
    """Where the same share is mounted writable, for this alone; None: it is so at its own path."""
    hold_s: float = Field(default=14 * 86_400.0, ge=86_400.0)
    """How long every archive must have held a file before."""
    files_per_day: int = Field(default=100, ge=1)
    gb_per_day: float = Field(default=200.0, gt=0)


class ShareSettings(SourceSettings):
    """Where the share is mounted."""

    path: AbsolutePath
    delete: Deleting | None = None
    """None, as by default: nothing is ever deleted there."""

    @property
    def warning(self) -> str | None:
        """Tell what was switched on."""
        return (
            None if self.delete is None else f"files are deleted there once they are proved; {self.delete.by} said so"
        )


class Share:
    """A mounted folder with everything below it; links are not followed."""

    def __init__(self, settings: ShareSettings) -> None:
        self._root = os.fsencode(settings.path)
        self._patterns = settings.patterns

    def find(self) -> Iterator[SourceFile]:
        """Yield every regular file whose name fits a pattern, whatever its case."""
        folders = [self._root]
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        elif entry.is_file(follow_symlinks=False) and self._fits(entry.name):
                            yield from self._seen(entry)
            except OSError as error:
                raise _explained(error, "list a folder") from error

    def stat(self, path: str) -> SourceFile:
        """Return the file as it stands now."""
        try:
            found = os.stat(self._full(path), follow_symlinks=False)  # noqa: PTH116 -- names may be bytes
        except OSError as error:
            raise _explained(error, "look at a file") from error
        return SourceFile(path=path, size=found.st_size, mtime_ns=found.st_mtime_ns)

    def free_bytes(self) -> int | None:
        """Return what the mounted file system says."""
        try:
            found = os.statvfs(self._root)
        except OSError as error:
            raise _explained(error, "look at a folder") from error
        return found.f_bavail * found.f_frsize

    @contextmanager
    def open(self, path: str) -> Iterator["_Reader"]:
        """Open one file for reading."""
        try:
            handle = os.open(self._full(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _explained(error, "open a file") from error
        try:
            with suppress(OSError):  # it is advice: what is read shall come from the share, not from this memory
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            yield _Reader(handle)
        finally:
            os.close(handle)

    def _fits(self, name: bytes) -> bool:
        return not name.startswith(ASIDE.encode()) and fits(name.decode("latin-1"), self._patterns)

    def _seen(self, entry: "os.DirEntry[bytes]") -> Iterator[SourceFile]:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return  # between the listing and now the scanner took it away; nothing was promised about it yet
        except OSError as error:
            raise _explained(error, "look at a file") from error
        path = to_text(entry.path[len(self._root) :].lstrip(b"/"))
        yield SourceFile(path=path, size=found.st_size, mtime_ns=found.st_mtime_ns)

    def _full(self, path: str) -> bytes:
        return self._root + b"/" + to_bytes(path)


class _Reader:
    def __init__(self, handle: int) -> None:
        self._handle = handle

    def read(self, offset: int, length: int) -> bytes:
        pieces, wanted = [], length
        try:
            while wanted and (piece := os.pread(self._handle, wanted, offset + length - wanted)):
                pieces.append(piece)
                wanted -= len(piece)
        except OSError as error:
            raise _explained(error, "read a file") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _explained(error: OSError, act: str) -> SourceError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FileVanished(
            f"The share has nothing at this place any more (tried to {act}); what was captured before is safe. "
            "See on the scanner whether it was deleted or the share is not mounted."
        )
    if isinstance(error, PermissionError):
        return FileUnreadable(
            f"The share does not let the relay {act}; nothing was changed. "
            "Give its account read permission there, then retry."
        )
    return SourceError(
        f"The share did not let the relay {act} ({os.strerror(error.errno or 0)}); nothing was changed. "
        "The relay tries again by itself."
    )


PLUGIN = Plugin("share", ShareSettings, Share)
