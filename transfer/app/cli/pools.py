"""`kspace pools`: how full the disks are, when they will be full, and what goes when."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from hardware.pools import amount
from transfer.app.box_report import box_report, fill_picture
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, open_box, print_json, save_picture

_BAR = 20
_DAYS = 5


def pools(
    config: ConfigPath = DEFAULT_CONFIG,
    plot: Annotated[Path | None, typer.Option(help="Draw how the spool's disk filled: FILE.svg.")] = None,
    days: Annotated[float, typer.Option(min=0.001, max=366, help="How far back to draw.")] = 14.0,
    as_json: AsJson = False,
) -> None:
    """Show each disk: fill, growth, days to full, mode; and what is freed when.

    What no archive has proved to hold is never freed, however full a disk is.
    """
    box = open_box(config)
    report = box_report(box)
    if plot is not None:
        save_picture(fill_picture(box, since=box.clock.now() - timedelta(days=days)), plot)
    box.close()
    if as_json:
        print_json(report)
    else:
        typer.echo("\n".join(lines(report)))


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the report for people."""
    for pool in report["pools"]:
        yield f"[{_bar(pool['percent'])}] {pool['line']}"
        yield f"  {_growth(pool)}"
    unproved, half, proved = report["unproved"], report["half_packed"], report["proved"]
    what = f"{unproved['captures']:,} captures, {unproved['images']:,} images"
    yield f"Not proved yet: {amount(unproved['bytes'])} ({what}); stays, whatever happens."
    if (alone := report["without_session"])["captures"]:
        what = (
            f"{amount(alone['bytes'])} ({alone['captures']:,} captures, the oldest since {alone['oldest_at']:%Y-%m-%d})"
        )
        yield f"Of it without a session: {what}; stays until its images come or `kspace link` says where it belongs."
    if half["captures"]:
        yield f"Read in part: {amount(half['bytes'])} ({half['captures']:,} captures); they go on from there."
    yield f"Proved: {amount(proved['bytes'])}; goes at once, oldest first, where a disk is not normal."
    for step in proved["goes"][:_DAYS]:
        yield f"  {amount(step['bytes'])} on {step['on']}"
    if rest := proved["goes"][_DAYS:]:
        yield f"  {amount(sum(step['bytes'] for step in rest))} later, the last on {rest[-1]['on']}"
    for kind, said in report["unwatched"].items():
        yield f"Not watched ({kind}): {said}"


def _bar(percent: float | None) -> str:
    full = round((percent or 0) / 100 * _BAR)
    return "?" * _BAR if percent is None else "#" * full + "-" * (_BAR - full)


def _growth(pool: dict[str, Any]) -> str:
    if pool["bytes_per_day"] is None:
        return "grows by an unknown rate: less than a day of history"
    if pool["days_to_full"] is None:
        return f"changes by {amount(pool['bytes_per_day'])} a day; no end in sight"
    return f"grows by {amount(pool['bytes_per_day'])} a day; full in about {pool['days_to_full']:.0f} days"
