"""What an instance says of itself: the few fields routing and the join need, read without its pixels.

Values are taken as they stand in the file, not through pydicom's converters: those warn about an unusual value by
quoting it, and a patient's name must not reach a log. Whatever cannot be read is None; only an instance without its
identity is refused.
"""

import re
import struct
import zlib
from collections.abc import Collection, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom.protocol import digest_in, lprotid_in, uuid_in
from dicom.records import Instance, Series, Study
from dicom.ticks import tick_of
from dicom.uids import serial_in
from kspace.errors import BadInput

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
"""For the whole process: its warnings quote the value they warn about."""
_DEFER_BYTES = 1 << 20
"""Larger values (spectra, documents, private blobs) stay on disk."""
DAMAGE = (
    InvalidDicomError,
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on broken bytes."""
_NESTED = (0x0021, 0xFE)
"""A sequence that XA puts its own elements into."""
_PROTOCOL = {(0x0029, 0x20), (0x0021, 0x19), _NESTED}
_MARK = {(0x0021, 0x43)}
"""Where CMRR's sequences leave their UUID (measured on VE11C, XA30 and XA61)."""
_SERIES_NUMBER = 0x00200011
_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_NOT_AS_IT_STANDS = {DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian}
_SAME_IN_ALL = re.compile(rb"[ -\[\]-}]*")
"""Characters that are the same in every character set (PS3.3 C.12.1.1.2): Japan has others for backslash and tilde."""
_UID = re.compile(r"[0-9.]{1,64}")
_HINT = re.compile(r"(?:^|[\s,;])(Project|Subject|Session|AA):([A-Za-z0-9_-]+)(?=[\s,;]|$)", re.IGNORECASE)


class Begun(NamedTuple):
    """The first of a data set as it came, in its transfer syntax."""

    syntax: str
    content: bytes | bytearray


class NotDicom(BadInput):
    """The bytes are no DICOM instance that can be filed."""

    code = "not_dicom"


def describe(source: Dataset | Path, *, begun: Begun | None = None) -> tuple[Study, Series, Instance]:
    """Return what an instance says of its study, its series and itself; pixels and large values are never loaded.

    Where what has ``begun`` reaches the pixels, the file itself is not read.

    The series' serial is DeviceSerialNumber (0018,1000), or where that is missing the number Siemens puts after the
    model in its UIDs. Ticks are of this instance only.

    Raises:
        NotDicom: no DICOM file, or one without SOP Class, SOP Instance, Series or Study UID (PS3.3 C.12.1, C.7).
    """
    try:
        dataset = (_header_in(begun) or _read(source)) if isinstance(source, Path) else source
    except DAMAGE as error:
        raise NotDicom("The object is no readable DICOM; it was not taken. Send it again from its source.") from error
    uids = {k: _text(dataset, k) for k in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")}
    missing = [keyword for keyword, value in uids.items() if value is None]
    if missing:
        raise NotDicom(f"The object has no {missing[0]}; it was not taken. Correct it at its source and send it again.")
    known = {keyword: str(value) for keyword, value in uids.items()}
    instance = Instance(
        sop_uid=known["SOPInstanceUID"],
        sop_class=known["SOPClassUID"],
        transfer_syntax=begun.syntax if begun else _syntax(dataset),
        number=_integer(dataset, "InstanceNumber"),
        ticks=tuple(sorted(set(_ticks(dataset)))),
    )
    return _study(dataset, known["StudyInstanceUID"]), _series(dataset, known), instance


def glimpse(beginning: bytes) -> tuple[str | None, str | None, int | None]:
    """Return study UID, series UID and series number from the first bytes of a DICOM file, each None if missing."""
    try:
        with BytesIO(beginning) as file:
            dataset = read_partial(file, stop_when=lambda tag, *_: tag > _SERIES_NUMBER)
    except DAMAGE:
        return None, None, None
    return (
        _uid(dataset, "StudyInstanceUID"),
        _uid(dataset, "SeriesInstanceUID"),
        _integer(dataset, "SeriesNumber"),
    )


def route_hints(study: Study) -> dict[str, str]:
    """Return what ``Project:X Subject:Y Session:Z AA:true`` in the study's comments ask for, keys in lower case.

    The first comment that names a key wins, in XNAT's order: PatientComments, StudyComments,
    AdditionalPatientHistory (dicom-xnat Xnat15DicomProjectIdentifier, ClassicDicomObjectIdentifier).
    """
    found: dict[str, str] = {}
    for comment in study.comments:
        for key, value in _HINT.findall(comment):
            found.setdefault(key.lower(), value)
    return found


def _read(path: Path) -> Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True, defer_size=_DEFER_BYTES)


def _header_in(begun: Begun | None) -> Dataset | None:
    """Return the header from memory, which costs half: a file's every `tell` lets other threads run in between."""
    if begun is None or begun.syntax in _NOT_AS_IT_STANDS or _PIXEL_DATA not in begun.content:
        return None
    is_whole = False

    def stop(tag: int, *_: object) -> bool:
        nonlocal is_whole
        is_whole = tag in _PIXELS
        return is_whole

    with BytesIO(begun.content) as file:
        dataset = read_dataset(file, begun.syntax == ImplicitVRLittleEndian, True, stop_when=stop)
    return dataset if is_whole else None


def _syntax(dataset: Dataset) -> str:
    meta = getattr(dataset, "file_meta", None)
    return str(meta.get("TransferSyntaxUID", "")) if meta else ""


def _study(dataset: Dataset, study_uid: str) -> Study:
    keywords = ("PatientComments", "StudyComments", "AdditionalPatientHistory")
    return Study(
        study_uid=study_uid,
        date=_text(dataset, "StudyDate"),
        time=_text(dataset, "StudyTime"),
        patient_id=_text(dataset, "PatientID"),
        patient_name=_text(dataset, "PatientName"),
        description=_text(dataset, "StudyDescription"),
        accession=_text(dataset, "AccessionNumber"),
        study_id=_text(dataset, "StudyID"),
        referring=_text(dataset, "ReferringPhysicianName"),
        procedure=_text(dataset, "RequestedProcedureDescription"),
        institution=_text(dataset, "InstitutionName"),
        station=_text(dataset, "StationName"),
        model=_text(dataset, "ManufacturerModelName"),
        comments=tuple(c for k in keywords if (c := _text(dataset, k))),
    )


def _series(dataset: Dataset, uids: dict[str, str]) -> Series:
    texts = list(_private(dataset, _PROTOCOL))
    return Series(
        series_uid=uids["SeriesInstanceUID"],
        study_uid=uids["StudyInstanceUID"],
        number=_integer(dataset, "SeriesNumber"),
        description=_text(dataset, "SeriesDescription"),
        protocol=_text(dataset, "ProtocolName"),
        modality=_text(dataset, "Modality"),
        serial=_text(dataset, "DeviceSerialNumber") or serial_in(uids.values()),
        software=_text(dataset, "SoftwareVersions"),
        lprotid=lprotid_in(texts),
        protocol_digest=digest_in(texts),
        free_uuid=uuid_in(texts, _private(dataset, _MARK)),
        frame_of_reference=_text(dataset, "FrameOfReferenceUID"),
        image_type=_text(dataset, "ImageType"),
        sequence=_text(dataset, "SequenceName"),
        body_part=_text(dataset, "BodyPartExamined"),
        images_in_acquisition=_integer(dataset, "ImagesInAcquisition"),
    )


def _integer(dataset: Dataset, keyword: str) -> int | None:
    """Return an integer string (PS3.5 6.2: 32 bits), None where it is none: a catalog holds no larger one."""
    text = _text(dataset, keyword)
    number = int(text) if text and re.fullmatch(r"[+-]?\d{1,12}", text) else None
    return number if number is not None and -(1 << 31) <= number < 1 << 31 else None


def _text(dataset: Dataset, keyword: str) -> str | None:
    """Return an element's text without its padding, None where it is missing, empty or cannot be read."""
    try:
        element: Any = dataset.get_item(_tag(keyword))
        if element is None:
            return None
        value = element.value
        if isinstance(element, RawDataElement) and value and _SAME_IN_ALL.fullmatch(value.rstrip(b"\0")):
            value = value.decode("ascii")
        elif isinstance(element, RawDataElement):
            encodings = convert_encodings(dataset.original_character_set or None)
            value = decode_bytes(value or b"", encodings, {0x3D, 0x5C, 0x5E})
    except DAMAGE:
        return None
    return str("" if value is None else value).strip(" \t\r\n\0") or None


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def _uid(dataset: Dataset, keyword: str) -> str | None:
    text = _text(dataset, keyword)
    return text if text and _UID.fullmatch(text) else None


def _ticks(dataset: Dataset) -> Iterator[int]:
    """AcquisitionTime (0008,0032), AcquisitionDateTime (0008,002A), each FrameAcquisitionDateTime (0018,9074)."""
    times = [_text(dataset, "AcquisitionTime"), _text(dataset, "AcquisitionDateTime")]
    times += [
        _text(content, "FrameAcquisitionDateTime")
        for frame in _items(dataset, "PerFrameFunctionalGroupsSequence")
        for content in _items(frame, "FrameContentSequence")
    ]
    return (tick for time in times if (tick := tick_of(time)) is not None)


def _private(dataset: Dataset, wanted: Collection[tuple[int, int]]) -> Iterator[bytes]:
    """Yield Siemens' own elements of a group and a last byte, wherever the software line puts them.

    The protocol, VB to VE: CSA series header (0029,xx20). XA: (0021,xx19) of creator SIEMENS MR SDS 01, at the top of
    a classic object or below (0021,xxFE), itself at the top or in the shared functional groups (5200,9229) of an
    enhanced one. A sequence that has not been taken apart yet is yielded as it stands where it is wanted.
    """
    frames = _items(dataset, "PerFrameFunctionalGroupsSequence")[:1]
    for level in (dataset, *_items(dataset, "SharedFunctionalGroupsSequence"), *frames):
        known = [(tag, (tag.group, tag.element & 0xFF)) for tag in level.keys()]  # noqa: SIM118 -- iterating a Dataset converts its elements
        for tag, kind in known:
            value = _value(level, tag) if kind in wanted or kind == _NESTED else None
            if isinstance(value, bytes | str) and kind in wanted:
                yield value if isinstance(value, bytes) else value.encode("latin-1", "replace")
            elif isinstance(value, Sequence):
                for item in value:
                    yield from _private(item, wanted)


def _items(dataset: Dataset, tag: Any) -> list[Dataset]:  # noqa: ANN401 -- a keyword or a tag
    """Return a sequence's items, none where it is missing or damaged."""
    try:
        value = dataset[tag].value if tag in dataset else []
        return list(value) if isinstance(value, Sequence) else []
    except DAMAGE:
        return []


def _value(dataset: Dataset, tag: Any) -> Any:  # noqa: ANN401 -- whatever the element holds
    try:
        return dataset.get_item(tag).value
    except DAMAGE:
        return None
