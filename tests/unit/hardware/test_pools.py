"""A pool refuses before it is full, takes again only well below, and takes nothing while its disk is silent."""

import errno
import os
import shutil

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from hardware.judgement import PoolSettings, judge
from hardware.pools import NeverFits, Pool, PoolReader, WriteReader, read_space
from hardware.records import PoolMode, Severity, Space
from kspace.errors import Retry, SpoolError

NORMAL, SLOW, PROTECT, REFUSE = PoolMode


@pytest.mark.parametrize(
    "way",
    [
        pytest.param([(10, NORMAL), (84.9, NORMAL), (85.1, SLOW), (92.1, PROTECT), (97.1, REFUSE)], id="step by step"),
        pytest.param(
            [(99, REFUSE), (94.1, REFUSE), (93.9, PROTECT), (89.1, PROTECT), (9, NORMAL)], id="back by the gap"
        ),
        pytest.param([(86, SLOW), (82.1, SLOW), (81.9, NORMAL), (84, NORMAL)], id="normal again below the gap"),
        pytest.param([(99, REFUSE), (50, NORMAL), (84, NORMAL), (98, REFUSE)], id="at once where it is emptied"),
    ],
)
def test_the_mode_follows_the_fill_with_a_gap(mode_at, way):
    assert [mode_at(used_percent=percent) for percent, _ in way] == [mode for _, mode in way]


def test_a_disk_short_of_inodes_is_full(mode_at):
    assert mode_at(used_inodes=98, free_inodes=2) is REFUSE
    assert mode_at(used_inodes=80, free_inodes=20) is NORMAL


def test_the_floors_count_where_the_percentage_is_far_and_have_a_gap_too(mode_at):
    fills = [(59, NORMAL), (61, PROTECT), (81, REFUSE), (79, REFUSE), (74, PROTECT), (51, PROTECT), (49, NORMAL)]
    assert [mode_at(size=5_000_000_000, used_percent=percent) for percent, _ in fills] == [mode for _, mode in fills]


def test_a_disk_that_was_mounted_read_only_takes_nothing(mode_at):
    assert [mode_at(is_read_only=is_so) for is_so in (False, True, False)] == [NORMAL, REFUSE, NORMAL]


def test_a_disk_that_takes_no_byte_takes_nothing_until_it_does(pool, disk):
    modes = []
    with capture_logs() as logs:
        for number in (0, errno.EIO, errno.EIO, 0):
            disk.write_errno = number
            pool.time_write()
            modes.append(pool.mode())
    assert modes == [NORMAL, REFUSE, REFUSE, NORMAL]
    assert [log["event"] for log in logs] == ["pool.write_failed"]


def test_a_write_that_hangs_closes_the_pool_while_it_does(disk, tmp_path):
    modes = []

    def hang(_folder):
        modes.append(pool.mode())
        disk.seconds += 31
        modes.append(pool.mode())

    pool = Pool(tmp_path, PoolSettings(), clock=disk, read=disk.read, write=hang)
    assert pool.time_write() == 31
    assert [*modes, pool.mode()] == [NORMAL, REFUSE, NORMAL]


def test_what_must_go_is_counted_until_the_pool_is_normal(pool, disk):
    assert pool.bytes_over() == 0
    disk.used_percent = 95
    assert pool.bytes_over() == 13_000_000_000, "down to the lowest limit less the gap: 82 of 100 GB"
    for trouble in ("is_read_only", "is_lost"):
        setattr(disk, trouble, True)
        assert pool.bytes_over() == 0, "nothing can be removed there"


def test_the_readers_say_what_the_pools_take(pool, disk):
    disk.used_percent, disk.write_s = 93, 3.0
    told = [*PoolReader([pool]).read(), *WriteReader([pool]).read()]
    found = {reading.what: reading.value for reading in told}
    assert found["pool_mode"] == PROTECT.grade
    assert found["pool_free_bytes"] == 7_000_000_000
    assert found["pool_write_seconds"] == 3.0
    limits = (*PoolReader.limits, *WriteReader.limits)
    findings = {finding.key: finding for finding in judge(told, limits, was={})}
    assert {key: finding.severity for key, finding in findings.items()} == {
        "pool:spool": Severity.CRITICAL,
        "pool_slow:spool": Severity.WARNING,
    }
    assert "93 % full, 7.0 GB are free: nothing more is captured" in findings["pool:spool"].text


@pytest.mark.parametrize("trouble", [{"used_percent": 98}, {"is_lost": True}, {"is_read_only": True}])
def test_a_pool_that_refuses_is_a_second_alert(pool, disk, trouble):
    for name, value in trouble.items():
        setattr(disk, name, value)
    findings = [finding.key for finding in judge(PoolReader([pool]).read(), PoolReader.limits, was={})]
    assert findings == ["pool:spool", "pool_refuses:spool"]


