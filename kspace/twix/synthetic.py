"""Writes small TWIX files from nothing: the practice scanner's raw data, and material for tests.

They hold what a real file holds where the relay and the common readers look: directory, text buffers in the real
spellings, readouts with counters and ticks, samples on the lattice k x 2^-32, an end marker as each kind of writer
leaves it. They are blanked as the host's export blanks, unless told otherwise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct, pack, pack_into
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from kspace.twix.layout import DIRECTORY_BYTES
from kspace.twix.mdh import VB_MDH, VD_MDH, Mdh

_SLOT = Struct("<IIQQ64s64s")
_BATCH_BYTES = 4 << 20
_SOFTWARE = {"VB": "syngo MR B19", "VD": "syngo MR E11", "XA": "syngo MR XA61"}
_MODEL = {"VB": ("32", "TrioTim"), "VD": ("19", "Skyra"), "XA": ("63", "MAGNETOM Cima.X")}
_LATTICE = 2.0**-32


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """One measurement to write. Ticks are 2.5 ms since local midnight."""

    baseline: Literal["VB", "VD", "XA"] = "VD"
    mid: int = 7
    fid: int = 40_007
    serial: str = "99999"
    protocol: str = "gre"
    sequence: str = "%SiemensSeq%\\gre"
    lprotid: int = -7
    stamp: str = "20260105093000000"
    """When the patient was registered: yyyymmddhhmmss and milliseconds, inside every UID."""
    software: str | None = None
    """None: one of the baseline's."""
    study_uid: str | None = None
    dependency_mids: tuple[int, ...] = ()
    """The adjustments the reconstruction needs."""
    free_text: str = ""
    """What the sequence says of itself; CMRR multiband writes a UUID."""
    reference_image_uids: tuple[str, ...] = ()
    patient_name: str = "xxxxxxxxxxxx"
    patient_id: str = "xxxxxxxx"
    birth_date: str = "xxxxxxxx"
    first_tick: int = 10 * 3600 * 400
    tick_step: int = 4
    readouts: int = 64
    channels: int = 4
    samples: int = 256
    seed: int = 1
    is_streamed: bool = False

    @property
    def software_versions(self) -> str:
        """What the scanner calls its software, DICOM (0018,1020)."""
        return self.software or _SOFTWARE[self.baseline]

    @property
    def frame_of_reference(self) -> str:
        """The UID that DICOM of the study carries as well."""
        return f"1.3.12.2.1107.5.2.{_MODEL[self.baseline][0]}.{self.serial}.1.{self.stamp}.0.0.0"


def write_twix(path: Path, *measurements: Synthetic) -> None:
    """Write one file; VD and XA take several measurements, adjustments first. Memory stays flat at any size.

    Raises:
        ValueError: several measurements in a VB file, or of several baselines.
    """
    if len({m.baseline for m in measurements}) != 1 or (measurements[0].baseline == "VB" and len(measurements) > 1):
        raise ValueError("one baseline a file, and one measurement in a VB file")
    with path.open("wb") as out:
        if measurements[0].baseline == "VB":
            _write_measurement(out, measurements[0])
            return
        out.write(bytes(DIRECTORY_BYTES))
        slots = [_write_slot(out, m) for m in measurements]
        out.seek(0)
        out.write(pack("<II", 0, len(slots)) + b"".join(slots))


def _write_slot(out: BinaryIO, spec: Synthetic) -> bytes:
    offset = out.tell()
    _write_measurement(out, spec)
    length = out.tell() - offset
    if not spec.is_streamed:
        out.write(bytes(-out.tell() % 512))
    fid, length = (0, 0) if spec.is_streamed else (spec.fid, length)
    patient = f"{spec.patient_name},{spec.birth_date}".encode("latin-1")
    return _SLOT.pack(spec.mid, fid, offset, length, patient, spec.protocol.encode("latin-1"))


def _write_measurement(out: BinaryIO, spec: Synthetic) -> None:
    out.write(_header(spec))
    out.writelines(_batches(spec))
    out.write(_end_marker(spec))


def _header(spec: Synthetic) -> bytes:
    buffers = {
        "Config": _xprotocol(_config(spec), spec.baseline),
        "Dicom": _xprotocol(_dicom(spec), spec.baseline),
        "Meas": _xprotocol(_meas(spec), spec.baseline, attribute='<Visible> "true"'),
        "MeasYaps": _ascconv(spec),
        "Phoenix": _xprotocol([("String", "ProtocolName", spec.protocol)], spec.baseline) + _ascconv(spec),
    }
    if spec.baseline == "XA":
        buffers["Protocol"] = _xprotocol(_meas(spec), spec.baseline)
    buffers["Spice"] = _xprotocol([("String", "PatientsName", spec.patient_name)], spec.baseline)
    out = bytearray(pack("<II", 0, len(buffers)))
    for name, text in buffers.items():
        data = text.encode("latin-1")
        out += name.encode() + b"\0" + pack("<I", len(data)) + data
    out += bytes(-len(out) % 32)
    pack_into("<I", out, 0, len(out))
    return bytes(out)


