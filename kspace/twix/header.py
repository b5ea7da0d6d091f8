"""Who made a measurement and what it is, from the header's own text.

Our own patterns, since the libraries cast identifiers to floats (``0012345``, ``6_0_66327775``) and lose values with
spaces. A parameter stands in one of three spellings: ``<ParamString."X"> { "v" }``, the same over several lines, or
after attributes such as ``<Visible> "true"``; protocol fields also as ASCCONV lines ``X = "v"``, in the text Phoenix
with doubled quotes. All of it is Latin-1.
"""

import re
from collections.abc import Callable, Iterator
from struct import Struct

from kspace.records import Measurement, Verdict
from kspace.twix.layout import DIRECTORY_BYTES, Broken, Slot, directory, header_bytes
from kspace.twix.protocol import protocol_digest

Read = Callable[[int, int], bytes]
"""``read(offset, length)``: the bytes from offset, fewer only where the file ends."""

_LENGTH = Struct("<I")
_MAX_NAME = 64
_SLACK = 32
"""Headers are filled up to a multiple of this, with whatever the host's memory held."""
_EXPECTED = ("Config", "Dicom", "Meas", "MeasYaps", "Phoenix")
_KNOWN = (*_EXPECTED, "Protocol", "Spice")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}")
_NAMELESS = "a text without a proper name"
_ATTRIBUTE = rb'<\w+>\s*(?:"[^"]*"|\{[^{}]*\}|[^\s"<>{}]+)\s*'
_XPROTOCOL = re.compile(rb'>\s*\{\s*(?:%s)*((?:"[^"]*"\s*|[^\s"<>{}]+\s*)*)' % _ATTRIBUTE)
_ASCCONV = re.compile(rb"[ \t]*=[ \t]*([^\r\n]*)")
_VALUE = re.compile(rb'\s*(?:"+([^"]*)|([^\s"]+))')
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LOID = re.compile(rb'"?\d+(?:\.\d+){2}"?\s*')
_BLANK = re.compile(rb'[xX\s,^"\0]*')

_PATIENT_FIELDS = (
    *("tPatientName", "PatientName", "PatientsName", "PatientID", "Patient"),
    *("PatientBirthDay", "PatientBirthDate", "PatientsBirthDate"),
)
"""Name, ID and birth date. ``Patient`` is the patient ID on XA and a number of the host's database before."""
_AGE, _YEARS = "flPatientAge", re.compile(rb"\d*(?:\.0*)?\s*")
"""An age with decimals, as VB writes it unless blanked, is the birth date to the day."""
_SEEN = ("B19", "E11", "E12", "XA61")
"""The software versions of which real files were read; of others the structure is known from the readers people use."""
_LOID_BASELINES = ("VB", "VD", "VE")
_LINES = (*_LOID_BASELINES, "XA")


def read_head(read: Read, size: int) -> tuple[Measurement, ...]:
    """Return every measurement's identity; per measurement one tiny read and one of about a megabyte.

    Raises:
        NotTwix: these bytes are no TWIX file.
        Broken: the file ends inside a header, or a header contradicts itself.
    """
    slots = directory(read(0, DIRECTORY_BYTES), size)
    found = []
    for index, slot in enumerate(slots):
        length = header_bytes(read(slot.offset, 8), offset=slot.offset, size=size)
        header = read(slot.offset, length)
        if len(header) < length:
            message = "The file ends inside a measurement's header."
            raise Broken(message, verdict=Verdict.HEADER_CUT, position=slot.offset + len(header))
        found.append(identify(header, slot=slot, index=index))
    return tuple(found)


def identify(header: bytes, *, slot: Slot, index: int) -> Measurement:
    """Return the identity in one measurement's header; what cannot be read is named in ``unread``, never guessed.

    The station stays None: no TWIX header holds a StationName.

    Raises:
        Broken: the texts overrun the header.
    """
    texts = _Texts(header, offset=slot.offset)
    software = _text(texts.value("SoftwareVersions", "Dicom"))
    baseline = _baseline(software)
    return Measurement(
        index=index,
        offset=slot.offset,
        header_bytes=len(header),
        baseline=baseline,
        mid=_whole(texts.value("MeasUID", "Meas")) if slot.is_vb else slot.mid,
        fid=slot.fid or None,
        serial=_text(texts.value("DeviceSerialNumber", "Dicom")),
        software=software,
        model=_text(texts.value("ManufacturersModelName", "Dicom")),
        protocol=_text(texts.value("tProtocolName", "MeasYaps")) or _text(slot.protocol),
        sequence=_text(texts.value("SequenceFileName", "Config") or texts.value("tSequenceFileName", "MeasYaps")),
        lprotid=_whole(texts.value("lProtID", "MeasYaps")),
        frame_of_reference=_text(texts.value("FrameOfReference", "Config") or texts.value("tFrameOfReference", "Meas")),
        study_loid=_text(texts.value("StudyLOID", "Config")),
        study_uid=_text(texts.value("StudyInstanceUID", "Meas")),
        exam_memory_uid=_text(texts.value("ExamMemoryUID", "Config")),
        reference_image_uids=_reference_images(texts),
        planned_s=_seconds(texts.value("lTotalScanTimeSec", "MeasYaps") or texts.value("lScanTimeSec", "MeasYaps")),
        free_uuid=_uuid(texts),
        protocol_digest=protocol_digest(texts.text("Phoenix")),
        dependency_mids=_dependencies(texts),
        exposed_fields=_exposed(texts, slot, baseline),
        unread=(*texts.unread, *(() if baseline in _LINES else ("SoftwareVersions",))),
    )


