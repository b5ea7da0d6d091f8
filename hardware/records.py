"""What the box tells of itself: alerts, and the mode of a pool."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    """How soon a person must look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


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
