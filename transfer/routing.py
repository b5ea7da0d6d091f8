"""Where a DICOM study goes: XNAT project, subject and session, at one or more destinations. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from dicom.expressions import SERIES_FIELDS, STUDY_FIELDS, fits
from dicom.headers import route_hints
from dicom.records import Series, Study

_FIELDS = ("PatientID", "PatientName", "StudyDate", "StudyTime", "AccessionNumber", "study")
_FIELD = re.compile("{(?:" + "|".join(_FIELDS) + ")}")
_LABEL = r"^[A-Za-z0-9_-]+$"


def _known(*tables: Mapping[str, str]) -> AfterValidator:
    names = sorted({name for table in tables for name in table})

    def check(wanted: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if unknown := sorted(set(wanted) - set(names)):
            raise ValueError(f"{', '.join(unknown)}: no field that is known here; there are {', '.join(names)}")
        return wanted

    return AfterValidator(check)


def _listed(given: object) -> object:
    return {k: (v,) if isinstance(v, str) else v for k, v in given.items()} if isinstance(given, dict) else given


_OfStudy = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_listed), _known(STUDY_FIELDS)]
_OfSeries = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_listed), _known(STUDY_FIELDS, SERIES_FIELDS)]


class _SeriesFilter(BaseModel):
    """Which series go, by what they say of themselves (`dicom.expressions`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["include", "exclude"]
    where: _OfSeries


class Route(BaseModel):
    """One way out. The first route whose conditions fit gives the project; templates give the labels.

    Templates know ``{PatientID}``, ``{PatientName}``, ``{StudyDate}``, ``{StudyTime}``, ``{AccessionNumber}`` and
    ``{study}``: twelve hex digits of the StudyInstanceUID's SHA-256, the same for the same study for ever.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    destinations: tuple[str, ...] = Field(min_length=1)
    project: str | None = Field(default=None, pattern=_LABEL)
    """None: the study must name it (``Project:X`` in its comments)."""
    projects: tuple[str, ...] | None = None
    """The only projects that a study may name here. None: any."""
    called_ae: str = "*"
    calling_ae: str = "*"
    where: _OfStudy | None = None
    subject: str | None = None
    """None: ``{PatientID}``."""
    session: str | None = None
    """None: ``{StudyDate}_{study}``."""
    use_hints: bool = True
    """Obey ``Project:X Subject:Y Session:Z AA:true`` in the comments, as XNAT does (Xnat15DicomProjectIdentifier)."""
    fall_backs: bool = False
    """Where neither comments nor this route say it, as XNAT does: the project is the whole StudyDescription, else the
    AccessionNumber, if it is one of ``projects`` (DbBackedProjectIdentifier); the subject is PatientName, the session
    PatientID, else ``dicom_upload`` (ClassicDicomObjectIdentifier)."""
    series: tuple[_SeriesFilter, ...] | None = None
    """The first that fits a series decides; one that none fits goes."""
    archive: bool | None = None
    """Whether a finished session is archived or waits in the prearchive; None: as the destination says."""
    forward: Literal["send", "observe"] = "send"
    """``observe``: another path carries the images; the relay only waits until the session appears."""
    deidentify: str | None = None
    """The profile for images on their way out (`dicom.deidentify`)."""

    @field_validator("subject", "session")
    @classmethod
    def _knows_its_fields(cls, template: str | None) -> str | None:
        if re.search(r"[{}]", _FIELD.sub("", template or "")):
            known = ", ".join(f"{{{name}}}" for name in _FIELDS)
            raise ValueError(f"the template {template!r} may hold {known} and no other braces")
        return template

    def refusal(self, study: Study, series: Series) -> str | None:
        """Return why a series is not sent this way, None where it is."""
        for number, one in enumerate(self.series or (), start=1):
            if fits(one.where, study, series):
                return f"excluded by series filter {number} of its route" if one.action == "exclude" else None
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The XNAT labels of one study at one destination, and the route that gave them."""

    destination: str
    project: str
    subject: str
    session: str
    route: Route
    why: str
    is_raw_only: bool = False
    """Its raw data go there, its images do not: it is no archive for images."""


def targets(
    routes: Sequence[Route],
    study: Study,
    *,
    called_ae: str,
    calling_ae: str,
) -> tuple[Target, ...]:
    """Return where the study goes: nowhere (an empty tuple) where no route fits."""
    return route_of(routes, study, called_ae=called_ae, calling_ae=calling_ae)[0]


def route_of(
    routes: Sequence[Route], study: Study, *, called_ae: str, calling_ae: str
) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """Return where the study goes, and of each route up to the one taken why it was taken or not, in order."""
    said: list[str] = []
    for number, route in enumerate(routes, start=1):
        hints = route_hints(study) if route.use_hints else {}
        project, why = _project(route, study, hints, called_ae=called_ae, calling_ae=calling_ae)
        said.append(f"route {number}: {why}")
        if project is not None:
            subject, session = _labels(route, study, hints)
            way = route if "aa" not in hints else route.model_copy(update={"archive": hints["aa"].lower() == "true"})
            ways = (
                Target(destination=name, project=project, subject=subject, session=session, route=way, why=said[-1])
                for name in route.destinations
            )
            return tuple(ways), tuple(said)
    return (), tuple(said or ["there is no [[route]] at all"])


def _route_to(routes: Sequence[Route], destination: str, project: str) -> Route:
    """Return the first route that may lead there: its filters and profile hold for what a person assigns, too."""
    for route in routes:
        if destination in route.destinations and (
            route.project == project or (route.project is None and project in (route.projects or (project,)))
        ):
            return route
    return Route(destinations=(destination,), project=project)


def target_to(  # noqa: PLR0913 -- the parts of an address
    routes: Sequence[Route],
    study: Study,
    *,
    destination: str,
    project: str,
    subject: str | None = None,
    session: str | None = None,
) -> Target:
    """Return the target that a person means who names a project; labels left out are as the route there makes them."""
    route = _route_to(routes, destination, project)
    usual = _labels(route, study, route_hints(study) if route.use_hints else {})
    return Target(
        destination=destination,
        project=project,
        subject=subject or usual[0],
        session=session or usual[1],
        route=route,
        why="said by a person",
    )


def _project(  # noqa: PLR0911 -- one return a reason
    route: Route, study: Study, hints: Mapping[str, str], *, called_ae: str, calling_ae: str
) -> tuple[str | None, str]:
    """Return the project, None where the route does not fit, and why."""
    if not fnmatchcase(called_ae, route.called_ae):
        return None, f"is for the called AE title {route.called_ae}, not {called_ae}"
    if not fnmatchcase(calling_ae, route.calling_ae):
        return None, f"is for the calling AE title {route.calling_ae}, not {calling_ae}"
    if unfit := [k for k, patterns in (route.where or {}).items() if not fits({k: patterns}, study)]:
        return None, f"wants another {' and '.join(unfit)}"
    if "project" in hints:
        return _allowed(route, _label(hints["project"]), "named in the comments")
    if route.project is not None:
        return route.project, "fits, and names the project"
    if route.fall_backs:
        for value, keyword in ((study.description, "StudyDescription"), (study.accession, "AccessionNumber")):
            if value in (route.projects or ()):
                return _label(str(value)), f"fits, and the {keyword} is a project"
    return None, "names no project, and neither does the study"


def _allowed(route: Route, project: str, how: str) -> tuple[str | None, str]:
    if route.projects is not None and project not in (*route.projects, route.project):
        return None, f"does not lead to the project {how}"
    return project, f"fits, and the project is {how}"


def _labels(route: Route, study: Study, hints: Mapping[str, str]) -> tuple[str, str]:
    values = _values(study)
    unknown = f"unknown_{values['study']}"
    subject, session = (route.subject or "{PatientID}"), (route.session or "{StudyDate}_{study}")
    if route.fall_backs:
        subject, session = route.subject or "{PatientName}", route.session or "{PatientID}"
        unknown = unknown if study.patient_id or route.session else "dicom_upload"
    return (
        _label(hints.get("subject") or subject.format_map(values)) or f"unknown_{values['study']}",
        _label(hints.get("session") or session.format_map(values)) or unknown,
    )


def session_name(study_uid: str) -> str:
    """Return twelve characters that are always the same for a study and say nothing about the patient."""
    return sha256(study_uid.encode()).hexdigest()[:12]


def _values(study: Study) -> dict[str, str]:
    return {
        "PatientID": study.patient_id or "",
        "PatientName": study.patient_name or "",
        "StudyDate": study.date or "undated",
        "StudyTime": (study.time or "").split(".")[0],
        "AccessionNumber": study.accession or "",
        "study": session_name(study.study_uid),
    }


def _label(text: str) -> str:
    """XNAT replaces every other character in labels it takes from DICOM (dicom-xnat-util Labels#toLabelChars)."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
