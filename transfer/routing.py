"""Where a DICOM study goes: XNAT project, subject and session, at one or more destinations. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dicom.records import Study

_FIELDS = ("PatientID", "StudyDate", "StudyTime", "AccessionNumber", "study")
_FIELD = re.compile("{(?:" + "|".join(_FIELDS) + ")}")


class Route(BaseModel):
    """One way out. The first route whose conditions fit gives the project; templates give the labels.

    Templates know ``{PatientID}``, ``{StudyDate}``, ``{StudyTime}``, ``{AccessionNumber}`` and ``{study}``: twelve hex
    digits of the StudyInstanceUID's SHA-256, the same for the same study for ever.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    destinations: tuple[str, ...] = Field(min_length=1)
    project: str | None = None
    """None: the study must name it (``Project:X`` in its comments)."""
    called_ae: str = "*"
    calling_ae: str = "*"
    subject: str = "{PatientID}"
    session: str = "{StudyDate}_{study}"
    use_hints: bool = True
    """Obey ``Project:X Subject:Y Session:Z`` in the comments, as XNAT does (Xnat15DicomProjectIdentifier)."""

    @field_validator("subject", "session")
    @classmethod
    def _knows_its_fields(cls, template: str) -> str:
        if re.search(r"[{}]", _FIELD.sub("", template)):
            known = ", ".join(f"{{{name}}}" for name in _FIELDS)
            raise ValueError(f"the template {template!r} may hold {known} and no other braces")
        return template


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The XNAT labels of one study at one destination."""

    destination: str
    project: str
    subject: str
    session: str


def targets(
    routes: Sequence[Route],
    study: Study,
    *,
    hints: Mapping[str, str],
    called_ae: str,
    calling_ae: str,
) -> tuple[Target, ...]:
    """Return where the study goes: nowhere (an empty tuple) where no route fits."""
    for route in routes:
        if not (fnmatchcase(called_ae, route.called_ae) and fnmatchcase(calling_ae, route.calling_ae)):
            continue
        said = hints if route.use_hints else {}
        project = said.get("project") or route.project
        if project is None:
            continue
        values = _values(study)
        unknown = f"unknown_{values['study']}"
        subject = _label(said.get("subject") or route.subject.format_map(values)) or unknown
        session = _label(said.get("session") or route.session.format_map(values)) or unknown
        return tuple(
            Target(destination=name, project=_label(project), subject=subject, session=session)
            for name in route.destinations
        )
    return ()


def _values(study: Study) -> dict[str, str]:
    return {
        "PatientID": study.patient_id or "",
        "StudyDate": study.date or "undated",
        "StudyTime": (study.time or "").split(".")[0],
        "AccessionNumber": study.accession or "",
        "study": sha256(study.study_uid.encode()).hexdigest()[:12],
    }


def _label(text: str) -> str:
    """XNAT replaces every other character in labels it takes from DICOM (dicom-xnat-util Labels#toLabelChars)."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
