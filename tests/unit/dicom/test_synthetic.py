"""Practice images are what they claim: read back by our own headers, by dcmtk, and joined to their measurement."""

import subprocess
from array import array

import pydicom
import pytest

from dicom.headers import describe
from dicom.join import decide
from dicom.records import Certainty, Series
from dicom.synthetic import csa_header, protocol_text, write_session
from kspace.records import Measurement


@pytest.mark.parametrize(("baseline", "files"), [("VB", 2), ("XA", 1)])
def test_a_series_is_joined_to_the_measurement_it_was_made_for(tmp_path, spec, baseline, files):
    wanted = spec(baseline)
    described = [describe(path) for path in write_session(tmp_path, wanted)]
    assert len(described) == files
    _, series, _ = described[0]
    whole = Series(
        series_uid=series.series_uid,
        study_uid=series.study_uid,
        number=series.number,
        protocol=series.protocol,
        serial=series.serial,
        lprotid=series.lprotid,
        frame_of_reference=series.frame_of_reference,
        ticks=frozenset(tick for *_, instance in described for tick in instance.ticks),
    )
    assert whole.ticks == set(wanted.ticks)
    measurement = Measurement(
        index=0,
        offset=0,
        header_bytes=1,
        baseline=baseline,
        serial=wanted.serial,
        lprotid=wanted.lprotid,
        frame_of_reference=wanted.frame_of_reference,
        ticks=array("I", wanted.ticks),
    )
    assert decide(measurement, [whole]).certainty is Certainty.CERTAIN


@pytest.mark.parametrize("baseline", ["VB", "XA"])
def test_dcmtk_and_pydicom_read_the_images(tmp_path, spec, requires, baseline):
    for path in write_session(tmp_path, spec(baseline)):
        dump = subprocess.run([requires("dcmdump"), path], check=True, capture_output=True, text=True)
        assert "PRACTICE-01" in dump.stdout
        assert dump.stderr == ""
        dataset = pydicom.dcmread(path)
        assert dataset.pixel_array.shape[-2:] == (64, 64)
        assert dataset.pixel_array.max() > 900


def test_the_same_series_is_the_same_bytes_and_no_two_images_share_a_uid(tmp_path, spec):
    series = [spec(), spec(number=4), spec("XA", number=5)]
    first, second = (write_session(tmp_path / name, *series) for name in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert len({describe(p)[2].sop_uid for p in first}) == len(first) == 5
    assert len({describe(p)[0].study_uid for p in first[:4]}) == 1


def test_a_csa_header_is_laid_out_as_readers_expect(spec):
    text = protocol_text(spec())
    header = csa_header({"First": b"x", "MrPhoenixProtocol": text})
    assert header[:8] == b"SV10\4\3\2\1"
    at = header.index(b"MrPhoenixProtocol")
    length = int.from_bytes(header[at + 84 : at + 88], "little")
    assert header[at + 100 : at + 100 + length] == text
    assert b"lProtID" in text
    assert b"sProtConsistencyInfo" in text
