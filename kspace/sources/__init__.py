"""Where raw files come from: the Source port; one module a kind of source, each ending in its PLUGIN.

Everything here is read-only towards the scanner. No source is used bare: `limiting.py` wraps each in its scanner's
one limiter.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from kspace.records import SourceFile


class Reader(Protocol):
    """One open file of a source."""

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from offset, fewer than length only where the file ends.

        Raises:
            SourceError: the share does not answer, or the file vanished.
        """


class Source(Protocol):
    """A folder of raw files on the scanner's side, seen through one protocol."""

    def find(self) -> Iterator[SourceFile]:
        """Yield every raw file there is, once.

        A listing that breaks off raises: what was not listed is unknown, never "gone".

        Raises:
            SourceError: the share does not answer.
        """

    def stat(self, path: str) -> SourceFile:
        """Return the file as it stands now.

        Raises:
            FileVanished: there is no such file.
            SourceError: the share does not answer.
        """

    def free_bytes(self) -> int | None:
        """Return how much more fits on the disk behind the share; None: it does not say.

        Raises:
            SourceError: the share does not answer.
        """

    def open(self, path: str) -> AbstractContextManager[Reader]:
        """Open one file for reading, sharing it with every other reader and writer.

        Raises:
            FileVanished: there is no such file.
            FileUnreadable: the share refuses.
            SourceError: the share does not answer.
        """
