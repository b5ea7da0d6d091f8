"""What a study and its series say of themselves, and conditions on it: DICOM keyword and shell pattern. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from typing import Any

from dicom.records import Series, Study

Expression = Mapping[str, Sequence[str]]
"""For each keyword shell patterns, whatever the case. All keywords must fit: each by one of its patterns, and by none
that begins with ``!``. The empty pattern fits what is missing."""

STUDY_FIELDS: Mapping[str, str] = {
    "AccessionNumber": "accession",
    "InstitutionName": "institution",
    "ManufacturerModelName": "model",
    "PatientID": "patient_id",
    "PatientName": "patient_name",
    "ReferringPhysicianName": "referring",
    "RequestedProcedureDescription": "procedure",
    "StationName": "station",
    "StudyDate": "date",
    "StudyDescription": "description",
    "StudyID": "study_id",
    "StudyTime": "time",
}
SERIES_FIELDS: Mapping[str, str] = {
    "BodyPartExamined": "body_part",
    "DeviceSerialNumber": "serial",
    "ImageType": "image_type",
    "Modality": "modality",
    "ProtocolName": "protocol",
    "SequenceName": "sequence",
    "SeriesDescription": "description",
    "SeriesNumber": "number",
    "SoftwareVersions": "software",
}


def fits(wanted: Expression, study: Study, series: Series | None = None) -> bool:
    """Return whether a study (and one of its series, where the expression speaks of series) is as wanted."""
    return all(_like(_value(keyword, study, series), patterns) for keyword, patterns in wanted.items())


def completed(told: Sequence[Study]) -> list[Study]:
    """Return what the series of one study say of it, each with what it leaves out taken from the others."""
    names = [f.name for f in fields(Study) if f.name != "study_uid"]
    known: dict[str, Any] = {n: next((v for study in told if (v := getattr(study, n))), None) for n in names}
    known["comments"] = known["comments"] or ()
    return [replace(s, **{n: v for n, v in known.items() if not getattr(s, n)}) for s in told]


def _value(keyword: str, study: Study, series: Series | None) -> str:
    if keyword in STUDY_FIELDS:
        value = getattr(study, STUDY_FIELDS[keyword])
    else:
        value = getattr(series, SERIES_FIELDS[keyword]) if series is not None else None
    return "" if value is None else str(value)


def _like(value: str, patterns: Sequence[str]) -> bool:
    liked = [p for p in patterns if not p.startswith("!")]
    unlike = [p[1:] for p in patterns if p.startswith("!")]
    return (not liked or _is_one(value, liked)) and not _is_one(value, unlike)


def _is_one(value: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(value.lower(), pattern.lower()) for pattern in patterns)
