"""The listener against the DICOM tools other sites use (dcmtk) and pynetdicom's own sender."""

import hashlib
import subprocess
import threading

import pydicom
import pytest
from dicom_callers import associate, is_listening, run, send, send_raw, wait_for
from pydantic import ValidationError
from structlog.testing import capture_logs

from dicom.headers import NotDicom
from dicom.inbox import Received, Status
from dicom.listener import Listener
from dicom.settings import ListenerSettings
from kspace.errors import ConfigError, KspaceError, SpoolError

PRIVATE = "1.3.12.2.1107.5.9.1"


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
    assert [entry["status"] for entry in logs if entry["event"] == "instance.refused"] == [f"{status:#06x}"]
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
    before = set(threading.enumerate())
    for _ in range(3):
        associate(listener.port)
    wait_for(lambda: set(threading.enumerate()) <= before)


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
        Listener(ListenerSettings(port=listener.port), inbox=inbox, folder=spool, shelf=spool).start()


@pytest.mark.parametrize(
    "wrong", [{"ae_title": "A" * 17}, {"ae_title": ""}, {"ae_title": "A\\B"}, {"allowed_ip": ["10.0.0"]}, {"tls": True}]
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValidationError):
        ListenerSettings(**wrong)
