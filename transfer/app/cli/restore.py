"""`kspace restore`: the original file back from the archive."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from kspace.errors import NotFound
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, console, open_box
from transfer.app.custody import verified
from transfer.restore import restore as restore_file


def restore(
    capture_id: Annotated[int, typer.Argument(metavar="ID", help="The capture's number.")],
    target: Annotated[Path, typer.Option("--output", "-o", help="The file to write; it must not exist.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Fetch the original file back from the archive.

    Byte for byte: the file appears only once its SHA-256 is that of the file on the scanner.
    """
    box = open_box(config)
    found = verified(box, capture_id)
    if not found:
        raise NotFound(f"Capture {capture_id} is verified in no archive yet; `kspace show {capture_id}` says why.")
    held = found[0]
    with Progress("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console) as bar:
        task = bar.add_task(f"From {held.destination}", total=None)
        size = restore_file(
            held.archive,
            place=held.place,
            folder=held.folder,
            sha256_expected=held.sha256,
            target=target,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    box.close()
    typer.echo(f"{target}: {size:,} bytes, SHA-256 {held.sha256}, identical to the file on the scanner.")
