"""One suite over every codec plug-in: what goes in comes out, and hostile bytes are refused in bounded memory."""

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kspace import codecs
from kspace.chunks import codec_named
from kspace.errors import SpoolError
from kspace.registry import plugins
from kspace.twix.synthetic import Synthetic, write_twix

CODECS = sorted(plugins(codecs))
RANDOM = np.random.default_rng(11)
PIECES = {
    "nothing": b"",
    "one byte": b"\0",
    "zeros": bytes(1 << 20),
    "noise": RANDOM.bytes(1 << 18),
    "text": b"<ParamString> " * 9999,
    "zstd itself": zstandard.compress(b"x" * 5000),
    "a lattice of samples": (np.rint(RANDOM.standard_normal(50_000) * 2**11) * 2.0**-32).astype("<f4").tobytes(),
    "infinities and NaNs": np.array([np.inf, -np.inf, np.nan, -0.0, 1e-45] * 999, "<f4").tobytes(),
}


@pytest.fixture(scope="module", params=CODECS)
def codec(request):
    return codec_named(request.param)


@pytest.fixture(scope="module")
def readouts(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("codecs") / "meas.dat"
    write_twix(path, Synthetic(readouts=50))
    return path.read_bytes()


@pytest.mark.parametrize("kind", PIECES)
def test_what_goes_in_comes_out(codec, kind):
    raw = PIECES[kind]
    assert codec.decode(codec.encode(raw), raw_bytes=len(raw)) == raw


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_goes_in(codec, readouts, wrap):
    assert codec.decode(codec.encode(wrap(readouts)), raw_bytes=len(readouts)) == readouts


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(raw=st.binary(max_size=3000))
def test_any_bytes_come_back(raw):
    for name in CODECS:
        codec = codec_named(name)
        assert codec.decode(codec.encode(raw), raw_bytes=len(raw)) == raw


def test_encoding_twice_gives_the_same_bytes(codec, readouts):
    assert codec.encode(readouts) == codec.encode(readouts)


def test_a_stored_form_that_was_cut_is_refused(codec, readouts):
    stored = codec.encode(readouts[:20_000])
    for size in {*range(0, len(stored), 997), *range(30), len(stored) - 1}:
        with pytest.raises(SpoolError):
            codec.decode(stored[:size], raw_bytes=20_000)


def test_a_flipped_bit_never_gives_other_bytes_silently(codec, readouts):
    raw = readouts[:20_000]
    stored = bytearray(codec.encode(raw))
    for at in range(0, len(stored), 53):
        stored[at] ^= 16
        with suppress(SpoolError):
            assert codec.decode(bytes(stored), raw_bytes=len(raw)) == raw
        stored[at] ^= 16


def test_other_bytes_behind_the_stored_form_are_refused(codec, readouts):
    stored = codec.encode(readouts[:5000])
    for tail in (b"\0", b"behind", codec.encode(b"another")):
        with pytest.raises(SpoolError):
            codec.decode(stored + tail, raw_bytes=5000)


@pytest.mark.parametrize("raw_bytes", [0, 1, 4999, 5001, 1 << 40])
def test_another_length_than_promised_is_refused(codec, readouts, raw_bytes):
    with pytest.raises(SpoolError):
        codec.decode(codec.encode(readouts[:5000]), raw_bytes=raw_bytes)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(junk=st.binary(max_size=500), magic=st.booleans(), raw_bytes=st.sampled_from([0, 1, 4096, 16 << 20]))
def test_garbage_is_refused(junk, magic, raw_bytes):
    stored = b"\x28\xb5\x2f\xfd" * magic + junk
    for name in CODECS:
        codec = codec_named(name)
        try:
            raw = codec.decode(stored, raw_bytes=raw_bytes)
        except SpoolError:
            continue
        assert len(raw) == raw_bytes  # a frame that happens to be whole


@pytest.mark.parametrize("announced", [True, False])
def test_a_bomb_takes_no_more_memory_than_the_chunk_may_have(codec, announced):
    """64 MiB of zeros in a few kilobytes, where the manifest promises 1 MiB."""
    bomb = zstandard.ZstdCompressor(write_content_size=announced).compress(bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(SpoolError):
            codec.decode(bomb, raw_bytes=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