Field = tuple[str, str, str | int]


def _config(spec: Synthetic) -> list[Field]:
    return [
        ("String", "tPatientName", spec.patient_name),
        ("String", "PatientID", spec.patient_id),
        ("String", "PatientBirthDay", spec.birth_date),
        ("String", "FrameOfReference", spec.frame_of_reference),
        ("String", "ProtocolName", spec.protocol),
        ("String", "StudyLOID", spec.study_uid or f"6.0.{spec.stamp[-8:]}"),
        ("String", "ExamMemoryUID", f"6_0_{spec.stamp[-8:]}_{spec.stamp[:8]}_{spec.stamp[8:14]}_{spec.stamp[14:]}"),
        ("String", "SequenceFileName", spec.sequence),
        ("Long", "MeasUID", spec.mid),
        ("String", "Patient", spec.patient_id if spec.baseline == "XA" else f"6.0.{spec.stamp[-8:]}"),
        ("Long", "NColMeas", spec.samples),
        ("Long", "NLinMeas", spec.readouts),
        ("String", "chronSliceIndices", "0 -1"),
    ]


def _dicom(spec: Synthetic) -> list[Field]:
    return [
        ("String", "DeviceSerialNumber", spec.serial),
        ("String", "InstitutionName", "k-space relay practice"),
        ("String", "ManufacturersModelName", _MODEL[spec.baseline][1]),
        ("String", "SoftwareVersions", spec.software_versions),
        ("String", "tPatientName", spec.patient_name),
        ("String", "tProtocolName", spec.protocol),
    ]


