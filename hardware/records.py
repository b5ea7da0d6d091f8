"""What the box tells of itself: readings, their limits, the findings that follow, the mode of a pool, and alerts."""

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
    """One number read of the box: ``disk_temperature_celsius`` of ``sda`` is 41. The name ends in the unit.

    ``said`` is what goes with it in words, without names of people or hosts.
    """

    what: str
    of: str
    value: float
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """From which value on a reading is a finding, and how far back it must go until it is none any more."""

    key: str
    """The first half of the alert's key; the second is what the reading is of."""
    what: str
    text: str
    """The alert's sentence; knows {of}, {value} and {said}."""
    warning: float | None = None
    critical: float | None = None
    gap: float = 0.0
    is_low: bool = False
    """True: values at or below the limit are findings, otherwise those at or above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A reading beyond its limit: what the alert will say."""

    key: str
    severity: Severity
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One look at the filesystem under a folder. Root's reserve counts as neither used nor free, as in ``df``."""

    used_bytes: int
    free_bytes: int
    used_inodes: int = 0
    free_inodes: int = 0
    """Both are 0 on filesystems that make inodes as they go."""
    is_read_only: bool = False

    @property
    def percent(self) -> float:
        """How full it is, by bytes or by inodes, whichever is worse; a filesystem without any room is full."""
        inodes = self.used_inodes + self.free_inodes
        by_inodes = self.used_inodes / inodes if inodes else 0.0
        room = self.used_bytes + self.free_bytes
        return 100 * max(self.used_bytes / room if room else 1.0, by_inodes)


class PoolMode(StrEnum):
    """What a pool still takes, from all to nothing."""

    NORMAL = "normal"
    SLOW = "slow down"
    """Packing goes on, slower; what every archive has proved to hold is freed early, oldest first, from here on."""
    PROTECT = "protect"
    """Nothing more is packed, images are still received."""
    REFUSE = "refuse"
    """Nothing new comes in; what is there goes on to the archive."""

    @property
    def grade(self) -> int:
        """0 for normal up to 3 for refuse."""
        return list(PoolMode).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A fact a person must know, raised and some time cleared. ``text`` is one sentence without patient data."""

    key: str
    severity: Severity
    text: str
    raised_at: datetime
    cleared_at: datetime | None = None
