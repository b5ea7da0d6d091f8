"""A disk pool that we fill: how full it is, and what it therefore still takes."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hardware.records import PoolMode
from kspace.clock import Clock, SystemClock
from kspace.errors import SpoolError

_FRESH_S = 1.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One look at a filesystem: bytes in all and free for us, and the share of inodes in use (0 to 1)."""

    total_bytes: int
    free_bytes: int
    inodes_used: float

    @property
    def percent(self) -> float:
        """How full it is, by bytes or by inodes, whichever is worse."""
        by_bytes = 1 - self.free_bytes / self.total_bytes if self.total_bytes else 1.0
        return 100 * max(by_bytes, self.inodes_used)


class Pool:
    """One folder's filesystem with its mode; safe to ask from many threads."""

    def __init__(
        self,
        folder: Path,
        settings: PoolSettings,
        *,
        clock: Clock | None = None,
        look: Callable[[Path], Usage] | None = None,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock or SystemClock()
        self._look = look or usage_of
        self._lock = threading.Lock()
        self._mode = PoolMode.NORMAL
        self._looked_at: float | None = None

    def mode(self) -> PoolMode:
        """Return the mode, looking at the disk at most once a second.

        Raises:
            SpoolError: the filesystem does not answer.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._looked_at is None or now - self._looked_at >= _FRESH_S:
                self._mode = self._judge(self._look(self._folder))
                self._looked_at = now
            return self._mode

    def _judge(self, usage: Usage) -> PoolMode:
        limits = self._settings
        if usage.percent > limits.refuse_above_percent or usage.free_bytes < limits.refuse_under_bytes:
            return PoolMode.REFUSE
        if self._mode is PoolMode.REFUSE and usage.percent >= limits.normal_below_percent:
            return PoolMode.REFUSE
        return PoolMode.NORMAL


def usage_of(folder: Path) -> Usage:
    """Return how full the filesystem of a folder is, for an account without root's reserve.

    Raises:
        SpoolError: it does not answer.
    """
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise SpoolError(f"The spool's disk does not answer ({os.strerror(error.errno or 0)}).") from error
    return Usage(
        total_bytes=found.f_blocks * found.f_frsize,
        free_bytes=found.f_bavail * found.f_frsize,
        inodes_used=1 - found.f_favail / found.f_files if found.f_files else 0.0,
    )
