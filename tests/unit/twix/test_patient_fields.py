"""Planted names: whatever the host's export blanks, in whichever copy, is missed if it stands unblanked again."""

import re
from dataclasses import replace

import pytest

from kspace.records import Measurement
from kspace.twix.header import read_head
from kspace.twix.layout import DIRECTORY_BYTES
from kspace.twix.synthetic import Synthetic

BLANKED = (
    "vb19-pairs/meas_MID00101_FID33058_ex01.dat",
    "vb19-pairs/meas_MID00107_FID33064_sol12.dat",
    "ve11-gre-epi/gre.dat",
    "ve11-gre-epi/epi.dat",
    "ve11-spectro/sub-SiemensBrainPhantom_seq-svslcosy_inc-1.twix",
)
BLANK = re.compile(rb'(?<=")[xX]{4,}(?=")')
SLOT_BYTES, SLOT_PATIENT, SLOT_PROTOCOL = 152, 8 + 24, 8 + 24 + 64


def _read(data: bytes | bytearray) -> tuple[Measurement, ...]:
    return read_head(lambda at, count: bytes(data[at : at + count]), len(data))


def _planted(data: bytes, start: int, end: int) -> bytearray:
    changed = bytearray(data)
    changed[start:end] = (b"DOEJANE" * (end - start))[: end - start]
    return changed


@pytest.mark.parametrize("name", BLANKED)
def test_each_single_copy_that_an_export_blanks_is_looked_at(twix_folder, name):
    data = (twix_folder / name).read_bytes()
    found = _read(data)
    assert [m.exposed_fields for m in found] == [()]
    blanks = list(BLANK.finditer(data, 0, found[-1].offset + found[-1].header_bytes))
    assert len(blanks) >= 15
    for blank in blanks:
        (planted,) = _read(_planted(data, *blank.span()))
        assert len(planted.exposed_fields) == 1, blank.start()


@pytest.mark.parametrize("name", ["streamed/01_GRE_example.dat", "streamed/02_01_ro_dur_1200_pe+.dat"])
def test_a_file_no_export_blanked_names_its_patient(twix_folder, name):
    (found,) = _read((twix_folder / name).read_bytes())
    assert {"PatientID", "PatientName", "PatientsName", "tPatientName", "PatientBirthDay"} <= set(found.exposed_fields)


@pytest.mark.parametrize("baseline", ["VB", "VD", "XA"])
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("field", ["patient_name", "patient_id", "birth_date"])
def test_a_field_planted_in_any_family_is_named(written, baseline, is_streamed, field):
    blanked = Synthetic(baseline=baseline, is_streamed=is_streamed, readouts=2)
    assert _read(written(blanked))[0].exposed_fields == ()
    assert _read(written(replace(blanked, **{field: "19610704"})))[0].exposed_fields != ()


@pytest.mark.parametrize("baseline", ["VB", "VD", "XA"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_each_single_copy_in_any_family_is_looked_at(written, baseline, is_streamed):
    number = 1 if baseline == "VB" else 3
    data = written(*(Synthetic(baseline=baseline, mid=n, is_streamed=is_streamed, readouts=2) for n in range(number)))
    last = _read(data)[-1]
    blanks = list(BLANK.finditer(data, 0, last.offset + last.header_bytes))
    assert len(blanks) >= 9 * number
    for blank in blanks:
        exposed = [m.exposed_fields for m in _read(_planted(data, *blank.span()))]
        assert sum(map(len, exposed)) == 1, blank.start()
    for slot in range(0 if baseline == "VB" else number):
        at = SLOT_BYTES * slot + SLOT_PATIENT
        exposed = [m.exposed_fields for m in _read(_planted(data, at, at + 12))]
        assert exposed == [("directory",) if n == slot else () for n in range(number)]


@pytest.mark.parametrize("position", range(4))
def test_each_measurement_of_a_file_is_looked_at(written, position):
    specs = [Synthetic(mid=n, readouts=2, patient_name="DOE" if n == position else "xxx") for n in range(4)]
    assert [bool(m.exposed_fields) for m in _read(written(*specs))] == [n == position for n in range(4)]


@pytest.mark.parametrize("slot", [1, 2, 31, 63])
def test_a_patient_left_in_an_unused_place_of_the_directory_counts(written, slot):
    data = bytearray(written(Synthetic(readouts=2)))
    at = SLOT_BYTES * slot + SLOT_PATIENT
    data[at : at + 20] = b"x" * 20
    assert _read(data)[0].exposed_fields == ()
    data[at : at + 20] = b"DOE^JANE,19610704xxx"
    assert at + 20 < DIRECTORY_BYTES
    assert _read(data)[0].exposed_fields == ("directory",)


@pytest.mark.parametrize("slot", [0, 1, 63])
def test_what_is_left_behind_the_end_of_a_protocols_name_counts_and_is_no_part_of_it(written, slot):
    data = bytearray(written(Synthetic(readouts=2)))
    at = SLOT_BYTES * slot + SLOT_PROTOCOL
    data[at : at + 24] = b"gre\0" + b"x" * 20
    assert _read(data)[0].exposed_fields == ()
    data[at : at + 24] = b"gre\0DOE^JANE,19610704xxx"
    (found,) = _read(data.replace(b"tProtocolName", b"tProtocolNone"))
    assert found.exposed_fields == ("directory",)
    assert found.protocol == "gre"


def test_what_stands_for_a_texts_name_is_told_only_if_it_can_be_one(written):
    data = written(Synthetic(readouts=2)).replace(b"Phoenix\0", b"DOE^JAN\0", 1)
    assert _read(data)[0].unread == ("Phoenix", "a text without a proper name")
