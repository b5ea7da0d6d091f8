import subprocess
import warnings
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom.headers import NotDicom, describe, route_hints
from dicom.protocol import digest_in
from dicom.records import Study
from dicom.synthetic import csa_header, protocol_text, write_session
from kspace.twix.protocol import protocol_digest

_MARK = "4f0c2f3e-8a61-4c7b-9f10-3d2b6a5e7c81"

REAL = {
    "vb19-pairs/*.0053.0001.*.IMA": ("35287", 53, -222, "35287.1.20240322140748296.0.0.0", 26_422_493, 1),
    "vb19-pairs/*.0055.0001.*.IMA": ("35287", 55, -226, "35287.1.20240322140748296.0.0.0", 26_480_733, 1),
    "vb19-pairs/*.0060.0001.*.IMA": ("35287", 60, -236, "35287.1.20240322140748296.0.0.0", 26_616_722, 1),
    "vb19-pairs/*.0060.0002.*.IMA": ("35287", 60, -236, "35287.1.20240322140748296.0.0.0", 26_616_724, 1),
    "dicom-only/SVS_XA60.dcm": ("166042", 9, 940, "30000025011617344417000000415", 24_051_291, 1),
    "dicom-only/XA60_ep2d_bold*.dcm": ("237012", 2, 37, "237012.2.20241004141746537.0.0.0", 20_758_292, 10),
    "dicom-only/XA60_ep2d_diff*.dcm": ("237012", 14, 87, "237012.1.20241004141746537.0.0.0", 20_963_009, 10),
}


@pytest.mark.parametrize("pattern", REAL)
def test_real_images_say_who_made_them_and_when(samples, pattern):
    serial, number, lprotid, frame, first, count = REAL[pattern]
    (path,) = samples.glob(pattern)
    _, series, instance = describe(path)
    assert (series.serial, series.number, series.lprotid) == (serial, number, lprotid)
    assert series.frame_of_reference.endswith(frame)
    assert (instance.ticks[0], len(instance.ticks)) == (first, count)


@pytest.mark.parametrize("baseline", ["VB", "XA"])
@pytest.mark.parametrize("option", ["+te", "+ti", "+tb", "+td"])
def test_every_encoding_says_the_same(tmp_path, spec, requires, baseline, option):
    path = write_session(tmp_path, spec(baseline, study_uid="1.2.3", comments="Project:P"))[0]
    subprocess.run([requires("dcmconv"), option, path, tmp_path / "converted.dcm"], check=True)
    study, series, instance = describe(tmp_path / "converted.dcm")
    expected = describe(path)
    assert (study, series, instance.ticks) == (*expected[:2], expected[2].ticks)
    assert (study.study_uid, study.comments, series.lprotid) == ("1.2.3", ("Project:P",), -55)
    assert (instance.transfer_syntax == expected[2].transfer_syntax) is (option == "+te")


def test_a_dataset_in_memory_says_the_same_as_its_file(tmp_path, spec):
    path = write_session(tmp_path, spec("XA"))[0]
    assert describe(pydicom.dcmread(path)) == describe(path)


def test_classic_xa_object_and_spectroscopy_hold_the_protocol_elsewhere(tmp_path, spec):
    path = write_session(tmp_path, spec())[0]
    dataset = pydicom.dcmread(path)
    del dataset[0x29, 0x1020]
    dataset.private_block(0x21, "SIEMENS MR SDS 01", create=True).add_new(0x19, "OB", protocol_text(spec(lprotid=7)))
    dataset.save_as(tmp_path / "classic-xa.dcm")
    assert describe(tmp_path / "classic-xa.dcm")[1].lprotid == 7
    del dataset[0x21, 0x1019]
    dataset.add_new((0x29, 0x0011), "LO", "SIEMENS CSA HEADER")
    dataset.add_new((0x29, 0x1120), "OB", csa_header({"MrPhoenixProtocol": protocol_text(spec(lprotid=8))}))
    dataset.save_as(tmp_path / "spectrum.dcm")
    assert describe(tmp_path / "spectrum.dcm")[1].lprotid == 8


