"""The boxes to choose from, and the answer to how large one must be: in figures, in words and as a picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hardware.chart import chart
from hardware.sizing import DAY_H, FULL, Site, backlog, catch_up_hours, hours_of_buffer, needed_tb

_NEVER_DAYS = 3650.0
"""What takes ten years is never caught up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A box to buy, and what of its disks is the pool's."""

    name: str
    pool_tb: float
    is_for_raw: bool = True


BUILDS = (
    Build(name="small PC with a 250 GB SSD", pool_tb=0.2, is_for_raw=False),
    Build(name="small PC with a 500 GB SSD", pool_tb=0.45, is_for_raw=False),
    Build(name="4-bay mini-server with four 4 TB disks", pool_tb=8.0),
    Build(name="4-bay mini-server with four 6 TB disks", pool_tb=12.0),
    Build(name="4-bay mini-server with four 8 TB disks", pool_tb=16.0),
)
"""The two builds of hardware/README.md; four disks of which any two may fail."""


def smallest_build(site: Site, *, outage_h: float, is_raw: bool) -> Build | None:
    """Return the smallest build that holds an outage; None: none does."""
    needed = needed_tb(site, outage_h=outage_h)
    return next((b for b in BUILDS if b.pool_tb >= needed and (b.is_for_raw or not is_raw)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How long a pool lasts without its line, how soon it catches up, what ends it, and which build fits."""

    site: Site
    pool_tb: float
    outage_days: float
    is_raw: bool = True
    seen: tuple[str, ...] = ()
    """What the figures of the site rest on, a line each."""

    @property
    def behind(self) -> tuple[str, ...]:
        """What never keeps up, whatever the box."""
        found = [name for name, part in self.site.used.items() if part >= 1]
        return tuple(found or (["the line to the archive"] if self.catch_up_days is None else []))

    @property
    def buffer_days(self) -> float | None:
        """How long the pool lasts, whenever the line breaks; None: what waits grows every day."""
        hours = hours_of_buffer(self.site, pool_tb=self.pool_tb)
        return None if hours is None else max(0.0, hours) / DAY_H

    @property
    def catch_up_days(self) -> float | None:
        """How long after the outage all is sent; None: never."""
        hours = catch_up_hours(self.site, outage_h=self.outage_days * DAY_H)
        return None if hours is None or hours / DAY_H > _NEVER_DAYS else hours / DAY_H

    @property
    def needed_tb(self) -> float:
        """How large a pool the outage needs."""
        return needed_tb(self.site, outage_h=self.outage_days * DAY_H)

    @property
    def bottleneck(self) -> str:
        """What ends it first."""
        used = self.site.used
        return max(used, key=lambda name: used[name])

    @property
    def build(self) -> Build | None:
        """The smallest build that fits; None: none does, or something never keeps up, which no build mends."""
        outage_h = self.outage_days * DAY_H
        return None if self.behind else smallest_build(self.site, outage_h=outage_h, is_raw=self.is_raw)

    def figures(self) -> dict[str, Any]:
        """Return the answer for programs; what is null there is never."""
        return {
            "stored_gb_per_day": self.site.stored_gb_per_day,
            "uplink_mbit_per_s": self.site.uplink_mbit_per_s,
            "pool_tb": self.pool_tb,
            "buffer_days": self.buffer_days,
            "catch_up_days": self.catch_up_days,
            "needed_tb": self.needed_tb,
            "bottleneck": self.bottleneck,
            "behind": self.behind,
            "used": dict(self.site.used),
            "build": self.build.name if self.build else None,
            "seen": self.seen,
        }

    def sentences(self) -> Iterator[str]:
        """Yield the answer for people."""
        outage = f"outage of {self.outage_days:g} days"
        yield from self.seen
        yield f"{self.site.stored_gb_per_day:,.1f} GB come into the pool each day."
        used = ", ".join(f"{name} {part:.0%}" for name, part in self.site.used.items())
        yield f"Used of a day: {used}. What ends it first is {self.bottleneck}."
        if self.behind:
            yield (
                f"{' and '.join(self.behind).capitalize()} cannot keep up: what waits grows every day, and no box "
                "mends that. Take less in, or more of what is short; then ask again."
            )
            return
        if self.buffer_days is not None:
            lasts = f"lasts {self.buffer_days:.1f} days, whenever it breaks"
            yield f"Without the line a pool of {self.pool_tb:g} TB {lasts}."
        yield f"After an {outage} all is sent within {self.catch_up_days:.1f} days more."
        build = self.build.name if self.build else "none of the builds holds that; take more disks, or two boxes"
        yield f"An {outage} needs {self.needed_tb:.1f} TB: {build}."

    def svg(self) -> str:
        """Return what waits during the outage and after it, as a picture."""
        points = [(h / DAY_H, gb / 1000) for h, gb in backlog(self.site, outage_h=self.outage_days * DAY_H)]
        return chart(
            points,
            across="days",
            up="TB",
            limits=[(self.pool_tb * FULL, "no more is packed")],
            spans=[(0, self.outage_days, "outage")],
            title=(
                f"{self.site.stored_gb_per_day:,.0f} GB a day, {self.site.uplink_mbit_per_s:g} Mbit/s, "
                f"a pool of {self.pool_tb:g} TB"
            ),
        )
