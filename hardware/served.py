"""A folder that the box serves to a console: how much of its quota is used. Read as a pool is, so it is forecast."""

import os
from collections.abc import Iterator
from pathlib import Path

from hardware.records import Limit, Reading


class ServedReader:
    """The reader of one served folder, by its source's name."""

    limits = (
        Limit(
            key="served",
            what="served_used_percent",
            warning=80.0,
            critical=95.0,
            gap=5.0,
            text="The folder of {of} that the relay serves to the console is {value:.0f} % full; at 100 % exports fail "
            "there. What every archive proved to hold goes by itself; see `kspace status` for what holds up the rest, "
            "and remove by hand what no rule wants.",
        ),
    )

    def __init__(self, folder: Path, *, name: str, quota_bytes: float) -> None:
        self._folder = folder
        self._name = name
        self._quota_bytes = quota_bytes

    def read(self) -> Iterator[Reading]:
        """Yield what lies there and what still fits, of its quota and of its disk; nothing where it is not there."""
        used = sum(_sizes(self._folder))
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return
        free = max(0.0, min(self._quota_bytes - used, disk.f_bavail * disk.f_frsize))
        yield Reading(what="pool_used_bytes", of=self._name, value=used)
        yield Reading(what="pool_free_bytes", of=self._name, value=free)
        yield Reading(what="served_used_percent", of=self._name, value=100 * used / (used + free) if used else 0.0)


def _sizes(folder: Path) -> Iterator[int]:
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                yield (Path(at) / name).lstat().st_size
            except OSError:  # it went meanwhile
                continue
