"""Every error the relay knows, rooted in one class for all four packages.

The class decides, never the message: ``code`` names the error for programs, ``exit_code`` is what the command
line returns, ``retry`` says who acts next.

    KspaceError
    ├── BadInput            what was given cannot be used as it is          (PERSON)
    │   ├── ConfigError     the configuration
    │   └── NotFound        no such capture, file or place
    ├── SourceError         the scanner's side does not answer               (LATER)
    │   ├── FileVanished    the file is gone from the share                  (PERSON)
    │   ├── FileUnreadable  the share does not let the relay read it         (PERSON)
    │   ├── FileBusy        the scanner holds the file for itself            (LATER)
    │   ├── FileChanged     the file is not the one that was looked at       (LATER)
    │   └── SourceRefused   the account is refused, or it is another machine (LATER)
    ├── SpoolError          the local disk failed, is full, or lied          (LATER)
    │   └── SpoolDamaged    one file there is not what was written           (PERSON)
    └── DestinationError    the archive's side                               (LATER)
"""

from enum import StrEnum
from typing import ClassVar


class Retry(StrEnum):
    """Who acts next after an error."""

    NOW = "now"
    """Try again at once: the cause is gone by doing it again."""
    LATER = "later"
    """Try again after a pause."""
    PERSON = "person"
    """Nothing changes until a person does something."""


class KspaceError(Exception):
    """The root. Its text is one sentence: what happened, what is safe, what to do next; never patient data."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    retry: ClassVar[Retry] = Retry.LATER
    pauses: ClassVar[bool] = False
    """True where it is not the item's fault: its whole source, spool or destination is left alone for a while."""
    may_be_its_own: ClassVar[bool] = False
    """True where a pause may be the item's own fault after all: it counts as a failure whenever others got through."""
    pause_s: ClassVar[float | None] = None
    """How long that while is; None: short at first, longer each time."""


class BadInput(KspaceError):
    """What was given cannot be used as it is."""

    code = "bad_input"
    exit_code = 2
    retry = Retry.PERSON


class ConfigError(BadInput):
    """The configuration cannot be used."""

    code = "config"


class NotFound(BadInput):
    """No such capture, file or place."""

    code = "not_found"
    exit_code = 4


class SourceError(KspaceError):
    """The scanner's side does not answer."""

    code = "source"
    exit_code = 5
    pauses = True


class FileVanished(SourceError):
    """The file is gone from the share."""

    code = "file_vanished"
    pauses = False
    retry = Retry.PERSON


class FileUnreadable(SourceError):
    """The share does not let the relay read the file."""

    code = "file_unreadable"
    pauses = False
    retry = Retry.PERSON


class FileBusy(SourceError):
    """The scanner holds the file for itself."""

    code = "file_busy"
    pauses = False


class FileChanged(SourceError):
    """The file is not the one that was looked at."""

    code = "file_changed"
    pauses = False


class SourceRefused(SourceError):
    """The account is refused, or the machine that answers is not the one it was."""

    code = "source_refused"
    pause_s = 900.0  # each try counts towards the lock that many domains put on an account


class SpoolError(KspaceError):
    """The local disk failed, is full, or gave back other bytes than it was given."""

    code = "spool"
    exit_code = 6
    pauses = True


class SpoolDamaged(SpoolError):
    """One file in the spool is not what was written; the disk takes and gives others."""

    code = "spool_damaged"
    pauses = False
    retry = Retry.PERSON


class DestinationError(KspaceError):
    """The archive's side failed."""

    code = "destination"
    exit_code = 7
    of_project: ClassVar[bool] = False
    """True where the pause is for what goes to the same project there, and for nothing else."""
