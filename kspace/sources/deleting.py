"""The one place that deletes at a source, where a site consented to it: exactly the bytes that were proved, or nothing.

A name is no file: between a look and an unlink another file may take it. So the file is opened, its bytes are hashed
through that handle, it is moved aside under a name that nobody else uses, seen to be the very same there, and only then
unlinked. Whatever is not as expected on the way leaves the file where it was.
"""

import ctypes
import os
import stat as modes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EEXIST, EINVAL, ELOOP, EMLINK, ENOENT, ENOSYS, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM, EROFS
from functools import partial
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import TypeVar

from kspace.errors import FileChanged, FileUnreadable, FileVanished, SourceError
from kspace.records import SourceFile
from kspace.sources.answering import Asking
from kspace.sources.limiting import Limiter
from kspace.sources.names import to_bytes

_BLOCK = 1 << 20
_NOREPLACE = 1
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN = {EACCES, EPERM, EROFS, EEXIST, ELOOP, EOPNOTSUPP, ENOSYS, EMLINK, ENXIO}
"""These say no to one file. What else is wrong is of the whole share, and passes."""
_Answer = TypeVar("_Answer")


class Deleter:
    """Deletes below one mounted folder; each call to it ends within a time, each byte passes the scanner's limiter."""

    def __init__(self, root: Path, *, limiter: Limiter, within_s: float) -> None:
        self._root = os.fsencode(root)
        self._limiter = limiter
        self._ask = Asking(within_s)

    def delete(
        self, file: SourceFile, *, sha256: str, aside: str, intend: Callable[[], None], go_on: Callable[[], None]
    ) -> None:
        """Delete the file if it is this one, of these bytes, and under one name.

        ``go_on`` is called between blocks of the read, ``intend`` after it and before anything is changed: what they
        raise leaves the file as it is.

        Raises:
            FileVanished: there is no such file.
            FileChanged: it is another one, or its bytes are others; nothing was deleted.
            FileUnreadable: it is no plain file, has a second name, or the share refuses; nothing was deleted.
            SourceError: the share does not answer. At worst the file lies ``aside``, or is gone: `restore` tells.
        """
        with self._folder_of(file.path) as (folder, name):
            handle = self._call("open a file", lambda: os.open(name, _FLAGS | os.O_NONBLOCK, dir_fd=folder))
            try:
                as_it_was = self._demand(handle, file, name, folder)
                if self._digest(handle, file.size, go_on) != sha256:
                    raise FileChanged(_OTHER_BYTES)
                intend()
                if self._demand(handle, file, name, folder).st_ctime_ns != as_it_was.st_ctime_ns:
                    raise FileChanged(_CHANGED)
                self._move_aside(name, aside, folder)
                try:
                    self._demand(handle, file, aside.encode(), folder)
                except (FileChanged, FileUnreadable):
                    self._put_back(name, aside, folder)
                    raise
                self._call("delete a file", lambda: os.unlink(aside, dir_fd=folder))
            finally:
                self._close(handle)

    def restore(self, path: str, *, aside: str) -> bool:
        """Give a file that was moved aside in an earlier life its name back; False: it is at neither place.

        Raises:
            FileUnreadable: its name is taken; it lies aside, and nothing was deleted.
            SourceError: the share does not answer.
        """
        with self._folder_of(path) as (folder, name):
            if self._call("look at a file", lambda: _is_there(aside, folder)):
                self._put_back(name, aside, folder)
            return self._call("look at a file", lambda: _is_there(name, folder))

    @contextmanager
    def _folder_of(self, path: str) -> Iterator[tuple[int, bytes]]:
        """Open a file's folder name by name, since a link on the way would lead out of the share."""
        *parents, name = to_bytes(path).split(b"/")
        if {b"", b".", b".."} & {*parents, name}:
            raise FileUnreadable(_NO_PLAIN_FILE)
        flags = _FLAGS | os.O_DIRECTORY
        folder = self._call("open a folder", lambda: os.open(self._root, flags & ~os.O_NOFOLLOW))
        try:
            for parent in parents:
                above = folder
                folder = self._call("open a folder", partial(os.open, parent, flags, dir_fd=above))
                self._close(above)
            yield folder, name
        finally:
            self._close(folder)

    def _demand(self, handle: int, file: SourceFile, name: bytes, folder: int) -> os.stat_result:
        """Raise unless the open file is a plain one, as the catalog knows it, and the only thing of this name."""
        opened = self._call("look at a file", lambda: os.fstat(handle))
        named = self._call("look at a file", lambda: os.stat(name, dir_fd=folder, follow_symlinks=False))
        if not modes.S_ISREG(opened.st_mode) or opened.st_nlink != 1:
            raise FileUnreadable(_NO_PLAIN_FILE)
        if (opened.st_size, opened.st_mtime_ns) != (file.size, file.mtime_ns):
            raise FileChanged(_CHANGED)
        if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino):
            raise FileChanged(_CHANGED)
        return opened

    def _move_aside(self, name: bytes, aside: str, folder: int) -> None:
        if self._call("look at a file", lambda: _is_there(aside, folder)):
            raise FileUnreadable(_LEFT_ASIDE.format(aside))
        self._call("move a file", lambda: os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder))

    def _put_back(self, name: bytes, aside: str, folder: int) -> None:
        """Give a file its name back, unless another has it by now."""
        try:
            self._call("put a file back", lambda: _rename_to_free(aside.encode(), name, folder))
        except FileUnreadable as error:
            raise FileUnreadable(_LEFT_ASIDE.format(aside)) from error

    def _digest(self, handle: int, size: int, go_on: Callable[[], None]) -> str:
        """Read the file once more, from the share and not from this machine's memory as far as the system can."""
        with suppress(OSError):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        digest, at = new_sha256(), 0
        while at < size:
            go_on()
            with self._limiter.turn(_BLOCK):
                block = self._call("read a file", partial(os.pread, handle, _BLOCK, at))
            if not block:
                break
            digest.update(block)
            at += len(block)
        return digest.hexdigest()

    def _call(self, act: str, call: Callable[[], _Answer]) -> _Answer:
        """Make one call to the system: one that hangs is left behind, and whatever was to follow it never happens."""

        def made() -> _Answer:
            try:
                return call()
            except OSError as error:
                raise _explained(error, act) from error

        return self._ask(made)

    def _close(self, handle: int) -> None:
        """Close it, unless a call that was left behind may still use it."""
        with suppress(SourceError):
            self._call("close a file", lambda: os.close(handle))


