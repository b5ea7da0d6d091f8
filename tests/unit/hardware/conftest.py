"""A disk whose fill a test sets, read through the port that the real one is read through."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hardware.pools import Pool, PoolSettings
from hardware.records import PoolMode, Reading
from kspace.errors import SpoolError

_SIZE = 100_000_000_000


@dataclass
class SetDisk:
    """A disk of 100 GB and its clock."""

    used_percent: float = 10.0
    used_inodes: int = 0
    free_inodes: int = 0
    size: int = _SIZE
    is_lost: bool = False
    reads: int = 0
    seconds: float = 0.0
    folders: set[Path] = field(default_factory=set)

    def read(self, folder: Path) -> Reading:
        self.reads += 1
        self.folders.add(folder)
        if self.is_lost:
            raise SpoolError("The spool's disk does not answer.")
        used = int(self.size * self.used_percent / 100)
        return Reading(
            used_bytes=used,
            free_bytes=self.size - used,
            used_inodes=self.used_inodes,
            free_inodes=self.free_inodes,
        )

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def disk() -> SetDisk:
    return SetDisk()


@pytest.fixture
def mode_at(disk, tmp_path):
    """Set the disk, let two seconds pass, and return what the pool takes then."""
    pool = Pool(tmp_path, PoolSettings(), clock=disk, read=disk.read)

    def mode(**changes: float) -> PoolMode:
        for name, value in changes.items():
            setattr(disk, name, value)
        disk.sleep(2.0)
        return pool.mode()

    return mode
