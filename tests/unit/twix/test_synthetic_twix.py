"""Practice files are what the common readers take for real: twixtools and mapvbvd judge them beside our walk."""

from pathlib import Path

import mapvbvd
import numpy as np
import pytest
import twixtools

from kspace.twix.header import read_head
from kspace.twix.synthetic import Synthetic, write_twix

SPECS = [
    Synthetic(baseline="VB", readouts=12, channels=3, samples=64),
    Synthetic(readouts=12, channels=3, samples=64),
    Synthetic(baseline="XA", readouts=12, channels=3, samples=64),
    Synthetic(readouts=12, channels=1, samples=64, is_streamed=True),
    Synthetic(baseline="VB", readouts=12, channels=3, samples=64, is_streamed=True),
]
SAMPLES = [
    "streamed/01_GRE_example.dat",
    "streamed/02_01_ro_dur_1200_pe+.dat",
    "streamed/2024-02-06-160052.dat",
    "vb19-pairs/meas_MID00101_FID33058_ex01.dat",
    "vb19-pairs/meas_MID00107_FID33064_sol12.dat",
    "ve11-gre-epi/epi.dat",
    "ve11-gre-epi/gre.dat",
    "ve11-spectro/sub-SiemensBrainPhantom_seq-svslcosy_inc-1.twix",
]


def _blocks(path: Path):
    """Return the readouts of the last measurement as twixtools sees them: (channels, samples, tick) each."""
    read = twixtools.read_twix(str(path), parse_pmu=False, parse_geometry=False, verbose=False)
    blocks = [b for b in read[-1]["mdb"] if not b.is_flag_set("ACQEND") and not b.is_flag_set("SYNCDATA")]
    return [(b.data.shape[0], b.data.shape[1], int(b.mdh.TimeStamp)) for b in blocks]


def _lines(path: Path) -> tuple[int, int]:
    """Return how many readouts and channels mapvbvd sees in the last measurement; a readout may be of two sorts."""
    found = mapvbvd.mapVBVD(str(path), quiet=True)
    last = found[-1] if isinstance(found, list) else found
    sorts = [last[name] for name in last.MDH_flags()]
    places = {int(at) for sort in sorts for at in sort.memPos}
    return len(places), int(sorts[0].NCha)


def _agrees(path: Path, walk) -> None:
    audit, found = walk(path.read_bytes())
    assert audit.verdict.is_whole
    last = found[-1]
    blocks = _blocks(path)
    assert [tick for *_, tick in blocks] == last.ticks.tolist()
    assert blocks[-1][:2] == (last.channels, last.samples)
    assert _lines(path) == (last.readouts, last.channels)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.baseline} {'streamed' if s.is_streamed else 'native'}")
def test_the_common_readers_see_the_readouts_we_see(tmp_path, walk, spec):
    write_twix(tmp_path / "meas.dat", spec)
    _agrees(tmp_path / "meas.dat", walk)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_common_readers_see_the_readouts_we_see_in_real_samples(twix_folder, walk, name):
    _agrees(twix_folder / name, walk)


def test_every_measurement_of_a_file_is_read_alike(tmp_path, walk):
    write_twix(tmp_path / "meas.dat", Synthetic(mid=1, readouts=5), Synthetic(mid=2, readouts=9))
    read = twixtools.read_twix(str(tmp_path / "meas.dat"), parse_pmu=False, parse_geometry=False, verbose=False)
    found = walk((tmp_path / "meas.dat").read_bytes())[1]
    assert [sum(not b.is_flag_set("ACQEND") for b in m["mdb"]) for m in read] == [m.readouts for m in found] == [5, 9]


def test_the_same_spec_gives_the_same_bytes_and_another_seed_others(written):
    assert written(Synthetic()) == written(Synthetic())
    assert written(Synthetic(seed=2)) != written(Synthetic(seed=1))


def test_samples_lie_on_the_lattice_real_samples_lie_on(tmp_path):
    write_twix(tmp_path / "meas.dat", Synthetic(readouts=3))
    read = twixtools.read_twix(str(tmp_path / "meas.dat"), parse_pmu=False, parse_geometry=False, verbose=False)
    steps = read[-1]["mdb"][0].data.view(np.float32).astype(np.float64) * 2**32
    assert np.abs(steps).max() > 1
    assert (steps == np.rint(steps)).all()


