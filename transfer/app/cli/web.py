"""`kspace web`: the page alone, beside an engine that runs elsewhere on the same catalog."""

from typing import Annotated

import typer

from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath
from transfer.app.cli.serve import run
from transfer.app.web.signin import hashed

_SHORTEST = 12


def web(
    config: ConfigPath = DEFAULT_CONFIG,
    hash_password: Annotated[
        bool, typer.Option("--hash-password", help="Ask for the local administrator's password and print its hash.")
    ] = False,
) -> None:
    """Serve the web page alone; Ctrl-C ends it.

    `kspace serve` serves it too. Both need a table [web] in the configuration.
    """
    if not hash_password:
        run(config, with_engine=False, with_listener=False)
        return
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if len(password) < _SHORTEST:
        raise typer.BadParameter(f"Take at least {_SHORTEST} characters.")
    typer.echo(hashed(password))
