"""A folder the system has mounted (SMB, NFS or local): the plainest source."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch

from pydantic import BaseModel, ConfigDict, Field

from kspace.errors import FileUnreadable, FileVanished, SourceError
from kspace.paths import AbsolutePath
from kspace.records import SourceFile
from kspace.registry import Plugin

_LATIN_1 = "latin-1:"
"""Marks a path that is not UTF-8: names from old consoles. Databases take no lone surrogates."""


class ShareSettings(BaseModel):
    """Where the share is mounted, and which names on it are raw files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: AbsolutePath
    patterns: tuple[str, ...] = Field(default=("*.dat",), min_length=1)


class Share:
    """A mounted folder with everything below it; links are not followed."""

    def __init__(self, settings: ShareSettings) -> None:
        self._root = os.fsencode(settings.path)
        self._patterns = tuple(p.lower() for p in settings.patterns)

    def find(self) -> Iterator[SourceFile]:
        """Yield every regular file whose name fits a pattern, whatever its case."""
        folders = [self._root]
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    listed = list(entries)
            except OSError as error:
                raise _explained(error, "list a folder") from error
            for entry in listed:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False) and self._fits(entry.name):
                    yield from self._seen(entry)

    def stat(self, path: str) -> SourceFile:
        """Return the file as it stands now."""
        try:
            found = os.stat(self._full(path), follow_symlinks=False)  # noqa: PTH116 -- names may be bytes
        except OSError as error:
            raise _explained(error, "look at a file") from error
        return SourceFile(path=path, size=found.st_size, mtime_ns=found.st_mtime_ns)

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
        text = name.decode("latin-1").lower()
        return any(fnmatch(text, pattern) for pattern in self._patterns)

    def _seen(self, entry: "os.DirEntry[bytes]") -> Iterator[SourceFile]:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return  # between the listing and now the scanner took it away; nothing was promised about it yet
        except OSError as error:
            raise _explained(error, "look at a file") from error
        path = _text(os.path.relpath(entry.path, self._root))
        yield SourceFile(path=path, size=found.st_size, mtime_ns=found.st_mtime_ns)

    def _full(self, path: str) -> bytes:
        return self._root + b"/" + _bytes(path)


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


def _text(path: bytes) -> str:
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return _LATIN_1 + path.decode("latin-1")
    return _LATIN_1 + path.decode("latin-1") if text.startswith(_LATIN_1) else text


def _bytes(path: str) -> bytes:
    return path[len(_LATIN_1) :].encode("latin-1") if path.startswith(_LATIN_1) else path.encode()


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
