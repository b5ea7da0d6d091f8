"""A disk pool that we fill: how full it is, and what it therefore still takes."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hardware.records import PoolMode, Reading
from kspace.clock import Clock, SystemClock
from kspace.errors import SpoolError

_FRESH_S = 1.0
_RECOVERY = 1.25
"""Free bytes must come back to this many times the floor, so that the mode does not flap there either."""
_log = structlog.get_logger()


class PoolSettings(BaseModel):
    """When a pool refuses, and when it takes again; the gap keeps it from flapping."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refuse_above_percent: float = Field(default=95.0, gt=0, le=100)
    normal_below_percent: float = Field(default=90.0, gt=0, le=100)
    refuse_under_bytes: int = Field(default=1_000_000_000, ge=0)

    @model_validator(mode="after")
    def _has_a_gap(self) -> "PoolSettings":
        if self.normal_below_percent >= self.refuse_above_percent:
            raise ValueError("normal_below_percent must be less than refuse_above_percent")
        return self


class Pool:
    """The filesystem under one folder, with its mode; safe to ask from many threads."""

    def __init__(
        self,
        folder: Path,
        settings: PoolSettings,
        *,
        clock: Clock | None = None,
        read: Callable[[Path], Reading] | None = None,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock or SystemClock()
        self._read = read or read_pool
        self._lock = threading.Lock()
        self._mode = PoolMode.NORMAL
        self._read_at: float | None = None

    def mode(self) -> PoolMode:
        """Return what the pool takes now, looking at the disk at most once a second.

        It gates the engine and the listener, so it never raises: a disk that does not answer takes nothing.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._read_at is None or now - self._read_at >= _FRESH_S:
                self._mode = self._judge()
                self._read_at = now
            return self._mode

    def _judge(self) -> PoolMode:
        try:
            reading = self._read(self._folder)
        except SpoolError as error:
            if self._mode is PoolMode.NORMAL:
                _log.error("pool.unread", code=error.code)
            return PoolMode.REFUSE
        limits, was_refusing = self._settings, self._mode is PoolMode.REFUSE
        percent = limits.normal_below_percent if was_refusing else limits.refuse_above_percent
        floor = limits.refuse_under_bytes * (_RECOVERY if was_refusing else 1)
        return PoolMode.REFUSE if reading.percent > percent or reading.free_bytes < floor else PoolMode.NORMAL


def read_pool(folder: Path) -> Reading:
    """Return how full the filesystem under a folder is, from statvfs(3).

    Raises:
        SpoolError: it does not answer.
    """
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise SpoolError(
            f"The spool's disk does not answer ({os.strerror(error.errno or 0)}); nothing was changed on it. "
            "See that it is mounted and healthy."
        ) from error
    return Reading(
        used_bytes=(found.f_blocks - found.f_bfree) * found.f_frsize,
        free_bytes=found.f_bavail * found.f_frsize,
        used_inodes=found.f_files - found.f_ffree,
        free_inodes=found.f_favail,
    )
