"""What the relay keeps of DICOM: few fields of an instance, its series and its study; and the join's verdicts."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One SOP instance. ``ticks`` are its acquisition times in units of 2.5 ms since local midnight."""

    sop_uid: str
    sop_class: str
    transfer_syntax: str
    number: int | None = None
    """InstanceNumber (0020,0013)."""
    ticks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What a series says of itself, and every acquisition tick its instances have shown so far."""

    series_uid: str
    study_uid: str
    number: int | None = None
    description: str | None = None
    protocol: str | None = None
    modality: str | None = None
    serial: str | None = None
    software: str | None = None
    lprotid: int | None = None
    protocol_digest: str | None = None
    free_uuid: str | None = None
    frame_of_reference: str | None = None
    image_type: str | None = None
    sequence: str | None = None
    body_part: str | None = None
    images_in_acquisition: int | None = None
    """How many images the scanner says the acquisition has, (0020,1002)."""
    sop_uids: frozenset[str] = frozenset()
    ticks: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What routing needs to know of a study. ``patient_id`` and the comments never leave the catalog."""

    study_uid: str
    date: str | None = None
    time: str | None = None
    patient_id: str | None = None
    patient_name: str | None = None
    description: str | None = None
    accession: str | None = None
    study_id: str | None = None
    referring: str | None = None
    procedure: str | None = None
    institution: str | None = None
    station: str | None = None
    model: str | None = None
    comments: tuple[str, ...] = ()
    """PatientComments, StudyComments, AdditionalPatientHistory, in XNAT's order of search."""


class Weight(StrEnum):
    """What one clue says of one pair."""

    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    SILENT = "silent"


class Level(StrEnum):
    """What a clue is about."""

    SCANNER = "scanner"
    STUDY = "study"
    MEASUREMENT = "measurement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One clue's verdict on one pair, with the values it compared, in words a researcher understands."""

    clue: str
    level: Level
    weight: Weight
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate series with all the evidence on it."""

    series_uid: str
    study_uid: str
    evidence: tuple[Evidence, ...]


class Certainty(StrEnum):
    """What the join decided."""

    CERTAIN = "certain"
    """One study and at least one series, beyond doubt."""
    STUDY_ONLY = "study only"
    """The study is beyond doubt, no series of it is this measurement's."""
    BESIDE = "beside"
    """It has no series of its own and goes to that of a measurement whose reconstruction needs it."""
    AMBIGUOUS = "ambiguous"
    """Only weak evidence, or strong evidence for more than one study: a person decides."""
    UNMATCHED = "unmatched"
    """Nothing fits so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The join's answer. ``study_uid`` is None where no study is beyond doubt, whatever is of the series.

    ``series_uids`` are all series of the measurement, the lowest series number first.
    """

    certainty: Certainty
    reason: str
    study_uid: str | None = None
    series_uids: tuple[str, ...] = ()
    judged: tuple[Judged, ...] = ()
