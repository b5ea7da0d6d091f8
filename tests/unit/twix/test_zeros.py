"""Runs of zeros, at every place and beside every border, among words of zeros as readout headers have them."""

from itertools import pairwise

import pytest

from kspace.twix.zeros import ZeroRuns

SIZE = 3000


def found(data: bytes, *cuts: int) -> tuple[int, int] | None:
    zeros, edges = ZeroRuns(), [0, *cuts, len(data)]
    for start, end in pairwise(edges):
        zeros.feed(memoryview(data)[start:end], at=start)
    zeros.close(at=len(data))
    return zeros.found


@pytest.fixture(params=["samples", "samples and headers"])
def noise(request) -> bytes:
    data = bytearray(b"\x01" * SIZE)
    if request.param != "samples":
        for at in range(0, SIZE - 68, 124):  # the longest run of real readouts, where the words looked at may fall
            data[at : at + 68] = bytes(68)
    return bytes(data)


@pytest.mark.parametrize("length", [512, 513, 640, 1100])
def test_a_long_run_is_found_at_every_place(noise, length):
    for at in range(SIZE - length + 1):
        data = noise[:at] + bytes(length) + noise[at + length :]
        start, seen = found(data) or (SIZE, 0)
        assert start <= at, at
        assert start + seen >= at + length, at


def test_a_shorter_run_is_none():
    for at in range(SIZE - 511):
        assert found(b"\x01" * at + bytes(511) + b"\x01" * (SIZE - 511 - at)) is None, at


def test_a_run_is_found_across_every_cut():
    data = b"\x01" * 1000 + bytes(512) + b"\x01" * 1000
    assert {found(data, cut) for cut in range(990, 1520)} == {(1000, 512)}
    assert {found(data, cut, cut + 7, cut + 300) for cut in range(990, 1220)} == {(1000, 512)}
