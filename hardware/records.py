"""What the box tells of itself: readings of a pool, the mode that follows from them, and alerts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    """How soon a person must look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look at the filesystem under a folder. Root's reserve counts as neither used nor free, as in ``df``."""

    used_bytes: int
    free_bytes: int
    used_inodes: int = 0
    free_inodes: int = 0
    """Both are 0 on filesystems that make inodes as they go."""

    @property
    def percent(self) -> float:
        """How full it is, by bytes or by inodes, whichever is worse; a filesystem without any room is full."""
        inodes = self.used_inodes + self.free_inodes
        by_inodes = self.used_inodes / inodes if inodes else 0.0
        room = self.used_bytes + self.free_bytes
        return 100 * max(self.used_bytes / room if room else 1.0, by_inodes)


class PoolMode(StrEnum):
    """What a pool still takes."""

    NORMAL = "normal"
    REFUSE = "refuse"
    """Nothing new comes in; what is there goes on to the archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A fact a person must know, raised and some time cleared. ``text`` is one sentence without patient data."""

    key: str
    severity: Severity
    text: str
    raised_at: datetime
    cleared_at: datetime | None = None