def test_a_native_file_fills_up_to_512_and_a_streamed_one_does_not(written):
    assert len(written(Synthetic())) % 512 == 0
    streamed = written(Synthetic(is_streamed=True))
    assert int.from_bytes(streamed[-192 + 40 : -192 + 44], "little") & 1


def test_mixed_baselines_and_two_measurements_in_vb_are_refused(tmp_path):
    with pytest.raises(ValueError, match="baseline"):
        write_twix(tmp_path / "meas.dat", Synthetic(baseline="VD"), Synthetic(baseline="XA"))
    with pytest.raises(ValueError, match="VB"):
        write_twix(tmp_path / "meas.dat", Synthetic(baseline="VB"), Synthetic(baseline="VB"))


def _identity_by_twixtools(path: Path) -> dict[str, object]:
    """Return the identity twixtools reads; it casts what looks like a number."""
    read = twixtools.read_twix(str(path), parse_data=False, parse_pmu=False, parse_geometry=False, verbose=False)
    texts = read[-1]["hdr"]
    return {
        "mid": int(texts["Meas"]["MeasUID"]),
        "serial": str(int(texts["Dicom"]["DeviceSerialNumber"])),
        "software": texts["Dicom"]["SoftwareVersions"],
        "model": texts["Dicom"]["ManufacturersModelName"],
        "frame_of_reference": texts["Config"]["FrameOfReference"],
        "study_loid": texts["Config"]["StudyLOID"],
        "sequence": texts["Config"]["SequenceFileName"],
        "protocol": texts["MeasYaps"]["tProtocolName"],
        "lprotid": texts["MeasYaps"]["lProtID"],
    }


def _identity_by_mapvbvd(path: Path) -> dict[str, object]:
    found = mapvbvd.mapVBVD(str(path), quiet=True, bReadMDH=False)
    texts = (found[-1] if isinstance(found, list) else found).hdr
    return {
        "mid": int(texts["Meas"]["MeasUID"]),
        "serial": str(int(texts["Dicom"]["DeviceSerialNumber"])),
        "software": texts["Dicom"]["SoftwareVersions"],
        "frame_of_reference": texts["Config"]["FrameOfReference"],
        "study_loid": texts["Config"]["StudyLOID"],
        "protocol": texts["MeasYaps"][("tProtocolName",)].strip('"'),
        "lprotid": int(texts["MeasYaps"][("lProtID",)]),
    }


def _is_called_the_same(path: Path) -> None:
    data = path.read_bytes()
    last = read_head(lambda at, count: data[at : at + count], len(data))[-1]
    for others in (_identity_by_twixtools(path), _identity_by_mapvbvd(path)):
        assert {name: getattr(last, name) for name in others} == others


@pytest.mark.parametrize("name", SAMPLES)
def test_the_common_readers_call_a_real_measurement_the_same(twix_folder, name):
    _is_called_the_same(twix_folder / name)


@pytest.mark.parametrize("spec", SPECS[:3], ids=lambda spec: spec.baseline)
def test_the_common_readers_call_a_practice_measurement_the_same(tmp_path, spec):
    write_twix(tmp_path / "meas.dat", spec)
    _is_called_the_same(tmp_path / "meas.dat")


def test_a_practice_header_holds_all_that_was_asked_of_it(written):
    spec = Synthetic(
        baseline="XA", mid=12, fid=4012, serial="0012345", protocol="t1 mprage sag", lprotid=393,
        software="syngo MR XA99", study_uid="1.3.12.2.1107.5.2.63.1.300", dependency_mids=(7, 9),
        reference_image_uids=("1.2.840.10008.5.1.4.1.1.4.1;1.2.3;1",), patient_id="PRACTICE-01",
        free_text="5a3b2c1d-0000-4e5f-8a9b-0123456789ab",
    )  # fmt: skip
    data = written(spec)
    (found,) = read_head(lambda at, count: data[at : at + count], len(data))
    for name in ("mid", "fid", "serial", "protocol", "sequence", "lprotid", "frame_of_reference", "study_uid"):
        assert getattr(found, name) == getattr(spec, name), name
    assert (found.software, found.baseline, found.study_loid) == ("syngo MR XA99", "XA", spec.study_uid)
    assert (found.reference_image_uids, found.dependency_mids) == (("1.2.3",), (7, 9))
    assert (found.free_uuid, found.unread) == (spec.free_text, ())
    assert found.exposed_fields == ("PatientID", "Patient")
