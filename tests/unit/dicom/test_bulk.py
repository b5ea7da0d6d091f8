"""The digest of an image's bulk: the same for any way of reading it, and read without having it in memory."""

import io
import tracemalloc
from hashlib import sha256

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from dicom.bulk import bulk_of
from dicom.synthetic import SyntheticSeries, write_session

_BIG = 3 << 20


@pytest.fixture
def image(tmp_path):
    told = {"baseline": "VB", "serial": "35000", "number": 7, "protocol": "gre", "lprotid": 1, "ticks": (1,)}
    (path,) = write_session(tmp_path, SyntheticSeries(**told, frame_of_reference="1.2"))
    return path


def _written(path, syntax, pixels, **changes):
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OB" if syntax == JPEG2000Lossless else "OW"
    dataset["PixelData"].is_undefined_length = syntax == JPEG2000Lossless
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    is_little, is_implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    dataset.save_as(path, little_endian=is_little, implicit_vr=is_implicit, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("size", [1000, _BIG])
def test_the_digest_is_of_the_value(image, syntax, size):
    pixels = bytes(range(250)) * (size // 250)
    found = bulk_of(_written(image, syntax, pixels))
    assert found.digest == sha256(pixels).hexdigest()
    assert (found.sop_uid, found.series_number) == (str(pydicom.dcmread(image).SOPInstanceUID), "7")
    assert bulk_of(io.BytesIO(image.read_bytes())) == found


@pytest.mark.parametrize("size", [1000, _BIG])
def test_compressed_frames_count_as_they_stand(image, size):
    frames = encapsulate([b"\xff\x4f" + bytes(size), b"\xff\x4f" + b"1" * size], has_bot=True)
    found = bulk_of(_written(image, JPEG2000Lossless, frames))
    assert found.digest == sha256(pydicom.dcmread(image).PixelData).hexdigest()
    other = encapsulate([b"\xff\x4f" + bytes(size), b"\xff\x4f" + b"2" * size], has_bot=True)
    assert bulk_of(_written(image, JPEG2000Lossless, other)).digest != found.digest


def test_a_rewritten_header_changes_nothing_and_one_pixel_does(image):
    pixels = bytes(_BIG)
    found = bulk_of(_written(image, ImplicitVRLittleEndian, pixels))
    assert bulk_of(_written(image, ImplicitVRLittleEndian, pixels, PatientName="X")).digest == found.digest
    assert bulk_of(_written(image, ImplicitVRLittleEndian, b"\1" + pixels[1:])).digest != found.digest


def test_memory_stays_flat(image):
    _written(image, ImplicitVRLittleEndian, bytes(20 << 20))
    tracemalloc.start()
    bulk_of(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(("tag", "vr"), [("EncapsulatedDocument", "OB"), (0x7FE11010, "OB")])
def test_what_has_no_pixels_is_told_apart_by_what_it_has(image, tag, vr):
    def digest(content):
        dataset = pydicom.dcmread(image)
        del dataset.PixelData
        dataset.add_new(tag, vr, content)
        if tag != "EncapsulatedDocument":
            dataset.add_new(0x7FE10010, "LO", "SIEMENS CSA NON-IMAGE")
        dataset.save_as(path := image.with_suffix(".other"))
        return bulk_of(path).digest

    whole = bytes(range(200)) * 10
    assert digest(whole) == sha256(whole).hexdigest()
    assert digest(whole[:-2]) != digest(whole)
