"""How large a box must be: what comes in, what the line takes, how long an outage may last. All pure.

The scanners give evenly during their hours, from hour 0 of each day on; the line works all day. What is proved in the
archive takes no room: it is freed first where room is wanted. GB are 10^9 bytes, TB 10^12.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from hardware.judgement import PoolSettings

DAY_H = 24.0
_LINE = 0.9
"""What is left of a line's rate for the bytes of files: TLS, HTTP, TCP and the pauses between requests."""
SHARE = 0.57
"""What packing leaves of a byte: of the twelve real files of `tests/bench/codec.py` the one that shrinks least."""
FULL = PoolSettings().protect_above_percent / 100
"""So full a pool packs nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The scanners and the line of one relay."""

    scanners: int = 1
    gb_per_day: float
    """Of each scanner, as its files are; the mean where they differ."""
    busiest_gb_per_day: float | None = None
    """Of the busiest scanner, where they differ."""
    images_gb_per_day: float = 0.0
    """Of all scanners together; images are kept as they are."""
    hours: float = 12.0
    """In which that is measured each day."""
    uplink_mbit_per_s: float
    share: float = SHARE
    limit_mbit_per_s: float = 250.0
    """The most that is read from one scanner."""
    packs_mb_per_s: float = 50.0
    """As `kspace bench` measures packing: on two old cores, busy with other work."""

    @property
    def stored_gb_per_day(self) -> float:
        """Return what comes into the pool each day."""
        return self.scanners * self.gb_per_day * self.share + self.images_gb_per_day

    @property
    def coming_gb_per_hour(self) -> float:
        """Return what comes into the pool while the scanners work."""
        return self.stored_gb_per_day / self.hours

    @property
    def going_gb_per_hour(self) -> float:
        """Return what the line takes out of the pool."""
        return self.uplink_mbit_per_s * _LINE / 8 * 3.6

    @property
    def used(self) -> Mapping[str, float]:
        """Return which part of each stretch's day is used; what is above 1 never keeps up."""
        raw, most = (gb * 8000 / 86_400 for gb in (self.gb_per_day, self.busiest_gb_per_day or self.gb_per_day))
        return {
            "the line to the archive": self.stored_gb_per_day / DAY_H / self.going_gb_per_hour,
            "the limit of a scanner": most / self.limit_mbit_per_s,
            "packing": self.scanners * raw / 8 / self.packs_mb_per_s,
        }


def hours_of_buffer(site: Site, *, pool_tb: float) -> float | None:
    """Return after how many hours without the line the pool is full, at the worst moment for it to break.

    None: the line does not keep up even without an outage. The worst moment is the begin of the scanners' hours, or
    while a day's data still wait: so that a later day's hours end just as the pool is full.
    """
    if site.used["the line to the archive"] > 1:
        return None
    room, daily = pool_tb * 1000 * FULL, site.stored_gb_per_day
    days = ceil(room / daily) - 1
    waits_for_h = ((days + 1) * daily - room) / min(site.coming_gb_per_hour, site.going_gb_per_hour)
    return min(_hours_until(room, site), days * DAY_H + site.hours - waits_for_h)


def catch_up_hours(site: Site, *, outage_h: float) -> float | None:
    """Return how long after an outage, which began with the scanners' day, all that came meanwhile and since is sent.

    None: the line only just keeps up, or not even that.
    """
    left, gone, phase = _came(outage_h, site), 0.0, outage_h % DAY_H
    less_a_day = DAY_H * site.going_gb_per_hour - site.stored_gb_per_day
    if less_a_day <= 0:
        return None
    while left:
        days = max(0, int(left / less_a_day) - 1) if phase == 0 else 0
        left, gone = left - days * less_a_day, gone + days * DAY_H
        is_coming = phase < site.hours
        until = (site.hours if is_coming else DAY_H) - phase
        less = site.going_gb_per_hour - (site.coming_gb_per_hour if is_coming else 0.0)
        if less * until >= left:
            return gone + left / less
        left, gone = left - less * until, gone + until
        phase = site.hours if is_coming and site.hours < DAY_H else 0.0
    return gone


def needed_tb(site: Site, *, outage_h: float) -> float:
    """Return how large a pool must be for an outage that begins at the worst moment."""
    behind = max(0.0, site.coming_gb_per_hour - site.going_gb_per_hour)
    moments = (0.0, site.hours, (site.hours - outage_h) % DAY_H)
    waits = [max(0.0, behind * min(x, site.hours) - site.going_gb_per_hour * max(0.0, x - site.hours)) for x in moments]
    most = max(w + _came(x + outage_h, site) - _came(x, site) for x, w in zip(moments, waits, strict=True))
    return most / 1000 / FULL


def backlog(site: Site, *, outage_h: float) -> Iterator[tuple[float, float]]:
    """Yield hours and the GB that wait then, from an outage's begin until all is sent: the curve's corners."""
    yield 0.0, 0.0
    end = outage_h + (catch_up_hours(site, outage_h=outage_h) or outage_h)
    corners = {n * DAY_H + x for n in range(int(end // DAY_H) + 1) for x in (0.0, site.hours)} | {outage_h, end}
    for hour in sorted(corner for corner in corners if 0 < corner <= end):
        sent = max(0.0, hour - outage_h) * site.going_gb_per_hour
        yield hour, max(0.0, _came(hour, site) - sent)


def _hours_until(came: float, site: Site) -> float:
    """Return how many hours after a day's begin more than so much has come in."""
    days, rest = divmod(came, site.stored_gb_per_day)
    return days * DAY_H + rest / site.coming_gb_per_hour


def _came(hours: float, site: Site) -> float:
    days, rest = divmod(hours, DAY_H)
    return days * site.stored_gb_per_day + min(rest, site.hours) * site.coming_gb_per_hour
