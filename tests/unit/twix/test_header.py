"""Identity from the header's text: every spelling, nothing cast, nothing guessed, patient fields named."""

import subprocess
import sys
from struct import pack

import pytest

from kspace.errors import BadInput
from kspace.records import Measurement
from kspace.twix.header import identify, read_head
from kspace.twix.layout import DIRECTORY_BYTES, Slot
from kspace.twix.synthetic import Synthetic

# path -> software, FrameOfReference (tail), StudyLOID (tail), ExamMemoryUID (tail)
SAMPLES = {
    "streamed/01_GRE_example.dat": ("E12", "18920.1.20211201200500063.0.0.0", "6.0.201446525", "0211201_200459_998"),
    "streamed/02_01_ro_dur_1200_pe+.dat": ("B19", "35287.1.20240131171615484.0.0.0", "8.0.127045724", None),
    "streamed/2024-02-06-160052.dat": (
        "XA61", "213010.1.20240206164946672.0.0.0", "75500200000009", "c79a8e8e3241fb35ca",
    ),
    "vb19-pairs/meas_MID00101_FID33058_ex01.dat": ("B19", "35287.1.20240322140748296.0.0.0", "8.0.128733276", None),
    "ve11-gre-epi/epi.dat": ("E11", "45385.1.20210622151635693.0.0.0", "6.0.66327775", "0210622_151635_650"),
    "ve11-spectro/sub-SiemensBrainPhantom_seq-svslcosy_inc-1.twix": (
        "E11", "166042.1.20181127122016414.0.0.4988", "6.0.63106573", "0181127_122016_366",
    ),
}  # fmt: skip


def _read(data: bytes) -> tuple[Measurement, ...]:
    return read_head(lambda at, count: data[at : at + count], len(data))


def _header(texts: dict[str, str]) -> bytearray:
    """Return a VB file that is all header, filled up so that no reader takes it for a directory."""
    texts = texts | {"Filler": "-" * 10_000}
    body = b"".join(
        name.encode() + b"\0" + pack("<I", len(text)) + text.encode("latin-1") for name, text in texts.items()
    )
    return bytearray(pack("<II", 8 + len(body), len(texts)) + body)


def _identity(**texts: str) -> Measurement:
    known = dict.fromkeys(("Config", "Dicom", "Meas", "MeasYaps", "Phoenix"), "")
    return _read(bytes(_header(known | texts)))[0]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_real_header_names_its_study(twix_folder, name):
    data = (twix_folder / name).read_bytes()
    (found,) = _read(data)
    software, frame, loid, exam = SAMPLES[name]
    assert software in str(found.software)
    assert str(found.frame_of_reference).endswith(frame)
    assert str(found.study_loid).endswith(loid)
    assert found.exam_memory_uid is None if exam is None else str(found.exam_memory_uid).endswith(exam)
    assert found.unread == ()


def test_the_head_alone_gives_the_identity_the_walk_gives(written, walk):
    data = written(Synthetic(mid=3), Synthetic(mid=4, protocol="t1 mprage sag"))
    head = _read(data)
    walked = walk(data)[1]
    for left, right in zip(head, walked, strict=True):
        assert (left.mid, left.protocol, left.frame_of_reference) == (
            right.mid,
            right.protocol,
            right.frame_of_reference,
        )
    assert [m.protocol for m in head] == ["gre", "t1 mprage sag"]


@pytest.mark.parametrize(
    "spelling",
    [
        '<ParamString."DeviceSerialNumber"> { "0012345" }',
        '<ParamString."DeviceSerialNumber">\n  {\n    "0012345"\n  }',
        '<ParamString."DeviceSerialNumber">{ "0012345"  }',
        '<ParamString."DeviceSerialNumber"> { <Visible> "true" "0012345" }',
        '<ParamString."DeviceSerialNumber"> { }\n<ParamString."DeviceSerialNumber"> { "0012345" }',
    ],
)
def test_every_spelling_keeps_the_text_as_it_stands(spelling):
    assert _identity(Dicom=spelling).serial == "0012345"


