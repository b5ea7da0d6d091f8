"""`kspace bench`: what this machine and its lines can keep up with, and where it ends."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from transfer.app.bench import Stretch, run_bench
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json


def bench(
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
    gigabytes: Annotated[float, typer.Option(min=0.01, max=100, help="How much to write and pack.")] = 1.0,
    share: Annotated[str | None, typer.Option(help="A source to read from, as SCANNER/1; within its limit.")] = None,
    project: Annotated[str | None, typer.Option(help="A scratch project, to measure the lines there.")] = None,
) -> None:
    """Measure disk, processors and lines, and say what the relay can sustain.

    Nothing of it stays: what is written to the spool and to the scratch project is removed again. The scanner's share
    is left alone unless --share names it; then it is read as the relay would read it, within its windows and its limit.
    """
    box = open_box(config)
    with console.status("Measuring…") as shown:

        def tell(what: str) -> None:
            shown.update(f"Measuring… {what}")

        stretches = list(run_bench(box, gigabytes=gigabytes, share=share, project=project, tell=tell))
    box.close()
    least = min((s for s in stretches if s.gb_per_hour is not None), key=lambda s: s.gb_per_hour or 0.0)
    if as_json:
        print_json({"stretches": [asdict(s) for s in stretches], "sustains": asdict(least)})
        return
    table = Table("Stretch", "Measured", "GB an hour", box=None, pad_edge=False)
    for stretch in stretches:
        table.add_row(stretch.name, stretch.said, _number(stretch))
    console.print(table)
    typer.echo(f"This relay sustains about {_number(least)} GB of raw data an hour; what ends it is: {least.name}.")
    if project is None:
        typer.echo("The lines to the archives were not measured; --project NAME names a scratch project for that.")


def _number(stretch: Stretch) -> str:
    return "-" if stretch.gb_per_hour is None else f"{stretch.gb_per_hour:,.0f}"
