"""What the child draws, looked at as numbers; on real files against a second reader and against DICOM of the scan."""

import struct
import zlib

import numpy as np
import pydicom
import pytest

from kspace.preview import png
from kspace.preview.drawing import draw
from kspace.preview.readers import COUNTERS, Readouts, with_mapvbvd, with_twixtools

_SIDE, _SLICES = 64, 5
_AXIAL = [2**-0.5, 0, 0, 2**-0.5]
"""Readout from right to left, phase from front to back: index by index as a radiologist looks, but upside down."""


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


def scan(volume: np.ndarray, *, is_slab: bool, times: int = 1, every: int = 1) -> Readouts:
    """Return what a scanner sends of a volume (slices, lines, columns): as a slab of partitions, or slice by slice.

    Slices are sent as scanners do, the odd places first, and twice as wide as asked for.
    """
    wide = np.pad(volume, ((0, 0), (0, 0), (_SIDE // 2, _SIDE // 2)))
    axes = (0, 1, 2) if is_slab else (1, 2)
    kspace = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(wide, axes), axes=axes), axes).astype(np.complex64)
    order = [*range(1, _SLICES, 2), *range(0, _SLICES, 2)]
    lines = range(0, _SIDE, every)
    sent = [(n, place, line) for n, place in enumerate(order) for line in lines for _ in range(times)]
    counters = {name: np.zeros(len(sent), int) for name in COUNTERS}
    counters["Lin"] = np.array([line for _, _, line in sent])
    counters["Par" if is_slab else "Sli"] = np.array([place if is_slab else n for n, place, _ in sent])
    random = np.random.default_rng(3)
    noise = random.standard_normal((len(sent), 2, 2 * _SIDE, 2)) @ [1, 1j]
    return Readouts(
        counters=counters,
        positions=np.array([[0.0, 0.0, 0.0 if is_slab else 5.0 * place] for _, place, _ in sent]),
        quaternions=np.tile(_AXIAL, (len(sent), 1)),
        shapes=np.tile([2, 2 * _SIDE], (len(sent), 1)),
        load=lambda number: (kspace[sent[number][1], sent[number][2]] + noise[number]).astype(np.complex64),
        oversampling=2.0,
        base_resolution=_SIDE,
        acceleration=every,
        fields_of_view=(200.0, 200.0),
    )


@pytest.fixture
def volume() -> np.ndarray:
    """Return slices with a bright square each, farther to the right in every one."""
    slices = np.zeros((_SLICES, _SIDE, _SIDE))
    for number in range(_SLICES):
        slices[number, 20:30, 8 + 10 * number : 16 + 10 * number] = 100.0
    return slices


@pytest.mark.parametrize("is_slab", [True, False], ids=["slab", "interleaved slices"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "averaged"])
def test_the_slice_in_the_middle_is_drawn(volume, is_slab, times):
    drawn = draw(scan(volume, is_slab=is_slab, times=times))
    picture = np.array([list(bytes.fromhex(row)) for row in drawn.told["picture"]])
    assert picture.shape == (_SIDE, _SIDE)
    expected = volume[_SLICES // 2][::-1] > 0
    assert (np.abs(picture[expected].astype(float) - 255) < 40).all()
    assert picture[~expected].mean() < 20


@pytest.mark.parametrize("is_slab", [True, False], ids=["slab", "slices"])
@pytest.mark.parametrize("times", [1, 4], ids=["once", "averaged"])
def test_the_noise_is_that_of_one_readout_however_many_are_added(volume, is_slab, times):
    told = draw(scan(0 * volume, is_slab=is_slab, times=times)).told
    assert told["noise"] == pytest.approx([1.0, 1.0], rel=0.1)


def test_lines_that_an_acceleration_leaves_out_are_not_missing(volume):
    told = draw(scan(volume, is_slab=False, every=2)).told
    assert (told["lines"], told["missing_lines"]) == (32, 0)


def test_the_bars_tell_a_dead_channel_by_its_colour(volume):
    well = scan(volume, is_slab=False)
    deaf = Readouts(**{**vars(well), "load": lambda number: well.load(number) * np.array([[1], [1e-4]], np.complex64)})
    assert draw(well).told["dead_channels"] == []
    drawn = draw(deaf)
    assert drawn.told["dead_channels"] == [1]
    left, right = drawn.pixels[-1, -300], drawn.pixels[-1, -20]
    assert left[0] == left[1] == left[2]
    assert right[0] > 2 * right[1]


def test_a_file_of_nothing_but_zeros_is_drawn_and_all_its_channels_are_dead(volume):
    well = scan(volume, is_slab=False)
    told = draw(Readouts(**{**vars(well), "load": lambda number: 0 * well.load(number)})).told
    assert (told["dead_channels"], told["noise"]) == ([0, 1], [0.0, 0.0])
