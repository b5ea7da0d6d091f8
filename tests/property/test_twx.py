"""The TWIX-aware codec: any bytes come back, however odd their readouts; hostile stored bytes are refused, cheaply."""

import struct
import tracemalloc
from itertools import accumulate, pairwise

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kspace.codecs.twx import MAGIC, Twx, TwxSettings
from kspace.errors import SpoolError
from kspace.twix.mdh import VB_MDH, VD_MDH
from kspace.twix.synthetic import Synthetic, write_twix
from kspace.twix.walk import Walker

MANY = settings(max_examples=300, deadline=None, database=None, derandomize=True)
CODEC = Twx(TwxSettings())
FAMILIES = {"VB": VB_MDH, "VD": VD_MDH}
SPECIAL = np.array([-0.0, np.nan, np.inf, -np.inf, 1e-45, 3e38, 0.5, -0.5, 1 / 3], "<f4").view("<u4")


@pytest.fixture(scope="module", params=FAMILIES)
def readouts(request, tmp_path_factory) -> bytes:
    """Return the readouts of a file, without directory and header, and its family."""
    path = tmp_path_factory.mktemp("twx") / "meas.dat"
    write_twix(path, Synthetic(baseline=request.param, channels=3, samples=40, readouts=9))
    data = path.read_bytes()
    walker = Walker(len(data))
    walker.feed(data)
    return data[walker.header_edges[-1] :]


def comes_back(raw: bytes) -> bytes:
    stored = CODEC.encode(raw)
    assert CODEC.decode(stored, raw_bytes=len(raw)) == raw
    return stored


@MANY
@given(data=st.data())
def test_damaged_readouts_come_back(readouts, data):
    raw = bytearray(readouts)
    for _ in range(data.draw(st.integers(0, 12))):
        at = data.draw(st.integers(0, len(raw) - 4))
        raw[at : at + 4] = data.draw(st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x00\x01\x00", bytes(4)]))
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(raw)), st.integers(0, len(raw)))))
    comes_back(bytes(raw[start:end]))


@pytest.mark.parametrize("family", FAMILIES)
@MANY
@given(
    shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 70)), max_size=9),
    odd=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_readouts_of_changing_shape_with_odd_samples_come_back(family, shapes, odd, seed):
    mdh, random, pieces = FAMILIES[family], np.random.default_rng(seed), []
    for channels, samples in shapes:
        piece = bytearray(random.integers(0, 3, mdh.size(samples=samples, channels=channels), np.uint8).tobytes())
        for channel in range(channels):
            at = mdh.header + channel * (mdh.channel_header + 8 * samples)
            struct.pack_into("<I", piece, at - mdh.header + mdh.mask, 0)
            struct.pack_into("<HH", piece, at - mdh.header + mdh.samples, samples, channels)
            values = (random.integers(-(2**20), 2**20, 2 * samples) * 2.0**-32).astype("<f4").view("<u4")
            values[random.integers(0, len(values), odd)] = SPECIAL[random.integers(0, len(SPECIAL), odd)]
            piece[at + mdh.channel_header : at + mdh.channel_header + 8 * samples] = values.tobytes()
        pieces.append(bytes(piece))
    comes_back(b"".join(pieces))


def test_samples_that_are_no_integers_are_kept_as_bits():
    random = np.random.default_rng(3)
    mdh = VD_MDH
    raw = bytearray(200 * mdh.size(samples=256, channels=2))
    for at in range(0, len(raw), mdh.size(samples=256, channels=2)):
        struct.pack_into("<HH", raw, at + mdh.samples, 256, 2)
        for channel in range(2):
            begin = at + mdh.header + channel * (mdh.channel_header + 2048) + mdh.channel_header
            raw[begin : begin + 2048] = random.standard_normal(512).astype("<f4").tobytes()
    stored = comes_back(bytes(raw))
    assert stored[:4] == MAGIC
    assert len(stored) < len(zstandard.compress(raw, 3))


def test_a_stored_form_is_smaller_than_that_of_zstd(readouts):
    assert len(comes_back(readouts)) < len(zstandard.compress(readouts, 3))


def framed(side: bytes, *planes: bytes) -> bytes:
    frames = [zstandard.ZstdCompressor(write_content_size=True).compress(piece) for piece in (side, *planes)]
    return MAGIC + struct.pack("<5I", *map(len, frames)) + b"".join(frames)


def taken_apart(stored: bytes) -> list[bytes]:
    ends = accumulate(struct.unpack_from("<5I", stored, 4), initial=24)
    return [zstandard.decompress(stored[start:end]) for start, end in pairwise(ends)]


@MANY
@given(
    word=st.integers(0, 40),
    value=st.sampled_from([0, 1, 2, 7, 8, 31, 255, 4096, 65_535, 65_536, 1 << 24, 1 << 31, (1 << 32) - 1]),
    plane=st.integers(-3, 3),
)
def test_hostile_frames_are_refused_or_give_just_so_many_bytes(readouts, word, value, plane):
    side, *planes = taken_apart(CODEC.encode(readouts))
    forged = bytearray(side)
    struct.pack_into("<I", forged, 4 * word, value)
    planes[plane] = (planes[plane] + bytes(2))[: len(planes[plane]) + plane]
    for stored in (framed(bytes(forged), *taken_apart(CODEC.encode(readouts))[1:]), framed(bytes(forged), *planes)):
        tracemalloc.start()
        try:
            assert len(CODEC.decode(stored, raw_bytes=len(readouts))) == len(readouts)
        except SpoolError:
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 4 << 20


def test_exceptions_that_lie_nowhere_are_refused(readouts):
    side, *planes = taken_apart(CODEC.encode(readouts))
    head = struct.unpack_from("<5I", side)
    assert head[4] == 0
    table_end = 20 + 16 * head[3]
    for places in ([len(planes[0])], [5, 5], [7, 3], [(1 << 32) - 1]):
        forged = struct.pack("<5I", *head[:4], len(places)) + side[20:table_end]
        forged += struct.pack(f"<{2 * len(places)}I", *places, *places) + side[table_end:]
        with pytest.raises(SpoolError):
            CODEC.decode(framed(forged, *planes), raw_bytes=len(readouts))
