"""Reading beside others: the rate falls while the share is slow, comes back, and an idle share is used in full."""

from contextlib import contextmanager
from random import Random

import pytest

from kspace.sources.limiting import LimitedSource, Limiter
from kspace.sources.yielding import Yielding

BLOCK = 1 << 20
CAN = 10e6
"""Bytes a second of the simulated share."""


class SharedServer:
    """A share that takes so many times longer while others use it; only its clock moves."""

    def __init__(self, clock) -> None:
        self.clock, self.others, self.noise = clock, 1.0, Random(1)

    @contextmanager
    def open(self, _path):
        yield self

    def read(self, _offset, length):
        self.clock.sleep(length / CAN * self.others * self.noise.uniform(0.95, 1.15))
        return bytes(length)


@pytest.fixture
def server(clock):
    return SharedServer(clock)


@pytest.fixture
def use(server, clock):
    """Read for so many seconds, return what part of what the share can do was used."""
    limiter = Limiter(mbit_per_s=160.0, clock=clock, yielding=Yielding())

    def run(seconds):
        began, count = clock.monotonic(), 0
        with LimitedSource(server, limiter).open("a") as reader:
            while clock.monotonic() - began < seconds:
                reader.read(0, BLOCK)
                count += 1
        return count * BLOCK / (clock.monotonic() - began) / CAN

    return run


def test_an_idle_share_is_used_in_full(use):
    use(30)
    assert use(600) > 0.93


def test_beside_others_little_is_left_of_it_and_it_comes_back(use, server):
    use(60)
    server.others = 2.0
    use(5)
    assert use(600) < 0.04
    server.others = 1.0
    use(60)
    assert use(600) > 0.93


def test_hours_beside_others_are_not_taken_for_quiet(use, server):
    use(600)
    server.others = 2.0
    use(6 * 3600)
    assert use(600) < 0.04


def test_a_share_that_became_slower_for_good_is_believed_after_a_day(use, server):
    use(600)
    server.others = 2.0
    use(26 * 3600)
    assert use(600) > 0.45


def test_a_lucky_read_is_no_baseline(use, server):
    use(60)
    server.others = 0.1
    use(0.01)
    server.others = 1.0
    use(30)
    assert use(600) > 0.93


def test_the_limit_is_never_passed():
    yielding = Yielding()
    rates = [yielding.rate(took_s=1e-9, length=BLOCK, limit=5.0, at_s=n) for n in range(200)]
    assert max(rates) == 5.0
    assert yielding.rate(took_s=1e-9, length=BLOCK, limit=1.0, at_s=300.0) == 1.0
