"""`kspace assign`: a person says where a study goes."""

from typing import Annotated

import typer

from kspace.errors import BadInput
from transfer import assigning
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, actor, open_box


def assign(  # noqa: PLR0913, PLR0917 -- the options
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study's number (t3), as `kspace study` shows it.")],
    project: Annotated[str, typer.Option(help="The project it goes to.")],
    config: ConfigPath = DEFAULT_CONFIG,
    to: Annotated[str | None, typer.Option(help="The destination; needed where there are several.")] = None,
    subject: Annotated[str | None, typer.Option(help="The subject; without it as the route there makes it.")] = None,
    session: Annotated[str | None, typer.Option(help="The session; without it as the route there makes it.")] = None,
) -> None:
    """Say where the images of a study go, whatever the routes say; nothing that lies in an archive is moved."""
    box = open_box(config)
    names = [given["name"] for given in box.config.destination]
    if to is None and len(names) == 1:
        to = names[0]
    if to is None or to not in names:
        raise BadInput(f"Say with --to which destination: {', '.join(names) or 'there is none configured'}.")
    target = assigning.assign(
        box.database,
        study,
        routes=box.config.route,
        destination=to,
        project=project,
        subject=subject,
        session=session,
        is_raw_only=to in box.raw_only(),
        machine=box.config.relay.name,
        actor=actor(),
        clock=box.clock,
    )
    box.close()
    where = f"{target.destination}/{target.project}/{target.subject}/{target.session}"
    typer.echo(f"Study {study} goes to {where}. `kspace study {study}` shows how it gets on.")
