"""systemd is told that the relay is ready, lives and ends; without systemd nobody is told anything."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.relay import Relay, free_port
from transfer.app.notify import Notifier


@pytest.fixture
def line(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


def test_nobody_listens_and_nothing_happens(tmp_path):
    Notifier({}).tell("READY=1")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")
    assert Notifier({}).every_s is None


def test_signs_of_life_are_sent_twice_as_often_as_systemd_waits():
    assert Notifier({"WATCHDOG_USEC": "120000000"}).every_s == 60
    assert Notifier({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())}).every_s == 60
    assert Notifier({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}).every_s is None


def test_an_abstract_socket_is_a_socket(line):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind(f"\0kspace-{os.getpid()}")
        Notifier({"NOTIFY_SOCKET": f"@kspace-{os.getpid()}"}).tell("READY=1")
        assert abstract.recv(99) == b"READY=1"


def test_a_relay_tells_that_it_is_ready_lives_and_ends(line, tmp_path):
    config = Relay(folder=tmp_path, urls={"central": "http://127.0.0.1:9"}, port=free_port()).write()
    environment = {**os.environ, "NOTIFY_SOCKET": line.getsockname(), "WATCHDOG_USEC": "200000"}
    program = Path(sys.executable).with_name("kspace")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", "-c", config], env=environment, stderr=log)
    try:
        assert [line.recv(99), line.recv(99), line.recv(99)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        process.send_signal(signal.SIGTERM)
        while (said := line.recv(99)) == b"WATCHDOG=1":
            pass
        assert said == b"STOPPING=1"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def falls_silent(line: socket.socket) -> bool:
    """Return whether signs of life end, of which ten a second were sent."""
    for _ in range(100):
        try:
            assert line.recv(99) == b"WATCHDOG=1"
        except TimeoutError:
            return True
    return False


def test_a_relay_whose_listener_is_gone_gives_no_sign_of_life(line, tmp_path, requires):
    """The kernel takes the listening socket away (ss -K): systemd then restarts a process that seems to run."""
    port = free_port()
    config = Relay(folder=tmp_path, urls={"central": "http://127.0.0.1:9"}, port=port).write()
    environment = {**os.environ, "NOTIFY_SOCKET": line.getsockname(), "WATCHDOG_USEC": "200000"}
    with (tmp_path / "log").open("w") as log:
        program = Path(sys.executable).with_name("kspace")
        process = subprocess.Popen([program, "listen", "-c", config], env=environment, stderr=log)
    try:
        assert [line.recv(99), line.recv(99)] == [b"READY=1", b"WATCHDOG=1"]
        killed = [requires("ss"), "--kill", "--no-header", "state", "listening", f"sport = :{port}"]
        assert str(port) in subprocess.run(killed, capture_output=True, text=True, check=True).stdout
        line.settimeout(2)
        assert falls_silent(line)
        assert process.poll() is None, "it runs, and does nothing"
    finally:
        process.kill()
        process.wait()
