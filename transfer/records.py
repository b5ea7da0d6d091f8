"""What stages are given and what they answer. A stage never sees the catalog: record in, outcome out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from dicom.records import Decision, Instance, Series, Study
from kspace.records import Audit, Measurement, Packed, Part, SourceFile, Verdict
from kspace.sources.settings import Scope
from transfer.selection import Choice
from transfer.states import CaptureState, DeliveryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One raw file on its way."""

    id: int
    state: CaptureState
    scanner: str
    source: str
    scope: Scope = Scope.STORE
    file: SourceFile
    changed_at: datetime
    """When the relay, by its own clock, first saw the file as it is."""
    since_at: datetime
    """When the capture came into its state."""
    as_is: bool
    """A person's word that a damaged file is to be captured as it is."""
    audit: Audit | None
    measurements: tuple[Measurement, ...]
    sha256: str | None
    manifest: bytes | None
    match: "Match | None"

    @property
    def image(self) -> Measurement | None:
        """The imaging measurement: the last one; earlier ones are what it depends on."""
        return self.measurements[-1] if self.measurements else None

    @property
    def is_read_to_the_end(self) -> bool:
        """Whether the walk came to the last measurement's end, so that every header in the file was seen."""
        return self.audit is not None and (self.audit.verdict.is_whole or self.audit.verdict is Verdict.SUSPECT_HOLE)

    @property
    def spooled(self) -> str:
        """The name of its packed file in the spool."""
        return f"{self.id:08d}.packed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What the join, or a person, decided for a capture, and where DICOM of that study goes."""

    study_uid: str
    series_uid: str | None
    certainty: str
    reason: str
    targets: tuple[tuple[str, str], ...]
    """(destination, project) of the study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Where the measurement goes whose reconstruction needs this one; no study: it is not known yet."""

    mid: int | None
    study_uid: str | None
    series_uid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawDelivery:
    """One capture's way to one destination."""

    id: int
    state: DeliveryState
    destination: str
    project: str
    capture: Capture
    parts: tuple[Part, ...]
    experiment: str | None
    """The archive's id of the session, once its DICOM is there."""
    place: str | None
    alias: str | None = None
    """What the archive calls the series, where its scripts changed UIDs."""
    doubted: frozenset[str] = frozenset()
    """Files that the archive did not prove, whatever its list says: they are sent again."""
    found: frozenset[str] | None = None
    """Files that lay there before anything of this delivery was sent; None: nobody has looked yet."""
    found_at: str | None = None
    """The place where they lay: at another one it has to be looked again."""
    receipt: bytes | None = None
    """The newest that was signed for it, whatever happened since."""
    heads: Mapping[str, "SeriesHead"] = field(default_factory=dict)
    """What each series of its study says of itself and of the study, by its UID."""
    assigned_by: str | None = None
    """The person who said where the raw data of the study go, to a destination that takes no images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """One received instance, where its file lies and which series it is of. Ids grow as instances arrive."""

    id: int
    instance: Instance
    series_uid: str
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesHead:
    """A series as its first instance told it, with what that says of the study, and to whom it was sent by whom."""

    study: Study
    series: Series
    called_ae: str
    calling_ae: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomDelivery:
    """One study's way to one destination."""

    id: int
    state: DeliveryState
    destination: str
    project: str
    subject: str
    session: str
    study: Study
    since_at: datetime
    """When the delivery came into its state."""
    last_arrival_at: datetime
    heads: Mapping[str, "SeriesHead"]
    """What each series says of itself and of the study, by its UID."""
    instances: tuple[StoredInstance, ...]
    """Those whose file is still here: what was freed an archive proved to hold."""
    place: str | None
    """The URI that the last import or commit returned: prearchive or archive."""
    experiment: str | None
    """The archive's id of the session, once it was seen there."""
    imported: Mapping[str, int]
    """For each series the id of its last instance that the archive's importer took."""
    refused: Mapping[str, int]
    """The same, of series that the archive's own filter did not take."""
    doubted: frozenset[str]
    """Series that the archive did not show in full when it was last looked at; they were sent again since."""
    assigned_by: str | None
    """The person who said where it goes; no route has a say then."""
    as_is: bool = False
    """A person takes it without the images that the archive did not show when it was held."""
    lacking: frozenset[int] = frozenset()
    """Instances that the archive did not show, which a person knows: they are kept here and never count as proved."""


Record = Capture | RawDelivery | DicomDelivery


