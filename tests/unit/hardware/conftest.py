"""A disk whose fill a test sets, read through the port that the real one is read through."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hardware.judgement import PoolSettings
from hardware.pools import Pool
from hardware.records import PoolMode, Space
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
    is_read_only: bool = False
    write_errno: int = 0
    write_s: float = 0.0
    reads: int = 0
    seconds: float = 0.0
    folders: set[Path] = field(default_factory=set)

    def read(self, folder: Path) -> Space:
        self.reads += 1
        self.folders.add(folder)
        if self.is_lost:
            raise SpoolError("The spool's disk does not answer.")
        used = int(self.size * self.used_percent / 100)
        return Space(
            used_bytes=used,
            free_bytes=self.size - used,
            used_inodes=self.used_inodes,
            free_inodes=self.free_inodes,
            is_read_only=self.is_read_only,
        )

    def write(self, _folder: Path) -> None:
        self.seconds += self.write_s
        if self.write_errno:
            raise OSError(self.write_errno, os.strerror(self.write_errno))

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
def pool(disk, tmp_path) -> Pool:
    return Pool(tmp_path, PoolSettings(), clock=disk, read=disk.read, write=disk.write)


@pytest.fixture
def mode_at(disk, pool):
    """Set the disk, let two seconds pass, and return what the pool takes then."""

    def mode(**changes: float) -> PoolMode:
        for name, value in changes.items():
            setattr(disk, name, value)
        disk.sleep(2.0)
        return pool.mode()

    return mode


@pytest.fixture
def certificate():
    """Write a certificate of our own that ends at an instant."""

    def make(path: Path, *, ends_at: datetime) -> Path:
        key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        made = made.serial_number(1).not_valid_before(ends_at - timedelta(days=365)).not_valid_after(ends_at)
        path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    return make
