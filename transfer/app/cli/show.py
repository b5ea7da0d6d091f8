"""`kspace show ID`: the whole story of one capture."""

from typing import Annotated

import typer

from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json
from transfer.app.cli.story import lines
from transfer.catalog import lists


def show(
    capture_id: Annotated[int, typer.Argument(metavar="ID", help="The capture's number, as `kspace status` shows it.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show one capture: what it is, what was decided and why, where it was sent, what the archive proved."""
    box = open_box(config)
    with box.database.read() as connection:
        story = lists.story(connection, capture_id)
    box.close()
    if as_json:
        print_json(story)
        return
    for label, value in lines(story):
        console.print(f"{label:>12}  {value}", highlight=False, markup=False)
