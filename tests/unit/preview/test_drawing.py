"""What the child draws, looked at as numbers; on real files against a second reader and against DICOM of the scan."""

import struct
import zlib

import numpy as np
import pydicom
import pytest

from kspace.preview import png
from kspace.preview.drawing import draw
from kspace.preview.readers import COUNTERS, with_mapvbvd, with_twixtools


def test_a_png_holds_the_pixels_it_was_given():
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    data = png.encode(pixels)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (7, 5, 8, 2, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(5, 1 + 7 * 3)
    assert not rows[:, 0].any()
    assert (rows[:, 1:].reshape(5, 7, 3) == pixels).all()


def test_both_readers_read_the_same_of_every_real_file(twix_samples):
    assert len(twix_samples) >= 12
    for path in twix_samples:
        one, other = with_twixtools(str(path)), with_mapvbvd(str(path))
        for name in COUNTERS:
            assert (one.counters[name] == other.counters[name]).all(), (path.name, name)
        assert np.allclose(one.positions, other.positions)
        assert np.allclose(one.quaternions, other.quaternions)
        assert (one.shapes == other.shapes).all()
        for name in ("oversampling", "base_resolution", "acceleration", "fields_of_view"):
            assert getattr(one, name) == getattr(other, name), (path.name, name)
        numbers = range(0, len(one.shapes), 20)
        assert all((one.load(n) == other.load(n)).all() for n in numbers), path.name


def test_every_real_file_is_drawn(twix_samples):
    kinds = {path.name: draw(with_twixtools(str(path))).told["kind"] for path in twix_samples}
    spectra = {name for name, kind in kinds.items() if kind == "spectrum"}
    assert spectra == {"meas_MID00101_FID33058_ex01.dat", "sub-SiemensBrainPhantom_seq-svslcosy_inc-1.twix"}
    assert len(kinds) > len(spectra)


@pytest.mark.parametrize(("mid", "series"), [("MID00107", "0053"), ("MID00109", "0055")])
def test_the_picture_is_the_scanner_s_own_the_same_way_up(data_folder, mid, series):
    """Of the eight ways to lay a square, the one of the DICOM image, and nearly its pixels."""
    folder = data_folder / "twix" / "vb19-pairs"
    (raw,), (image,) = folder.glob(f"*{mid}*"), folder.glob(f"*STUDIES.{series}.*")
    drawn = draw(with_twixtools(str(raw)))
    picture = np.array([list(bytes.fromhex(row)) for row in drawn.told["picture"]], float)
    pixels = pydicom.dcmread(image).pixel_array.astype(float)
    of_dicom = pixels.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    ways = [np.rot90(turned, quarter) for turned in (picture, picture.T) for quarter in range(4)]
    alike = [np.corrcoef(way.ravel(), of_dicom.ravel())[0, 1] for way in ways]
    assert alike[0] > 0.95
    assert alike[0] == max(alike)


def test_what_is_drawn_of_an_oversampled_scan_is_what_was_asked_for(data_folder):
    readouts = with_twixtools(str(data_folder / "twix/ve11-gre-epi/gre.dat"))
    assert (readouts.oversampling, readouts.shapes[0].tolist()) == (2.0, [2, 320])
    picture = draw(readouts).pixels[:, :320, 0].astype(float)
    # The phantom fills the wanted width; with the oversampling left in it would fill half of it.
    wide = np.flatnonzero((picture > 60).mean(axis=0) > 0.2)
    assert np.ptp(wide) > 250
