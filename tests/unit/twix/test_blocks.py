"""End markers of every writer, synchronous data between readouts, and holes where no sample lies."""

from struct import pack_into, unpack_from

import pytest

from kspace.records import Verdict
from kspace.twix.layout import DIRECTORY_BYTES
from kspace.twix.mdh import VB_MDH, VD_MDH, Mdh
from kspace.twix.synthetic import Synthetic
from kspace.twix.walk import quick_check

STREAMED = Synthetic(readouts=8, channels=2, samples=32, is_streamed=True)


def _quick(data: bytes) -> Verdict:
    return quick_check(lambda at, count: data[at : at + count], len(data)).verdict


@pytest.mark.parametrize("channels", [1, 2, 4, 12, 32, 33, 64, 128])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_vb_end_marker_of_any_number_of_channels_is_known(written, walk, channels, is_streamed):
    """It holds 16 samples a channel: 1024 bytes for four, and 8192 for 32, as many as a streamed one claims."""
    spec = Synthetic(baseline="VB", readouts=3, channels=channels, samples=32, is_streamed=is_streamed)
    data = written(spec)
    whole = Verdict.COMPLETE_STREAMED if is_streamed else Verdict.COMPLETE_NATIVE
    assert (_quick(data), walk(data)[0].verdict) == (whole, whole)
    for lost in (1, 128, 256, 1000):
        assert not walk(data[:-lost])[0].verdict.is_whole
        assert not _quick(data[:-lost]).is_whole


def _mixed(written, *, readouts: int) -> tuple[bytes, int]:
    """Return a VB file of one channel whose readouts have 32, 64, 32, 64 … samples, and its header's length."""
    small, large = (written(Synthetic(baseline="VB", readouts=readouts, channels=1, samples=n)) for n in (32, 64))
    (head,) = unpack_from("<I", small)
    end = head + readouts * (128 + 8 * 32)
    pieces = []
    for number in range(readouts):
        data, size = (large, 128 + 8 * 64) if number % 2 else (small, 128 + 8 * 32)
        pieces.append(data[head + number * size : head + (number + 1) * size])
    return small[:head] + b"".join(pieces) + small[end:], head


@pytest.mark.parametrize("cut", [0, 1, 5000, 20_000])
def test_readouts_of_two_shapes_in_turn_are_counted_and_held_to_their_order(written, walk, cut):
    data, head = _mixed(written, readouts=200)
    audit, (found,) = walk(data, cuts=[head + cut])
    assert (audit.verdict, found.readouts, found.samples) == (Verdict.COMPLETE_NATIVE, 200, 64)
    assert list(found.ticks) == [found.ticks[0] + 4 * n for n in range(200)]
    pair = 2 * 128 + 8 * (32 + 64)
    for at in (head + 60 * pair, head + 60 * pair + 128 + 8 * 32):
        swapped = bytearray(data)
        swapped[at : at + pair], swapped[at + pair : at + 2 * pair] = (
            data[at + pair : at + 2 * pair],
            data[at : at + pair],
        )
        assert walk(bytes(swapped), cuts=[head + cut])[0].verdict is Verdict.CONTRADICTION
        holed = bytearray(data)
        holed[at : at + pair] = bytes(pair)
        assert walk(bytes(holed), cuts=[head + cut])[0].verdict is Verdict.UNWRITTEN_HOLE


def test_a_measurement_without_readouts_is_walked(written, walk):
    for baseline in ("VB", "VD", "XA"):
        audit, (found,) = walk(written(Synthetic(baseline=baseline, readouts=0, channels=32)))
        assert (audit.verdict, found.readouts) == (Verdict.COMPLETE_NATIVE, 0)


def test_a_bare_vb_end_marker_may_claim_other_channels_than_the_readouts_have(written, walk):
    data = bytearray(written(Synthetic(baseline="VB", readouts=3, channels=8, samples=32, is_streamed=True)))
    for header in range(len(data) - 8 * 128, len(data), 128):
        pack_into("<H", data, header + VB_MDH.channels, 4)
    assert walk(bytes(data))[0].verdict is _quick(bytes(data)) is Verdict.COMPLETE_STREAMED


def test_a_directory_that_ends_a_measurement_before_its_end_marker(written, walk):
    data = bytearray(written(Synthetic(readouts=3, channels=1, samples=32)))
    length = int.from_bytes(data[24:32], "little") - VD_MDH.native_end(1)
    data[24:32] = length.to_bytes(8, "little")
    assert walk(bytes(data))[0].verdict is _quick(bytes(data)) is Verdict.NO_END_MARKER


