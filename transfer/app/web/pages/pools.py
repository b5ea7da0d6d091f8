"""Pools and disks: how full, since when, until when; and all that is read of the box; for administrators."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from markupsafe import Markup
from starlette.responses import Response

from hardware.pools import amount
from transfer.app.box_report import spool_report
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.charts import by_day, line_chart, window
from transfer.app.web.site import Site, admin_of, site_of
from transfer.catalog.readings import history, newest_readings

router = APIRouter()
Days = Annotated[Literal["14", "60", "365"], Query()]
_BACKLOG = ("raw files", "images")
_POOLS = ("pool_", "backlog_", "oldest_", "last_", "reader_", "quiet_")
"""What of the readings is told elsewhere."""
_WELL = {"disk_is_healthy": 1, "raid_is_running": 1, "clock_is_synchronised": 1, "network_is_up": 1}
_ILL = ("raid_failed_members", "raid_missing_members", "ups_is_on_battery", "zfs_bad_devices", "zfs_errors")


@router.get("/pools", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(admin_of)], days: Days = "14") -> Response:
    """Show the disks."""
    site = site_of(request)
    told = tell(site, int(days))
    charts = [_chart(one, told["at"], int(days)) for one in told["histories"]]
    page = {"told": told, "charts": charts, "days": days, "choices": ("14", "60", "365")}
    return site.page(request, "pools.html", page, visit=visit)


@router.get("/api/pools", responses=ANSWERS, dependencies=[Depends(admin_of)])
def read(request: Request, days: Days = "14") -> dict[str, Any]:
    """Return the disks, and their history of so many days."""
    return tell(site_of(request), int(days))


def tell(site: Site, days: int) -> dict[str, Any]:
    """Return what stands on the page."""
    box, now = site.box, site.clock.now()
    report, machine, since = spool_report(box), box.config.relay.name, now - timedelta(days=days)
    with box.database.read() as connection:
        newest = newest_readings(connection, machine=machine, now=now)
        histories = [
            {"what": what, "of": of, "points": history(connection, what, of, machine=machine, since=since)}
            for what, of in [
                *(("pool_used_bytes", pool["name"]) for pool in report["pools"]),
                *(("backlog_bytes", of) for of in _BACKLOG),
            ]
        ]
    for pool, past in zip(report["pools"], histories, strict=False):
        past["most"] = _size(pool)
    told = [
        {
            "what": r.what.replace("_", " "),
            "of": r.of,
            "value": r.value,
            "said": r.said,
            "at": at,
            "is_well": _is_well(r.what, r.value),
        }
        for at, r in newest
        if not r.what.startswith(_POOLS)
    ]
    return report | {"at": now, "histories": histories, "readings": told, "lasts": site.lasts()}


def _chart(past: dict[str, Any], now: datetime, days: int) -> dict[str, Any]:
    points = past["points"]
    since, until = window(points, now=now, days=days)
    is_pool = past["what"] == "pool_used_bytes"
    title = f"The {past['of']} of the last {days} days" if is_pool else f"{past['of'].capitalize()} not proved yet"
    most = past.get("most") or max((value for _, value in points), default=1.0)
    drawn = Markup("")
    if len(points) > 1:
        first, last = amount(points[0][1]), amount(points[-1][1])
        named = f"{title}: from {first} to {last}, of at most {amount(most)}. The table below has each day."
        drawn = line_chart(points, since=since, until=until, most=most, named=named)
    return {"title": title, "drawn": drawn, "most": most, "days": by_day(points)[:31]}


def _size(pool: dict[str, Any]) -> float | None:
    if pool["free_bytes"] is None or pool["percent"] is None or pool["percent"] >= 100:
        return None
    size: float = pool["free_bytes"] / (1 - pool["percent"] / 100)
    return size


def _is_well(what: str, value: float) -> bool:
    return value == _WELL[what] if what in _WELL else not (what in _ILL and value)