def _rename_to_free(old: bytes, new: bytes, folder: int) -> None:
    """Rename to a name that nobody has: renameat2(2). NFS cannot; there a link takes no name that is taken either.

    A link alone would not do: who does not own a file may not make one (proc_sys_fs(5), protected_hardlinks).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(folder, old, folder, new, _NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number != EINVAL:
        raise OSError(number, os.strerror(number))
    os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder)
    os.unlink(old, dir_fd=folder)


def _is_there(name: str | bytes, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _explained(error: OSError, act: str) -> SourceError:
    said = os.strerror(error.errno or 0)
    if error.errno in {ENOENT, ENOTDIR}:
        return FileVanished(f"The file is not at its place any more (tried to {act}). Nothing was deleted.")
    if error.errno in _OWN:
        return FileUnreadable(
            f"The share does not let the relay {act} ({said}). Nothing was deleted. Where deleting is wanted, its path "
            "must be mounted writable for the relay's account."
        )
    return SourceError(f"The share did not let the relay {act} ({said}). The relay tries again by itself.")


_CHANGED = (
    "The file is not the one that was captured any more: its size, its time or the file itself is another. It was left "
    "as it is."
)
_OTHER_BYTES = "Read once more, the file gave other bytes than were captured. It was left as it is."
_NO_PLAIN_FILE = "It is no plain file, or it has a second name (a hard link). It was left as it is."
_LEFT_ASIDE = (
    "The file was moved aside to be deleted, and was not: it lies beside its old place as {}, since its name is taken "
    "or the share cannot give it back. Nothing is lost; give it a name on the scanner's side."
)
