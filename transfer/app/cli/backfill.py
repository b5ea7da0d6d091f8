"""`kspace backfill`: changed rules, and the files that are still on the scanner."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, actor, open_box, print_json
from transfer.backfilling import Wanted
from transfer.backfilling import backfill as look_again_at

_SHOWN = 20


def backfill(
    since: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Files first seen on this day or later.")],
    config: ConfigPath = DEFAULT_CONFIG,
    project: Annotated[str | None, typer.Option(help="Only what the rules of this project want.")] = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Say what would be captured, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Capture older files that a changed rule wants and that are still on the scanner."""
    box = open_box(config)
    found = look_again_at(
        box.database,
        rules=box.rules(),
        since=since.astimezone(),
        project=project,
        actor=actor(),
        clock=box.clock,
        is_dry=is_dry,
    )
    box.close()
    there, gone = [one for one in found if not one.is_gone], [one for one in found if one.is_gone]
    if as_json:
        print_json({"is_dry": is_dry, "there": [asdict(one) for one in there], "gone": [asdict(one) for one in gone]})
        return
    verb = "would be" if is_dry else "are"
    typer.echo(f"{_counted(there)} {verb} looked at again and captured, if the scanner still has them.")
    _list(there)
    if gone:
        typer.echo(f"{_counted(gone)} came too late: the scanner has them no more.")
        _list(gone)
    if there and not is_dry:
        typer.echo("`kspace status` shows how it goes. Rules of the configuration hold from the relay's next start on.")


def _counted(files: Sequence[Wanted]) -> str:
    return f"{len(files):,} files ({sum(one.size for one in files) / 1e9:,.1f} GB)"


def _list(files: Sequence[Wanted]) -> None:
    for one in files[:_SHOWN]:
        typer.echo(f"  {one.capture_id}  {one.scanner}: {one.path}  {one.size / 1e6:,.1f} MB")
    if len(files) > _SHOWN:
        typer.echo(f"  and {len(files) - _SHOWN:,} more; --json has all")
