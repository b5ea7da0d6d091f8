"""`kspace verify`: ask the archives again, now."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from kspace.errors import BadInput, KspaceError, NotFound
from transfer.app.cli.options import DEFAULT_CONFIG, LARGEST_ID, ConfigPath, open_box
from transfer.app.custody import Custody, oldest, prove_again, verified
from transfer.app.wiring import Box
from transfer.destinations.errors import NotHeld
from transfer.records import Done, StillHeld
from transfer.restore import restore


def verify(
    capture_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", max=LARGEST_ID, help="The capture's number.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    number: Annotated[
        int | None, typer.Option("--oldest", min=1, help="Instead of an ID: so many captures, proved longest ago.")
    ] = None,
    is_deep: Annotated[bool, typer.Option("--deep", help="Also read everything back and decode it.")] = False,
) -> None:
    """Ask every archive that holds a capture to prove the bytes that lie there now.

    What an archive lost or altered is sent again by the relay, if the spool still has it. Exit code 0 only if all is
    proved.
    """
    if (capture_id is None) == (number is None):
        raise BadInput("Name one capture by its number, or give --oldest and how many.")
    box = open_box(config)
    wanted = oldest(box, number) if number else [capture_id or 0]
    if not wanted:
        raise NotFound("No capture is verified in any archive yet; `kspace status` says where they stand.")
    proved = [_capture(box, one, is_deep=is_deep) for one in wanted]
    box.close()
    if not all(proved):
        raise typer.Exit(7)


def _capture(box: Box, capture_id: int, *, is_deep: bool) -> bool:
    copies = verified(box, capture_id)
    if not copies:
        raise NotFound(f"Capture {capture_id} is verified in no archive; `kspace show {capture_id}` says why.")
    failed = 0
    for copy in copies:
        try:
            typer.echo(f"{capture_id}, {copy.destination}: {_proved(box, copy, is_deep=is_deep)}")
        except KspaceError as error:
            failed += 1
            typer.echo(f"{capture_id}, {copy.destination}: NOT PROVED. {error}", err=True)
    return not failed


def _proved(box: Box, copy: Custody, *, is_deep: bool) -> str:
    match prove_again(box, copy.delivery.id):
        case None:
            raise BadInput("The relay works on this session, or waits for this archive; ask again later.")
        case Done(StillHeld(said)):
            pass
        case Done(again):
            raise NotHeld(getattr(again, "reason", ""))
        case other:
            raise NotHeld(other.reason)
    if not is_deep:
        return said
    with TemporaryDirectory(dir=box.config.relay.spool) as folder:
        target = Path(folder) / "restored.dat"
        restore(copy.archive, place=copy.place, folder=copy.folder, sha256_expected=copy.sha256, target=target)
    return f"{said}; read back and decoded: SHA-256 {copy.sha256} as on the scanner"
