"""`kspace host`: the files of the box's own system, and what must be true before it goes beside a scanner."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from hardware.host import PROGRAMS
from hardware.host.drill import write_until_cut
from kspace.errors import BadInput, NotFound
from transfer.app.accepting import accept_machine, accept_pool, after_power_cut, become_account
from transfer.app.checks import Finding, run_checks
from transfer.app.cli.check import tell_findings
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, open_box
from transfer.app.hosting import files_of, warnings_of
from transfer.config import Config, load_config

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
    loaded = load_config(config)
    made = files_of(loaded)
    for warning in warnings_of(loaded):
        typer.echo(f"warn  {warning}", err=True)
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


@host.command("accept")
def accept(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    gigabytes: Annotated[float, typer.Option(min=0.01, max=1000, help="How much to write on the pool.")] = 4.0,
    is_drill: Annotated[bool, typer.Option("--power-cut", help="Write until you pull the plug.")] = False,
    after_cut: Annotated[
        int | None, typer.Option("--after-power-cut", min=0, help="The last number seen before the cut.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Test the box before it goes beside a scanner: a line each, what is right and what to do.

    Disks and their self-tests, mirrors, links, clock, the speed of the pool, and all that `kspace check` tries. Run it
    as root: disks tell nobody else. With --power-cut, by SSH: it counts what is safe on the disk until you pull the
    plug; the last number stays on your screen. After the start, --after-power-cut NUMBER tells whether all of it is
    there. Exit code 0 only if everything is right.
    """
    loaded = load_config(config)
    if is_drill:
        become_account(loaded)
        typer.echo("Pull the plug when you like; keep the last number you see.")
        write_until_cut(loaded.relay.folder / "power-cut", acknowledge=lambda number: typer.echo(f"{number} is safe"))
        raise BadInput("The plug was not pulled; remove the folder power-cut, and begin again.")
    if after_cut is not None:
        tell_findings([after_power_cut(loaded, acknowledged=after_cut)], as_json=as_json)
    else:
        tell_findings(_accepted(config, loaded, gigabytes=gigabytes), as_json=as_json)


def _accepted(path: Path, config: Config, *, gigabytes: float) -> Iterator[Finding]:
    yield from accept_machine(config)
    become_account(config)
    box = open_box(path)
    try:
        typer.echo(f"Writing {gigabytes:g} GB, and reading them back…", err=True)
        yield accept_pool(box, gigabytes=gigabytes)
        yield from run_checks(box)
    finally:
        box.close()
