"""A call to a share that never comes back costs one thread; what it holds is let go when it does come back."""

import os
import threading
from contextlib import contextmanager

import pytest

from kspace.errors import FileVanished, SourceError
from kspace.records import SourceFile
from kspace.sources.answering import AnsweringSource
from kspace.sources.share import Share, ShareSettings

FOUND = SourceFile(path="a.dat", size=1, mtime_ns=1)


class Sticky:
    """A source that hangs while `gate` is closed."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.calls = self.closed = 0

    def _pass(self) -> None:
        self.calls += 1
        self.gate.wait()

    def find(self):
        for number in range(500):
            if number == 300:
                self._pass()
            yield SourceFile(path=f"{number}.dat", size=1, mtime_ns=1)

    def stat(self, path):
        self._pass()
        if path != "a.dat":
            raise FileVanished("gone")
        return FOUND

    @contextmanager
    def open(self, _path):
        try:
            yield self
        finally:
            self.closed += 1

    def read(self, _offset, length):
        self._pass()
        return bytes(length)


@pytest.fixture
def sticky():
    made = Sticky()
    yield made
    made.gate.set()


@pytest.fixture
def source(sticky):
    return AnsweringSource(sticky, within_s=0.1)


def test_what_answers_is_passed_on_as_it_is(source):
    assert source.stat("a.dat") == FOUND
    assert len(list(source.find())) == 500
    with source.open("a.dat") as reader:
        assert reader.read(0, 3) == bytes(3)
    with pytest.raises(FileVanished):
        source.stat("b.dat")


def test_a_dead_share_is_asked_by_one_thread_alone_until_that_comes_back(source, sticky):
    sticky.gate.clear()
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(SourceError, match="does not answer") as caught:
            source.stat("a.dat")
    assert caught.value.pauses
    assert (sticky.calls, threading.active_count()) == (1, before + 1)
    sticky.gate.set()
    while threading.active_count() > before:
        threading.Event().wait(0.01)
    assert source.stat("a.dat") == FOUND


def test_a_listing_that_stops_half_way_is_an_error_never_a_short_listing(source, sticky):
    sticky.gate.clear()
    seen = []
    with pytest.raises(SourceError):
        seen.extend(source.find())
    assert len(seen) < 300


def test_a_file_whose_read_hangs_is_let_go_when_the_read_comes_back(source, sticky):
    sticky.gate.clear()
    with pytest.raises(SourceError, match="does not answer"), source.open("a.dat") as reader:
        reader.read(0, 1)
    assert sticky.closed == 0, "closed under a read that may still write into its memory"
    sticky.gate.set()
    while not sticky.closed:
        threading.Event().wait(0.01)


def test_a_read_that_the_kernel_never_ends_is_left_behind(root):
    """A pipe that nobody writes to is opened for ever, as a file on a dead mount is."""
    os.mkfifo(root / "a.dat")
    share = AnsweringSource(Share(ShareSettings(path=root)), within_s=0.1)
    with pytest.raises(SourceError, match="does not answer"), share.open("a.dat"):
        pass
    os.close(os.open(root / "a.dat", os.O_WRONLY))
