"""The listener whose connections are received by processes of their own: they may die, the relay may die."""

import itertools
import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from dicom_callers import associate, growing, run, send, wait_for
from relay_here import Clock, Site

from dicom.calls import Pipe
from dicom.settings import ListenerSettings
from dicom.synthetic import SyntheticSeries, write_session
from dicom.workers import Workers

_SENDERS = 8


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    with Site(folder, Clock(), processes=2).open() as site:
        yield site


@pytest.fixture
def studies(tmp_path) -> list[Path]:
    """A folder of images for each sender."""
    series = [
        SyntheticSeries(
            baseline="VB",
            serial="35000",
            number=number,
            protocol="gre",
            lprotid=number,
            ticks=tuple(range(14_400_000, 14_400_010)),
            frame_of_reference="1.2",
        )
        for number in range(1, _SENDERS + 1)
    ]
    return [write_session(tmp_path / f"of {one.number}", one)[0].parent for one in series]


def workers() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "dicom.worker" in one.cmdline()]


def sending(port: int, folder: Path) -> subprocess.Popen:
    command = ["storescu", "-aec", "KSPACE", "+sd", "+r", "127.0.0.1", str(port), folder]
    env = {**os.environ, "TCP_NODELAY": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)


def test_eight_senders_at_once_are_received_by_two_processes(site, studies):
    senders = [sending(site.listener.port, folder) for folder in studies]
    for sender in senders:
        assert sender.wait(60) == 0
    assert len(site.uids()) == sum(1 for folder in studies for _ in folder.glob("*"))
    assert len(workers()) == 2


def test_a_killed_worker_is_replaced_and_what_was_taken_is_here(site, studies, tmp_path):
    port = site.listener.port
    associations = [associate(port) for _ in range(_SENDERS)]
    killed, left = workers()
    files = [sorted(folder.glob("*")) for folder in studies]
    taken = 0
    for number, row in enumerate(itertools.zip_longest(*files)):
        if number == 3:
            killed.kill()
        for which, path in enumerate(row):
            with suppress(ValueError, RuntimeError):  # pynetdicom's way to say that the association is gone
                status = associations[which].send_c_store(path)
                taken += getattr(status, "Status", None) == 0
    assert sum(association.is_established for association in associations) == _SENDERS / 2
    for association in associations:
        if association.is_established:
            association.release()
    assert len(site.uids()) == taken
    assert all(site.kept(uid)[0].exists() for uid in site.uids())
    wait_for(lambda: workers() == [left])
    assert [sender.wait(60) for sender in [sending(port, folder) for folder in studies]] == [0] * _SENDERS
    assert len(site.uids()) == sum(map(len, files))
    assert len(workers()) == 2
    assert not list((tmp_path / "site" / "incoming").glob("*"))


def test_the_first_to_call_after_a_worker_died_is_received(site):
    port = site.listener.port
    assert run("echoscu", port).returncode == 0
    [worker] = workers()
    worker.kill()
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert run("echoscu", port).returncode == 0


def test_a_process_that_broke_off_is_told_of(site):
    assert run("echoscu", site.listener.port).returncode == 0
    workers()[0].kill()
    wait_for(site.alerts)
    [told] = site.alerts()
    assert "broke off" in told
    assert "KSPACE" in told


