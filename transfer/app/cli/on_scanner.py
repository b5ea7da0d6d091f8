"""`kspace on-scanner`: what a listing of the console shows beside what was exported."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from kspace.errors import NotFound
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json
from transfer.catalog.onscanner import Listed, on_scanner_of


def on_scanner(
    scanner: Annotated[str, typer.Argument(help="The scanner's name.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
    with_all: Annotated[bool, typer.Option("--all", help="Also what was exported, or is not there any more.")] = False,
) -> None:
    """Show which measurements the scanner has that nobody exported, by the listing of RaidTool read last."""
    box = open_box(config)
    with box.database.read() as connection:
        found = on_scanner_of(connection, scanner)
    box.close()
    if not found:
        raise NotFound(
            f"No listing of {scanner} was read. Leave what `RaidTool -d` prints, as text, in its export folder."
        )
    shown = (
        found if with_all else [one for one in found if one.capture_id is None and one.is_there and not one.is_retro]
    )
    if as_json:
        print_json([asdict(one) for one in shown])
        return
    table = Table("FileID", "MeasID", "Protocol", "Created", "MB", "", box=None, pad_edge=False)
    for one in shown:
        size = f"{one.size / 1e6:,.1f}"
        table.add_row(
            str(one.file_id), str(one.meas_id), one.protocol or "(cannot be told)", one.created, size, _said(one)
        )
    console.print(table)
    lacking = sum(one.capture_id is None and one.is_there and not one.is_retro for one in found)
    typer.echo(f"{lacking:,} of {sum(one.is_there for one in found):,} on the scanner are not exported.")


def _said(one: Listed) -> str:
    if one.capture_id is not None:
        return f"capture {one.capture_id}"
    if not one.is_there:
        return "not exported; on the scanner no more"
    return "being acquired" if one.status == "wip" else ("reconstructed later" if one.is_retro else "not exported")