def _meas(spec: Synthetic) -> list[Field]:
    return [
        ("Long", "lProtID", spec.lprotid),
        ("String", "tPatientName", spec.patient_name),
        ("String", "PatientID", spec.patient_id),
        ("String", "PatientBirthDay", spec.birth_date),
        ("String", "PatientsName", spec.patient_name),
        ("String", "tFrameOfReference", spec.frame_of_reference),
        ("String", "tProtocolName", spec.protocol),
        ("String", "DeviceSerialNumber", spec.serial),
        ("String", "SoftwareVersions", spec.software_versions),
        ("Long", "MeasUID", spec.mid),
        ("Long", "lTotalScanTimeSec", max(1, spec.readouts * spec.tick_step // 400)),
        ("Long", "ReconMeasDependencies", " ".join(str(mid) for mid in spec.dependency_mids)),
        ("String", "tPatientPosition", "HFS"),
        *([("String", "StudyInstanceUID", spec.study_uid)] if spec.study_uid else []),
    ]


def _xprotocol(fields: Sequence[Field], baseline: str, *, attribute: str = "") -> str:
    """Write parameters in one of the spellings: in a line (on XA without spaces), or in lines behind an attribute."""
    gap = "" if baseline == "XA" else "  "
    lines = []
    for kind, name, value in fields:
        written = str(value) if kind == "Long" else f'"{value}"'
        inside = f"\n    {{\n      {attribute}\n      {written}\n    }}" if attribute else f"{{ {written}{gap or ' '}}}"
        lines.append(f'    <Param{kind}."{name}">{gap}{inside}')
    body = "\n".join(lines)
    return f'<XProtocol>\n{{\n  <Name> "PhoenixMetaProtocol"\n  <ID> 1000002\n  <ParamMap."">\n  {{\n{body}\n  }}\n}}\n'


def _ascconv(spec: Synthetic) -> str:
    lines = [
        f"lProtID\t = \t{spec.lprotid}",
        f'tSequenceFileName\t = \t"{spec.sequence}"',
        f'tProtocolName\t = \t"{spec.protocol}"',
        *(f'tReferenceImage{n}\t = \t"{uid}"' for n, uid in enumerate(spec.reference_image_uids)),
        f"lTotalScanTimeSec\t = \t{max(1, spec.readouts * spec.tick_step // 400)}",
        f"sKSpace.lBaseResolution\t = \t{spec.samples // 2}",
        f"sKSpace.lPhaseEncodingLines\t = \t{spec.readouts}",
        "sKSpace.lPartitions\t = \t1",
        "sKSpace.ucDimension\t = \t2",
        "sSliceArray.lSize\t = \t1",
        "sSliceArray.asSlice[0].dThickness\t = \t5.0",
        "sSliceArray.asSlice[0].dPhaseFOV\t = \t256.0",
        "sSliceArray.asSlice[0].dReadoutFOV\t = \t256.0",
        "sSliceArray.asSlice[0].sNormal.dTra\t = \t1.0",
        *([f'sWipMemBlock.tFree\t = \t"{spec.free_text}"'] if spec.free_text else []),
        # Real headers are far longer than 10,000 bytes, and readers know VB by that.
        *(f"sWipMemBlock.alFree[{n}]\t = \t0" for n in range(256)),
    ]
    return "### ASCCONV BEGIN ###\n" + "\n".join(lines) + "\n### ASCCONV END ###\n"


def _template(spec: Synthetic, *, dma: int, mask: int) -> bytearray:
    """Return one readout with every field that does not change from one to the next."""
    block = bytearray()
    if spec.baseline != "VB":
        block += _mdh_vd(spec, dma, mask)
        for channel in range(spec.channels):
            head = bytearray(32)
            pack_into("<Ii", head, 0, (32 + 8 * spec.samples) << 8, spec.mid)
            pack_into("<H", head, 24, channel)
            block += head + bytes(8 * spec.samples)
        return block
    for channel in range(spec.channels):
        head = bytearray(128)
        pack_into("<Ii", head, 0, dma, spec.mid)
        pack_into("<I", head, VB_MDH.mask, mask)
        pack_into("<HH", head, VB_MDH.samples, spec.samples, spec.channels)
        pack_into("<H", head, 64, spec.samples // 2)
        pack_into("<H", head, 124, channel)
        block += head + bytes(8 * spec.samples)
    return block


def _mdh_vd(spec: Synthetic, dma: int, mask: int) -> bytearray:
    head = bytearray(192)
    pack_into("<Ii", head, 0, dma, spec.mid)
    pack_into("<I", head, VD_MDH.mask, mask)
    pack_into("<HH", head, VD_MDH.samples, spec.samples, spec.channels)
    pack_into("<H", head, 84, spec.samples // 2)
    return head


def _batches(spec: Synthetic) -> Iterator[bytes]:
    mdh = VB_MDH if spec.baseline == "VB" else VD_MDH
    size = mdh.size(samples=spec.samples, channels=spec.channels)
    one = np.frombuffer(bytes(_template(spec, dma=size, mask=1 << 3)), np.uint8)
    stride = mdh.channel_header + 8 * spec.samples
    heads = [0] if mdh.header else [stride * c for c in range(spec.channels)]
    lines_at = 52 if mdh.header else 32
    random = np.random.default_rng(spec.seed)
    done = 0
    while done < spec.readouts:
        count = min(max(1, _BATCH_BYTES // size), spec.readouts - done)
        blocks = np.tile(one, (count, 1))
        numbers = np.arange(done, done + count, dtype=np.uint32)
        for head in heads:
            _put(blocks, head + 8, numbers + 1)
            _put(blocks, head + 12, spec.first_tick + numbers * spec.tick_step)
            _put(blocks, head + lines_at, numbers.astype(np.uint16))
        for channel in range(spec.channels):
            start = mdh.header + stride * channel
            if mdh.header:
                _put(blocks, start + 8, numbers + 1)
            _fill(blocks[:, start + mdh.channel_header : start + stride], random, numbers, spec)
        yield blocks.tobytes()
        done += count


def _put(blocks: NDArray[np.uint8], at: int, values: NDArray[np.unsignedinteger]) -> None:
    width = values.dtype.itemsize
    blocks[:, at : at + width] = values.view(np.uint8).reshape(-1, width)


def _fill(into: NDArray[np.uint8], random: np.random.Generator, numbers: NDArray[np.uint32], spec: Synthetic) -> None:
    """Fill with an echo in noise, on the integer lattice that real samples lie on (every one measured so far)."""
    middle = np.hypot(
        (np.arange(spec.samples) - spec.samples / 2)[None, :] / spec.samples,
        (numbers - spec.readouts / 2)[:, None] / spec.readouts,
    )
    echo = np.repeat(2**19 * np.exp(-((middle * 12) ** 2)), 2, axis=1)
    steps = np.rint(random.standard_normal((len(numbers), 2 * spec.samples)) * 2**11 + echo)
    into[:] = (steps * _LATTICE).astype("<f4").view(np.uint8).reshape(len(numbers), -1)


def _end_marker(spec: Synthetic) -> bytes:
    """Return what each kind of writer leaves: all the marker promises, or bare headers that promise more."""
    is_vb = spec.baseline == "VB"
    mdh = VB_MDH if is_vb else VD_MDH
    dma, counter = (mdh.STREAMED_END, 1) if spec.is_streamed else (mdh.native_end(spec.channels), spec.readouts + 1)
    head = _template(replace(spec, samples=16), dma=dma, mask=Mdh.ACQEND)[: mdh.smallest]
    pack_into("<II", head, 8, counter, spec.first_tick + spec.readouts * spec.tick_step)
    random = np.random.default_rng(spec.seed)
    pieces = [bytes(head)] * (spec.channels if is_vb else 1)
    left = 0 if spec.is_streamed else dma // len(pieces) - len(head)
    return b"".join(piece + random.bytes(left) for piece in pieces)
