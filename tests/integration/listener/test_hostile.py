"""Hostile callers, a bounded number of seeds (`hostile.py` runs more), and those who keep a place and say nothing."""

import socket
from contextlib import ExitStack

import pytest
from dicom_callers import associate, send, wait_for
from hostile import besiege, conversation

_SEEDS = 1500
_ROOM_MB = 80


@pytest.mark.slow
def test_no_caller_brings_the_listener_down_or_loses_what_was_accepted(tmp_path):
    found = besiege(tmp_path, range(_SEEDS))
    assert found["accepted"] > _SEEDS / 10
    assert (found["lost"], found["honest_unanswered"]) == (0, 0)
    assert found["grown_mb"] < _ROOM_MB
    assert found["threads"] < 60


def test_callers_who_stop_in_the_middle_lose_their_places(listen, images):
    listener = listen(max_associations=3, idle_s=1.0)
    request, command, *_ = conversation(b"", "1.2.3")
    with ExitStack() as held:
        for _ in range(3):
            caller = held.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
            caller.sendall(request)
            assert caller.recv(1) == b"\x02"
            caller.sendall(command[: len(command) // 2])
        assert not associate(listener.port).is_established
        wait_for(lambda: is_free(listener.port))
        assert send(listener.port, images[0]) == 0


def is_free(port: int) -> bool:
    association = associate(port)
    is_taken = association.is_established
    association.release()
    return is_taken


def test_silent_connections_keep_nobody_out_and_have_a_limit(listen, images):
    listener = listen(max_associations=2)
    with ExitStack() as held:
        for _ in range(33):
            held.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
        assert send(listener.port, images[0]) == 0
        callers = [held.enter_context(socket.create_connection(("127.0.0.1", listener.port))) for _ in range(8)]
        callers[-1].settimeout(10)
        assert callers[-1].recv(1) == b""