def test_a_disk_that_does_not_answer_takes_nothing_until_it_does(mode_at):
    with capture_logs() as logs:
        assert [mode_at(is_lost=lost) for lost in (False, True, True, False)] == [NORMAL, REFUSE, REFUSE, NORMAL]
    assert logs == [{"event": "pool.unread", "log_level": "error", "pool": "spool", "code": "spool"}]


def test_the_disk_is_looked_at_once_a_second(disk, pool, tmp_path):
    for _ in range(5):
        pool.mode()
    disk.sleep(0.9)
    pool.mode()
    assert disk.reads == 1
    disk.sleep(0.2)
    pool.mode()
    assert disk.reads == 2
    assert disk.folders == {tmp_path}


@pytest.mark.parametrize(
    ("reading", "percent"),
    [
        (Space(used_bytes=3, free_bytes=1), 75.0),
        (Space(used_bytes=1, free_bytes=3, used_inodes=1, free_inodes=1), 50.0),
        (Space(used_bytes=0, free_bytes=0), 100.0),
    ],
)
def test_a_reading_is_as_full_as_its_worse_side(reading, percent):
    assert reading.percent == percent


def test_a_real_filesystem_reads_as_the_system_says(tmp_path):
    reading, said, inodes = read_space(tmp_path), shutil.disk_usage(tmp_path), os.statvfs(tmp_path)
    slack = said.total // 50
    assert abs(reading.used_bytes - said.used) <= slack
    assert abs(reading.free_bytes - said.free) <= slack
    assert reading.used_inodes + inodes.f_ffree == pytest.approx(inodes.f_files, rel=0.02)


def test_a_pool_with_room_reads_its_own_disk_and_is_normal(tmp_path):
    full = dict.fromkeys(("slow_above_percent", "protect_above_percent", "refuse_above_percent"), 100)
    anything = Pool(tmp_path, PoolSettings(**full, protect_under_bytes=0, refuse_under_bytes=0))
    assert anything.mode() is NORMAL
    assert anything.time_write() is not None
    assert list(tmp_path.iterdir()) == [], "the probe leaves nothing behind"
    floors = {"protect_under_bytes": 1 << 62, "refuse_under_bytes": 1 << 62}
    assert Pool(tmp_path, PoolSettings(**floors)).mode() is REFUSE


def test_a_lost_folder_is_a_spool_error_without_its_path(tmp_path):
    with pytest.raises(SpoolError, match="does not answer") as caught:
        read_space(tmp_path / "gone")
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.retry is Retry.LATER
    assert Pool(tmp_path / "gone", PoolSettings()).mode() is REFUSE


@pytest.mark.parametrize(
    "given",
    [
        {"refuse_above_percent": 90},
        {"slow_above_percent": 93},
        {"protect_under_bytes": 1},
        {"refuse_above_percent": 101},
        {"refuse_under_bytes": -1},
        {"limit": 3},
    ],
)
def test_settings_that_make_no_sense_are_refused(given):
    with pytest.raises(ValidationError):
        PoolSettings(**given)


def test_room_is_kept_down_to_where_the_pool_protects_itself_and_for_one_file_once(pool, disk, tmp_path):
    first, second = tmp_path / "1.packed", tmp_path / "2.packed"
    disk.used_percent = 80
    with pool.room_for(first, 13_000_000_000) as fits:
        assert not fits, "92 of 100 GB"
    assert pool.bytes_over() == 1_000_000_000, "the file that waits is to find room"
    disk.seconds += 61
    assert pool.bytes_over() == 0, "it asks no more"
    with pool.room_for(first, 11_000_000_000) as fits:
        assert fits
        with pool.room_for(second, 2_000_000_000) as too:
            assert not too, "the first is still to come"
        first.write_bytes(b"\0" * 1_000_000)
        with pool.room_for(second, 1_000_500_000) as too:
            assert too, "what came of the first is not asked for twice"
    with pool.room_for(second, 11_000_000_000) as fits:
        assert fits, "the first has ended"
    disk.is_lost = True
    with pool.room_for(second, 1) as fits:
        assert not fits


def test_a_file_larger_than_the_empty_pool_is_for_a_person_and_asks_for_no_room(pool, disk, tmp_path):
    disk.used_percent = 90
    with (
        pytest.raises(NeverFits, match=r"Its 93\.0 GB never fit: the pool takes 92\.0 GB"),
        pool.room_for(tmp_path / "1.packed", 93_000_000_000),
    ):
        pass
    assert NeverFits.retry is Retry.PERSON
    disk.used_percent = 50
    assert pool.bytes_over() == 0, "nothing is freed in vain for it"
    with pool.room_for(tmp_path / "1.packed", 92_000_000_000) as fits:
        assert not fits, "it may once the pool is empty"
