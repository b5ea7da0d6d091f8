"""`kspace verify`: ask the archive again, now."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from kspace.errors import KspaceError, NotFound
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, open_box
from transfer.app.custody import Custody, verified
from transfer.restore import restore
from transfer.stages.send import files_of


def verify(
    capture_id: Annotated[int, typer.Argument(metavar="ID", help="The capture's number.")],
    config: ConfigPath = DEFAULT_CONFIG,
    is_deep: Annotated[
        bool, typer.Option("--deep", help="Read everything back and decode it, not only digests.")
    ] = False,
) -> None:
    """Ask every archive that holds a capture to prove it again. Exit code 0 only if all of them do."""
    box = open_box(config)
    copies = verified(box, capture_id)
    if not copies:
        raise NotFound(f"Capture {capture_id} is verified in no archive yet; `kspace show {capture_id}` says why.")
    failed = 0
    for copy in copies:
        try:
            typer.echo(f"{copy.destination}: {_proved(copy, box.config.relay.spool, is_deep=is_deep)}")
        except KspaceError as error:
            failed += 1
            typer.echo(f"{copy.destination}: NOT PROVED. {error}", err=True)
    box.close()
    if failed:
        raise typer.Exit(7)


def _proved(copy: Custody, spool: Path, *, is_deep: bool) -> str:
    proofs = copy.archive.prove(copy.place, files_of(copy.delivery, spool=spool))
    ways = sorted({p.how for p in proofs.values()})
    said = f"holds all {len(proofs)} files ({'; '.join(ways)})"
    if not is_deep:
        return said
    with TemporaryDirectory(dir=spool) as folder:
        target = Path(folder) / "restored.dat"
        restore(copy.archive, place=copy.place, folder=copy.folder, sha256_expected=copy.sha256, target=target)
    return f"{said}; read back and decoded: SHA-256 {copy.sha256} as on the scanner"
