"""`kspace hold`: a person wants to stop something where it stands."""

from typing import Annotated

import typer

from transfer import operations
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, actor, open_box


def hold(
    reference: Annotated[str, typer.Argument(metavar="ID", help="A capture's number (12) or a delivery's (d5).")],
    reason: Annotated[str, typer.Option(help="Why, in a few words without patient data.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Stop work where it stands; nothing is deleted.

    A capture takes its deliveries with it. `kspace retry` goes on.
    """
    box = open_box(config)
    held = operations.hold(box.database, reference, reason=reason, actor=actor(), clock=box.clock)
    box.close()
    typer.echo(f"Held: {', '.join(held)}. `kspace retry {reference}` goes on.")
