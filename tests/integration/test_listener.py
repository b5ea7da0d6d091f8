"""The listener against the DICOM tools other sites use (dcmtk) and pynetdicom's own sender."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydantic import ValidationError
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context
from pynetdicom.dimse_primitives import C_STORE
from structlog.testing import capture_logs

from dicom.headers import NotDicom
from dicom.listener import Listener, ListenerSettings, Received, Status
from dicom.synthetic import SyntheticSeries, write_session
from kspace.errors import ConfigError, KspaceError, SpoolError

FRAME = "1.3.12.2.1107.5.2.32.35000.1.20260105083000000.0.0.0"
MR, PRIVATE = "1.2.840.10008.5.1.4.1.1.4", "1.3.12.2.1107.5.9.1"


class Folder:
    """An inbox that keeps files by their digest, and asks first what to answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received: list[Received] = []
        self.answer: Callable[[Received], Status] = lambda _: Status.SUCCESS
        folder.mkdir()

    def accept(self, received: Received) -> Status:
        status = self.answer(received)
        if status is Status.SUCCESS:
            received.path.replace(self.folder / f"{received.sha256}.dcm")
            self.received.append(received)
        return status


@pytest.fixture(autouse=True, scope="module")
def _dcmtk(requires) -> None:
    for program in ("storescu", "echoscu", "dcmftest"):
        requires(program)


@pytest.fixture
def inbox(tmp_path) -> Folder:
    return Folder(tmp_path / "kept")


@pytest.fixture
def spool(tmp_path) -> Path:
    return tmp_path / "incoming"


@pytest.fixture
def listen(inbox, spool) -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(is_open=lambda: True, **settings) -> Listener:
        listener = Listener(ListenerSettings(port=0, **settings), inbox=inbox, folder=spool, is_open=is_open)
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


def run(tool: str, port: int, *arguments: object, called: str = "KSPACE") -> subprocess.CompletedProcess[str]:
    # Without TCP_NODELAY dcmtk waits 40 ms for every acknowledgement.
    env = {**os.environ, "TCP_NODELAY": "1"}
    command = [tool, "-v", "-aec", called, "127.0.0.1", str(port), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30)


def associate(port: int, *classes: str, called: str = "KSPACE", calling: str = "TEST"):
    entity = AE(calling)
    entity.requested_contexts = [build_context(uid, ExplicitVRLittleEndian) for uid in classes or (MR,)]
    return entity.associate("127.0.0.1", port, ae_title=called)


def send(port: int, path: Path) -> int:
    association = associate(port)
    try:
        return association.send_c_store(path).Status
    finally:
        association.release()


def test_dcmtk_is_answered_and_its_images_are_filed(listen, inbox, images):
    listener = listen()
    assert run("echoscu", listener.port).returncode == 0
    assert run("storescu", listener.port, *images).returncode == 0
    assert [r.series.number for r in inbox.received] == [3, 3, 4]
    for path, received in zip(images, inbox.received, strict=True):
        kept = inbox.folder / f"{received.sha256}.dcm"
        assert hashlib.sha256(kept.read_bytes()).hexdigest() == received.sha256
        assert kept.stat().st_size == received.size
        assert pydicom.dcmread(kept) == pydicom.dcmread(path)
        assert subprocess.run(["dcmftest", kept], check=False, capture_output=True).returncode == 0
        assert (received.calling_ae, received.called_ae, received.peer) == ("STORESCU", "KSPACE", "127.0.0.1")


def test_the_same_image_again_is_the_same_bytes(listen, inbox, images):
    listener = listen()
    assert [send(listener.port, images[0]) for _ in range(2)] == [0, 0]
    assert len({r.sha256 for r in inbox.received}) == 1


def test_success_is_answered_only_after_the_inbox_took_it(listen, inbox, images):
    entered, go_on = threading.Event(), threading.Event()

    def wait(received: Received) -> Status:
        assert received.path.stat().st_size == received.size
        entered.set()
        assert go_on.wait(60)
        return Status.SUCCESS

    inbox.answer = wait
    listener, statuses = listen(), []
    sender = threading.Thread(target=lambda: statuses.append(send(listener.port, images[0])))
    sender.start()
    assert entered.wait(60)
    assert statuses == []
    go_on.set()
    sender.join(60)
    assert statuses == [Status.SUCCESS]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SpoolError("The disk is full."), 0xA700),
        (KspaceError("Something else."), 0xA700),
        (NotDicom("It has no name."), 0xC000),
        (ZeroDivisionError(), 0xC211),
    ],
)
def test_an_inbox_that_fails_is_told_to_the_sender_and_harms_nobody_else(listen, inbox, images, error, status):
    def fail(_: Received) -> Status:
        raise error

    listener = listen()
    inbox.answer = fail
    with capture_logs() as logs:
        association = associate(listener.port)
        assert association.send_c_store(images[0]).Status == status
        inbox.answer = lambda _: Status.SUCCESS
        assert association.send_c_store(images[1]).Status == 0
        association.release()
    assert [entry["status"] for entry in logs if entry["event"].startswith("instance.")] == [f"{status:#06x}"]
    assert len(inbox.received) == 1


