"""Who made a measurement and what it is, from the header's own text.

Our own patterns, since the libraries cast identifiers to floats (``0012345``, ``6_0_66327775``) and lose values with
spaces. A field stands in one of three spellings: ``<ParamString."X"> { "v" }``, the same over several lines, or after
attributes such as ``<Visible> "true"``; protocol fields also as ASCCONV lines ``X = "v"``.
"""

import re
from collections.abc import Iterator, Mapping
from struct import Struct

from kspace.records import Measurement
from kspace.twix.layout import DIRECTORY_BYTES, HeaderCut, Read, Slot, directory, header_bytes

_LENGTH = Struct("<I")
_MAX_NAME = 64
_EXPECTED = ("Config", "Dicom", "Meas", "MeasYaps", "Phoenix")
_VALUE = re.compile(rb'>\s*\{\s*(?:<\w+>\s*(?:"[^"]*"|[^\s"<>{}]+)\s*)*(?:"([^"]*)"|([^\s"{}<>]+))?', re.DOTALL)
_YAPS = rb"(?m)^[ \t]*%s[ \t]*=[ \t]*(.*?)[ \t\r]*$"
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LOID = re.compile(rb"\d+(?:\.\d+){2}")
_BLANK = re.compile(rb"[xX\s,^]*")

_PATIENT_FIELDS = (
    "tPatientName",
    "PatientName",
    "PatientsName",
    "PatientID",
    "PatientBirthDay",
    "PatientBirthDate",
    "PatientsBirthDate",
    "Patient",
)
"""Name, ID and birth date; ``Patient`` is the patient ID on XA and a database id (LOID) before."""


def read_head(read: Read, size: int) -> tuple[Measurement, ...]:
    """Return every measurement's identity with two small reads and one of about a megabyte each.

    Raises:
        NotTwix: these bytes are no TWIX file.
        HeaderCut: the file ends inside a header.
    """
    slots = directory(read(0, DIRECTORY_BYTES), size)
    found = []
    for index, slot in enumerate(slots):
        length = header_bytes(read(slot.offset, 8), offset=slot.offset, size=size)
        found.append(identify(read(slot.offset, length), slot=slot, index=index))
    return tuple(found)


def identify(header: bytes, *, slot: Slot, index: int) -> Measurement:
    """Return the identity in one measurement's header; what cannot be read is named in ``unread``, never guessed.

    Raises:
        HeaderCut: the buffers overrun the header.
    """
    buffers = dict(_buffers(header, offset=slot.offset))
    config, dicom, meas = (buffers.get(name, b"") for name in ("Config", "Dicom", "Meas"))
    yaps = buffers.get("MeasYaps", b"")
    software = _text(_first(dicom, "SoftwareVersions") or _first(meas, "SoftwareVersions"))
    study_uid = _text(_first(meas, "StudyInstanceUID"))
    return Measurement(
        index=index,
        offset=slot.offset,
        header_bytes=len(header),
        baseline=_baseline(software),
        mid=slot.mid if slot.mid is not None else _whole(_first(meas, "MeasUID")),
        fid=slot.fid or None,
        serial=_text(_first(dicom, "DeviceSerialNumber") or _first(meas, "DeviceSerialNumber")),
        software=software,
        model=_text(_first(dicom, "ManufacturersModelName") or _first(meas, "ManufacturersModelName")),
        station=_text(_first(dicom, "InstitutionName")),
        protocol=_text(_yaps(yaps, "tProtocolName") or _first(meas, "tProtocolName") or slot.protocol),
        sequence=_text(_first(config, "SequenceFileName") or _yaps(yaps, "tSequenceFileName")),
        lprotid=_whole(_yaps(yaps, "lProtID") or _first(meas, "lProtID")),
        frame_of_reference=_text(_first(config, "FrameOfReference") or _first(meas, "tFrameOfReference")),
        study_loid=_text(_first(config, "StudyLOID")),
        study_uid=study_uid,
        exam_memory_uid=_text(_first(config, "ExamMemoryUID") or _first(meas, "ExamMemoryUID")),
        reference_image_uids=_reference_images(yaps),
        planned_s=_seconds(_yaps(yaps, "lTotalScanTimeSec") or _yaps(yaps, "lScanTimeSec")),
        free_uuid=_uuid(yaps),
        dependency_mids=_dependencies(meas),
        exposed_fields=_exposed(buffers, slot),
        unread=_unread(buffers, software),
    )


