"""What the listener hands over, and the port that takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from dicom.commitment import Report
from dicom.records import Instance, Series, Study
from kspace.errors import KspaceError


class Status(IntEnum):
    """The answers to C-STORE (PS3.4 B.2.3) and N-ACTION (PS3.7 10.1.4.1.10)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    INVALID_ARGUMENT = 0x0115
    NO_SUCH_ACTION = 0x0123
    UNRECOGNIZED_OPERATION = 0x0211
    RESOURCE_LIMITATION = 0x0213
    OUT_OF_RESOURCES = 0xA700
    OTHER_OBJECT = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    FAILED = 0xC211
    """A fault of the receiver's program."""


class Caller(NamedTuple):
    """Who sent something to whom, as the association says; ``peer`` is the address."""

    calling_ae: str
    called_ae: str
    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An instance that lies durable at ``path``, as a DICOM file of ``size`` bytes."""

    path: Path
    size: int
    sha256: str
    """Of the file; the same object received again is the same bytes."""
    study: Study
    series: Series
    instance: Instance
    calling_ae: str
    called_ae: str
    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An instance that was announced and not taken: it must be sent again. What could not be read is None."""

    sop_uid: str
    study_uid: str | None
    series_uid: str | None
    series_number: int | None
    status: Status
    caller: Caller


class Inbox(Protocol):
    """Takes over what was received. Every method may be called from several threads at once.

    A `KspaceError` is answered with the status that fits it.
    """

    def accept(self, together: Sequence[Received]) -> list[Status | KspaceError]:
        """Return Success for each instance whose row is durable too, and for each other why not.

        May be called again with the same instances.
        """

    def refuse(self, refused: Refused) -> None:
        """Remember that an instance was refused, until it arrives."""

    def turn_away(self, caller: Caller, why: str) -> None:
        """Take note that an association was refused."""

    def lost(self, reason: str, *, was_alive: bool) -> None:
        """Take note that a receiving process ended or hung: with its associations, or before it ever received."""

    def promise(self, transaction_uid: str, wanted: Sequence[tuple[str, str]], caller: Caller) -> Status:
        """Return Success once a request for storage commitment (SOP class and instance, each) is durable."""

    def report(self, transaction_uid: str, caller: Caller) -> Report | None:
        """Return what became of a request if that is known and is to be told on the caller's own association."""

    def reported(self, transaction_uid: str, caller: Caller) -> None:
        """Remember that the caller took the report."""
