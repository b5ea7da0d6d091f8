"""`kspace retry`: a person has seen to the cause."""

from typing import Annotated

import typer

from transfer import operations
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, actor, open_box


def retry(
    reference: Annotated[str, typer.Argument(metavar="ID", help="A capture's number (12) or a delivery's (d5).")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_is: Annotated[
        bool,
        typer.Option("--as-is", help="Take as it is: a damaged or unwanted file, a session shown in part."),
    ] = False,
) -> None:
    """Go on with held work, or look at waiting work now."""
    box = open_box(config)
    moved = operations.retry(box.database, reference, actor=actor(), clock=box.clock, as_is=as_is)
    box.close()
    typer.echo(f"Going on with {', '.join(moved)}; `kspace status` shows how it goes.")
