"""The manifest: the same for ever, enough to restore by hand, without a patient's name."""

import json
from array import array
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kspace.errors import BadInput
from kspace.manifest import harmless_name, pack_ticks, read_manifest, unpack_ticks, write_manifest
from kspace.records import Audit, Chunk, Measurement, Packed, Verdict

MEASUREMENT = Measurement(
    index=0, offset=10_240, header_bytes=900, baseline="VE", mid=7, protocol="t1 mprage", ticks=array("I", [5, 9, 13])
)
PACKED = Packed(
    sha256="ab" * 32,
    size=20_000,
    audit=Audit(verdict=Verdict.COMPLETE_NATIVE, position=20_000, reason="Every measurement ends."),
    measurements=(MEASUREMENT,),
    chunks=(Chunk(offset=0, raw_bytes=20_000, stored_bytes=700, codec="zstd", sha256="cd" * 32),),
    stored_bytes=700,
)


def test_what_was_written_is_read():
    said = read_manifest(write_manifest(PACKED, source_name="meas.dat"))
    assert (said.size, said.sha256, said.chunks) == (PACKED.size, PACKED.sha256, PACKED.chunks)


def test_the_same_capture_gives_the_same_bytes():
    assert write_manifest(PACKED, source_name=None) == write_manifest(replace(PACKED), source_name=None)


def test_it_says_how_to_restore_and_what_it_is():
    said = json.loads(write_manifest(PACKED, source_name=None))
    assert "zstd -d" in said["restore"]
    assert said["source"] == {"name": None, "size": 20_000, "sha256": "ab" * 32}
    assert said["measurements"][0]["ticks"] == [[5], [4, 2]]
    assert said["audit"]["verdict"] == "complete native"


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"null", b"3", b"{}", b"\xff\xfe", b'{"format": "kspace-capture"}', b'{"format":1,"version":1}'],
)
def test_what_is_no_manifest_is_refused_in_one_sentence(document):
    with pytest.raises(BadInput, match="manifest"):
        read_manifest(document)


def test_a_later_version_is_named():
    said = json.loads(write_manifest(PACKED, source_name=None)) | {"version": 9}
    with pytest.raises(BadInput, match="9"):
        read_manifest(json.dumps(said).encode())


@pytest.mark.parametrize(
    "row",
    [
        [],
        [0, 1, 1, "zstd"],
        [0, "1", 1, "zstd", ""],
        [-1, 1, 1, "zstd", ""],
        [0, 1, None, "zstd", ""],
        [0, 1, 1, [], ""],
        7,
    ],
)
def test_a_chunk_table_with_a_broken_row_is_refused(row):
    said = json.loads(write_manifest(PACKED, source_name=None))
    said["chunks"].append(row)
    with pytest.raises(BadInput, match="no manifest"):
        read_manifest(json.dumps(said).encode())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/meas_MID00007_FID00040_t1_mprage.dat", "meas_MID00007_FID00040_t1_mprage.dat"),
        ("meas_MID7_FID40_t1 mprage.dat", "meas_MID7_FID40_t1 mprage.dat"),
        ("meas_MID00007_FID00040_doe_jane.dat", None),
        ("doe_jane/meas_MID00007_FID00040_t1_mprage.dat", "meas_MID00007_FID00040_t1_mprage.dat"),
        ("doe_jane.dat", None),
        ("meas_MID19610704_FID00040_t1_mprage.dat", None),
        ("meas_MID00007_FID00040_t1_mprage_doe.dat", None),
    ],
)
def test_a_name_is_kept_only_where_the_header_knows_every_piece(path, name):
    assert harmless_name(path, [MEASUREMENT]) == name


def test_no_name_is_harmless_where_the_protocol_is_unknown():
    assert harmless_name("meas_MID00007_FID00040_.dat", [replace(MEASUREMENT, protocol=None)]) is None


@settings(database=None, derandomize=True)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=60))
def test_ticks_come_back_from_their_short_form(ticks):
    assert unpack_ticks(json.loads(json.dumps(pack_ticks(array("I", ticks))))) == array("I", ticks)


def test_regular_ticks_are_short():
    assert pack_ticks(array("I", range(100, 400_100, 4))) == [[100], [4, 99_999]]