# --- outcomes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """The stage did its work: commit this result."""

    result: "Result"


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing to decide yet: ask again after so many seconds. No failure, and never counted as one."""

    reason: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """Only a person can go on (or, where ``code`` says so, new evidence)."""

    reason: str
    code: str


Outcome = Done | Later | Held


# --- results ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settled:
    """The file is quiet and known; the first selection step is decided."""

    audit: Audit
    measurements: tuple[Measurement, ...]
    choice: Choice

    @property
    def state(self) -> CaptureState:
        """Wanted goes on, unwanted stays in the inventory."""
        return CaptureState.SETTLED if self.choice.is_wanted else CaptureState.SKIPPED


@dataclass(frozen=True, slots=True)
class Changed:
    """The file is not what it was when it settled: from the start again, as it is now."""

    state: ClassVar[CaptureState] = CaptureState.FOUND
    file: SourceFile
    reason: str


@dataclass(frozen=True, slots=True)
class PackedUp:
    """The file lies packed in the spool."""

    state: ClassVar[CaptureState] = CaptureState.PACKED
    packed: Packed
    manifest: bytes


@dataclass(frozen=True, slots=True)
class Twin:
    """The very bytes of another capture, which goes on for both."""

    state: ClassVar[CaptureState] = CaptureState.SKIPPED
    packed: Packed
    other: int


@dataclass(frozen=True, slots=True)
class Joined:
    """The join is certain of the study, and of the series where it names one."""

    state: ClassVar[CaptureState] = CaptureState.MATCHED
    decision: Decision


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to begin."""

    destination: str
    project: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """Which destinations get the capture, in which parts."""

    state: ClassVar[CaptureState] = CaptureState.PLANNED
    choices: tuple[Choice, ...]
    deliveries: tuple[NewDelivery, ...]


@dataclass(frozen=True, slots=True)
class Released:
    """No project wants the capture: its packed file may go. The one way in which captured bytes are dropped."""

    state: ClassVar[CaptureState] = CaptureState.RELEASED
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Retired:
    """The spool no longer holds the capture."""

    state: ClassVar[CaptureState] = CaptureState.RETIRED


@dataclass(frozen=True, slots=True)
class Fetched:
    """The spool holds the capture again: what is joined is planned, for the rest the join decides."""

    is_joined: bool

    @property
    def state(self) -> CaptureState:
        """Where it goes on."""
        return CaptureState.MATCHED if self.is_joined else CaptureState.PACKED


@dataclass(frozen=True, slots=True)
class Looked:
    """The archive has these files at this place already, by whomever; they have to be proved afresh."""

    state: ClassVar[DeliveryState] = DeliveryState.QUEUED
    found: frozenset[str]
    place: str


@dataclass(frozen=True, slots=True)
class Sent:
    """Everything was sent to this place; nothing is proved yet."""

    state: ClassVar[DeliveryState] = DeliveryState.SENT
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The archive's importer took a series, or refused it; nothing is proved yet, and others may follow."""

    state: ClassVar[DeliveryState] = DeliveryState.QUEUED
    place: str | None
    imported: Mapping[str, int]
    refused: Mapping[str, int]
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerouted:
    """The routes lead elsewhere than they did when the study came, and nothing of it was sent yet."""

    state: ClassVar[DeliveryState] = DeliveryState.QUEUED
    project: str
    subject: str
    session: str
    said: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The session is in the prearchive and a person there must archive it."""

    state: ClassVar[DeliveryState] = DeliveryState.WAITING
    said: str


@dataclass(frozen=True, slots=True)
class Observing:
    """Another path carries the images; the session is awaited."""

    state: ClassVar[DeliveryState] = DeliveryState.OBSERVING


@dataclass(frozen=True, slots=True)
class SendAgain:
    """The archive does not hold what was sent."""

    state: ClassVar[DeliveryState] = DeliveryState.QUEUED
    reason: str
    names: frozenset[str] = frozenset()
    """Which files (raw) or series (DICOM) it did not prove, where that is known."""


@dataclass(frozen=True, slots=True)
class CutAgain:
    """A part was too large for the destination: the same chunks in smaller parts."""

    state: ClassVar[DeliveryState] = DeliveryState.QUEUED
    parts: tuple[Part, ...]
    limit: int
    """The size that the parts were cut to, in bytes; remembered for the destination."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The archive proved from its own bytes that it holds the capture."""

    state: ClassVar[DeliveryState] = DeliveryState.VERIFIED
    receipt: bytes


@dataclass(frozen=True, slots=True)
class StillHeld:
    """The archive proved it again, from the bytes as they lie there now."""

    state: ClassVar[DeliveryState] = DeliveryState.VERIFIED
    said: str


@dataclass(frozen=True, slots=True)
class Archived:
    """The archive proved that it holds every instance that goes there, in this experiment."""

    state: ClassVar[DeliveryState] = DeliveryState.VERIFIED
    experiment: str
    place: str
    said: str
    aliases: Mapping[str, str]
    """What it calls a series, by our UID of it, where its scripts changed that."""
    imported: Mapping[str, int] | None = None
    """What it was seen to hold that the relay did not send, as `DicomDelivery.imported`."""
    lacking: frozenset[int] = frozenset()
    """What it does not show all the same, as `DicomDelivery.lacking`."""


_OfCapture = Settled | Changed | PackedUp | Twin | Joined | Planned | Released | Retired | Fetched
_OfRaw = Looked | Sent | SendAgain | CutAgain | Verified | StillHeld
_OfImages = Imported | Rerouted | Waiting | Observing | Archived
Result = _OfCapture | _OfRaw | _OfImages
