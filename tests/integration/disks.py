"""A small real disk that a test fills, breaks, slows down and repairs: ext4 on a loop device of its own.

It needs root, as `.ci/run` has. I/O errors come from the loop device's size limit (loop(4), LOOP_SET_STATUS64): what
lies beyond it fails with EIO, and is there again, unharmed, when the limit is taken away.
"""

import fcntl
import os
import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_SET_STATUS, _GET_STATUS, _STATUS_BYTES, _LIMIT_AT = 0x4C04, 0x4C05, 232, 32
_BLOCK = 1024
_THROTTLE = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A filesystem mounted at a folder."""

    folder: Path
    device: Path
    data_at: int
    """Before it lies all that the filesystem keeps of itself, its journal too."""

    def fill(self, *, leaving_bytes: int) -> None:
        """Take room as a stranger's file, but for so many bytes."""
        room = os.statvfs(self.folder)
        size = room.f_bavail * room.f_frsize - leaving_bytes
        with self._ballast.open("ab") as out:
            os.posix_fallocate(out.fileno(), 0, out.tell() + max(1, size))

    def empty(self) -> None:
        """Remove the stranger's file."""
        self._ballast.unlink(missing_ok=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave a megabyte of room for a while."""
        self.fill(leaving_bytes=1 << 20)
        try:
            yield
        finally:
            self.empty()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Mount it read-only for a while, as the kernel does when a disk dies."""
        while True:
            with suppress(subprocess.CalledProcessError):  # somebody writes just now
                _run("mount", "-o", "remount,ro", str(self.folder))
                break
        try:
            yield
        finally:
            _run("mount", "-o", "remount,rw", str(self.folder))

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Answer with EIO whatever file is written, or read and not in the cache, for a while.

        The journal goes on: one that meets an error gives up for good, and the way back is what is tested.
        """
        self._limit(self.data_at)
        try:
            yield
        finally:
            self._limit(0)

    @contextmanager
    def slow(self, *, bytes_per_s: int) -> Iterator[None]:
        """Let the device take only so much for a while (blk-throttle)."""
        number = self.device.stat().st_rdev
        name = f"{os.major(number)}:{os.minor(number)}"
        _THROTTLE.write_text(f"{name} {bytes_per_s}")
        try:
            yield
        finally:
            _THROTTLE.write_text(f"{name} 0")

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def _limit(self, size: int) -> None:
        with self.device.open("rb") as device:
            status = bytearray(_STATUS_BYTES)
            fcntl.ioctl(device, _GET_STATUS, status)
            struct.pack_into("Q", status, _LIMIT_AT, size)
            fcntl.ioctl(device, _SET_STATUS, bytes(status))


@contextmanager
def small_disk(folder: Path, *, size: int, requires: Callable[[str], str]) -> Iterator[SmallDisk]:
    """Mount an empty ext4 of ``size`` bytes at a folder."""
    image = folder.with_suffix(".img")
    folder.mkdir(parents=True)
    with image.open("wb") as out:
        out.truncate(size)
    layout = ("-b", str(_BLOCK), "-E", "lazy_itable_init=0,packed_meta_blocks=1")
    _run(requires("mkfs.ext4"), "-q", "-m", "0", *layout, str(image))
    free = re.findall(r"^  Free blocks: (\d+)", _run(requires("dumpe2fs"), str(image)), re.MULTILINE)
    device = _run(requires("losetup"), "--find", "--show", str(image)).strip()
    try:
        _run("mount", "-o", "errors=continue", device, str(folder))
        try:
            yield SmallDisk(folder, Path(device), data_at=int(free[0]) * _BLOCK)
        finally:
            _run("umount", "--lazy", str(folder))
    finally:
        _run("losetup", "--detach", device)
        image.unlink()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
