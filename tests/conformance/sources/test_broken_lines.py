"""Lines that are cut, servers that hang or go: said as what it is, ended in time, and read on where it stopped."""

import os
import random
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from kspace.clock import SystemClock
from kspace.errors import KspaceError, SourceError
from kspace.records import SourceFile
from kspace.sources.answering import AnsweringSource
from kspace.sources.share import Share, ShareSettings
from kspace.twix.synthetic import Synthetic, write_twix
from tests.integration.disks import small_disk
from tests.servers.tcp import wired
from transfer.records import Capture, Changed, PackedUp
from transfer.stages.pack import pack
from transfer.states import CaptureState

OVER_A_LINE = ["smb", "sftp", "ftp", "vsftpd"]
CHUNK = 1 << 17
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def folder(park):
    made = park.folder()
    write_twix(made / "1200.dat", Synthetic(mid=7, readouts=400, samples=512, channels=2))
    os.utime(made / "1200.dat", (1_700_000_000, 1_700_000_000))
    return made


@pytest.fixture(params=OVER_A_LINE)
def line(request, park, folder):
    """Return a source whose line is a proxy, with the proxy."""
    kind = request.param
    with wired(park.server(kind).port) as wire:
        yield park.bare(kind, folder, port=wire.port, timeout_s=5.0), wire


@pytest.fixture
def packing(tmp_path):
    """Pack a file as the relay does, and return the outcome with what was read of the source."""

    runs = []

    def run(source, file: SourceFile, meddle=lambda: None, *, at_each=False):
        capture = Capture(
            id=1, state=CaptureState.SETTLED, scanner="mr1", source="mr1/1", file=file, changed_at=NOW, since_at=NOW,
            as_is=True, audit=None, measurements=(), sha256=None, manifest=None, match=None,
        )  # fmt: skip
        watched = Watched(source, meddle, at_each=at_each)
        runs.append(watched)
        outcome = pack(
            capture, source=watched, spool=tmp_path, codec="zstd", chunk_bytes=CHUNK,
            cuts=(), twin_of=lambda *_: None, room_for=lambda *_: nullcontext(True), progress=lambda: None,
        )  # fmt: skip
        return outcome, watched

    run.all = runs
    return run


class Watched:
    """A source that notes where it is read, and lets something happen after the first read, or after each."""

    def __init__(self, source, meddle, *, at_each) -> None:
        self.source, self.meddle, self.offsets, self.at_each = source, meddle, [], at_each
        self.stat, self.find = source.stat, source.find

    @contextmanager
    def open(self, path):
        with self.source.open(path) as self.reader:
            yield self

    def read(self, offset, length):
        data = self.reader.read(offset, length)
        if self.at_each or not self.offsets:
            self.meddle()
        self.offsets.append(offset)
        return data


def test_a_read_goes_on_at_the_chunk_where_the_line_was_cut(line, folder, packing):
    source, wire = line
    data = (folder / "1200.dat").read_bytes()
    file = source.stat("1200.dat")
    wire.cut_at = wire.passed + len(data) * 6 // 10
    with pytest.raises(SourceError, match="by itself"):
        packing(source, file)
    outcome, watched = packing(source, file)
    before = packing.all[0].offsets
    assert before[0] == 0
    assert before[-1] - 2 * CHUNK <= watched.offsets[0] <= before[-1] + CHUNK, "not where it stopped"
    assert isinstance(outcome.result, PackedUp)
    assert outcome.result.packed.sha256 == sha256(data).hexdigest()


@pytest.mark.parametrize("kind", OVER_A_LINE)
@pytest.mark.parametrize("is_changed", [False, True])
def test_after_a_server_was_killed_and_came_back_it_is_read_on_if_it_is_the_same(
    park, folder, packing, kind, is_changed
):
    source, path = park.bare(kind, folder, timeout_s=5.0), folder / "1200.dat"
    write_twix(path, Synthetic(mid=7, readouts=2400, samples=512, channels=2))  # more than lies in buffers on the way
    os.utime(path, (1_700_000_000, 1_700_000_000))
    file, data = source.stat("1200.dat"), path.read_bytes()
    server = park.server(kind)
    reads = []

    def kill() -> None:
        """Let some chunks be packed, then take the server away."""
        reads.append(1)
        if len(reads) == 4:
            server.kill()

    with pytest.raises(SourceError, match="by itself"):
        packing(source, file, kill, at_each=True)
    server.start()
    if is_changed:
        path.write_bytes(data[:-8] + b"\x01" * 8)
        os.utime(path, (1_700_000_600, 1_700_000_600))
    outcome, watched = packing(source, file)
    assert (type(outcome.result), bool(watched.offsets)) == ((Changed, False) if is_changed else (PackedUp, True))
    if not is_changed:
        assert watched.offsets[0] > 0, "not read on"
        assert outcome.result.packed.sha256 == sha256(data).hexdigest()