@pytest.mark.parametrize("baseline", ["VB", "XA"])
def test_the_mark_of_a_multiband_sequence_is_read_from_its_own_field_and_from_the_protocol(tmp_path, spec, baseline):
    dataset = pydicom.dcmread(write_session(tmp_path, spec(baseline))[0])
    assert describe(dataset)[1].free_uuid is None
    block = dataset.private_block(0x21, "SIEMENS MR SDI 02", create=True)
    block.add_new(0x43, "LO", f"{_MARK.upper()}|multiband")
    assert describe(dataset)[1].free_uuid == _MARK
    dataset.save_as(tmp_path / "marked.dcm")
    assert describe(tmp_path / "marked.dcm")[1].free_uuid == _MARK
    block.add_new(0x43, "LO", "no mark")
    dataset.private_block(0x29, "SIEMENS CSA HEADER", create=True).add_new(
        0x20, "OB", _protocol(f'sWipMemBlock.tFree = ""{_MARK}""'.encode())
    )
    assert describe(dataset)[1].free_uuid == _MARK
    block.add_new(0x43, "LO", _MARK.replace("4", "5"))
    assert describe(dataset)[1].free_uuid is None, "marks that disagree say nothing"


def _protocol(line: bytes) -> bytes:
    return b"### ASCCONV BEGIN ###\n" + line + b"\n### ASCCONV END ###"


def test_the_whole_protocol_is_one_digest_on_both_sides_whatever_its_quotes_and_line_ends():
    inside = _protocol(b'tProtocolName = ""gre""\r\nlProtID = 7')
    assert protocol_digest(_protocol(b'tProtocolName = "gre" \nlProtID = 7')) == digest_in([inside]) is not None
    assert protocol_digest(_protocol(b"other") + inside) == protocol_digest(inside)
    assert digest_in([inside, _protocol(b"other")]) is None
    assert protocol_digest(b"") is digest_in([]) is None


def test_protocols_that_disagree_say_nothing(tmp_path, spec):
    dataset = pydicom.dcmread(write_session(tmp_path, spec())[0])
    dataset[0x29, 0x1020].value += protocol_text(spec(lprotid=-56))
    assert describe(dataset)[1].lprotid is None


@pytest.mark.parametrize("csa", [b"", b"SV10", b"\xff" * 64, b"SV10\4\3\2\1" + b"\xff" * 90])
def test_a_damaged_private_header_costs_only_its_number(tmp_path, spec, csa):
    dataset = pydicom.dcmread(write_session(tmp_path, spec())[0])
    dataset[0x29, 0x1020].value = csa
    dataset.save_as(tmp_path / "damaged.dcm")
    _, series, instance = describe(tmp_path / "damaged.dcm")
    assert (series.lprotid, series.number, instance.ticks) == (None, 3, (14_400_000,))


def test_pixels_are_not_needed(tmp_path, spec):
    path = write_session(tmp_path, spec())[0]
    expected, content = describe(path), path.read_bytes()
    path.write_bytes(content[: content.index(b"\xe0\x7f\x10\x00") + 12])
    assert describe(path) == expected


def test_the_serial_is_found_in_the_uids_where_the_tag_is_missing(tmp_path, spec):
    dataset = pydicom.dcmread(write_session(tmp_path, spec())[0])
    del dataset.DeviceSerialNumber
    assert describe(dataset)[1].serial == "35000"
    dataset.SOPInstanceUID = dataset.SeriesInstanceUID = dataset.StudyInstanceUID = "1.2.3"
    assert describe(dataset)[1].serial is None


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_an_object_without_identity_is_refused_by_the_name_of_what_lacks(tmp_path, spec, keyword):
    dataset = pydicom.dcmread(write_session(tmp_path, spec())[0])
    del dataset[keyword]
    with pytest.raises(NotDicom, match=keyword) as refused:
        describe(dataset)
    assert "PRACTICE" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"DICM" * 64, b"\0" * 128 + b"DICM", b"<html>" * 99])
