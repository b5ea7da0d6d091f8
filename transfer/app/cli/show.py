"""`kspace show ID`: the whole story of one capture. `kspace show FILE`: what a raw file on this disk is."""

from pathlib import Path
from typing import Annotated

import typer

from kspace.errors import NotFound
from transfer.app.cli.options import DEFAULT_CONFIG, LARGEST_ID, AsJson, ConfigPath, console, open_box, print_json
from transfer.app.cli.show_file import show_file
from transfer.app.cli.story import lines
from transfer.app.rawfile import printable
from transfer.catalog import lists


def show(
    what: Annotated[
        str, typer.Argument(metavar="ID|FILE", help="A capture's number, as `kspace status` shows it; or a raw file.")
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
    png: Annotated[Path | None, typer.Option(help="Of a file: write its quick look here; it must not exist.")] = None,
) -> None:
    """Show one capture, or one raw file, in full.

    Of a capture: what it is, what was decided and why, where it was sent, what the archive proved. Of a raw file on
    this disk (./12 where its name is a number): what it is, and whether it is whole.
    """
    if what.isascii() and what.isdigit() and len(what) <= len(str(LARGEST_ID)):
        _show_capture(int(what), config, as_json=as_json)
    elif Path(what).exists():
        show_file(Path(what), as_json=as_json, png=png)
    else:
        raise NotFound(
            f"{printable(what)} is neither a capture's number nor a file; `kspace status` shows the numbers."
        )


def _show_capture(capture_id: int, config: Path, *, as_json: bool) -> None:
    box = open_box(config)
    with box.database.read() as connection:
        story = lists.story(connection, capture_id)
    box.close()
    if as_json:
        print_json(story)
        return
    for label, value in lines(story):
        console.print(f"{label:>12}  {value}", highlight=False, markup=False)
