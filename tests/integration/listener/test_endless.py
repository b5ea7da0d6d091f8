"""Senders that never come to an end: neither the disk nor a seat is theirs for ever."""

import socket
import struct
import threading
from contextlib import suppress

from dicom_callers import MR, associate, growing, wait_for
from hostile import conversation

from dicom.inbox import Status
from dicom.pdus import PduType, pdu

UID = "1.3.12.2.1107.5.2.32.35000.20260105000300001"
_MB = 1 << 20


def begin(port: int) -> tuple[socket.socket, bytes]:
    """Ask for an association and announce an image; return the connection, and the image's header."""
    caller = socket.create_connection(("127.0.0.1", port), timeout=30)
    study = b"\x20\0\x0d\0UI\x06\0" + b"1.2.34"
    request, command = conversation(study, UID, sop_class=MR)[:2]
    caller.sendall(request + command)
    return caller, study


def fragment(content: bytes) -> bytes:
    """Return a PDU of a data set that goes on."""
    return pdu(PduType.DATA, struct.pack(">LBB", len(content) + 2, 1, 0) + content)


def test_a_pool_that_fills_up_meanwhile_refuses_the_object_and_is_freed_at_once(listen, inbox, spool):
    asked = []

    def is_open() -> bool:
        asked.append(1)
        return len(asked) < 2

    caller, study = begin(listen(is_open).port)
    with caller:
        caller.sendall(fragment(study + bytes(2 * _MB)))
        wait_for(lambda: growing(spool))
        for _ in range(80):
            caller.sendall(fragment(bytes(_MB)))
        wait_for(lambda: bool(inbox.refused))
        assert not list(spool.glob("*")), "while the rest still comes"
    [refused] = inbox.refused
    assert (refused.sop_uid, refused.study_uid, refused.status) == (UID, "1.2.34", Status.OUT_OF_RESOURCES)


def test_who_trickles_a_message_loses_the_seat(listen, inbox):
    listener = listen(idle_s=0.2, max_associations=1)
    caller, _ = begin(listener.port)
    pause = threading.Event()
    with caller, suppress(OSError):
        caller.sendall(b"\x04\0\0\x10\0\0\0\x0f\xff\xfc\x01\0")
        while True:
            caller.sendall(b"\0")
            pause.wait(0.05)
    association = associate(listener.port)
    assert association.is_established
    association.release()
    assert inbox.received == []
