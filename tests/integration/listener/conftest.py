"""A listener, its inbox, and images to send."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom.inbox import Caller, Received, Refused, Status
from dicom.listener import Listener
from dicom.settings import ListenerSettings
from dicom.synthetic import SyntheticSeries, write_session

FRAME = "1.3.12.2.1107.5.2.32.35000.1.20260105083000000.0.0.0"


class Folder:
    """An inbox that keeps files by their digest, and asks first what to answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received: list[Received] = []
        self.refused: list[Refused] = []
        self.turned_away: list[tuple[Caller, str]] = []
        self.answer: Callable[[Received], Status] = lambda _: Status.SUCCESS
        folder.mkdir()

    def accept(self, together: list[Received]) -> list[Status]:
        return [self._accept(received) for received in together]

    def _accept(self, received: Received) -> Status:
        status = self.answer(received)
        if status is Status.SUCCESS:
            received.path.replace(self.folder / f"{received.sha256}.dcm")
            self.received.append(received)
        return status

    def refuse(self, refused: Refused) -> None:
        self.refused.append(refused)

    def turn_away(self, caller: Caller, why: str) -> None:
        self.turned_away.append((caller, why))

    def lost(self, reason: str, *, was_alive: bool) -> None:
        """Nobody asks this inbox for it."""


@pytest.fixture(autouse=True, scope="module")
def _dcmtk(requires) -> Iterator[None]:
    folders = {str(Path(requires(program)).parent) for program in ("storescu", "echoscu", "dcmftest")}
    with pytest.MonkeyPatch.context() as patched:
        for folder in folders:  # before that of pynetdicom's programs, which have the same names
            patched.setenv("PATH", folder, prepend=os.pathsep)
        yield


@pytest.fixture
def inbox(tmp_path) -> Folder:
    return Folder(tmp_path / "kept")


@pytest.fixture
def spool(tmp_path) -> Path:
    return tmp_path / "incoming"


@pytest.fixture
def listen(inbox, spool, tmp_path) -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(is_open=lambda: True, **settings) -> Listener:
        given = ListenerSettings(**{"port": 0, "processes": 1} | settings)
        listener = Listener(given, inbox=inbox, folder=spool, shelf=tmp_path / "shelf", is_open=is_open)
        listener.start()
        started.append(listener)
        return listener

    yield start
    for listener in started:
        listener.stop(grace_s=5)
    assert not list(spool.glob("*"))


@pytest.fixture
def images(tmp_path) -> list[Path]:
    series = [
        SyntheticSeries(
            baseline=baseline,
            serial="35000",
            number=number,
            protocol="gre",
            lprotid=-number,
            ticks=(14_400_000, 14_400_004),
            frame_of_reference=FRAME,
        )
        for number, baseline in enumerate(("VB", "XA"), start=3)
    ]
    return write_session(tmp_path / "images", *series)


RECEIVER = """
import resource, sys
from pathlib import Path
from dicom.inbox import Status
from dicom.listener import Listener
from dicom.settings import ListenerSettings

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

class Inbox:
    def accept(self, together):
        for received in together:
            received.path.replace(folder / received.sha256)
        return [Status.SUCCESS] * len(together)
    def refuse(self, refused):
        pass
    def turn_away(self, caller, why):
        pass

listener = Listener(
    ListenerSettings(port=0, processes=1), inbox=Inbox(), folder=folder / "incoming", shelf=folder / "shelf"
)
listener.start()
sys.stderr.write(f"{listener.port}\\n")
sys.stderr.flush()
for line in sys.stdin:
    sys.stderr.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\\n")
    sys.stderr.flush()
"""


class Process:
    """A listener in a process of its own, that can be measured and killed."""

    def __init__(self, folder: Path, limit_bytes: int = 0) -> None:
        command = [sys.executable, "-c", RECEIVER, str(folder), str(limit_bytes)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stderr=pipe, stdout=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stderr.readline())

    def peak_mb(self) -> float:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stderr.readline()) / 1024

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stderr):
            stream.close()


@pytest.fixture
def process(tmp_path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(**limits) -> Process:
        started.append(Process(tmp_path, **limits))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def large(images) -> Callable[[int], Path]:
    """Makes an image of so many MB; its pixels are a hole in the file."""

    def make(megabytes: int) -> Path:
        path, size = images[0].with_name("large.dcm"), megabytes << 20
        content = images[0].read_bytes()
        pixels = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
        path.write_bytes(content[:pixels] + size.to_bytes(4, "little"))
        os.truncate(path, pixels + 4 + size)
        return path

    return make
