"""The accepting side of an association, over a real pair of sockets."""

import socket
import threading
from contextlib import suppress

import pytest

from dicom.association import Association, AssociationEnded


def test_a_request_that_trickles_in_is_not_waited_for_without_end():
    ours, theirs = socket.socketpair()
    is_over = threading.Event()

    def trickle():
        with suppress(OSError):
            theirs.sendall(b"\x01\x00\x00\x01\x00\x00")
            while not is_over.wait(0.01):
                theirs.sendall(b"\x00")

    peer = threading.Thread(target=trickle)
    peer.start()
    try:
        with ours, pytest.raises(AssociationEnded):
            Association(ours).request(within_s=0.2)
    finally:
        is_over.set()
        peer.join()
        theirs.close()