def test_a_full_pool_refuses_before_writing_and_takes_again(listen, inbox, spool, images):
    asked: list[int] = []

    def is_open() -> bool:
        asked.append(len(list(spool.glob("*"))))
        return len(asked) > 1

    listener = listen(is_open)
    association = associate(listener.port)
    assert association.send_c_store(images[0]).Status == 0xA700
    assert association.send_c_store(images[0]).Status == 0
    association.release()
    assert asked == [0, 0]
    assert len(inbox.received) == 1


@pytest.mark.parametrize(
    ("settings", "call", "is_taken"),
    [
        ({}, {"called": "WRONG"}, False),
        ({"any_called_ae": True}, {"called": "WRONG"}, True),
        ({"allowed_ae": ["MR1", "MR2"]}, {"calling": "MR2"}, True),
        ({"allowed_ae": ["MR1", "MR2"]}, {"calling": "MR3"}, False),
        ({"allowed_ip": ["10.0.0.0/8", "127.0.0.1"]}, {}, True),
        ({"allowed_ip": ["10.0.0.0/8"]}, {}, False),
    ],
)
def test_who_may_call(listen, settings, call, is_taken):
    listener = listen(**settings)
    with capture_logs() as logs:
        association = associate(listener.port, **call)
        assert association.is_established is is_taken
        assert association.is_rejected is not is_taken
        if is_taken:
            association.release()
    assert ("association.refused" in [entry["event"] for entry in logs]) is not is_taken


def test_a_refused_caller_leaves_no_thread_behind(listen):
    listener = listen(allowed_ip=["10.0.0.0/8"])
    for _ in range(3):
        associate(listener.port)
    for thread in threading.enumerate():
        if thread.name.startswith("Acceptor") and "Server" not in thread.name:
            thread.join(60)
            assert not thread.is_alive()


def test_one_caller_too_many_is_refused(listen):
    listener = listen(max_associations=1)
    first, second = associate(listener.port), associate(listener.port)
    assert (first.is_established, second.is_established) == (True, False)
    first.release()


def test_the_called_title_is_what_the_caller_said(listen, inbox, images):
    listener = listen(any_called_ae=True)
    assert run("storescu", listener.port, images[0], called="PROJECT_A").returncode == 0
    assert inbox.received[0].called_ae == "PROJECT_A"


def test_siemens_private_storage_is_taken(listen, inbox, images):
    dataset = pydicom.dcmread(images[0])
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = PRIVATE
    association = associate(listen().port, PRIVATE)
    assert association.send_c_store(dataset).Status == 0
    association.release()
    assert inbox.received[0].instance.sop_class == PRIVATE


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        (lambda d: d.__delitem__("SeriesInstanceUID"), 0xC000),
        (lambda d: setattr(d, "SOPInstanceUID", "1.2.3"), 0xA900),
        (lambda d: setattr(d, "SOPClassUID", PRIVATE), 0xA900),
    ],
)
def test_an_object_that_is_not_what_was_announced_is_refused(listen, inbox, images, damage, status):
    dataset = pydicom.dcmread(images[0])
    damage(dataset)
    changed = images[0].with_name("changed.dcm")
    dataset.save_as(changed)
    content = changed.read_bytes()
    association = associate(listen().port)
    assert send_raw(association, content) == status
    assert send_raw(association, images[0].read_bytes()) == 0
    association.release()
    assert len(inbox.received) == 1


@pytest.mark.parametrize("garbage", [b"\0", b"\xff" * 5000, b"no DICOM at all" * 999])
def test_garbage_is_refused_and_the_next_image_is_taken(listen, inbox, images, garbage):
    association = associate(listen().port)
    assert send_raw(association, garbage, offset=0) == 0xC000
    assert association.send_c_store(images[0]).Status == 0
    association.release()
    assert len(inbox.received) == 1


