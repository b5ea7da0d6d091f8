"""What the relay knows of a raw file: plain frozen records, no behaviour that touches a disk or a network."""

from array import array
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file as a source lists it. ``path`` is relative to the source's root, with ``/`` between its parts."""

    path: str
    size: int
    mtime_ns: int


class Verdict(StrEnum):
    """Is the file whole? Always judged by our own walk, never by whether a reader returned."""

    COMPLETE_NATIVE = "complete native"
    """Written by the host's export; everything the directory promises is there."""
    COMPLETE_STREAMED = "complete streamed"
    """Written by a sender inside the reconstruction; ends with its end marker."""
    SUSPECT_HOLE = "suspect hole"
    """Walks as complete, but a run of 512 or more zero bytes lies inside headers or samples."""
    NOT_TWIX = "not TWIX"
    HEADER_CUT = "header cut"
    CUT_IN_READOUT = "cut in readout"
    NO_END_MARKER = "no end marker"
    UNWRITTEN_HOLE = "unwritten hole"
    CONTRADICTION = "directory contradicts contents"

    @property
    def is_whole(self) -> bool:
        """True where every byte the scanner wrote is there, as far as a walk can see."""
        return self in {Verdict.COMPLETE_NATIVE, Verdict.COMPLETE_STREAMED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """A verdict with its position in the file (bytes) and one sentence saying why; no patient data."""

    verdict: Verdict
    position: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measurement of a TWIX file: who made it, what it is, when. Text is kept as it stands, never cast.

    Fields the header does not hold are None. Ticks are 2.5 ms since the scanner's local midnight (MDH TimeStamp);
    they and the counts are known only after the walk.
    """

    index: int
    offset: int
    """Where the measurement begins in the file, bytes."""
    header_bytes: int
    baseline: str
    """VB, VD, VE, XA or the software text itself where it is none of these."""
    mid: int | None = None
    fid: int | None = None
    serial: str | None = None
    software: str | None = None
    model: str | None = None
    station: str | None = None
    protocol: str | None = None
    sequence: str | None = None
    lprotid: int | None = None
    frame_of_reference: str | None = None
    study_loid: str | None = None
    study_uid: str | None = None
    """XA only: Meas.StudyInstanceUID."""
    exam_memory_uid: str | None = None
    reference_image_uids: tuple[str, ...] = ()
    planned_s: float | None = None
    free_uuid: str | None = None
    protocol_digest: str | None = None
    """Of the protocol's whole text, as `kspace.twix.protocol` takes it."""
    dependency_mids: tuple[int, ...] = ()
    exposed_fields: tuple[str, ...] = ()
    """Names (never values) of fields that hold an unblanked patient name, ID or birth date."""
    unread: tuple[str, ...] = ()
    """Names of header parts that could not be read."""
    readouts: int = 0
    channels: int = 0
    samples: int = 0
    ticks: "array[int]" = field(default_factory=lambda: array("I"))
    """TimeStamp of every readout in file order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A run of source bytes, encoded so that it can be decoded by itself, at its place in the packed file."""

    offset: int
    """In the packed file, bytes."""
    raw_bytes: int
    stored_bytes: int
    codec: str
    sha256: str
    """Of the stored bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of whole chunks as one destination gets it: a byte range of the packed file."""

    number: int
    name: str
    offset: int
    size: int
    md5: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What one full read of a source file yielded."""

    sha256: str
    """Of the source's bytes."""
    size: int
    audit: Audit
    measurements: tuple[Measurement, ...]
    chunks: tuple[Chunk, ...]
    stored_bytes: int
