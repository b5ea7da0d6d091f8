"""A zip made while it is sent: as long as it says, read by the strictest reader, and the same each time."""

import io
import zipfile
from dataclasses import replace
from hashlib import sha256

import pytest

from dicom.records import Instance
from kspace.errors import SpoolDamaged
from transfer.records import StoredInstance
from transfer.sandbox import unzip
from transfer.stages.zipping import batch_of, zip_of


@pytest.fixture
def stored(tmp_path):
    """Return a way to make files of given sizes, each of a series."""

    def make(*sizes, series="1"):
        found = []
        for number, size in enumerate(sizes):
            path = tmp_path / f"{series}-{number}"
            path.write_bytes(bytes([number % 251]) * size)
            instance = Instance(sop_uid=str(number), sop_class="1", transfer_syntax="1")
            digest = sha256(path.read_bytes()).hexdigest()
            one = StoredInstance(id=number, instance=instance, series_uid=series, path=path, size=size, sha256=digest)
            found.append(one)
        return found

    return make


@pytest.mark.parametrize(("sizes", "plain"), [((5,), 6), ((0, 1, 70_000), 80_000), ((3 << 20, 2), 4 << 20), ((9,), 9)])
def test_it_is_what_it_says(stored, sizes, plain):
    told = []
    instances = stored(*sizes)
    body = zip_of(instances, progress=lambda: told.append(1), plain=plain)
    data = b"".join(body.blocks())
    assert len(data) == body.size
    assert b"".join(body.blocks()) == data
    assert len(told) == 2 * len(sizes)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{n:06d}.dcm" for n in range(len(sizes))]
    streamed = [content for _, content in unzip.entries(io.BytesIO(data))]
    assert streamed == [one.path.read_bytes() for one in instances]


def test_a_batch_is_of_one_series_and_fits_and_is_never_empty(stored):
    first, second = stored(100, 100, 100), stored(50, series="2")
    assert batch_of([*first, *second], most_bytes=10_000) == first
    assert batch_of([*first, *second], most_bytes=250) == first[:2]
    assert batch_of(first, most_bytes=1) == first[:1]


def test_an_image_beyond_4_gb_goes_alone_with_the_extension_that_it_needs(stored):
    one, other = stored(1, 1)
    huge = replace(one, size=1 << 32)
    assert batch_of([huge, other], most_bytes=1 << 40) == [huge]
    blocks = zip_of(stored(70_000), progress=lambda: None, plain=70_000).blocks()
    head = next(blocks)
    assert head[18:26] == b"\xff" * 8
    assert int.from_bytes(head[-16:-8], "little") == int.from_bytes(head[-8:], "little") == 70_000


@pytest.mark.parametrize("harm", ["altered", "cut", "gone"])
def test_what_leaves_is_what_was_received_or_nothing(stored, harm):
    first, second = stored(70_000, 70_000)
    body = zip_of([first, second], progress=lambda: None)
    match harm:
        case "altered":
            second.path.write_bytes(bytes(70_000))
        case "cut":
            second.path.write_bytes(second.path.read_bytes()[:-1])
        case "gone":
            second.path.unlink()
    with pytest.raises(SpoolDamaged, match="Send the study again"):
        b"".join(body.blocks())
