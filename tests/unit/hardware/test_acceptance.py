"""What a box must prove before it goes beside a scanner: encryption, self-tests, and the power-cut drill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.host.drill import clear, last_kept, write_until_cut
from hardware.host.encryption import is_encrypted
from hardware.host.selftests import passed_self_tests
from hardware.host.speed import measure
from hardware.readings import NoAnswer
from kspace.errors import BadInput, SpoolError

SPOOL = Path("/var/lib/kspace/spool")
"""Where the spool is on every machine that is told of below."""


class Machine:
    """A /proc and a /sys as the kernel lays them out: block devices by number, and links to what they lie on."""

    def __init__(self, root: Path, mount: str) -> None:
        self.root = root
        (root / "proc/self").mkdir(parents=True)
        mounts = "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n" + mount
        (root / "proc/self/mountinfo").write_text(mounts)
        self.add("vda", "254:0")
        self.add("vda/vda1", "254:1", partition=True)

    def add(self, name: str, number: str, *, uuid: str = "", on: tuple[str, ...] = (), partition: bool = False) -> None:
        block = self.root / "sys/devices" / name
        (block / "slaves").mkdir(parents=True)
        if partition:
            (block / "partition").write_text("1\n")
        if uuid:
            (block / "dm").mkdir()
            (block / "dm/uuid").write_text(uuid + "\n")
        for below in on:
            (block / "slaves" / Path(below).name).symlink_to(self.root / "sys/devices" / below)
        for index, key in (("sys/dev/block", number), ("sys/class/block", Path(name).name)):
            (self.root / index).mkdir(parents=True, exist_ok=True)
            (self.root / index / key).symlink_to(block)


@pytest.fixture
def mirror(tmp_path) -> Machine:
    """The pool as POOL.sh makes it: two arrays, LUKS on each, a cached volume over both."""
    made = Machine(tmp_path, "40 22 253:5 / /var/lib/kspace rw,noatime - xfs /dev/mapper/kspace-spool rw\n")
    made.add("md127", "9:127")
    made.add("md126", "9:126")
    made.add("dm-0", "253:0", uuid="CRYPT-LUKS2-0123456789abcdef-kspace-pool", on=("md127",))
    made.add("dm-1", "253:1", uuid="CRYPT-LUKS2-fedcba9876543210-kspace-cache", on=("md126",))
    made.add("dm-3", "253:3", uuid="LVM-abc-cdata", on=("dm-1",))
    made.add("dm-4", "253:4", uuid="LVM-abc-corig", on=("dm-0",))
    made.add("dm-5", "253:5", uuid="LVM-abc", on=("dm-3", "dm-4"))
    return made


def test_a_cached_pool_on_luks_is_encrypted(mirror):
    assert is_encrypted(SPOOL, system=mirror.root) is True


def test_a_cache_in_the_clear_is_enough_to_tell(mirror):
    (mirror.root / "sys/devices/dm-1/dm/uuid").write_text("LVM-plain\n")
    assert is_encrypted(SPOOL, system=mirror.root) is False


def test_a_plain_partition_is_not_encrypted(tmp_path):
    assert is_encrypted(SPOOL, system=Machine(tmp_path, "").root) is False


def test_a_partition_of_an_encrypted_disk_is(tmp_path):
    made = Machine(tmp_path, "40 22 259:1 / /var/lib/kspace rw - ext4 /dev/dm-9p1 rw\n")
    made.add("dm-9", "253:9", uuid="CRYPT-PLAIN-x")
    made.add("dm-9/dm-9p1", "259:1", partition=True)
    assert is_encrypted(SPOOL, system=made.root) is True


def test_btrfs_is_found_by_its_device(tmp_path):
    made = Machine(tmp_path, "40 22 0:45 /@ /var/lib/kspace rw - btrfs /dev/dm-9 rw\n")
    made.add("dm-9", "253:9", uuid="CRYPT-LUKS2-x")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dm-9").touch()
    assert is_encrypted(SPOOL, system=made.root) is True


def test_memory_is_no_disk(tmp_path):
    made = Machine(tmp_path, "40 22 0:45 / /var/lib/kspace rw - tmpfs tmpfs rw\n")
    assert is_encrypted(SPOOL, system=made.root) is None


@pytest.mark.parametrize(("said", "encrypted"), [("aes-256-gcm\n", True), ("off\n", False), ("-\n", False)])
def test_zfs_says_it_itself(tmp_path, said, encrypted):
    made = Machine(tmp_path, "40 22 0:45 / /var/lib/kspace rw - zfs kspace/spool rw,xattr\n")
    asked = []
    assert is_encrypted(SPOOL, system=made.root, run=lambda command: asked.append(command) or said) is encrypted
    assert asked == [["zfs", "get", "-H", "-o", "value", "encryption", "kspace/spool"]]


def test_this_machine_gives_an_answer(tmp_path):
    assert is_encrypted(tmp_path) in {True, False, None}


ATA = {"type": {"value": 1, "string": "Short offline"}, "lifetime_hours": 16590}
"""An entry of smartctl's JSON as `ataprint.cpp` writes it; NVMe's are as in `nvmeprint.cpp` (smartmontools 7.3)."""


def logged_by(log: dict) -> list[tuple[str, bool | None]]:
    scanned = {"devices": [{"name": "/dev/sda", "type": "sat"}]}
    return list(passed_self_tests(lambda command: json.dumps(scanned if "--scan-open" in command else log)))


@pytest.mark.parametrize(
    ("log", "passed"),
    [
        ({"ata_smart_self_test_log": {"standard": {"table": [ATA | {"status": {"value": 0, "passed": True}}]}}}, True),
        (
            {"ata_smart_self_test_log": {"standard": {"table": [ATA | {"status": {"passed": False}}]}}},
            False,
        ),
        (
            {
                "ata_smart_self_test_log": {
                    "extended": {"table": [ATA | {"status": {"value": 25}}, ATA | {"status": {"passed": True}}]}
                }
            },
            True,
        ),
        ({"ata_smart_self_test_log": {"standard": {"revision": 1, "count": 0}}}, None),
        ({"nvme_self_test_log": {"table": [{"self_test_result": {"value": 0}}]}}, True),
        ({"nvme_self_test_log": {"table": [{"self_test_result": {"value": 7}}]}}, False),
        ({"nvme_self_test_log": {"table": [{"self_test_result": {"value": 1}}]}}, None),
        ({}, None),
    ],
)
def test_the_newest_test_that_came_to_its_end_counts(log, passed):
    assert logged_by(log) == [("sda", passed)]


def test_a_tool_that_speaks_no_json_is_no_answer():
    with pytest.raises(NoAnswer, match="no JSON"):
        list(passed_self_tests(lambda _: "smartctl 6.6"))


_DRILL = """
import sys
from pathlib import Path
from hardware.host.drill import write_until_cut
write_until_cut(Path(sys.argv[1]), acknowledge=lambda number: (sys.stdout.write(f"{number}\\n"), sys.stdout.flush()))
"""


def test_what_was_acknowledged_before_the_cut_is_there(tmp_path):
    folder = tmp_path / "power-cut"
    process = subprocess.Popen([sys.executable, "-c", _DRILL, folder], stdout=subprocess.PIPE, text=True)
    for number in range(1, 301):
        assert process.stdout.readline() == f"{number}\n"
    process.send_signal(signal.SIGKILL)
    acknowledged = 300 + len(process.stdout.read().splitlines())
    process.wait()
    assert len(list(folder.iterdir())) > 1
    assert last_kept(folder) >= acknowledged


@pytest.fixture
def drilled(tmp_path) -> Path:
    class Cut(Exception):
        """The plug."""

    def acknowledge(number: int) -> None:
        if number == 260:
            raise Cut

    with pytest.raises(Cut):
        write_until_cut(tmp_path / "power-cut", acknowledge=acknowledge)
    return tmp_path / "power-cut"


def test_a_record_that_is_lost_is_told_with_all_behind_it(drilled):
    assert last_kept(drilled) == 260
    first, second = sorted(drilled.iterdir())
    os.truncate(second, second.stat().st_size - 1)
    assert last_kept(drilled) == 259
    with first.open("r+b") as file:
        file.seek(65_536 * 3)
        file.write(b"zero")
    assert last_kept(drilled) == 3
    first.unlink()
    assert last_kept(drilled) == 0


def test_a_drill_does_not_write_over_another(drilled):
    with pytest.raises(BadInput, match="earlier drill"):
        write_until_cut(drilled, acknowledge=print)
    clear(drilled)
    assert not drilled.exists()
    with pytest.raises(BadInput, match="no records"):
        last_kept(drilled)


def test_a_disk_that_refuses_is_told():
    with pytest.raises(SpoolError, match="refused the drill"):
        write_until_cut(Path("/proc/power-cut"), acknowledge=print)


def test_the_measure_leaves_nothing_behind(tmp_path):
    written, read = measure(tmp_path / "speed", size=3 << 20)
    assert min(written, read) > 0
    assert list(tmp_path.iterdir()) == []
