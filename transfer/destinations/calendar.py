"""When a destination may be sent to, and how fast: a pure function of the time."""

from datetime import datetime
from math import inf

from pydantic import BaseModel, ConfigDict, Field

from kspace.calendar import When, covers, wall_clock


class Period(BaseModel):
    """A time of the week and the rate meanwhile."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    when: When
    mbit_per_s: float | None = Field(default=None, ge=0)
    """None: as fast as the line takes it. 0: nothing new is begun."""


def rate_at(now: datetime, periods: tuple[Period, ...], *, zone: str | None, otherwise: float | None) -> float:
    """Return the rate in Mbit/s at an instant, by the first period that covers it; inf: no limit, 0: closed.

    Without a ``zone`` the clock on the wall is this machine's.
    """
    local = wall_clock(now, zone)
    rate = next((p.mbit_per_s for p in periods if covers(p.when, local)), otherwise)
    return inf if rate is None else rate
