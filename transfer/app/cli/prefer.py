"""`kspace prefer`: a person wants something to go before the rest."""

from typing import Annotated

import typer

from transfer import operations
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, actor, open_box


def prefer(
    reference: Annotated[str, typer.Argument(metavar="ID", help="A capture's number (12) or a delivery's (d5).")],
    config: ConfigPath = DEFAULT_CONFIG,
    priority: Annotated[int, typer.Option(min=-9, max=9, help="0 is usual; higher goes first, lower last.")] = 1,
) -> None:
    """Let work go before all other work that is due; what runs already is not stopped.

    A capture takes its deliveries with it, also those that are planned later.
    """
    box = open_box(config)
    moved = operations.prefer(box.database, reference, priority=priority, actor=actor(), clock=box.clock)
    box.close()
    typer.echo(f"Priority {priority} for {', '.join(moved)}; `kspace status` shows how it goes.")