def test_what_is_no_dicom_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(NotDicom):
        describe(path)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_bytes_are_described_or_refused_and_nobody_is_named(tmp_path, spec, caplog, data):
    baseline = data.draw(st.sampled_from(["VB", "XA"]))
    path = write_session(tmp_path, spec(baseline, patient_id="Secret^Name"))[0]
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 3, 700]))])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        refusal = _refusal(path)
    assert "Secret" not in f"{refusal} {caplog.text} {[str(w.message) for w in said]}"


def _refusal(path: Path) -> str:
    try:
        describe(path)
    except NotDicom as error:
        return str(error)
    return ""


def test_odd_values_are_taken_as_they_stand_without_a_warning(tmp_path, spec):
    path = write_session(tmp_path, spec(patient_id="PRACTICE-01"))[0]
    path.write_bytes(path.read_bytes().replace(b"20260105", b"Secret??").replace(b"gre_phantom", b"gre\xffphantom"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study, series, _ = describe(path)
    assert study.date == "Secret??"
    assert series.number == 3


def test_a_value_in_the_wrong_place_is_not_quoted(tmp_path, spec, caplog):
    path = write_session(tmp_path, spec())[0]
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"Secret^Name^Secret^\0", 1))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        _refusal(path)
    assert "Secret" not in f"{caplog.text} {[str(w.message) for w in said]}"


def test_names_in_other_alphabets_are_read():
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2", "1.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.4", "1.5"
    dataset.SpecificCharacterSet, dataset.PatientID = "ISO_IR 192", "Übung-01"
    assert describe(dataset)[0].patient_id == "Übung-01"


def test_characters_on_disk_follow_the_character_set(tmp_path, spec):
    dataset = pydicom.dcmread(write_session(tmp_path, spec())[0])
    for charset, name in (("ISO_IR 192", "Übung"), ("ISO_IR 100", "Übung"), ("ISO_IR 144", "Щёлково")):
        dataset.SpecificCharacterSet, dataset.StudyDescription = charset, name
        dataset.save_as(tmp_path / "named.dcm")
        assert describe(tmp_path / "named.dcm")[0].description == name


def test_comments_come_in_the_order_in_which_xnat_looks(tmp_path, spec):
    dataset = pydicom.dcmread(write_session(tmp_path, spec(comments="Project:A"))[0])
    dataset.AdditionalPatientHistory, dataset.StudyComments = "Project:C AA:true", "Project:B Subject:S"
    study, _, _ = describe(dataset)
    assert study.comments == ("Project:A", "Project:B Subject:S", "Project:C AA:true")
    assert route_hints(study) == {"project": "A", "subject": "S", "aa": "true"}


@pytest.mark.parametrize(
    ("comments", "hints"),
    [
        (("Project:P1 Subject:S-1",), {"project": "P1", "subject": "S-1"}),
        (("Session:E_1 AA:true",), {"session": "E_1", "aa": "true"}),
        (("see notes; project:P1,SUBJECT:S1",), {"project": "P1", "subject": "S1"}),
        (("Subject:S1", "Project:P2 Subject:S2"), {"subject": "S1", "project": "P2"}),
        (("MyProject:P1", "Project: P1", "Project:P.1"), {}),
        ((), {}),
    ],
)  # fmt: skip
def test_hints_are_read_as_xnat_reads_them(comments, hints):
    assert route_hints(Study(study_uid="1", comments=comments)) == hints


def test_missing_file_is_no_dicom():
    with pytest.raises(NotDicom):
        describe(Path("no-such-file"))


@pytest.mark.parametrize(("said", "number"), [("2147483647", 2147483647), ("2147483648", None), ("-99999999999", None)])
def test_a_number_that_no_integer_string_may_hold_is_none(tmp_path, spec, said, number):
    dataset = pydicom.dcmread(write_session(tmp_path, spec())[0])
    dataset.add_new("SeriesNumber", "LO", said)
    assert describe(dataset)[1].number == number