@pytest.mark.parametrize("value", ["007", "1_2e3", "6_0_66327775_20210622_151635_650", "t1 mprage sag", "caf\xe9"])
def test_values_that_look_like_numbers_or_hold_spaces_stay_text(value):
    assert _identity(MeasYaps=f'tProtocolName\t = \t"{value}"\n').protocol == value
    assert _identity(Config=f'<ParamString."ExamMemoryUID"> {{ "{value}" }}').exam_memory_uid == value


@pytest.mark.parametrize(
    ("software", "baseline"),
    [
        ("syngo MR B19", "VB"), ("syngo MR D13D", "VD"), ("syngo MR E11", "VE"), ("syngo MR XA61", "XA"),
        ("syngo MR VE12U", "VE"), ("something new 9", "something new 9"),
    ],
)  # fmt: skip
def test_the_baseline_comes_from_the_software(software, baseline):
    assert _identity(Dicom=f'<ParamString."SoftwareVersions"> {{ "{software}" }}').baseline == baseline


def test_what_a_header_does_not_hold_is_none_and_named():
    found = _identity()
    assert (found.serial, found.mid, found.lprotid, found.protocol) == (None, None, None, None)
    assert found.baseline == "unknown"
    assert "SoftwareVersions" in found.unread


def test_missing_buffers_are_named():
    (found,) = _read(bytes(_header({"Meas": ""})))
    assert set(found.unread) >= {"Config", "Dicom", "MeasYaps", "Phoenix"}


def test_numbers_that_are_none_are_not_guessed():
    assert _identity(MeasYaps="lProtID\t = \t12x\n").lprotid is None
    assert _identity(MeasYaps="lProtID\t = \t-708\n").lprotid == -708


def test_reference_images_of_both_families():
    assert _identity(MeasYaps='tReferenceImage0\t = \t"1.2.3"\n').reference_image_uids == ("1.2.3",)
    assert _identity(MeasYaps='tReferenceImage1\t = \t"1.2.840;1.2.4;1"\n').reference_image_uids == ("1.2.4",)


def test_dependencies_are_the_mids_that_are_not_blanked():
    text = '<ParamArray."ReconMeasDependencies"> { <MinSize> 1 <MaxSize> 8 12 0 14 }'
    assert _identity(Meas=text).dependency_mids == (12, 14)


@pytest.mark.parametrize("field", ["tPatientName", "PatientsName", "PatientID", "PatientBirthDay"])
def test_an_unblanked_patient_field_is_named_wherever_it_stands(field):
    text = f'<ParamString."{field}"> {{ "Doe^Jane 19610704" }}'
    for buffer in ("Config", "Dicom", "Meas", "Phoenix", "Spice"):
        assert _identity(**{buffer: text}).exposed_fields == (field,)


@pytest.mark.parametrize("blank", ["", "xxxxxxxx", "XXXX", "xxx,xxx", "xxx^xxx", "   "])
def test_a_blanked_patient_field_is_not_named(blank):
    assert _identity(Dicom=f'<ParamString."tPatientName"> {{ "{blank}" }}').exposed_fields == ()


def test_a_second_unblanked_copy_is_found_behind_a_blanked_one():
    text = '<ParamString."PatientID"> { "xxxx" }\n<ParamString."PatientID"> { "4711" }'
    assert _identity(Meas=text).exposed_fields == ("PatientID",)


def test_the_directory_is_looked_into_as_well(written, walk):
    (found,) = walk(written(Synthetic(patient_name="Doe", patient_id="xxxx", birth_date="xxxx")))[1]
    assert "directory" in found.exposed_fields
    assert walk(written(Synthetic()))[1][0].exposed_fields == ()


def test_a_text_that_overruns_the_header_is_refused():
    header = _header({"Config": "abc"})
    header[15:19] = pack("<I", 1 << 30)
    with pytest.raises(BadInput, match="overrun"):
        _read(bytes(header))


def test_the_head_of_a_cut_or_foreign_file_is_refused(written):
    data = written(Synthetic())
    for size in (0, 7, 10_000, 10_239, 10_240, 10_247, 12_000):
        with pytest.raises(BadInput):
            _read(data[:size])
    with pytest.raises(BadInput, match="not a TWIX file"):
        _read(b"DICM" * 12_500)


