"""Whether a file is whole: real samples, synthetic files of every family, and what must not pass."""

from struct import pack_into

import numpy as np
import pytest

from kspace.records import Verdict
from kspace.twix.synthetic import Synthetic
from kspace.twix.walk import Walker, quick_check

NATIVE, STREAMED = Verdict.COMPLETE_NATIVE, Verdict.COMPLETE_STREAMED
DIRECTORY = 10_240
MDH, CHANNEL = 192, 32
"""Bytes before a readout's first channel, and before each channel's samples (VD and later)."""
SAMPLES_AT, CHANNELS_AT = 48, 50

# path -> verdict, baseline, MID, FID, serial, lProtID, protocol, readouts, channels, first tick.
# The first tick is the time of the first readout since midnight in units of 2.5 ms.
SAMPLES = {
    "streamed/01_GRE_example.dat": (STREAMED, "VE", 185, None, "18920", -708, "pulseq", 256, 1, 29148833),
    "streamed/02_01_ro_dur_1200_pe+.dat": (STREAMED, "VB", 57, None, "35287", -90, "pulseq", 60, 1, 26199904),
    "streamed/02_02_ro_dur_1200_pe-.dat": (STREAMED, "VB", 58, None, "35287", -93, "pulseq", 60, 1, 26261512),
    "streamed/04b_GRE_5seg_fast.dat": (STREAMED, "VE", 334, None, "67088", -1016, "pulseq", 125, 1, 21349139),
    "streamed/2024-02-06-160052.dat": (STREAMED, "XA", 131, None, "213010", 393, "pulseq", 128, 16, 24509466),
    "streamed/2024-02-06-160115.dat": (STREAMED, "XA", 138, None, "213010", 399, "pulseq", 128, 2, 24518418),
    "vb19-pairs/meas_MID00101_FID33058_ex01.dat": (NATIVE, "VB", 101, None, "35287", -208, "ex01", 1, 4, 26301490),
    "vb19-pairs/meas_MID00107_FID33064_sol12.dat": (NATIVE, "VB", 107, None, "35287", -222, "sol12", 256, 4, 26422493),
    "vb19-pairs/meas_MID00109_FID33066_sol13.dat": (NATIVE, "VB", 109, None, "35287", -226, "sol13", 256, 4, 26480733),
    "ve11-gre-epi/epi.dat": (NATIVE, "VE", 360, 117961, "45385", -838, "ep2d_bold", 83, 2, 22329364),
    "ve11-gre-epi/gre.dat": (NATIVE, "VE", 358, 117959, "45385", -827, "gre", 160, 2, 22321167),
    "ve11-spectro/sub-SiemensBrainPhantom_seq-svslcosy_inc-1.twix": (
        NATIVE, "VE", 60, 76167, "166042", -171, "svs_lcosy", 1, 34, 19536967,
    ),
    "ve11-spectro/sub-SiemensBrainPhantom_seq-svslcosy_incomplete.twix": (
        Verdict.CUT_IN_READOUT, "VE", 60, 76167, "166042", -171, "svs_lcosy", 0, 0, None,
    ),
}  # fmt: skip

SPECS = {
    "VB native": Synthetic(baseline="VB", readouts=9, channels=2, samples=32),
    "VB streamed": Synthetic(baseline="VB", readouts=9, channels=2, samples=32, is_streamed=True),
    "VD native": Synthetic(readouts=9, channels=2, samples=32),
    "VD streamed": Synthetic(readouts=9, channels=2, samples=32, is_streamed=True),
    "XA native": Synthetic(baseline="XA", readouts=9, channels=2, samples=32),
}


@pytest.fixture(params=SPECS)
def spec(request) -> Synthetic:
    return SPECS[request.param]


def _quick(data: bytes) -> Verdict:
    return quick_check(lambda at, count: data[at : at + count], len(data)).verdict


@pytest.mark.parametrize("name", SAMPLES)
def test_a_real_sample_has_its_verdict_and_identity(twix_folder, walk, name):
    data = (twix_folder / name).read_bytes()
    audit, (found,) = walk(data)
    first_tick = found.ticks[0] if found.ticks else None
    said = (found.baseline, found.mid, found.fid, found.serial, found.lprotid, found.protocol)
    assert (audit.verdict, *said, found.readouts, found.channels, first_tick) == SAMPLES[name]
    assert _quick(data) is audit.verdict
    assert len(found.ticks) == found.readouts


