"""`kspace receipt`: what an archive proved, for programs, for people, and for whoever does not take our word."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from kspace.errors import BadInput
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, open_box
from transfer.app.receipt_page import page
from transfer.catalog import lists
from transfer.config import load_config
from transfer.receipts import Signer, check_receipt, compare, known_key
from transfer.states import DeliveryState


def receipt(  # noqa: PLR0913 -- a command line's options
    *,
    reference: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A capture's number (12) or a delivery's (d5).")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it here; it must not exist.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page for people here; it must not exist.")] = None,
    checked: Annotated[Path | None, typer.Option("--check", help="Check the receipt in this file; no network.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="With --check: the raw file, packed file or part itself.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="With --check: the public key to trust, base64 or a PEM file.")
    ] = None,
    shows_key: Annotated[bool, typer.Option("--public-key", help="Print this relay's public key (PEM).")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show, write or check the signed receipt of a delivery.

    The receipt says what the archive showed to hold, where, when and how. --check needs the file alone: it says whether
    anything was changed, and whether the key is one that you, or this relay, vouch for. Exit code 0 only if both.
    """
    if sum(given is not None for given in (reference, checked)) + shows_key != 1:
        raise BadInput("Name a capture or delivery, or give --check FILE, or --public-key.")
    if checked is None and (against or key):
        raise BadInput("--against and --key belong to --check.")
    if checked is not None:
        _check(_read(checked), checked, against=against, trusted=_trusted(key, config))
    elif shows_key:
        sys.stdout.write(Signer(_key_file(config)).public_pem.decode())
    else:
        document = _of(str(reference), config)
        if html is not None:
            _write(html, page(document).encode())
        if output is not None:
            _write(output, document)
        if html is None and output is None:
            typer.echo(document.decode())


def _of(reference: str, config: Path) -> bytes:
    box = open_box(config)
    with box.database.read() as connection:
        found = lists.receipts(connection, reference)
    box.close()
    if len(found) > 1:
        places = ", ".join(f"d{row['delivery_id']} ({row['destination']})" for row in found)
        raise BadInput(f"Several archives hold it, each with a receipt; name one: {places}.")
    (row,) = found
    if row["state"] != DeliveryState.VERIFIED:
        typer.echo(
            f"This is what {row['destination']} proved then; since then the delivery is {row['state']}: see "
            f"`kspace show {row['capture_id']}`.",
            err=True,
        )
    document: bytes = row["document"]
    return document


def _trusted(key: str | None, config: Path) -> tuple[str, str] | None:
    """Return the key to check against and whose it is; None where nobody here vouches for any."""
    if key is not None:
        return known_key(key), "the key you gave"
    if not config.exists() or not _key_file(config).exists():
        return None
    return Signer(_key_file(config)).public_key, "this relay's own key"


def _check(document: bytes, path: Path, *, against: Path | None, trusted: tuple[str, str] | None) -> None:
    said = check_receipt(document, public_key=trusted[0] if trusted else None)
    source = said["source"]
    typer.echo(
        f"{path}: unchanged since it was signed. {said['destination']} showed to hold {source['size']:,} bytes with "
        f"SHA-256 {source['sha256']} on {said['verified_at']}, in {len(said['files'])} files at {said['place']}."
    )
    if against is not None:
        typer.echo(f"{against}: {compare(said, against)}.")
    signed_with = json.loads(document)["public_key"]
    if trusted is None:
        raise BadInput(
            f"The receipt is signed with the key {signed_with}, for which nobody here vouches: anybody can make such a "
            "one. Get the relay's key another way (`kspace receipt --public-key` there) and give it with --key."
        )
    typer.echo(f"Signed with {trusted[1]}, {signed_with}: trusted.")


def _key_file(config: Path) -> Path:
    return load_config(config).relay.folder / "receipt-key.pem"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).") from error


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as out:
            out.write(data)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}); name another file.") from error
    typer.echo(f"{path} written.")
