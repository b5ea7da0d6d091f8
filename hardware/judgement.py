"""The judgement over readings: findings with hysteresis, and the mode of a pool. All pure."""

from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hardware.records import Finding, Limit, PoolMode, Reading, Severity, Space

_RECOVERY = 1.25
"""Free bytes must come back to this many times a floor, so that the mode does not flap there either."""


class PoolSettings(BaseModel):
    """From which fill on a pool takes less; the gap keeps it from changing its mind every second."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    every_s: float = Field(default=5.0, gt=0)
    """How often the pools are looked at, written to, and cleared."""
    slow_above_percent: float = Field(default=85.0, gt=0, le=100)
    slow_to_percent: float = Field(default=25.0, gt=0, le=100)
    """How much of its usual rate is left to reading from the scanners while the pool is to slow down."""
    protect_above_percent: float = Field(default=92.0, gt=0, le=100)
    refuse_above_percent: float = Field(default=97.0, gt=0, le=100)
    gap_percent: float = Field(default=3.0, gt=0, le=50)
    protect_under_bytes: int = Field(default=2_000_000_000, ge=0)
    refuse_under_bytes: int = Field(default=1_000_000_000, ge=0)

    @model_validator(mode="after")
    def _is_graded(self) -> "PoolSettings":
        if not self.slow_above_percent <= self.protect_above_percent <= self.refuse_above_percent:
            raise ValueError("slow_above_percent, protect_above_percent and refuse_above_percent must not fall")
        if self.protect_under_bytes < self.refuse_under_bytes:
            raise ValueError("protect_under_bytes must not be less than refuse_under_bytes")
        return self


def judge(readings: Iterable[Reading], limits: Iterable[Limit], *, was: Mapping[str, Severity]) -> Iterator[Finding]:
    """Yield what is beyond its limit; ``was`` is what was found before, which ends only below the limit's gap."""
    by_what: dict[str, list[Limit]] = {}
    for limit in limits:
        by_what.setdefault(limit.what, []).append(limit)
    for reading in readings:
        for limit in by_what.get(reading.what, ()):
            key = f"{limit.key}:{reading.of}"
            severity = _severity(reading.value, limit, was.get(key))
            if severity is not None:
                text = limit.text.format(of=reading.of, value=reading.value, said=reading.said)
                yield Finding(key=key, severity=severity, text=text)


def mode_of(space: Space, limits: PoolSettings, *, was: PoolMode) -> PoolMode:
    """Return what a pool takes, so full, that took ``was`` before."""
    if space.is_read_only:
        return PoolMode.REFUSE
    grades = (
        (PoolMode.REFUSE, limits.refuse_above_percent, limits.refuse_under_bytes),
        (PoolMode.PROTECT, limits.protect_above_percent, limits.protect_under_bytes),
        (PoolMode.SLOW, limits.slow_above_percent, 0),
    )
    for mode, above_percent, under_bytes in grades:
        is_in = was.grade >= mode.grade
        percent = above_percent - limits.gap_percent * is_in
        floor = under_bytes * (_RECOVERY if is_in else 1)
        if space.percent > percent or space.free_bytes < floor:
            return mode
    return PoolMode.NORMAL


def bytes_over(space: Space, limits: PoolSettings) -> int:
    """Return how many bytes must go until the pool is normal again, whatever it was before."""
    room = space.used_bytes + space.free_bytes
    by_percent = space.used_bytes - room * (limits.slow_above_percent - limits.gap_percent) / 100
    by_floor = limits.protect_under_bytes * _RECOVERY - space.free_bytes
    return max(0, int(by_percent), int(by_floor))


def bytes_until_protect(space: Space, limits: PoolSettings) -> int:
    """Return how many bytes more a pool takes until it must protect itself; below 0 where it is past that."""
    return most_bytes(space, limits) - space.used_bytes


def most_bytes(space: Space, limits: PoolSettings) -> int:
    """Return how many bytes a pool takes from empty until it must protect itself."""
    room = space.used_bytes + space.free_bytes
    return int(min(room * limits.protect_above_percent / 100, room - limits.protect_under_bytes))


def _severity(value: float, limit: Limit, was: Severity | None) -> Severity | None:
    """The worst grade the value reaches; one that was found before holds until the value is back by the gap."""
    sign = -1.0 if limit.is_low else 1.0
    for severity, bound in ((Severity.CRITICAL, limit.critical), (Severity.WARNING, limit.warning)):
        is_in = was is Severity.CRITICAL or was is severity
        if bound is not None and sign * value >= sign * bound - (limit.gap if is_in else 0.0):
            return severity
    return None
