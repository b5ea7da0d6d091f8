"""`kspace sandbox`: an XNAT-compatible server to practise with."""

from pathlib import Path
from typing import Annotated

import typer

from transfer.sandbox import Sandbox, SandboxSettings


def sandbox(
    folder: Annotated[Path, typer.Argument(help="Where it keeps what it is sent; the same folder continues it.")],
    port: Annotated[int, typer.Option(help="The port on this machine.")] = 8104,
) -> None:
    """Run an XNAT-compatible server to practise with.

    It behaves like an XNAT, traps included, and is none. Users: admin/admin, relay/relay (member of project DEMO),
    reader/reader (may only look). Ctrl-C ends it; the same folder continues it.
    """
    server = Sandbox(folder, SandboxSettings(port=port))
    typer.echo(f"The sandbox answers at {server.url}; Ctrl-C ends it.", err=True)
    server.serve_forever()
