"""`kspace size`: how large a box must be, and how long it lasts without its line."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hardware.builds import BUILDS, smallest_build
from hardware.sizing import DAY_H, FULL, SHARE, Site, backlog, catch_up_hours, hours_of_buffer, needed_tb
from hardware.sizing_picture import picture
from kspace.errors import BadInput
from transfer.app.cli.options import AsJson, print_json


def size(  # noqa: PLR0913 -- each is an option
    *,
    gb_per_day: Annotated[float, typer.Option(min=0.001, max=1e6, help="GB of raw data a scanner and day.")],
    uplink: Annotated[float, typer.Option(min=0.001, max=1e6, help="Mbit/s to the archive.")],
    scanners: Annotated[int, typer.Option(min=1, max=100, help="How many scanners.")] = 1,
    pool: Annotated[float, typer.Option(min=0.001, max=1e5, help="TB of the pool.")] = BUILDS[-1].pool_tb,
    hours: Annotated[float, typer.Option(min=0.1, max=24, help="Hours of scanning a day.")] = 12.0,
    outage: Annotated[float, typer.Option(min=0, max=1000, help="Days without the line to last.")] = 7.0,
    share: Annotated[float, typer.Option(min=0.01, max=2, help="What packing leaves of a byte.")] = SHARE,
    images_only: Annotated[bool, typer.Option("--images-only", help="DICOM alone, which is not packed.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw what waits during the outage and after it: FILE.svg.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how long a box lasts without its line, how soon it catches up, what ends it, and which build fits."""
    site = Site(
        scanners=scanners,
        gb_per_day=gb_per_day,
        hours=hours,
        uplink_mbit_per_s=uplink,
        share=1.0 if images_only else share,
    )
    outage_h = outage * DAY_H
    used = dict(site.used)
    bottleneck = max(used, key=lambda name: used[name])
    build = smallest_build(site, outage_h=outage_h, is_raw=not images_only)
    answer = {
        "stored_gb_per_day": site.stored_gb_per_day,
        "buffer_days": _days(hours_of_buffer(site, pool_tb=pool)),
        "catch_up_days": _days(catch_up_hours(site, outage_h=outage_h)),
        "needed_tb": needed_tb(site, outage_h=outage_h),
        "bottleneck": bottleneck,
        "used": used,
        "build": build.name if build else None,
    }
    if plot is not None:
        _draw(site, plot, outage_h=outage_h, pool=pool)
    if as_json:
        print_json(answer)
    else:
        _tell(answer, outage=outage, pool=pool)


def _days(hours: float | None) -> float | None:
    return None if hours is None else hours / DAY_H


def _tell(answer: dict[str, Any], *, outage: float, pool: float) -> None:
    typer.echo(f"{answer['stored_gb_per_day']:,.0f} GB come into the pool each day.")
    if answer["buffer_days"] is None:
        typer.echo("The line does not keep up: what waits grows every day, whatever the pool.")
    else:
        lasts = f"lasts {answer['buffer_days']:.1f} days, whenever it breaks"
        typer.echo(f"Without the line a pool of {pool:g} TB {lasts}.")
    if answer["catch_up_days"] is not None:
        typer.echo(f"After {outage:g} days of outage all is sent within {answer['catch_up_days']:.1f} days more.")
    used = ", ".join(f"{name} {part:.0%}" for name, part in answer["used"].items())
    typer.echo(f"Used of a day: {used}. What ends it first is {answer['bottleneck']}.")
    needed = f"An outage of {outage:g} days needs {answer['needed_tb']:.1f} TB"
    typer.echo(f"{needed}: {answer['build'] or 'none of the builds holds that; take more disks, or two boxes'}.")


def _draw(site: Site, plot: Path, *, outage_h: float, pool: float) -> None:
    if plot.suffix != ".svg":
        raise BadInput(f"The picture is an SVG: name it {plot.stem}.svg.")
    drawn = picture(
        list(backlog(site, outage_h=outage_h)),
        outage_h=outage_h,
        room_gb=pool * 1000 * FULL,
        title=f"{site.stored_gb_per_day:,.0f} GB a day, {site.uplink_mbit_per_s:g} Mbit/s, a pool of {pool:g} TB",
    )
    try:
        plot.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"The picture {plot} cannot be written: {error.strerror}.") from error