def _buffers(header: bytes, *, offset: int) -> Iterator[tuple[str, bytes]]:
    (count,) = _LENGTH.unpack_from(header, 4)
    at = 8
    for _ in range(count):
        end = header.find(b"\0", at, at + _MAX_NAME)
        if end < 0 or end + 5 > len(header):
            raise HeaderCut("A text buffer of the header has no name.", position=offset + at)
        (length,) = _LENGTH.unpack_from(header, end + 1)
        start = end + 5
        if start + length > len(header):
            raise HeaderCut("A text buffer overruns the header.", position=offset + start)
        yield header[at:end].decode("latin-1"), header[start : start + length]
        at = start + length


def _all(text: bytes, name: str) -> Iterator[bytes]:
    """Yield every value of an XProtocol parameter; a literal search first, since a pattern over a megabyte is slow."""
    needle, at = b'."%s"' % name.encode(), 0
    while (at := text.find(needle, at)) >= 0:
        at += len(needle)
        found = _VALUE.match(text, at)
        if found:
            yield found[1] if found[1] is not None else found[2] or b""


def _first(text: bytes, name: str) -> bytes | None:
    return next((value for value in _all(text, name) if value), None)


def _yaps(text: bytes, name: str) -> bytes | None:
    key = name.encode()
    if key not in text:
        return None
    found = re.search(_YAPS % re.escape(key), text)
    return found[1].strip(b'"') or None if found else None


def _text(value: bytes | None) -> str | None:
    return value.decode("latin-1").strip() or None if value else None


def _whole(value: bytes | None) -> int | None:
    return int(value) if value and re.fullmatch(rb"-?\d{1,18}", value) else None


def _seconds(value: bytes | None) -> float | None:
    return float(value) if value and re.fullmatch(rb"\d{1,9}(?:\.\d{1,9})?", value) else None


def _baseline(software: str | None) -> str:
    """Return the software line: VB, VD, VE, XA, or the text as it stands where it is none of these."""
    if software is None:
        return "unknown"
    found = re.search(r"\b(?:V?([BDE])\d\d|(XA)\d\d)", software)
    if not found:
        return software
    return found[2] or f"V{found[1]}"


def _reference_images(yaps: bytes) -> tuple[str, ...]:
    """Return SOP Instance UIDs of the planning images; XA writes ``class;uid;frame``."""
    found = (_yaps(yaps, f"tReferenceImage{number}") for number in range(3))
    return tuple(_middle(value.decode("latin-1")) for value in found if value)


def _middle(value: str) -> str:
    pieces = value.split(";")
    return pieces[1] if len(pieces) > 1 else pieces[0]


def _uuid(yaps: bytes) -> str | None:
    value = _yaps(yaps, "sWipMemBlock.tFree") or _yaps(yaps, "sWiPMemBlock.tFree")
    found = _UUID.search(value) if value else None
    return found[0].decode() if found else None


def _dependencies(meas: bytes) -> tuple[int, ...]:
    at = meas.find(b'."ReconMeasDependencies"')
    if at < 0:
        return ()
    body = meas[at : meas.find(b"}", at)]
    numbers = re.sub(rb'<\w+>\s*(?:"[^"]*"|\S+)', b"", body).split()
    return tuple(int(n) for n in numbers if n.isdigit() and int(n))


def _exposed(buffers: Mapping[str, bytes], slot: Slot) -> tuple[str, ...]:
    exposed = {"directory"} if not _BLANK.fullmatch(slot.patient) else set()
    for text in buffers.values():
        for name in _PATIENT_FIELDS:
            if any(not _is_blank(name, value) for value in _all(text, name)):
                exposed.add(name)
    return tuple(sorted(exposed))


def _is_blank(name: str, value: bytes) -> bool:
    return bool(_BLANK.fullmatch(value)) or (name == "Patient" and bool(_LOID.fullmatch(value)))


def _unread(buffers: Mapping[str, bytes], software: str | None) -> tuple[str, ...]:
    missing = [name for name in _EXPECTED if name not in buffers]
    return (*missing, *(("SoftwareVersions",) if software is None else ()))