def test_a_text_nobody_knows_is_named_and_read_all_the_same():
    text = '<ParamString."DeviceSerialNumber"> { "4711" } <ParamString."SoftwareVersions"> { "syngo MR XA99" }'
    (found,) = _read(bytes(_header({"NewDicom": text, "Config": "", "Dicom": "", "Meas": "", "MeasYaps": ""})))
    assert (found.serial, found.software, found.baseline) == ("4711", "syngo MR XA99", "XA")
    assert set(found.unread) == {"Phoenix", "NewDicom", "Filler"}


@pytest.mark.parametrize("line", ['tPatientName\t = \t"Doe"', 'tPatientName = ""Doe""', "PatientID = 4711"])
def test_a_patient_field_among_protocol_lines_is_named(line):
    assert _identity(Phoenix=f"lProtID = 4\n{line}\n").exposed_fields == (line.split()[0],)


def test_the_field_patient_is_an_id_on_xa_and_a_database_number_before():
    text = '<ParamString."Patient"> { "6.0.66327770" }'
    version = '<ParamString."SoftwareVersions"> {{ "syngo MR {}" }}'
    assert _identity(Config=text, Dicom=version.format("E11")).exposed_fields == ()
    assert _identity(Config=text, Dicom=version.format("XA61")).exposed_fields == ("Patient",)
    assert _identity(Config=text, Dicom=version.format("XB10")).exposed_fields == ("Patient",)
    assert _identity(Config='<ParamString."Patient"> { "0012345" }').exposed_fields == ("Patient",)


@pytest.mark.parametrize(
    ("age", "is_exposed"), [("46.570843", True), ("0.5", True), ("46.000000", False), ("46", False), ("", False)]
)
def test_an_age_with_decimals_is_a_birth_date(age, is_exposed):
    text = f'<ParamDouble."flPatientAge">  {{ <Precision> 6  {age}  }}'
    assert _identity(Meas=text).exposed_fields == (("flPatientAge",) if is_exposed else ())


def test_a_name_behind_a_blanked_one_is_not_overlooked():
    text = '<ParamString."tPatientName"> { <Visible> "true" <Limit> { "a" "b" } "xxxx" "Doe" }'
    assert _identity(Meas=text).exposed_fields == ("tPatientName",)
    leftover = b"xxxx,xxxx\0DOE^JANE,19610704".ljust(64, b"\0")
    slot = Slot(offset=0, mid=1, fid=1, patient=leftover, protocol=b"gre")
    assert identify(bytes(_header({"Meas": ""})), slot=slot, index=0).exposed_fields == ("directory",)


def test_a_multiband_uuid_and_doubled_quotes_are_read():
    uuid = "5a3b2c1d-0000-4e5f-8a9b-0123456789ab"
    assert _identity(MeasYaps=f'sWipMemBlock.tFree\t = \t"UUID {uuid}"\n').free_uuid == uuid
    assert _identity(Phoenix='tProtocolName = ""t1 fl2d""\n').protocol == "t1 fl2d"


def test_a_header_of_absurd_length_is_refused_before_it_is_read(written):
    data = bytearray(written(Synthetic()))
    for claimed, words in ((65 << 20, "no scanner"), (60 << 20, "file ends inside")):
        data[DIRECTORY_BYTES : DIRECTORY_BYTES + 4] = pack("<I", claimed)
        with pytest.raises(BadInput, match=words):
            _read(bytes(data))


def test_a_head_takes_few_reads(written):
    data, reads = written(Synthetic(mid=1), Synthetic(mid=2)), []

    def read(at: int, count: int) -> bytes:
        reads.append(count)
        return data[at : at + count]

    assert len(read_head(read, len(data))) == 2
    assert len(reads) == 5
    assert sum(reads) < 10_300 + sum(m.header_bytes for m in _read(data))


def test_a_file_that_shrinks_while_its_head_is_read_is_refused(written):
    data = written(Synthetic())
    for there in (DIRECTORY_BYTES + 4, DIRECTORY_BYTES + 900):
        with pytest.raises(BadInput):
            read_head(lambda at, count, there=there: data[:there][at : at + count], len(data))


def test_reading_headers_needs_no_numpy():
    """Commands that only look at headers start quickly."""
    code = "import sys, kspace.twix.header; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
