"""Sizing from what the catalog has seen, for the command line and the web page."""

from hardware.builds import Answer
from hardware.sizing import SHARE, Site
from kspace.errors import BadInput
from transfer.app.wiring import Box
from transfer.catalog.usage import usage

_LEAST_DAYS = 1.0


def size_from_history(
    box: Box, *, uplink_mbit_per_s: float | None = None, hours: float = 12.0, outage_days: float = 7.0
) -> Answer:
    """Return how large this box must be, by its busiest week of the last four and the pool that it has.

    Raises:
        BadInput: there is under a day of history, or no line is known and none was named.
    """
    with box.database.read() as connection:
        seen = usage(connection, now=box.clock.now())
    if seen.days < _LEAST_DAYS:
        raise BadInput("There is less than a day of history here yet; see `kspace size --gb-per-day 50 --uplink 100`.")
    line = uplink_mbit_per_s or seen.uplink_mbit_per_s
    if line is None:
        raise BadInput("Too few large deliveries tell what the line takes; see `kspace size --uplink 100`.")
    rates = [*seen.raw_gb_per_day.values()]
    spool = box.pools[0].space()
    site = Site(
        scanners=max(1, len(rates)),
        gb_per_day=sum(rates) / max(1, len(rates)),
        busiest_gb_per_day=max(rates, default=0.0),
        images_gb_per_day=seen.images_gb_per_day,
        hours=hours,
        uplink_mbit_per_s=line,
        share=seen.share or SHARE,
        limit_mbit_per_s=min((s.limit_mbit_per_s for s in box.config.scanner), default=250.0),
    )
    own = [f"{name}: {rate:,.1f} GB of raw data a day" for name, rate in seen.raw_gb_per_day.items()]
    measured = "named" if uplink_mbit_per_s else "at least, as large deliveries were carried"
    return Answer(
        site=site,
        pool_tb=(spool.used_bytes + spool.free_bytes) / 1e12 if spool else 0.0,
        outage_days=outage_days,
        is_raw=bool(rates),
        seen=(
            f"Seen in {min(seen.days, 28):.0f} days, by the busiest week:",
            *own,
            f"images: {seen.images_gb_per_day:,.1f} GB a day",
            f"packing leaves {site.share:.0%} of a byte" + ("" if seen.share else " (nothing was packed yet)"),
            f"the line: {line:,.0f} Mbit/s ({measured})",
        ),
    )
