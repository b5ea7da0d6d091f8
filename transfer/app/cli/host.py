"""`kspace host`: the files of the box's own system, and what must be true before it goes beside a scanner."""

from pathlib import Path
from typing import Annotated

import typer

from hardware.host import PROGRAMS
from kspace.errors import BadInput, NotFound
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath
from transfer.app.hosting import files_of
from transfer.config import load_config

host = typer.Typer(help="Make the files of the box's own system, and test the box.", no_args_is_help=True)


@host.command("files")
def files(
    config: ConfigPath = DEFAULT_CONFIG,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="An empty folder to write them to.")] = None,
) -> None:
    """List the files of the host, or write them into a folder.

    Units, firewall, networks, taps, mounts, clock, journal, updates and the commands for the pool, all made from the
    configuration. Nothing of this system is changed: INSTALL.txt among them says how they get into their places.
    """
    made = files_of(load_config(config))
    if output is None:
        for path, text in made.items():
            typer.echo(f"{path}  ({len(text.splitlines())} lines)")
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise BadInput(
                f"The folder {output} is not empty, and old files could hide among the new ones; take another."
            )
        for path, text in made.items():
            place = output / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            if path.startswith(PROGRAMS):
                place.chmod(0o755)
    except OSError as error:
        raise BadInput(f"The files cannot be written into {output} ({error.strerror}); name another folder.") from error
    typer.echo(f"{len(made)} files are in {output}. Read INSTALL.txt there first.")


@host.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A file's path or name, such as nftables.conf.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Print one file of the host."""
    made = files_of(load_config(config))
    fitting = [path for path in made if path == name or path.endswith(f"/{name}")]
    if len(fitting) != 1:
        raise NotFound(f"{len(fitting)} files are called {name}; `kspace host files` lists them all.")
    typer.echo(made[fitting[0]], nl=False)
