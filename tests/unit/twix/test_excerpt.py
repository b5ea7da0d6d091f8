"""Headers alone, and one measurement alone: the readers that people use take them for what they are."""

from array import array
from pathlib import Path

import numpy as np
import pytest
import twixtools
from mapvbvd import mapVBVD

from kspace.errors import BadInput
from kspace.twix.excerpt import excerpt, header_ranges, measurement_ranges
from kspace.twix.header import read_head
from kspace.twix.synthetic import Synthetic

REAL = ("ve11-gre-epi/epi.dat", "ve11-gre-epi/gre.dat", "vb19-pairs/meas_MID00101_FID33058_ex01.dat")


def cut_out(data: bytes, number: int | None) -> bytes:
    """Return a measurement of a file, or without a number its headers."""
    found = read_head(lambda at, count: data[at : at + count], len(data))
    headers = [(m.offset, m.header_bytes) for m in found]
    if number is None:
        ranges, numbers = header_ranges(headers), list(range(1, len(headers) + 1))
    else:
        ranges, numbers = measurement_ranges(headers, number, size=len(data)), [number]
    return b"".join(excerpt(lambda start, end: iter([data[start:end]]), ranges, numbers=numbers))


def samples(path: Path, index: int) -> np.ndarray:
    twix = twixtools.read_twix(str(path), parse_pmu=False, parse_geometry=False, verbose=False)[index]
    return np.array([block.data for block in twix["mdb"] if block.is_image_scan()])


def check(data: bytes, folder: Path, walk) -> None:
    audit, found = walk(data)
    assert audit.verdict.is_whole
    whole = folder / "whole.dat"
    whole.write_bytes(data)
    for number, one in enumerate(found, start=1):
        part = folder / f"{number}.dat"
        part.write_bytes(cut_out(data, number))
        audit_of_part, (alone,) = walk(part.read_bytes())
        assert audit_of_part.verdict is audit.verdict
        assert (alone.mid, alone.ticks, alone.exposed_fields) == (one.mid, one.ticks, one.exposed_fields)
        assert np.array_equal(samples(part, 0), samples(whole, number - 1))
        assert isinstance(one.ticks, array)
    last = mapVBVD(str(folder / f"{len(found)}.dat"), quiet=True)
    all_of_it = mapVBVD(str(whole), quiet=True)
    last, all_of_it = (twix[-1] if isinstance(twix, list) else twix for twix in (last, all_of_it))
    last.image.flagRampSampRegrid = all_of_it.image.flagRampSampRegrid = False
    assert np.array_equal(last.image.unsorted(1), all_of_it.image.unsorted(1))
    heads = cut_out(data, None)
    again = read_head(lambda at, count: heads[at : at + count], len(heads))
    assert [(m.mid, m.protocol, m.header_bytes) for m in again] == [(m.mid, m.protocol, m.header_bytes) for m in found]


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("baseline", ["VB", "VD", "XA"])
def test_a_measurement_alone_reads_as_it_did_among_others(written, walk, tmp_path, baseline, is_streamed):
    numbers = [7] if baseline == "VB" or is_streamed else [5, 6, 7]  # twixtools cannot tell streamed ones apart
    specs = [
        Synthetic(baseline=baseline, mid=n, seed=n, readouts=8 + n, samples=60 + 4 * n, is_streamed=is_streamed)
        for n in numbers
    ]
    check(written(*specs), tmp_path, walk)


@pytest.mark.parametrize("name", REAL)
def test_so_it_is_with_real_files(twix_folder, walk, tmp_path, name):
    check((twix_folder / name).read_bytes(), tmp_path, walk)


def test_the_programs_that_read_headers_take_headers_alone(written, tmp_path):
    path = tmp_path / "heads.dat"
    path.write_bytes(cut_out(written(Synthetic(mid=1), Synthetic(mid=2, protocol="t1")), None))
    twix = twixtools.read_twix(str(path), parse_data=False, verbose=False)
    assert [one["hdr"]["Meas"]["MeasUID"] for one in twix] == [1, 2]


@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_measurement_that_is_not_there_is_refused(written, number):
    with pytest.raises(BadInput, match="counted from 1"):
        cut_out(written(Synthetic(mid=1), Synthetic(mid=2)), number)


def test_a_file_without_a_known_measurement_has_no_excerpt():
    with pytest.raises(BadInput, match="restore it whole"):
        header_ranges([])