def test_no_process_can_begin_and_a_person_is_told(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=relay", "-out", cert]
    subprocess.run([*make, "-keyout", key], check=True, capture_output=True)
    with Site(tmp_path, Clock(), processes=2, tls_cert=cert, tls_key=key).open() as site:
        key.rename(tmp_path / "renewed.pem")
        with socket.create_connection(("127.0.0.1", site.listener.port)) as caller:
            wait_for(site.alerts)
            assert site.alerts()[0].startswith("DICOM for KSPACE cannot be received")
            with suppress(ConnectionResetError):
                assert caller.recv(1) == b""
        assert site.listener.is_alive()


def test_limits_hold_over_all_processes(tmp_path):
    with Site(tmp_path, Clock(), processes=2, max_associations=3).open() as site:
        port = site.listener.port
        associations = [associate(port) for _ in range(3)]
        assert all(association.is_established for association in associations)
        assert run("echoscu", port).returncode != 0
        associations.pop().release()
        wait_for(lambda: run("echoscu", port).returncode == 0)
        for worker in workers():  # who dies gives its seats back
            worker.kill()
        wait_for(lambda: all(not association.is_established for association in associations))
        again: list = []
        wait_for(lambda: again.append(associate(port)) or sum(one.is_established for one in again) == 3)
        for association in again:
            association.abort()
        assert any("max_associations" in text for text in site.alerts())


def test_a_worker_that_hangs_is_ended_and_its_connections_break(tmp_path):
    folders = {"folder": tmp_path / "incoming", "shelf": tmp_path / "shelf"}
    lost: list = []
    ports = {"is_open": lambda: True, "at_loss": lambda reason, **_: lost.append(reason)}
    receiving = Workers(ListenerSettings(processes=1), hung_s=1.0, **ports, **folders)
    receiving.start()
    try:
        ours, theirs = socket.socketpair()
        receiving.begin(theirs, Pipe(socket.socket()), "127.0.0.1")
        [hung] = workers()
        hung.send_signal(signal.SIGSTOP)
        wait_for(lambda: not workers())
        assert ours.recv(1) == b""
        wait_for(lambda: lost == ["it hung"])
    finally:
        receiving.stop(grace_s=1)


RELAY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from relay_here import Clock, Site
site = Site(Path(sys.argv[1]), Clock(), processes=2)
site.listener.start()
print(site.listener.port, flush=True)
sys.stdin.read()
site.listener.stop()
"""


@pytest.fixture
def relay(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    command = [sys.executable, "-c", RELAY, str(folder), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_no_worker_outlives_the_relay(relay, large, tmp_path):
    port = next(int(line) for line in relay.stdout if line.strip().isdigit())
    with subprocess.Popen(["storescu", "-aec", "KSPACE", "127.0.0.1", str(port), large(150)]) as sender:
        wait_for(lambda: growing(tmp_path / "site" / "incoming"))
        children = psutil.Process(relay.pid).children()
        assert len(children) == 1
        relay.kill()
        assert sender.wait(30) != 0
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_descriptors_that_run_out_deafen_nobody(relay):
    port = next(int(line) for line in relay.stdout if line.strip().isdigit())
    assert run("echoscu", port).returncode == 0
    process = psutil.Process(relay.pid)
    used, (_, hard) = process.num_fds(), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.prlimit(relay.pid, resource.RLIMIT_NOFILE, (used + 8, hard))
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    wait_for(lambda: process.num_fds() > used + 4)
    for caller in silent:
        caller.close()
    wait_for(lambda: run("echoscu", port).returncode == 0)


def test_stopping_lets_a_store_end_and_leaves_no_process(relay, large, tmp_path):
    port = next(int(line) for line in relay.stdout if line.strip().isdigit())
    with subprocess.Popen(["storescu", "-aec", "KSPACE", "127.0.0.1", str(port), large(150)]) as sender:
        wait_for(lambda: growing(tmp_path / "site" / "incoming"))
        children = psutil.Process(relay.pid).children()
        for child in children:
            os.kill(child.pid, signal.SIGTERM)  # as systemd does it; the relay says when
        relay.stdin.close()
        sender.wait(60)  # it was told Success, but could not bid farewell
    assert relay.wait(30) == 0
    assert len(Site(tmp_path / "site", Clock()).uids()) == 1
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert not list((tmp_path / "site" / "incoming").glob("*"))


def test_a_full_pool_is_known_in_every_process(listen, inbox, images):
    pool = {"is_open": True}
    listener = listen(is_open=lambda: pool["is_open"], processes=2)
    assert send(listener.port, images[0]) == 0
    pool["is_open"] = False
    wait_for(lambda: send(listener.port, images[1]) == 0xA700)
    assert {refused.status for refused in inbox.refused} == {0xA700}
