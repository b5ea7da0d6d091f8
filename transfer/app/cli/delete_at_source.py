"""`kspace delete-at-source`: where the site consented, a person lets proved files go from the scanner."""

from collections import Counter
from typing import Annotated

import typer

from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, actor, open_box, print_json
from transfer.app.deleting import terms_of
from transfer.feeds.delete import approve, propose

_SHOWN = 20


def delete_at_source(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source, as SCANNER/1.")],
    config: ConfigPath = DEFAULT_CONFIG,
    for_real: Annotated[
        bool, typer.Option("--for-real", help="Approve what the last run without this option listed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what every archive has proved to hold and may be deleted on the scanner; with --for-real approve that list.

    What is approved the running relay deletes, within its limits, each file after it was read and proved once more.
    """
    box = open_box(config)
    terms = terms_of(box.config, source)
    if for_real:
        approved = approve(box.database, terms, actor=actor(), clock=box.clock)
        box.close()
        if as_json:
            print_json({"approved": [one.capture_id for one in approved]})
            return
        typer.echo(
            f"Approved: {_counted(len(approved), sum(w.size for w in approved))}. The running relay deletes them, at "
            f"most {terms.files_per_day} files a day; `kspace show ID` tells of each."
        )
        return
    found = propose(box.database, terms, actor=actor(), clock=box.clock)
    box.close()
    may = [file for file, why in found if why is None]
    kept = Counter(why for _, why in found if why is not None)
    if as_json:
        print_json({"may_go": [file.capture_id for file in may], "stay": dict(kept)})
        return
    typer.echo(f"May be deleted at {source}: {_counted(len(may), sum(file.size for file in may))}. Nothing is yet.")
    for file in may[:_SHOWN]:
        typer.echo(f"  {file.capture_id}  {file.path}  {file.size / 1e6:,.1f} MB")
    if len(may) > _SHOWN:
        typer.echo(f"  and {len(may) - _SHOWN:,} more; --json has all")
    for why, number in kept.most_common():
        typer.echo(f"Stay: {number:,}, {why}.")
    if may:
        typer.echo("Read the list; the same command with --for-real approves it.")


def _counted(number: int, size: int) -> str:
    return f"{number:,} files ({size / 1e9:,.1f} GB)"