def test_a_hole_inside_a_vb_end_marker_is_seen(written, walk):
    data = bytearray(written(Synthetic(baseline="VB", readouts=3, channels=16, samples=32)))
    data[-3000:-1900] = bytes(1100)
    assert walk(bytes(data))[0].verdict is Verdict.UNWRITTEN_HOLE


@pytest.mark.parametrize("field", [4, 8])
def test_an_end_marker_of_another_measurement_is_a_contradiction(written, walk, field):
    data = bytearray(written(Synthetic(readouts=3, channels=1, samples=32)))
    at = int.from_bytes(data[16:24], "little") + int.from_bytes(data[24:32], "little") - VD_MDH.native_end(1)
    pack_into("<I", data, at + field, 99)
    assert walk(bytes(data))[0].verdict is Verdict.CONTRADICTION


def _sync(*, counter: int, payload: int) -> bytes:
    """Return a block of synchronous data: no samples, its length only in the DMA field, mostly zeros."""
    block = bytearray(VD_MDH.header + 60 + payload)
    pack_into("<IIII", block, 0, len(block), STREAMED.mid, counter, 7)
    pack_into("<I", block, VD_MDH.mask, Mdh.SYNCDATA)
    block[196:199] = b"PMU"
    return bytes(block)


def _with_sync(data: bytes, walk, *, counts: bool, payload: int = 2000) -> bytes:
    """Put two blocks behind the third readout; on some scanners they count as readouts."""
    found = walk(data)[1][0]
    size = VD_MDH.size(samples=32, channels=2)
    at = found.offset + found.header_bytes + 3 * size
    rest = bytearray(data[at:])
    if counts:
        for number in range(5):
            pack_into("<I", rest, number * size + 8, 3 + 2 + number + 1)
    numbers = (4, 5) if counts else (3, 3)
    return data[:at] + b"".join(_sync(counter=n, payload=payload) for n in numbers) + bytes(rest)


@pytest.mark.parametrize("counts", [False, True])
def test_synchronous_data_are_stepped_over_and_may_be_zeros(written, walk, counts):
    data = _with_sync(written(STREAMED), walk, counts=counts)
    audit, (found,) = walk(data)
    assert (audit.verdict, found.readouts, len(found.ticks)) == (Verdict.COMPLETE_STREAMED, 8, 8)
    assert walk(data, cuts=range(1, len(data), 97)) == (audit, (found,))


def test_a_readout_lost_beside_synchronous_data_is_still_missed(written, walk):
    data = _with_sync(written(STREAMED), walk, counts=False)
    found = walk(data)[1][0]
    at, size = found.offset + found.header_bytes, VD_MDH.size(samples=32, channels=2)
    assert walk(data[:at] + data[at + size :])[0].verdict is Verdict.CONTRADICTION


def test_a_hole_that_ends_where_the_end_marker_begins_is_suspect(written, walk):
    for baseline, mdh in (("VB", VB_MDH), ("VD", VD_MDH)):
        spec = Synthetic(baseline=baseline, readouts=3, channels=1, samples=256)
        data = bytearray(written(spec))
        found = walk(bytes(data))[1][0]
        end = found.offset + found.header_bytes + 3 * mdh.size(samples=256, channels=1)
        data[end - 1024 : end] = bytes(1024)
        assert walk(bytes(data))[0].verdict is Verdict.SUSPECT_HOLE
        assert walk(bytes(data), cuts=[end - 500, end])[0].verdict is Verdict.SUSPECT_HOLE


def test_a_hole_in_the_directory_is_suspect(written, walk):
    data = bytearray(written(Synthetic()))
    data[32:1100] = bytes(1068)
    audit, _ = walk(bytes(data))
    assert (audit.verdict, audit.position) == (Verdict.SUSPECT_HOLE, 96)


def test_stale_slots_behind_the_last_one_are_never_read(written, walk):
    data = bytearray(written(Synthetic()))
    data[8 + 152 : DIRECTORY_BYTES] = b"\xa5" * (DIRECTORY_BYTES - 160)
    audit, found = walk(bytes(data))
    assert audit.verdict is Verdict.COMPLETE_NATIVE
    assert len(found) == 1


def test_a_hole_of_the_size_of_a_feed_takes_no_longer_than_any_other(written, walk):
    """Every piece in the middle is all zeros: it must be looked at once, not once a word."""
    spec = Synthetic(readouts=1, channels=64, samples=60_000)
    data = bytearray(written(spec))
    data[2_000_000:22_000_000] = bytes(20_000_000)
    audit, _ = walk(bytes(data), cuts=range(1 << 20, len(data), 1 << 20))
    assert audit.verdict is Verdict.SUSPECT_HOLE
    assert audit.reason.startswith("200000")
