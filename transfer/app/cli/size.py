"""`kspace size`: how large a box must be, and how long it lasts without its line."""

from pathlib import Path
from typing import Annotated

import typer

from hardware.builds import BUILDS, Answer
from hardware.sizing import SHARE, Site
from kspace.errors import BadInput
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, open_box, print_json, save_picture
from transfer.app.sizing import size_from_history


def size(  # noqa: PLR0913 -- each is an option
    *,
    gb_per_day: Annotated[
        float | None, typer.Option(min=0.001, max=1e6, help="GB of raw data a scanner and day.")
    ] = None,
    uplink: Annotated[float | None, typer.Option(min=0.001, max=1e6, help="Mbit/s to the archive.")] = None,
    scanners: Annotated[int, typer.Option(min=1, max=100, help="How many scanners.")] = 1,
    pool: Annotated[float, typer.Option(min=0.001, max=1e5, help="TB of the pool.")] = BUILDS[-1].pool_tb,
    hours: Annotated[float, typer.Option(min=0.1, max=24, help="Hours of scanning a day.")] = 12.0,
    outage: Annotated[float, typer.Option(min=0, max=1000, help="Days without the line to last.")] = 7.0,
    share: Annotated[float, typer.Option(min=0.01, max=2, help="What packing leaves of a byte.")] = SHARE,
    images_only: Annotated[bool, typer.Option("--images-only", help="DICOM alone, which is not packed.")] = False,
    from_history: Annotated[
        bool,
        typer.Option("--from-history", help="By what this relay saw: its busiest week of four, its line, its pool."),
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw what waits during the outage and after it: FILE.svg.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say how long a box lasts without its line, how soon it catches up, what ends it, and which build fits."""
    if from_history:
        box = open_box(config)
        answer = size_from_history(box, uplink_mbit_per_s=uplink, hours=hours, outage_days=outage)
        box.close()
    elif gb_per_day is None or uplink is None:
        raise BadInput("Name --gb-per-day and --uplink, or take --from-history.")
    else:
        site = Site(
            scanners=scanners,
            gb_per_day=gb_per_day,
            hours=hours,
            uplink_mbit_per_s=uplink,
            share=1.0 if images_only else share,
        )
        answer = Answer(site=site, pool_tb=pool, outage_days=outage, is_raw=not images_only)
    if plot is not None:
        save_picture(answer.svg(), plot)
    if as_json:
        print_json(answer.figures())
    else:
        typer.echo("\n".join(answer.sentences()))