def test_every_raw_sample_is_in_the_table(twix_folder):
    there = {str(p.relative_to(twix_folder)) for p in twix_folder.rglob("*") if p.suffix in {".dat", ".twix"}}
    assert there == SAMPLES.keys()


def test_real_dicom_is_not_twix(twix_folder, walk):
    images = [p for p in twix_folder.rglob("*") if p.suffix.lower() in {".dcm", ".ima"}]
    assert images
    assert {walk(p.read_bytes())[0].verdict for p in images} == {Verdict.NOT_TWIX}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_real_sample_reads_the_same_however_it_is_cut(twix_folder, walk, name):
    data = (twix_folder / name).read_bytes()
    random = np.random.default_rng(3)
    whole = walk(data)
    assert walk(data, cuts=range(65_536, len(data), 65_536)) == whole
    for _ in range(5):
        assert walk(data, cuts=random.integers(0, len(data), 40).tolist()) == whole


def test_a_synthetic_file_is_whole_and_says_what_was_asked_of_it(written, walk, spec):
    data = written(spec)
    audit, (found,) = walk(data)
    assert audit.verdict is (STREAMED if spec.is_streamed else NATIVE)
    assert _quick(data) is audit.verdict
    assert (found.readouts, found.channels, found.samples) == (9, 2, 32)
    assert found.ticks.tolist() == [spec.first_tick + 4 * n for n in range(9)]


def test_one_byte_at_a_time_reads_the_same(written, walk, spec):
    data = written(spec)
    assert walk(data, cuts=range(1, len(data))) == walk(data)


def test_several_measurements_are_read_in_their_order(written, walk):
    data = written(Synthetic(mid=1, readouts=3), Synthetic(mid=2, readouts=5), Synthetic(mid=3, readouts=7))
    audit, found = walk(data)
    assert audit.verdict is NATIVE
    assert [(m.index, m.mid, m.readouts) for m in found] == [(0, 1, 3), (1, 2, 5), (2, 3, 7)]
    assert walk(data, cuts=range(1000, len(data), 1000)) == (audit, found)


def test_every_cut_of_a_whole_file_is_seen(written, walk, spec):
    """Only the padding behind a native end marker may be missing."""
    data = written(spec)
    end = _end_of_data(data, spec)
    for size in {*range(0, end, 37), end - 1}:
        audit, _ = walk(data[:size])
        assert not audit.verdict.is_whole, size


def test_a_cut_inside_a_readout_is_named_with_its_place(written, walk):
    spec = SPECS["VD native"]
    data = written(spec)
    size = _readout_size(spec)
    begins = walk(data)[1][0].header_bytes + DIRECTORY + 4 * size
    audit, (found,) = walk(data[: begins + 300])
    assert (audit.verdict, audit.position) == (Verdict.CUT_IN_READOUT, begins)
    assert found.readouts == 4


def test_a_file_that_ends_between_readouts_has_no_end_marker(written, walk):
    spec = SPECS["VB streamed"]
    data = written(spec)
    begins = walk(data)[1][0].header_bytes
    audit, _ = walk(data[: begins + 3 * _readout_size(spec)])
    assert audit.verdict is Verdict.NO_END_MARKER


def test_an_unwritten_tail_of_full_size_is_a_hole(written, walk, spec):
    data = written(spec)
    header_end = _header_end(data, walk)
    at = header_end + 4 * _readout_size(spec)
    audit, (found,) = walk(data[:at] + bytes(len(data) - at))
    assert (audit.verdict, audit.position, found.readouts) == (Verdict.UNWRITTEN_HOLE, at, 4)


def test_a_hole_inside_samples_is_suspect(written, walk):
    spec = Synthetic(readouts=9, channels=2, samples=512)
    data = bytearray(written(spec))
    at = _header_end(data, walk) + MDH + CHANNEL + 64
    data[at : at + 1024] = bytes(1024)
    audit, _ = walk(bytes(data))
    assert audit.verdict is Verdict.SUSPECT_HOLE
    assert at - 8 < audit.position <= at


