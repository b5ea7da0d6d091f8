"""Small MR images as a Siemens scanner writes them, for the practice scanner and for tests; nobody was ever scanned."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from dicom.ticks import clock_of

_ROOT = "1.3.12.2.1107.5.2"
_SIDE = 64
_LABELS = {
    "VB": ("MAGNETOM Practice VB", "syngo MR B19", "32"),
    "XA": ("MAGNETOM Practice XA", "syngo MR XA61", "50"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSeries:
    """One series to write: an image (VB) or a frame (XA) for each tick, 2.5 ms units since midnight."""

    baseline: Literal["VB", "XA"]
    serial: str
    number: int
    protocol: str
    lprotid: int
    ticks: tuple[int, ...]
    frame_of_reference: str
    study_uid: str | None = None
    """None: one made of serial and date, the same for every series of them."""
    date: str = "20260105"
    patient_id: str = "PRACTICE-01"
    comments: str = ""
    """PatientComments (0010,4000), where XNAT looks for ``Project:X Subject:Y Session:Z``."""


def write_session(folder: Path, *series: SyntheticSeries) -> list[Path]:
    """Write the images of all series and return their paths; the same input gives the same bytes.

    VB: MR Image Storage with the protocol in MrPhoenixProtocol of the CSA series header (0029,1020). XA: Enhanced MR
    Image Storage with the protocol in (5200,9229) > (0021,10FE) > (0021,1019), creator SIEMENS MR SDS 01.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for one in series:
        for image, dataset in enumerate(_enhanced(one) if one.baseline == "XA" else _classic(one), start=1):
            path = folder / f"{one.number:04}_{image:05}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def csa_header(elements: dict[str, bytes]) -> bytes:
    """Return a CSA2 header (``SV10``) with one value for each element, as VB to VE write (0029,1020).

    The layout is known from readers only (NiBabel ``nibabel/nicom/csareader.py``).
    """
    out = bytearray(b"SV10\x04\x03\x02\x01" + struct.pack("<2I", len(elements), 77))
    for name, value in elements.items():
        out += struct.pack("<64si4s3i", name.encode(), 1, b"UN", 0, 1, 77)
        out += struct.pack("<4i", len(value), len(value), 77, len(value)) + value + b"\0" * (-len(value) % 4)
    return bytes(out)


def protocol_text(series: SyntheticSeries) -> bytes:
    """Return the protocol as it stands in an image, with the quotes of a text inside a text."""
    lines = {
        "tProtocolName": f'""{series.protocol}""',
        "sProtConsistencyInfo.tBaselineString": '""PRACTICE""',
        "lProtID": series.lprotid,
    }
    block = "\n".join(f"{key:<40} = {value}" for key, value in lines.items())
    text = (
        '<XProtocol> \n{\n  <Name> "PhoenixMetaProtocol" \n  <ParamString."Protocol0">  { "'
        f'\n### ASCCONV BEGIN ###\n{block}\n### ASCCONV END ###" }}\n}}\n'
    )
    return text.encode("latin-1")


def _classic(series: SyntheticSeries) -> list[Dataset]:
    csa = csa_header({"MrPhoenixProtocol": protocol_text(series)})
    images = []
    for index, tick in enumerate(series.ticks):
        dataset = _base(series, MRImageStorage, index)
        dataset.AcquisitionDate = series.date
        dataset.AcquisitionTime = _time(tick)
        dataset.SliceLocation = str(index * 5)
        dataset.ImagePositionPatient = [-80, -80, index * 5]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [2.5, 2.5]
        dataset.private_block(0x29, "SIEMENS CSA HEADER", create=True).add_new(0x20, "OB", csa)
        dataset.PixelData = _picture(index).tobytes()
        images.append(dataset)
    return images


def _enhanced(series: SyntheticSeries) -> list[Dataset]:
    dataset = _base(series, EnhancedMRImageStorage, 0)
    dataset.AcquisitionDateTime = series.date + _time(min(series.ticks))
    dataset.NumberOfFrames = str(len(series.ticks))
    sds = Dataset()
    sds.private_block(0x21, "SIEMENS MR SDS 01", create=True).add_new(0x19, "OB", _even(protocol_text(series)))
    shared = Dataset()
    shared.private_block(0x21, "SIEMENS MR SDS 01", create=True).add_new(0xFE, "SQ", [sds])
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_frame(series, index) for index in range(len(series.ticks))]
    dataset.PixelData = b"".join(_picture(index).tobytes() for index in range(len(series.ticks)))
    return [dataset]


def _frame(series: SyntheticSeries, index: int) -> Dataset:
    content, position, frame = Dataset(), Dataset(), Dataset()
    content.FrameAcquisitionDateTime = series.date + _time(series.ticks[index])
    content.DimensionIndexValues = [index + 1]
    position.ImagePositionPatient = [-80, -80, index * 5]
    frame.FrameContentSequence = [content]
    frame.PlanePositionSequence = [position]
    return frame


def _base(series: SyntheticSeries, sop_class: str, index: int) -> Dataset:
    maker, software, model = _LABELS[series.baseline]
    root = f"{_ROOT}.{model}.{series.serial}"
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = f"{root}.{series.date}{series.number:04}{index + 1:05}"
    dataset.StudyInstanceUID = series.study_uid or f"{root}.3000000{series.date}00000001"
    dataset.SeriesInstanceUID = f"{root}.{series.date}{series.number:04}00000.0.0.0"
    dataset.FrameOfReferenceUID = series.frame_of_reference
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.Modality, dataset.Manufacturer = "MR", "SIEMENS"
    dataset.ManufacturerModelName, dataset.SoftwareVersions = maker, software
    dataset.DeviceSerialNumber, dataset.StationName = series.serial, "PRACTICE"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = series.date
    dataset.StudyTime = "083000.000000"
    dataset.SeriesTime = dataset.ContentTime = _time(series.ticks[index])
    dataset.StudyID, dataset.StudyDescription, dataset.AccessionNumber = "1", "Practice", ""
    dataset.PatientName = dataset.PatientID = series.patient_id
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.SeriesNumber, dataset.InstanceNumber = str(series.number), str(index + 1)
    dataset.SeriesDescription = dataset.ProtocolName = series.protocol
    if series.comments:
        dataset.PatientComments = series.comments
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = _SIDE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    return dataset


def _time(tick: int) -> str:
    return clock_of(tick).replace(":", "") + "00"


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def _picture(index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """A disc with a brighter one inside, which grows from slice to slice."""
    y, x = np.mgrid[:_SIDE, :_SIDE] - _SIDE / 2 + 0.5
    radius = np.hypot(x, y)
    values = np.where(radius < 26, 900 + 6 * x, 20) + np.where(radius < 4 + index % 16, 700, 0)
    return values.astype("<u2")
