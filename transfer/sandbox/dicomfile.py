"""One DICOM object on its way in: what it says of itself, where it belongs, and how it is written anew."""

import io
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ImplicitVRLittleEndian

_IMPLEMENTATION_UID = UID("1.2.826.0.1.3680043.8.498.1")
"""Below pydicom's public root; marks files the sandbox has rewritten."""
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_PAIR = re.compile(r"(?:^|[\s,;])(Project|Subject|Session|AA):([A-Za-z0-9_-]*)", re.IGNORECASE)
_ROUTING_TAGS = ("PatientComments", "StudyComments", "AdditionalPatientHistory")
_SESSION_TYPES = {"MR": "mr", "PT": "pet", "CT": "ct", "XA": "xa", "US": "us", "CR": "cr", "DX": "dx", "MG": "mg"}


class NotDicom(Exception):
    """The bytes are no DICOM object with the UIDs an archive needs."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A parsed object. The properties are the fields the archive keeps."""

    dataset: FileDataset

    def text(self, keyword: str) -> str:
        """Return an element as text, "" where it is missing."""
        value = self.dataset.get(keyword)
        return "" if value is None else str(value)

    @property
    def study_uid(self) -> str:
        """Study Instance UID (0020,000D)."""
        return self.text("StudyInstanceUID")

    @property
    def modality(self) -> str:
        """Modality (0008,0060)."""
        return self.text("Modality") or "OT"

    def routes(self) -> dict[str, str]:
        """Return project, subject, session and aa as the object asks for them.

        ``Key:value`` in PatientComments, StudyComments, AdditionalPatientHistory wins; for the project follow the
        whole StudyDescription and AccessionNumber as candidates, joined by a newline under ``candidates``.
        Source: Xnat15DicomProjectIdentifier, ClassicDicomObjectIdentifier.
        """
        found: dict[str, str] = {}
        for tag in _ROUTING_TAGS:
            for key, value in _PAIR.findall(self.text(tag)):
                found.setdefault(key.lower(), value)
        found.setdefault("subject", label_of(self.text("PatientName")))
        found.setdefault("session", label_of(self.text("PatientID")) or "dicom_upload")
        candidates = (found.get("project", ""), self.text("StudyDescription"), self.text("AccessionNumber"))
        return {**found, "candidates": "\n".join(candidates)}

    def instance_fields(self) -> dict[str, str]:
        """Return what the archive keeps of the instance and its series."""
        return {
            "sop_uid": self.text("SOPInstanceUID"),
            "series_uid": self.text("SeriesInstanceUID"),
            "number": self.text("SeriesNumber"),
            "description": self.text("SeriesDescription"),
            "modality": self.modality,
        }

    def session_fields(self) -> dict[str, str]:
        """Return what the archive keeps of the session."""
        day, time = self.text("StudyDate"), self.text("StudyTime")
        return {
            "UID": self.study_uid,
            "date": f"{day[:4]}-{day[4:6]}-{day[6:8]}" if len(day) == 8 else "",
            "time": f"{time[:2]}:{time[2:4]}:{time[4:6]}" if len(time) >= 6 else "",
            "modality": self.modality,
            "scanner": self.text("StationName"),
            "dcmPatientId": self.text("PatientID"),
            "dcmPatientName": self.text("PatientName"),
            "dcmAccessionNumber": self.text("AccessionNumber"),
        }

    def write(self, path: Path) -> None:
        """Write the object with file meta information of our own, so it is never byte-identical to what was sent.

        Source: GradualDicomImporter rewrites the file meta information (PS3.10 section 7.1).
        """
        old = getattr(self.dataset, "file_meta", None) or FileMetaDataset()
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = self.dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = self.dataset.SOPInstanceUID
        meta.TransferSyntaxUID = old.get("TransferSyntaxUID", ImplicitVRLittleEndian)
        meta.ImplementationClassUID = _IMPLEMENTATION_UID
        meta.ImplementationVersionName = "KSPACE_SANDBOX"
        self.dataset.file_meta = meta
        self.dataset.save_as(path, enforce_file_format=True)


def read(content: bytes) -> Incoming:
    """Return the parsed object.

    Raises:
        NotDicom: unreadable, or without SOP class, SOP instance, series or study UID.
    """
    try:
        found = Incoming(pydicom.dcmread(io.BytesIO(content)))
        wanted = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
        missing = [keyword for keyword in wanted if not found.text(keyword)]
    except (InvalidDicomError, EOFError, ValueError, OSError, KeyError, AttributeError, NotImplementedError) as error:
        raise NotDicom("not readable as DICOM") from error
    if missing:
        raise NotDicom(f"without {missing[0]}")
    return found


def hashed_uid(uid: str) -> str:
    """Return another UID, always the same for the same (DicomEdit's hashUID)."""
    return f"2.25.{int.from_bytes(sha256(uid.encode()).digest()[:12])}"


def remapped(folder: Path, fields: dict[str, str]) -> dict[str, str]:
    """Write a waiting file anew under other UIDs, as an anonymisation script does, and return its fields then."""
    old = folder / f"{fields['sop_uid']}.dcm"
    changed = {**fields, **{key: hashed_uid(fields[key]) for key in ("sop_uid", "series_uid")}}
    if old.exists():
        dataset = pydicom.dcmread(old)
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            setattr(dataset, keyword, UID(hashed_uid(str(dataset[keyword].value))))
        Incoming(dataset).write(folder / f"{changed['sop_uid']}.dcm")
        old.unlink()
    return changed


def label_of(text: str) -> str:
    """Return a text as a label: every character XNAT does not allow becomes ``_`` (Labels#toLabelChars)."""
    return _ILLEGAL.sub("_", text)


def types_for(modality: str) -> tuple[str, str]:
    """Return the session's and the scan's data type for a modality."""
    stem = _SESSION_TYPES.get(modality, "otherDicom")
    return f"xnat:{stem}SessionData", f"xnat:{stem}ScanData"