def test_a_hole_inside_the_header_is_suspect(written, walk):
    data = bytearray(written(SPECS["VD native"]))
    data[DIRECTORY + 3000 : DIRECTORY + 4100] = bytes(1100)
    audit, _ = walk(bytes(data))
    assert (audit.verdict, audit.position) == (Verdict.SUSPECT_HOLE, DIRECTORY + 3000)
    assert walk(bytes(data), cuts=range(1, len(data), 501))[0] == audit


@pytest.mark.parametrize("length", [512, 520, 700, 1024, 4096])
def test_a_hole_is_found_wherever_the_feed_is_cut(written, walk, length):
    spec = Synthetic(readouts=3, channels=1, samples=2048)
    data = bytearray(written(spec))
    at = _header_end(data, walk) + MDH + CHANNEL + 5001
    data[at : at + length] = bytes(length)
    for cut in range(at - 600, at + length + 600, 97):
        assert walk(bytes(data), cuts=[cut])[0].verdict is Verdict.SUSPECT_HOLE, cut


@pytest.mark.parametrize(("field", "value"), [(4, 999), (8, 77), (SAMPLES_AT, 0x7FFF), (CHANNELS_AT, 0)])
def test_a_readout_that_contradicts_its_file_is_named(written, walk, field, value):
    spec = SPECS["VD native"]
    data = bytearray(written(spec))
    at = _header_end(data, walk) + 4 * _readout_size(spec)
    pack_into("<I" if field < 16 else "<H", data, at + field, value)
    audit, _ = walk(bytes(data))
    assert not audit.verdict.is_whole
    assert audit.position == at


def test_bytes_behind_the_end_that_no_directory_knows_are_a_contradiction(written, walk, spec):
    audit, _ = walk(written(spec) + b"x" * 512)
    assert audit.verdict is Verdict.CONTRADICTION


def test_two_readouts_that_changed_places_are_a_contradiction(written, walk, spec):
    data = written(spec)
    size, first = _readout_size(spec), _header_end(data, walk)
    a, b = first + 2 * size, first + 6 * size
    swapped = data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]
    assert walk(swapped)[0].verdict is Verdict.CONTRADICTION


def test_a_walk_that_was_not_fed_to_the_end_is_not_whole(written):
    data = written(SPECS["VD native"])
    walker = Walker(len(data))
    walker.feed(data[:-600])
    assert walker.finish().verdict is Verdict.CUT_IN_READOUT


@pytest.mark.parametrize("more", [0, 1, 100, 191, 192, 500, 767])
@pytest.mark.parametrize("count", [0, 3, 7, 8])
def test_the_border_is_a_readout_end_and_header_edges_are_told(written, walk, count, more):
    spec = SPECS["VD native"]
    data = written(spec)
    first, size = _header_end(data, walk), _readout_size(spec)
    walker = Walker(len(data))
    walker.feed(data[: first + count * size + more])
    assert walker.border == first + count * size
    assert set(walker.header_edges) == {DIRECTORY, first}


@pytest.mark.parametrize("junk", [b"", b"x", bytes(20_000), b"\x89PNG\r\n\x1a\n" * 2000, b"PK\x03\x04" * 9000])
def test_what_is_no_twix_is_called_so(walk, junk):
    assert walk(junk)[0].verdict is _quick(junk) is Verdict.NOT_TWIX


def _readout_size(spec: Synthetic) -> int:
    if spec.baseline == "VB":
        return spec.channels * (128 + 8 * spec.samples)
    return MDH + spec.channels * (CHANNEL + 8 * spec.samples)


def _header_end(data: bytes, walk) -> int:
    found = walk(bytes(data))[1][0]
    return found.offset + found.header_bytes


def _end_of_data(data: bytes, spec: Synthetic) -> int:
    """Return where the end marker ends: a native VD file is filled up behind it."""
    if spec.baseline == "VB" or spec.is_streamed:
        return len(data)
    return int.from_bytes(data[16:24], "little") + int.from_bytes(data[24:32], "little")