def test_a_mounted_share_that_fails_and_comes_back_is_read_on(tmp_path, packing, requires):
    with small_disk(tmp_path / "mounted", size=64 << 20, requires=requires) as disk, ExitStack() as trouble:
        path = disk.folder / "1200.dat"
        write_twix(path, Synthetic(mid=7, readouts=2400, samples=512, channels=2))
        os.sync()
        source, data, reads = Share(ShareSettings(path=disk.folder)), path.read_bytes(), []

        def fail() -> None:
            reads.append(1)
            if len(reads) == 4:
                trouble.enter_context(disk.failing())

        with pytest.raises(SourceError, match=r"Input/output error.*by itself"):
            packing(source, source.stat("1200.dat"), fail, at_each=True)
        trouble.close()
        outcome, watched = packing(source, source.stat("1200.dat"))
        assert watched.offsets[0] > 0, "not read on"
        assert outcome.result.packed.sha256 == sha256(data).hexdigest()


def test_a_file_that_changed_while_the_line_was_cut_is_read_from_the_start(line, folder, packing):
    source, wire = line
    path = folder / "1200.dat"
    data = path.read_bytes()
    file = source.stat("1200.dat")
    wire.cut_at = wire.passed + len(data) * 6 // 10
    with pytest.raises(SourceError):
        packing(source, file)
    other = bytearray(data)
    other[len(data) // 10 : len(data) // 10 + 8] = b"\x01" * 8  # as long as it was, and within what is packed already
    path.write_bytes(other)
    os.utime(path, (1_700_000_600, 1_700_000_600))
    outcome, watched = packing(source, file)
    assert (type(outcome.result), watched.offsets) == (Changed, [])
    outcome, watched = packing(source, outcome.result.file)
    assert watched.offsets[0] == 0
    assert outcome.result.packed.sha256 == sha256(other).hexdigest()


def test_a_file_that_changes_under_the_read_is_never_called_packed(line, folder, packing, tmp_path):
    source, _ = line
    path = folder / "1200.dat"
    file = source.stat("1200.dat")

    def meddle() -> None:
        with path.open("r+b") as out:
            out.seek(file.size - 8)
            out.write(b"\x01" * 8)

    outcome, _ = packing(source, file, meddle)
    assert isinstance(outcome.result, Changed)
    assert not list(tmp_path.glob("*.packed*"))


@pytest.mark.parametrize("kind", OVER_A_LINE)
def test_a_server_that_hangs_is_said_to_be_silent_and_used_again_when_it_answers(park, folder, kind):
    source = AnsweringSource(park.bare(kind, folder, timeout_s=2.0), within_s=8.0)
    server = park.server(kind)
    assert [f.path for f in source.find()] == ["1200.dat"]
    began = SystemClock().monotonic()
    server.pause()
    try:
        for act in (lambda: list(source.find()), lambda: source.stat("1200.dat")):
            with pytest.raises(SourceError, match=r"(?s)nothing was changed.*by itself"):
                act()
    finally:
        server.resume()
    assert SystemClock().monotonic() - began < 40
    assert [f.path for f in source.find()] == ["1200.dat"]


def test_a_server_that_is_not_there_is_no_empty_listing(park, folder):
    for kind in OVER_A_LINE:
        with pytest.raises(SourceError, match="nothing was changed") as caught:
            list(park.bare(kind, folder, port=1).find())
        assert caught.value.pauses


def test_a_cut_in_a_listing_is_no_short_listing(line, folder):
    source, wire = line
    for number in range(300):
        (folder / f"{number:04}-{random.Random(number).randrange(9**40):040}.dat").touch()
    whole = len(list(source.find()))
    assert whole == 301
    wire.cut_at = wire.passed + 12_000
    with pytest.raises(KspaceError):
        list(source.find())
    assert len(list(source.find())) == whole
