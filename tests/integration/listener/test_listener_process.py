"""The listener in a process of its own: measured, refused by the disk, killed."""

import subprocess

from dicom_callers import associate, growing, run, send, wait_for


def test_a_sender_that_vanishes_leaves_nothing(listen, inbox, spool, images, large):
    listener = listen()
    command = ["storescu", "-aec", "KSPACE", "127.0.0.1", str(listener.port), large(300)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sender:
        wait_for(lambda: growing(spool))
        sender.kill()
    wait_for(lambda: not list(spool.glob("*")))
    assert inbox.received == []
    assert send(listener.port, images[0]) == 0


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
