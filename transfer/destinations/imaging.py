"""The port for DICOM sessions, and where an archive says that one of them is."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from dicom.bulk import Bulk
from transfer.destinations import Body


class Stand(StrEnum):
    """How an archive says that a session stands which was sent to it."""

    ARCHIVED = "archived"
    OPEN = "open"
    """In its prearchive, and more may be added until it is committed."""
    WAITS = "waits"
    """In its prearchive, whole; a person there must archive it."""
    STUCK = "stuck"
    """In its prearchive, and it cannot be archived as it is: a conflict or an error."""
    MOVING = "moving"
    """Busy: being built or archived."""
    GONE = "gone"
    """Nowhere to be seen; between prearchive and archive that is so for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a session is now. ``said`` is the archive's own word for it; the rest is known once it is archived."""

    stand: Stand
    said: str = ""
    experiment: str = ""
    subject: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a session is called in an archive, and the study it is of."""

    project: str
    subject: str
    session: str
    study_uid: str


@runtime_checkable
class DicomArchive(Protocol):
    """Takes DICOM sessions. An archive may be both, or only a `RawArchive`."""

    def follow(self, place: str, labels: Labels) -> Whereabouts:
        """Return where the session is that an import or a commit said to be at ``place``.

        Raises:
            Missing: there is no such project.
        """

    def search(self, labels: Labels, *, date: str | None, scanner: str | None) -> str | None:
        """Return the archive's id of the session of this study, which others brought there; None while there is none.

        By the study's UID; where scripts changed that, by labels with the same date and scanner.
        """

    def sop_uids(self, experiment: str) -> frozenset[str]:
        """Return the SOP Instance UIDs the archive's own catalogs list for a session."""

    def images(self, experiment: str, *, scratch: Path) -> Iterator[Bulk]:
        """Read every image of a session back and yield what it shows; each lies in the folder ``scratch`` meanwhile."""

    def scripts(self, project: str) -> tuple[bool, bool]:
        """Return whether the archive as a whole, and whether the project, anonymise images on their way in."""

    def import_zip(self, body: Body, labels: Labels) -> str | None:
        """Send a zip of DICOM files of one series and return where it went; None where a filter there took none of it.

        Raises:
            TooLarge: the archive, or a proxy before it, does not take a body of this size.
        """

    def finish(self, place: str, *, archive: bool | None, again: bool = False) -> str:
        """Tell the archive that the session is complete for now and return where it is, archived or stuck.

        ``archive`` says whether it may be archived at once; None: as the destination is configured. ``again``: images
        that the archive showed to have as they are may be among these, and are no conflict.

        Raises:
            Missing: it is not there any more.
        """