def send_raw(association, content: bytes, *, offset: int | None = None) -> int:
    """Send bytes as the data set of an announced MR image, whatever they are."""
    if offset is None:
        offset = 144 + int.from_bytes(content[140:144], "little")
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = MR
    request.AffectedSOPInstanceUID = "1.3.12.2.1107.5.2.32.35000.20260105000300001"
    request.DataSet = BytesIO(content[offset:])
    # As Association.send_c_store does: its own thread must not take the answer.
    association._reactor_checkpoint.clear()
    wait_for(lambda: association._is_paused)
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return response.Status


def test_a_sender_that_vanishes_leaves_nothing(listen, inbox, spool, images, large):
    listener = listen()
    command = ["storescu", "-aec", "KSPACE", "127.0.0.1", str(listener.port), large(300)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sender:
        wait_for(lambda: growing(spool))
        sender.kill()
    wait_for(lambda: not list(spool.glob("*")))
    assert inbox.received == []
    assert send(listener.port, images[0]) == 0


def test_stop_lets_a_running_store_end(listen, inbox, images):
    entered, go_on = threading.Event(), threading.Event()

    def wait(_: Received) -> Status:
        entered.set()
        assert go_on.wait(60)
        return Status.SUCCESS

    inbox.answer = wait
    listener = listen()
    port, statuses = listener.port, []
    sender = threading.Thread(target=lambda: statuses.append(send(port, images[0])))
    sender.start()
    assert entered.wait(60)
    stopper = threading.Thread(target=lambda: listener.stop(grace_s=60))
    stopper.start()
    wait_for(lambda: not is_listening(port))
    assert stopper.is_alive()
    go_on.set()
    sender.join(60)
    stopper.join(60)
    assert statuses == [Status.SUCCESS]
    assert not stopper.is_alive()


def test_a_port_that_is_taken_is_said_so(listen, inbox, spool):
    listener = listen()
    with pytest.raises(ConfigError, match=str(listener.port)):
        Listener(ListenerSettings(port=listener.port), inbox=inbox, folder=spool).start()


@pytest.mark.parametrize(
    "wrong", [{"ae_title": "A" * 17}, {"ae_title": ""}, {"ae_title": "A\\B"}, {"allowed_ip": ["10.0.0"]}, {"tls": True}]
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValidationError):
        ListenerSettings(**wrong)


RECEIVER = """
import resource, sys
from pathlib import Path
from dicom.listener import Listener, ListenerSettings, Status

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

class Inbox:
    def accept(self, received):
        received.path.replace(folder / received.sha256)
        return Status.SUCCESS

listener = Listener(ListenerSettings(port=0), inbox=Inbox(), folder=folder / "incoming")
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


def test_memory_is_flat_for_a_large_object(process, images, large, tmp_path):
    receiver = process()
    assert run("storescu", receiver.port, images[0]).returncode == 0
    before = receiver.peak_mb()
    path = large(300)
    assert run("storescu", receiver.port, path).returncode == 0
    assert receiver.peak_mb() - before < 30
    assert max(kept.stat().st_size for kept in tmp_path.iterdir() if kept.is_file()) > 300 << 20


def test_a_disk_that_refuses_is_answered_and_the_next_image_is_taken(process, images, large, tmp_path):
    receiver = process(limit_bytes=1 << 20)
    association = associate(receiver.port)
    assert association.send_c_store(large(4)).Status == 0xA700
    assert association.send_c_store(images[1]).Status == 0
    association.release()
    assert [kept.is_file() for kept in tmp_path.iterdir()].count(True) == 1
    assert not list((tmp_path / "incoming").iterdir())


def test_a_killed_listener_counts_no_half_file(process, images, large, tmp_path):
    receiver, spool = process(), tmp_path / "incoming"
    command = ["storescu", "-aec", "KSPACE", "127.0.0.1", str(receiver.port), images[0], large(300)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sender:
        wait_for(lambda: growing(spool))
        receiver.kill()
        assert sender.wait(30) != 0
    assert growing(spool)
    again = process()
    assert not list(spool.iterdir())
    assert len([kept for kept in tmp_path.iterdir() if kept.is_file()]) == 1
    assert run("storescu", again.port, images[0]).returncode == 0


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def growing(spool: Path) -> bool:
    return any(part.stat().st_size > 1 << 20 for part in spool.glob("*.part"))


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail("it did not happen within a minute")
