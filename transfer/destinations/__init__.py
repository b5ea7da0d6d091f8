"""Where captures and studies go: the ports; one module or package a kind of archive, each ending in its PLUGIN."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Bytes to send: their number, and how to read them, as often as needed, from the start."""

    size: int
    md5: str
    sha256: str
    blocks: Callable[[], Iterator[bytes]]
    suffix: str = ".bin"

    @classmethod
    def of(cls, data: bytes) -> "Body":
        """Return a body of bytes in memory."""
        digest = md5(data, usedforsecurity=False).hexdigest()
        return cls(size=len(data), md5=digest, sha256=sha256(data).hexdigest(), blocks=lambda: iter((data,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One file as the archive lists it. ``md5``, in lower case, is None where the archive does not say."""

    size: int
    md5: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How the archive showed that it holds a file: the digest seen there, and by which way it was seen."""

    digest: str
    how: str


class RawArchive(Protocol):
    """Holds captures. A place is the archive's own name for the folder of one scan's or session's raw data."""

    def open_place(self, *, project: str, experiment: str, series_uid: str | None) -> str:
        """Return the place for a series (None: for the session), made ready, after seeing that the relay may write.

        ``experiment`` is the archive's id of the session; for an archive that is no `DicomArchive`, `session_name`.

        Raises:
            Missing: the archive has no such session or scan.
            Forbidden: the relay may not write there.
        """

    def places(self, *, project: str, session: str, scan: str | None) -> list[str]:
        """Return the places of a session that may hold captures, without changing anything.

        ``session`` and ``scan`` are what the archive calls them; without a scan it is all scans and the session itself.

        Raises:
            Missing: the archive has no such session or scan.
        """

    def listing(self, place: str) -> dict[str, Stored]:
        """Return what the archive lists at the place, by name."""

    def put(self, place: str, name: str, body: Body, *, progress: Callable[[], None] = lambda: None) -> None:
        """Send one file, replacing what is there. Its return proves nothing: `prove` does.

        ``progress`` is called whenever the archive has taken something that need not be sent again after a break; what
        it raises ends the work.

        Raises:
            TooLarge: the archive, or a proxy before it, does not take a body of this size.
        """

    def prove(self, place: str, files: Mapping[str, Body], *, afresh: bool = False) -> dict[str, Proof]:
        """Return for every file how the archive showed that it holds exactly these bytes.

        With ``afresh`` a digest that it noted when it stored a file does not do: it looks at the bytes as they lie
        there now.

        Raises:
            NotHeld: it does not, with the names of all that it does not hold.
        """

    def read(self, place: str, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """Open one file for reading back.

        Raises:
            NotHeld: there is no such file.
        """


@runtime_checkable
class Ranged(Protocol):
    """An archive that gives back any stretch of a file, so that a large file can be fetched in pieces."""

    def read_range(self, place: str, name: str, *, start: int, size: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open ``size`` bytes of a file from byte ``start`` on for reading back.

        Raises:
            NotHeld: there is no such file.
        """