def is_seen(software: str | None) -> bool:
    """Return whether real files of this software version were read; others are captured all the same, and said."""
    return software is not None and any(version in software for version in _SEEN)


class _Texts:
    """The texts of one measurement's header by name."""

    def __init__(self, header: bytes, *, offset: int) -> None:
        self._texts = tuple(_split(header, offset=offset))
        names = [name for name, _ in self._texts]
        unknown = (n if _PLAIN.fullmatch(n) else _NAMELESS for n in names if n not in _KNOWN)
        self.unread = (*(name for name in _EXPECTED if name not in names), *unknown)
        """Texts that every known software writes and this one did not, and texts nobody knows.

        What stands for a name in a damaged header may be anybody's, and is not told on.
        """

    def value(self, name: str, first: str) -> bytes | None:
        """Return a field's first value that is not empty, looked for in the text ``first`` before all others."""
        order = sorted(self._texts, key=lambda named: named[0] != first)
        found = (_VALUE.match(run) for _, text in order for run in _runs(text, name.encode("latin-1")))
        return next((value for match in found if match and (value := match[1] or match[2])), None)

    def text(self, name: str) -> bytes:
        """Return one of the texts, empty where it is missing."""
        return next((text for known, text in self._texts if known == name), b"")

    def runs(self, name: str) -> Iterator[bytes]:
        """Yield all values of a field in every text, each as it is written, with its quotes."""
        for _, text in self._texts:
            yield from _runs(text, name.encode("latin-1"))


def _split(header: bytes, *, offset: int) -> Iterator[tuple[str, bytes]]:
    (count,) = _LENGTH.unpack_from(header, 4)
    at = 8
    for _ in range(count):
        end = header.find(b"\0", at, at + _MAX_NAME)
        if end < 0 or end + 5 > len(header):
            message = "A text of a measurement's header does not begin where the one before it ends."
            raise Broken(message, verdict=Verdict.CONTRADICTION, position=offset + at)
        (length,) = _LENGTH.unpack_from(header, end + 1)
        start = end + 5
        if start + length > len(header):
            message = "A text overruns its measurement's header."
            raise Broken(message, verdict=Verdict.CONTRADICTION, position=offset + start)
        yield header[at:end].decode("latin-1"), header[start : start + length]
        at = start + length
    if len(header) - at >= _SLACK:
        yield "after the last text", b""


def _runs(text: bytes, name: bytes) -> Iterator[bytes]:
    """Yield what is assigned to a field; literal searches first, since a pattern over a megabyte is slow."""
    at = -1
    while (at := text.find(name, at + 1)) >= 0:
        end, before = at + len(name), text[at - 1 : at]
        if before == b'"':
            found = _XPROTOCOL.match(text, end + 1) if text[end : end + 1] == b'"' else None
        else:
            found = _ASCCONV.match(text, end) if before in {b"", b"\n", b"\r", b" ", b"\t"} else None
        if found:
            yield found[1]


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


def _reference_images(texts: _Texts) -> tuple[str, ...]:
    """Return the planning images' SOP Instance UIDs (0008,0018), each once; XA writes ``class;uid;frame``."""
    values = (_text(texts.value(f"tReferenceImage{number}", "MeasYaps")) for number in range(3))
    pieces = (value.split(";") for value in values if value)
    return tuple(dict.fromkeys(piece[1] if len(piece) > 1 else piece[0] for piece in pieces))


def _uuid(texts: _Texts) -> str | None:
    """Return the UUID that CMRR multiband sequences write, the same in DICOM (0021,1043)."""
    found = (_UUID.search(run) for name in ("sWipMemBlock.tFree", "sWiPMemBlock.tFree") for run in texts.runs(name))
    return next((match[0].decode("latin-1") for match in found if match), None)


def _dependencies(texts: _Texts) -> tuple[int, ...]:
    """Return the MIDs of the scans the reconstruction needs, each once; 0 and -1 stand for none."""
    numbers = (int(n) for run in texts.runs("ReconMeasDependencies") for n in run.split() if n.isdigit())
    return tuple(dict.fromkeys(n for n in numbers if n))


def _exposed(texts: _Texts, slot: Slot, baseline: str) -> tuple[str, ...]:
    exposed = [] if _BLANK.fullmatch(slot.patient + slot.leftover) else ["directory"]
    if any(not _YEARS.fullmatch(value) for run in texts.runs(_AGE) for value in run.split()[-1:]):
        exposed.append(_AGE)
    for name in _PATIENT_FIELDS:
        is_loid = name == "Patient" and baseline in _LOID_BASELINES
        runs = texts.runs(name)
        if any(not _BLANK.fullmatch(run) and not (is_loid and _LOID.fullmatch(run)) for run in runs):
            exposed.append(name)
    return tuple(exposed)
