"""What `kspace pools` and `kspace status` tell of the box: pools, what they hold, and what is watched."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hardware.chart import chart
from hardware.pools import amount
from hardware.records import PoolMode, Reading
from kspace.errors import NotFound
from transfer.app.deleting import served_readers
from transfer.app.wiring import Box
from transfer.catalog import ledger
from transfer.catalog.flow import growth
from transfer.catalog.readings import history, newest_readings
from transfer.catalog.room import contents, packed_captures

_FRESH = timedelta(minutes=3)
_SPANS = ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """One pool now. ``percent`` and ``free_bytes`` are None where its disk does not answer."""

    name: str
    mode: PoolMode
    percent: float | None
    free_bytes: int | None
    bytes_per_day: float | None
    days_to_full: float | None

    @property
    def line(self) -> str:
        """The pool in one line."""
        if self.percent is None or self.free_bytes is None:
            return f"{self.name} does not answer, {self.mode}"
        full = f"{self.name} {self.percent:.0f} % full ({amount(self.free_bytes)} free), {self.mode}"
        return full if self.days_to_full is None else f"{full}, full in about {self.days_to_full:.0f} days"


def pool_reports(box: Box) -> list[PoolReport]:
    """Look at every pool; the mode is the running engine's where one runs, since it depends on what was before."""
    reports, now, machine = [], box.clock.now(), box.config.relay.name
    with box.database.read() as connection:
        told = {
            (r.what, r.of): r for at, r in newest_readings(connection, machine=machine, now=now) if at > now - _FRESH
        }
        for pool in box.pools:
            space, running = pool.space(), told.get(("pool_mode", pool.name))
            grows = growth(connection, pool.name, space.free_bytes if space else 0, machine=machine, now=now)
            reports.append(
                PoolReport(
                    name=pool.name,
                    mode=list(PoolMode)[int(running.value)] if running else pool.mode(),
                    percent=space.percent if space else None,
                    free_bytes=space.free_bytes if space else None,
                    bytes_per_day=grows.bytes_per_day,
                    days_to_full=grows.days_to_full,
                )
            )
        for reader in served_readers(box.config):
            read = {reading.what: reading for reading in reader.read()}
            if not read:
                continue
            name, free = read["pool_free_bytes"].of, int(read["pool_free_bytes"].value)
            grows = growth(connection, name, free, machine=machine, now=now)
            reports.append(
                PoolReport(
                    name=f"folder of {name}",
                    mode=PoolMode.NORMAL,
                    percent=read["served_used_percent"].value,
                    free_bytes=free,
                    bytes_per_day=grows.bytes_per_day,
                    days_to_full=grows.days_to_full,
                )
            )
    return reports


def box_report(box: Box) -> dict[str, Any]:
    """Return what `spool_report` does, and what of it no session is known for."""
    with box.database.read() as connection:
        homeless = ledger.homeless(connection, now=box.clock.now(), machine=box.config.relay.name)
    kept = {"captures": homeless["kept"], "bytes": homeless["kept_bytes"], "oldest_at": homeless["oldest_at"]}
    return spool_report(box) | {"without_session": kept}


def spool_report(box: Box) -> dict[str, Any]:
    """Return the pools, what the spool holds and when it goes, and what of the box is not watched."""
    relay, now = box.config.relay, box.clock.now()
    with box.database.read() as connection:
        held = contents(connection, machine=relay.name, keep_s=relay.keep_s, keep_images_s=relay.keep_images_s)
        newest = [reading for _, reading in newest_readings(connection, machine=relay.name, now=now)]
        whole = packed_captures(connection, machine=relay.name)
    half = list(_read_in_part(relay.spool, whole))
    return {
        "pools": [asdict(report) | {"line": report.line} for report in pool_reports(box)],
        "unproved": {
            "captures": held.unproved_captures,
            "bytes": held.unproved_bytes + held.unproved_image_bytes,
            "images": held.unproved_images,
        },
        "half_packed": {"captures": len(half), "bytes": sum(half)},
        "proved": {"bytes": sum(size for _, size in held.releases), "goes": _steps(held.releases, now)},
        "unwatched": {reading.of: reading.said for reading in newest if _is_unwatched(reading)},
    }


def fill_picture(box: Box, *, since: datetime) -> str:
    """Return how the spool's disk filled and emptied since an instant, with the limits of its modes, as SVG.

    Raises:
        NotFound: there are no readings of that time.
    """
    with box.database.read() as connection:
        used, free = (
            history(connection, f"pool_{what}_bytes", "spool", machine=box.config.relay.name, since=since)
            for what in ("used", "free")
        )
    if len(used) < 2 or not free:
        raise NotFound("The disk was not looked at often enough meanwhile; is `kspace serve` running?")
    first, settings, room = used[0][0], box.config.pool, used[-1][1] + free[-1][1]
    span_s = (used[-1][0] - first).total_seconds()
    unit_s, unit = next(u for u in _SPANS if span_s >= 3 * u[0] or u is _SPANS[-1])
    small, up = (1e9, "GB") if room >= 10e9 else (1e6, "MB")
    return chart(
        [((at - first).total_seconds() / unit_s, value / small) for at, value in used],
        across=unit,
        up=up,
        limits=[
            (room * percent / 100 / small, f"{mode} above {percent:g} %")
            for mode, percent in (
                (PoolMode.SLOW, settings.slow_above_percent),
                (PoolMode.PROTECT, settings.protect_above_percent),
                (PoolMode.REFUSE, settings.refuse_above_percent),
            )
        ],
        title=f"The spool of {box.config.relay.name} from {first:%Y-%m-%d %H:%M} UTC on: a disk of {amount(room)}",
    )


def _read_in_part(spool: Path, whole: Collection[int]) -> Iterator[int]:
    """Yield the bytes of each packed file that is not whole; one that ends meanwhile is no longer one."""
    for path in spool.glob("*.packed"):
        if path.stem.isdigit() and int(path.stem) not in whole:
            with suppress(FileNotFoundError):
                yield path.stat().st_size


def _steps(releases: Any, now: datetime) -> list[dict[str, Any]]:  # noqa: ANN401 -- pairs of instant and bytes
    """Add up by the day, so that a person reads a handful of lines."""
    by_day: dict[str, int] = {}
    for at, size in releases:
        day = f"{max(at, now):%Y-%m-%d}"
        by_day[day] = by_day.get(day, 0) + size
    return [{"on": day, "bytes": size} for day, size in by_day.items()]


def _is_unwatched(reading: Reading) -> bool:
    return reading.what == "reader_is_missing" or (reading.what == "reader_failures" and reading.value > 0)
