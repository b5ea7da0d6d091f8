"""The boxes to choose from: what each is for, and what of its disks is the pool's."""

from dataclasses import dataclass

from hardware.sizing import Site, needed_tb


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
