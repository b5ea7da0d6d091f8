"""`kspace free`: a person lets images go that no archive takes."""

from typing import Annotated

import typer

from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, actor, open_box
from transfer.assigning import free


def free_images(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study's number (t3), as `kspace study` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, in a few words without patient data.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Free the spool of images that a filter left out, that an archive refused or lacks, or that came twice.

    They are deleted here and lie nowhere else. What an archive is to have stays until it is proved there.
    """
    box = open_box(config)
    images, size = free(box.database, study, reason=reason, actor=actor(), clock=box.clock)
    box.close()
    typer.echo(f"Freed {images} images, {size / 1e9:.2f} GB; `kspace study {study}` keeps your name and the reason.")
