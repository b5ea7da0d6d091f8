"""A pool refuses before it is full, takes again only well below, and takes nothing while its disk is silent."""

import os
import shutil

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from hardware.pools import Pool, PoolSettings, read_pool
from hardware.records import PoolMode, Reading
from kspace.errors import Retry, SpoolError

NORMAL, REFUSE = PoolMode.NORMAL, PoolMode.REFUSE


@pytest.mark.parametrize(
    "way",
    [
        pytest.param([(10, NORMAL), (94.9, NORMAL), (95.1, REFUSE)], id="refuses above 95 percent"),
        pytest.param([(99, REFUSE), (94, REFUSE), (90.1, REFUSE), (89.9, NORMAL)], id="takes again below 90 percent"),
        pytest.param(
            [(99, REFUSE), (89, NORMAL), (94, NORMAL), (96, REFUSE)], id="after recovery the upper limit counts"
        ),
    ],
)
def test_the_mode_follows_the_fill_with_a_gap(mode_at, way):
    assert [mode_at(used_percent=percent) for percent, _ in way] == [mode for _, mode in way]


def test_a_disk_short_of_inodes_is_full(mode_at):
    assert mode_at(used_inodes=96, free_inodes=4) is REFUSE
    assert mode_at(used_inodes=80, free_inodes=20) is NORMAL


def test_the_floor_counts_where_the_percentage_is_far_and_has_a_gap_too(mode_at):
    assert mode_at(size=5_000_000_000, used_percent=81) is REFUSE
    assert mode_at(used_percent=79) is REFUSE
    assert mode_at(used_percent=74) is NORMAL
    assert mode_at(used_percent=79) is NORMAL


def test_a_disk_that_does_not_answer_takes_nothing_until_it_does(mode_at):
    with capture_logs() as logs:
        assert [mode_at(is_lost=lost) for lost in (False, True, True, False)] == [NORMAL, REFUSE, REFUSE, NORMAL]
    assert logs == [{"event": "pool.unread", "log_level": "error", "code": "spool"}]


def test_the_disk_is_looked_at_once_a_second(disk, tmp_path):
    pool = Pool(tmp_path, PoolSettings(), clock=disk, read=disk.read)
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
        (Reading(used_bytes=3, free_bytes=1), 75.0),
        (Reading(used_bytes=1, free_bytes=3, used_inodes=1, free_inodes=1), 50.0),
        (Reading(used_bytes=0, free_bytes=0), 100.0),
    ],
)
def test_a_reading_is_as_full_as_its_worse_side(reading, percent):
    assert reading.percent == percent


def test_a_real_filesystem_reads_as_the_system_says(tmp_path):
    reading, said, inodes = read_pool(tmp_path), shutil.disk_usage(tmp_path), os.statvfs(tmp_path)
    slack = said.total // 50
    assert abs(reading.used_bytes - said.used) <= slack
    assert abs(reading.free_bytes - said.free) <= slack
    assert reading.used_inodes + inodes.f_ffree == pytest.approx(inodes.f_files, rel=0.02)


def test_a_pool_with_room_reads_its_own_disk_and_is_normal(tmp_path):
    anything = PoolSettings(refuse_above_percent=100, normal_below_percent=99, refuse_under_bytes=0)
    assert Pool(tmp_path, anything).mode() is NORMAL
    assert Pool(tmp_path, PoolSettings(refuse_under_bytes=1 << 62)).mode() is REFUSE


def test_a_lost_folder_is_a_spool_error_without_its_path(tmp_path):
    with pytest.raises(SpoolError, match="does not answer") as caught:
        read_pool(tmp_path / "gone")
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.retry is Retry.LATER
    assert Pool(tmp_path / "gone", PoolSettings()).mode() is REFUSE


@pytest.mark.parametrize(
    "given",
    [
        {"refuse_above_percent": 90, "normal_below_percent": 90},
        {"refuse_above_percent": 101},
        {"refuse_under_bytes": -1},
        {"limit": 3},
    ],
)
def test_settings_that_make_no_sense_are_refused(given):
    with pytest.raises(ValidationError):
        PoolSettings(**given)
